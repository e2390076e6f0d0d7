"""napari widgets, layers and keys: show the review's state, emit intent."""
