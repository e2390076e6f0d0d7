"""The scale of the images: set for one or for all, questioned where it looks like a slip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.image.plausible import scale_doubt
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.model import OpenField
    from napari_nunext.review.session import Session
    from napari_nunext.store import FieldState

SAME_WITHIN = 0.01
"""Relative difference below which two scales are one: files round."""


class Scaler:
    """The part of the controller that sets scales and asks about them."""

    def __init__(self, session: Session, finder: Finder) -> None:
        self._session = session
        self._model = session.model
        self._finder = finder
        self._confirmed: set[tuple[str, float]] = set()
        """What the person uses all the same: image and um per pixel."""
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._confirmed.clear()

    def set(self, mpp: float, *, for_all: bool = False) -> None:
        """Give the open image its micrometres per pixel, or all images of the project.

        A scale that looks like a slip is used once the person says so. For all means: for every
        image whose file does not say its scale, opened yet or not; and where the file of the open
        image says one, which the person thereby calls wrong, for every image.
        """
        field = self._model.open_field
        if field is None:
            return
        try:
            check_mpp(mpp, field.entry.name)
        except NunextError as error:
            self._session.notify(in_words(error))
            return
        self._if_sure(
            field, mpp, "Use it all the same", lambda: self._use(field, mpp, for_all=for_all)
        )

    def before_search(self, search: Callable[[], None]) -> None:
        """Do `search` of the open image; ask first where its scale looks like a slip."""
        field = self._model.open_field
        if field is not None:
            self._if_sure(field, field.entry.mpp, "Search all the same", search)

    def mention(self) -> bool:
        """Say where the nuclei of the open image were found at another scale; whether it was."""
        field, state = self._model.open_field, self._model.state
        if field is None or state is None:
            return False
        found = found_at_other_scale(state, field.entry.mpp)
        if found is None:
            return False
        old_mpp, region = found
        words = (
            f"What was found in this image was found at {old_mpp:g} um/px; "
            f"it is now {field.entry.mpp:g}."
        )
        again = Notice(
            words, "warning", "Find again", lambda: self.before_search(lambda: self._search(region))
        )
        self._session.notify(Notice(words, "warning") if self._model.run.busy else again)
        return True

    def _search(self, region: Box) -> None:
        self._finder.find(region)

    def _if_sure(
        self, field: OpenField, mpp: float, label: str, action: Callable[[], None]
    ) -> None:
        """Do it where the scale makes sense or the person has said that it is meant; else ask."""
        entry = field.entry
        doubt = ""
        if (entry.sha256, mpp) not in self._confirmed:
            chosen = next((m for m in self._model.models if m.id == self._model.model_id), None)
            doubt = scale_doubt(
                mpp,
                entry.width_px,
                entry.height_px,
                model_mpp=None if chosen is None else chosen.mpp,
                window_px=None if chosen is None else chosen.window_px,
            )
        if not doubt:
            action()
            return

        def confirmed() -> None:
            self._confirmed.add((entry.sha256, mpp))
            open_field = self._model.open_field
            if open_field is not None and open_field.entry.sha256 == entry.sha256:
                action()

        self._session.notify(Notice(doubt, "warning", label, confirmed))

    def _use(self, field: OpenField, mpp: float, *, for_all: bool) -> None:
        was, entry = field.entry.mpp_source, field.entry
        session, project = self._session, self._session.project
        self._model.notice = None  # what it says of the old scale
        if for_all:
            over_files = was == "file"
            session.rescale(mpp, lambda e: over_files or e.mpp_source != "file")
            session.writer.submit(lambda: project.set_scale_of_all(mpp, over_files=over_files))
        else:
            session.rescale(mpp, lambda e: e.sha256 == entry.sha256)
            session.writer.submit(lambda: project.set_scale(entry.sha256, mpp, "user"))
        if self.mention():
            return
        count = len(self._model.queue.items)
        if for_all:
            kept = "" if was == "file" else " Those whose file says its scale keep that."
            session.notify(Notice(f"{mpp:g} um/px counts for all {count} images.{kept}"))
        elif count > 1 and was == "assumed":
            session.notify(
                Notice(
                    f"{mpp:g} um/px is set for this image.",
                    action_label=f"Use for all {count} images",
                    action=lambda: self._use(field, mpp, for_all=True),
                )
            )


def found_at_other_scale(state: FieldState, mpp: float) -> tuple[float, Box] | None:
    """Where the predictions in force were made at another scale than `mpp`: it, and the region.

    A search that a later one covers no longer counts. None where all were made at this scale.
    """
    bases = state.bases
    in_force = [
        base
        for i, base in enumerate(bases)
        if not any(base.region.clipped_to(later.region) == base.region for later in bases[i + 1 :])
    ]
    other = [
        base for base in in_force if abs(state.runs[base.run_id].info.mpp / mpp - 1) > SAME_WITHIN
    ]
    if not other:
        return None
    boxes = [base.region for base in other]
    region = Box(
        min(b.x0 for b in boxes),
        min(b.y0 for b in boxes),
        max(b.x1 for b in boxes),
        max(b.y1 for b in boxes),
    )
    return state.runs[other[-1].run_id].info.mpp, region
