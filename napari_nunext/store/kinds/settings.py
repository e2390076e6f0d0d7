"""What is said of scales and origins: the latest counts, and nothing is folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.store.entries import Origin
    from napari_nunext.store.event import Event


SET_SCALE = declare(
    EventKind(
        name="set_scale",
        about="image",
        words="set the scale",
        payload={"mpp": checks.is_mpp, "source": checks.is_mpp_source},
        undoable=False,
    )
)


def set_scale(image_sha256: str, mpp: float, source: str) -> Event:
    """Set an image's micrometres per level-0 pixel."""
    return SET_SCALE(image_sha256, {"mpp": float(mpp), "source": source})


SET_SCALE_OF_ALL = declare(
    EventKind(
        name="set_scale_of_all",
        about="project",
        words="set the scale of all images",
        payload={"mpp": checks.is_mpp, "over_files": checks.is_flag},
        undoable=False,
    )
)


def set_scale_of_all(mpp: float, *, over_files: bool) -> Event:
    """Set the scale of all images, now and later: those whose file says its own only if told so."""
    return SET_SCALE_OF_ALL(None, {"mpp": float(mpp), "over_files": over_files})


SET_ORIGIN = declare(
    EventKind(
        name="set_origin",
        about="image",
        words="kept where an image comes from",
        payload={"origin": checks.is_origin},
        undoable=False,
    )
)


def set_origin(image_sha256: str, origin: Origin) -> Event:
    """Keep what the export that an image came from says of its patient, split and tissue."""
    return SET_ORIGIN(image_sha256, {"origin": origin.to_json()})


SET_CUT_OFFS = declare(
    EventKind(
        name="set_cut_offs",
        about="project",
        words="set the cut-offs of a stain",
        payload={"positive": checks.is_number, "grades": checks.is_cut_offs},
        undoable=False,
    )
)


def set_cut_offs(cut_offs: CutOffs) -> Event:
    """Keep from which optical density of DAB on a nucleus is positive, weak, moderate, strong."""
    return SET_CUT_OFFS(None, cut_offs.to_json())


def cut_offs_in(of_project: Iterable[Event]) -> CutOffs | None:
    """What people set last, of the events about the project as a whole; None where nobody did."""
    said = [event for event in of_project if event.kind == SET_CUT_OFFS.name]
    return CutOffs.from_json(said[-1].payload) if said else None
