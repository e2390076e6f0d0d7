"""The scale of the images: set for one or for all, questioned where it looks like a slip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import NunextError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice

if TYPE_CHECKING:
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.scale_check import ScaleCheck
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.store import FieldState

SAME_WITHIN = 0.01
"""Relative difference below which two scales are one: files round."""


class Scaler:
    """The part of the review that sets scales and asks about them."""

    def __init__(self, session: Session, finder: Finder, check: ScaleCheck) -> None:
        self._session = session
        self._review = session.model
        self._images = session.images
        self._finder = finder
        self._check = check

    def set(self, mpp: float, *, for_all: bool = False) -> None:
        """Give the open image its micrometres per pixel, or all images of the project.

        A scale that looks like a slip is used once the person says so. For all means: for every
        image whose file does not say its scale, opened yet or not; and where the file of the open
        image says one, which the person thereby calls wrong, for every image.
        """
        field = self._images.open_field
        if field is None:
            return
        try:
            check_mpp(mpp, field.entry.name)
        except NunextError as error:
            self._session.notify(in_words(error))
            return
        self._check.before(
            lambda: self._use(field, mpp, for_all=for_all), "Use it all the same", field, mpp
        )

    def mention(self) -> bool:
        """Say where the nuclei of the open image were found at another scale; whether it was."""
        field, state = self._images.open_field, self._review.state
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
        again = Notice(words, "warning", "Find again", lambda: self._finder.search(region))
        self._session.notify(Notice(words, "warning") if self._finder.model.run.busy else again)
        return True

    def _use(self, field: OpenField, mpp: float, *, for_all: bool) -> None:
        was, entry = field.entry.mpp_source, field.entry
        session, project = self._session, self._session.project
        self._review.notice = None  # what it says of the old scale
        if for_all:
            over_files = was == "file"
            session.rescale(mpp, lambda e: over_files or e.mpp_source != "file")
            session.writer.submit(lambda: project.set_scale_of_all(mpp, over_files=over_files))
        else:
            session.rescale(mpp, lambda e: e.sha256 == entry.sha256)
            session.writer.submit(lambda: project.set_scale(entry.sha256, mpp, "user"))
        if self.mention():
            return
        count = len(self._images.queue.items)
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
        if not any(later.searches(base.region) for later in bases[i + 1 :])
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
