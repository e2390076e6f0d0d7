"""From windows to a whole image, whatever the model.

Inside: `search` finds nuclei in an image by one call, `masks` draws masks for prompts anywhere in
it, `overlaps` and `one_piece` make one mask a nucleus of them. It may import `detector` and
`segmenter`, no model. What holds for every model goes here.
"""
