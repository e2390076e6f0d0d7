"""Detectors and segmenters that installed packages bring, through entry points.

A package names a factory in the group `GROUPS` of its kind: a callable without arguments that
returns a `napari_nunext.models.detector.Detector` or `napari_nunext.models.segmenter.Segmenter`.
It is imported when somebody asks for its model. What goes wrong then is said in words, and stays
listed with the model until the process is started again: an import that failed halfway cannot be
repeated.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.geometry import check_mpp
from napari_nunext.models.detector import DetectorInfo
from napari_nunext.models.segmenter import SegmenterInfo

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from napari_nunext.core.model_description import Kind
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter

logger = logging.getLogger(__name__)

GROUPS: dict[Kind, str] = {
    "detector": "napari_nunext.detectors",
    "segmenter": "napari_nunext.segmenters",
}
"""Entry point group of each kind."""

_METHODS: dict[Kind, str] = {"detector": "detect", "segmenter": "segment"}


class PluginOffer:
    """An entry point, and what came of it.

    Parameters
    ----------
    kind : "detector" or "segmenter"
    entry_point : EntryPoint
    """

    def __init__(self, kind: Kind, entry_point: EntryPoint) -> None:
        self.kind = kind
        self.name = entry_point.name
        dist = entry_point.dist
        self.origin = entry_point.module if dist is None else f"{dist.name} {dist.version}"
        self.info: DetectorInfo | SegmenterInfo | None = None
        """None until it was loaded."""
        self.problem: str | None = None
        """One sentence, once loading it has failed."""
        self._entry_point = entry_point

    def load(self) -> Detector | Segmenter:
        """Import the package and make the model.

        Raises
        ------
        CheckpointError
            If that fails in whatever way, or what is made is not what the group is for.
        """
        try:
            model: Detector | Segmenter = self._entry_point.load()()
            self.info = _checked_info(model, self.kind)
        except (Exception, SystemExit) as error:
            # Somebody else's code: whatever it raises, the other models are served.
            logger.exception("a %s of another package cannot be made", self.kind)
            said = " ".join(str(error).split())[:200] or "no reason given"
            self.problem = (
                f"The {self.kind} {self.name} of {self.origin} cannot be made "
                f"({type(error).__name__}: {said}). Update or mend that package, and start again."
            )
            raise CheckpointError(self.problem) from error
        return model


def find_plugins() -> list[PluginOffer]:
    """Every entry point of both groups, by kind, name and package. Imports none of them."""
    return [
        offer
        for kind, group in GROUPS.items()
        for offer in sorted(
            (PluginOffer(kind, entry_point) for entry_point in entry_points(group=group)),
            key=lambda offer: (offer.name, offer.origin),
        )
    ]


def _checked_info(model: object, kind: Kind) -> DetectorInfo | SegmenterInfo:
    """The description of a model, if it can be served by it.

    Raises
    ------
    TypeError
        If the model has no such description or method.
    ValueError
        If no window can be cut by the description.
    """
    expected = DetectorInfo if kind == "detector" else SegmenterInfo
    info = getattr(model, "info", None)
    method = _METHODS[kind]
    if not isinstance(info, expected) or not callable(getattr(model, method, None)):
        raise TypeError(
            f"its factory returned a {type(model).__name__}; expected an object with a method "
            f"{method} and info, a {expected.__name__}"
        )
    check_mpp(info.mpp, "its info")
    if info.window_px < 1:
        raise ValueError(f"its windows are {info.window_px} px wide; expected 1 or more")
    if isinstance(info, DetectorInfo):
        if not info.categories:
            raise ValueError("it has no categories; expected at least one")
        if not 0 <= 2 * info.halo_um < info.window_px * info.mpp:
            raise ValueError(
                f"its halo of {info.halo_um:g} um does not leave anything of a window of "
                f"{info.window_px * info.mpp:g} um"
            )
    return info
