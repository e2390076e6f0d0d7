"""A scale that looks like a slip: asked about before an image is searched or used with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.image.plausible import scale_doubt
from napari_nunext.review.model import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.review.shown.images import OpenField


class ScaleCheck:
    """Asks once about each image and scale; what a person confirms is not asked again."""

    def __init__(self, session: Session, find: FindModel) -> None:
        self._session = session
        self._find = find
        self._confirmed: set[tuple[str, float]] = set()
        """What the person uses all the same: image and um per pixel."""
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._confirmed.clear()

    def before(
        self,
        act: Callable[[], None],
        label: str,
        field: OpenField,
        mpp: float,
        region: Box | None = None,
    ) -> None:
        """Do something with an image at a scale; ask first where the scale looks like a slip.

        Parameters
        ----------
        act : callable
            What is to be done, while the image is open.
        label : str
            The button that does it all the same.
        field : OpenField
        mpp : float
            The scale, um per pixel.
        region : Box, optional
            What is searched; all of the image by default.
        """
        entry = field.entry
        doubt = ""
        if (entry.sha256, mpp) not in self._confirmed:
            chosen = self._find.chosen
            doubt = scale_doubt(
                mpp,
                entry.width_px,
                entry.height_px,
                model_mpp=None if chosen is None else chosen.mpp,
                window_px=None if chosen is None else chosen.window_px,
                region=region,
            )
        if not doubt:
            act()
            return

        def confirmed() -> None:
            self._confirmed.add((entry.sha256, mpp))
            if self._session.is_open(entry.sha256):
                act()

        self._session.notify(Notice(doubt, "warning", label, confirmed))
