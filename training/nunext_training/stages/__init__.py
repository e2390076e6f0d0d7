"""The stages of training: each makes a checkpoint of a parent and of data.

Inside: `stage` is the way that all of them go, `detectors` what those share that train a detector,
`sft`, `rft`, `segmenter` and `atomic` are the stages, `second_look` fits a layer without a run;
`arguments` says what a recipe says to a Trainer, `publishing` what every checkpoint of a run has.
It may import `tasks`, `trainers`, `evaluation` and what is below. The next stage is a module here
and a command: docs/extending.md.
"""
