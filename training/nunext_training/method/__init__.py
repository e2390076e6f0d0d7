"""The science alone on one shelf: both papers as pure functions.

Inside: `losses`, `mask_losses`, `rewards` and `answer_rewards` (known by name in a `register`),
`advantages`, `second_look` (a layer fitted), `modules` (the rows of Table 5), and `choices`, the
names of what the papers leave open. It imports `napari_nunext.core` and tensors, nothing of
training. Every function names its equation, or says that it is ours. The next loss or reward goes
here (docs/extending.md); `trainers` calls it.
"""
