"""Measuring the stain of the open image, moving its cut-offs, and marking nuclei by them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.positivity import check_cut_offs
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE
from napari_nunext.core.uids import as_uuids
from napari_nunext.review.background import in_words
from napari_nunext.review.colors import in_free_colors
from napari_nunext.review.correcting.editing import relabelled
from napari_nunext.review.model import Notice
from napari_nunext.review.stained.counted import StainCounter, as_table, counted_stain
from napari_nunext.review.stained.densities import Densities, NotWantedError
from napari_nunext.review.stained.tint import COLORS, Tint
from napari_nunext.store import events
from napari_nunext.store.kinds.regions import regions_of
from napari_nunext.store.kinds.settings import cut_offs_in

if TYPE_CHECKING:
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.stain import StainModel
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.review.stained.counted import CountedStain
    from napari_nunext.store import Event, FieldState

STEP_OD = 0.01
"""Between two grades at least."""


class Stainer:
    """The part of the review that looks at a stain.

    Parameters
    ----------
    session : Session
    model : StainModel
        What panels show of it.
    view : ViewModel
        Told the colours of nuclei on the image.
    """

    def __init__(self, session: Session, model: StainModel, view: ViewModel) -> None:
        self._session = session
        self.model = model
        self._view = view
        self._review = session.model
        self._images = session.images
        self._forget()
        self._review.events.state.connect(self._follow)
        self._images.events.open_field.connect(self._take_field)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._measured = Densities.none()
        self._counter = StainCounter()
        self._field: OpenField | None = None
        self._of: FieldState | None = None
        """What `model.counted` is of."""
        self._stale = False
        """Whether something changed since the measurement that is under way was begun."""
        self._view.tint = None

    # Measuring

    def open(self, opened: bool) -> None:
        """Look at the stain, or no longer."""
        self.model.opened = opened
        self._follow()
        self._show_tint()

    def _take_field(self) -> None:
        field = self._images.open_field
        if field is None or self._field is None or field.source is not self._field.source:
            self._measured, self._of = Densities.none(), None
            self.model.counted, self.model.figures = None, ()
            self._show_tint()
        self._field = field
        if field is not None:
            self.model.cut_offs = self._kept() or self.model.cut_offs
        self._follow()

    def _kept(self) -> CutOffs | None:
        return cut_offs_in(self._session.of_project)

    def _follow(self) -> None:
        """Measure what changed, elsewhere: of 20,000 nuclei all takes some seconds."""
        field, state = self._images.open_field, self._review.state
        if not self.model.opened or field is None or state is None or field is not self._field:
            return
        if self.model.measuring:
            self._stale = True
            return
        before, table, counter = self._measured, self._review.table, self._counter
        regions, cut_offs = tuple(regions_of(state).values()), self.model.cut_offs
        self.model.measuring, self._stale = True, False

        def is_wanted() -> bool:
            return self.model.opened and self._images.open_field is field

        def measure() -> tuple[Densities, CountedStain] | None:
            try:
                measured = before.after(table, field.source, field.entry.mpp, is_wanted)
            except NotWantedError:
                return None
            counted = counted_stain(measured, table, regions)
            counter.figures(counted, cut_offs)  # what takes long of it is known then
            return measured, counted

        def take(made: tuple[Densities, CountedStain] | None) -> None:
            self.model.measuring = False
            if made is not None and self._images.open_field is field:
                self._measured, self.model.counted = made
                self._of = state
                self._show()
                if self._kept() is None and len(self.model.counted.od):
                    self.keep()  # what was measured in a project, its exports carry
            if self._stale or made is None:
                self._follow()

        def failed(error: BaseException) -> None:
            self.model.measuring = False
            self._session.notify(in_words(error))

        self._session.background.run(measure, take, failed)

    # Cut-offs

    def set_cut_offs(self, cut_offs: CutOffs) -> None:
        """Move the cut-offs, as a slider does while it is dragged."""
        if cut_offs != self.model.cut_offs:
            self.model.cut_offs = cut_offs
            self._show()

    def positive_from(self, cut_off: float) -> None:
        """From which density on a nucleus is positive."""
        self.set_cut_offs(CutOffs(cut_off, self.model.cut_offs.grades))

    def grade_from(self, at: int, cut_off: float) -> None:
        """Where weak (0), moderate (1) or strong (2) begins; the others make room."""
        grades = [*self.model.cut_offs.grades]
        grades[at] = cut_off
        for above in range(at + 1, len(grades)):
            grades[above] = max(grades[above], round(grades[above - 1] + STEP_OD, 2))
        for below in range(at - 1, -1, -1):
            grades[below] = min(grades[below], round(grades[below + 1] - STEP_OD, 2))
        self.set_cut_offs(CutOffs(self.model.cut_offs.positive, check_cut_offs(grades)))
        self.keep()

    def suggest(self) -> None:
        """Take the cut-off at which the densities divide."""
        counted = self.model.counted
        if counted is not None and counted.suggested is not None:
            self.positive_from(round(counted.suggested, 2))
            self.keep()

    def keep(self) -> None:
        """Keep the cut-offs with the project."""
        if self._session.has_project and self.model.cut_offs != self._kept():
            self._session.commit_to_project([events.set_cut_offs(self.model.cut_offs)])

    def as_table(self) -> str:
        """The figures, as spreadsheets take them from the clipboard."""
        return as_table(self.model.figures)

    def _show(self) -> None:
        counted = self.model.counted
        if counted is not None:
            self.model.figures = self._counter.figures(counted, self.model.cut_offs)
        self._show_tint()

    def color(self, colored: bool) -> None:
        """Whether nuclei have the colours of positive and negative on the image."""
        self.model.colored = colored
        self._show_tint()

    def _show_tint(self) -> None:
        model, shown = self.model, None
        if model.opened and model.colored and model.counted is not None:
            shown = Tint(model.counted, model.cut_offs.positive)
        if shown is not None or self._view.tint is not None:
            self._view.tint = shown

    # Categories

    def mark(self) -> None:
        """Make nuclei Positive and Negative by the cut-off, as one gesture of the person.

        Those that do not count keep their category.
        """
        field, state, counted = self._images.open_field, self._review.state, self.model.counted
        if field is None or state is None or counted is None or self.model.marking:
            return
        if self._of is not state:
            words = "Nuclei are still being measured. Mark them once the figures are there."
            self._session.notify(Notice(words))
            return
        session, sha256, cut_off = self._session, field.entry.sha256, self.model.cut_offs.positive
        od, uids, group = counted.counting.od, counted.counting.uids, uuid4()
        if np.isnan(od).all():
            session.notify(Notice("No nucleus was measured, so that none is marked."))
            return
        self.model.marking = True
        self.keep()  # the journal then says from where on
        new = in_free_colors(COLORS, self._review.categories, COLORS)
        session.commit_to_project(events.grouped(map(events.add_category, new), group))
        state = session.state_of(sha256)

        def make() -> tuple[tuple[Event, ...], FieldState, int]:
            gesture: list[Event] = []
            for name, chosen in ((POSITIVE, od >= cut_off), (NEGATIVE, od < cut_off)):
                gesture += relabelled(state, sha256, as_uuids(uids[chosen]), name)
            stamped = session.project.stamp(events.grouped(gesture, group))
            return stamped, state.apply(*stamped), int((od >= cut_off).sum())

        def take(made: tuple[tuple[Event, ...], FieldState, int]) -> None:
            self.model.marking = False
            gesture, after, positive = made
            session.commit_made(sha256, gesture, state, after)
            rest = int(np.isnan(od).sum())
            words = f"{nuclei_in_words(positive)} marked Positive, {len(gesture) - positive:,} "
            words += f"Negative, from {cut_off:.2f} OD. Undo takes it back."
            if rest:
                words += f" {nuclei_in_words(rest)} that do not count keep their category."
            session.notify(Notice(words, of_last_gesture=True))

        def failed(error: BaseException) -> None:
            self.model.marking = False
            session.notify(in_words(error))

        session.background.run(make, take, failed)
