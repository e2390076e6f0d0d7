"""The review project: immutable predictions, a journal of what people did, and exports.

`events` has a constructor for each kind of event; `FieldState` is what they amount to.
"""

from __future__ import annotations

from napari_nunext.store import events
from napari_nunext.store.entries import ImageEntry, Run, RunFound, RunInfo, RunWindow
from napari_nunext.store.events import Event, grouped
from napari_nunext.store.project import Project
from napari_nunext.store.state.folding import Comment
from napari_nunext.store.state.reviewed import ReviewedNucleus
from napari_nunext.store.state.state import FieldState

__all__ = [
    "Comment",
    "Event",
    "FieldState",
    "ImageEntry",
    "Project",
    "ReviewedNucleus",
    "Run",
    "RunFound",
    "RunInfo",
    "RunWindow",
    "events",
    "grouped",
]
