"""The stages of training: each makes a checkpoint of a parent and of data.

Inside: `stage` is what all share, `sft`, `rft`, `segmenter` and `atomic` are the stages,
`publishing` writes the checkpoint of a finished run. It may import `trainers`, `evaluation` and
what is below. The next stage is a module here and a command.
"""
