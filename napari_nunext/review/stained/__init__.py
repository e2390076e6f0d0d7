"""The stain of the open image as values: densities, figures, colours of nuclei.

Nothing here knows the session: `napari_nunext.review.staining` makes these, `shown` shows them.
"""
