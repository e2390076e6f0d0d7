"""Checkpoints of next-point detectors, on disk and in memory.

Inside: `description` is what a checkpoint says of itself, `integrity` whether its files are whole
and belong together, `loading` brings it into memory and back, `processor` makes model inputs of
windows; `build` and `extend` make new checkpoints, with `new_tokens`; `quantised`, `atomic_points`,
`atomic_head` and `second_look` are what a checkpoint may have besides. It may import `families`,
`detector`, `segmenter` and `devices`; decoding imports it. Another thing that a checkpoint may
carry is declared in `description` and read in `loading`.
"""
