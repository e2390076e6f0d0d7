"""Our layers on napari's canvas: drawn from the review's state, edited by napari's tools.

`layers` is the only module that knows that napari wants rows and columns. Another thing to draw is
a module here that `canvas` owns and `guarding` keeps as it has to be.
"""
