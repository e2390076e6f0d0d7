"""The classical detector and segmenter: no weights, an instant result, the floor for every model.

`stain` unmixes haematoxylin, `points` finds nuclei in it, `masks` outlines them, and `adapters`
offers both as the detector and segmenter that the server runs.
"""
