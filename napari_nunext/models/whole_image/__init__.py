"""From windows to a whole image, whatever the model.

Inside: `search` asks a detector about windows, `gathering` folds what it says into nuclei, `masks`
draws masks for prompts anywhere in an image, `mask_regions` says when, while the search goes on,
`overlaps` and `one_piece` make one mask a nucleus of them. It may import `detector` and
`segmenter`, no model. What holds for every model goes here.
"""
