"""The review: what is open, selected, running, saved and undoable. No Qt, no napari."""
