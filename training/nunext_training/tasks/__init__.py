"""What models learn: examples, their encoding, and the score of what a model makes of them.

Inside: `points` (nuclei as coordinate tokens, with `scoring` and `prompted_masks` for what replies
are worth), `masks` (nuclei from clicks) and `packed_answers` (questions about pictures). Each is a
`nunext_training.data.task.Task`. It may import `trainers`, `evaluation` and what is below; `stages`
imports it. The next task is a module here, and a stage that trains it.
"""
