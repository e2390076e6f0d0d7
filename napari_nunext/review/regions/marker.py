"""Drawing, changing, naming and deleting the regions of the open image, and counting in them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.errors import NunextError
from napari_nunext.core.shapes.regions import LONGEST_NAME, clipped, region
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.regions.figures import as_table, counted_in, uncounted
from napari_nunext.store import events
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.regions import Region, RegionKind
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.regions import RegionFigures, RegionsModel, RegionTool
    from napari_nunext.store import Event

NAMES: dict[RegionKind, str] = {"search": "Search", "leave_out": "Leave out", "interest": "Region"}
"""What regions are called until somebody names them; a number follows."""


class RegionMarker:
    """The part of the review that keeps regions; each call is one gesture.

    Parameters
    ----------
    session : Session
    model : RegionsModel
        What panels and canvas show of it.
    """

    def __init__(self, session: Session, model: RegionsModel) -> None:
        self._session = session
        self.model = model
        self._review = session.model
        self._images = session.images
        self._counting = False
        self._stale = False
        """Whether something changed since the count that is under way was begun."""
        self._review.events.state.connect(self._follow)
        self._images.events.open_field.connect(self._follow)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._counting = self._stale = False

    # What is shown

    def _follow(self) -> None:
        """Show the regions of the open image at once, and count what lies in them."""
        field, state, model = self._images.open_field, self._review.state, self.model
        if field is None or state is None:
            model.figures, model.selected = (), None
            return
        known = {each.region: each for each in model.figures}
        mpp = field.entry.mpp
        figures = [uncounted(each, mpp) for each in regions_of(state).values()]
        model.figures = tuple(
            known[f.region] if f.region in known and known[f.region].area_mm2 == f.area_mm2 else f
            for f in figures
        )
        if model.selected not in {each.uid for each in model.regions}:
            model.selected = None
        self._count()

    def _count(self) -> None:
        """Count anew, elsewhere: a million nuclei take a while for each region."""
        if not self.model.figures:
            return
        if self._counting:
            self._stale = True
            return
        table, figures = self._review.table, self.model.figures
        stands = ~table.rejected
        columns = table.points_xy[stands], table.category[stands], table.names
        self._counting, self._stale = True, False
        self._session.background.run(
            lambda: counted_in(figures, *columns), self._take_counts, self._counts_failed
        )

    def _take_counts(self, counted: Sequence[RegionFigures]) -> None:
        self._counting = False
        found = {each.region: each for each in counted}
        self.model.figures = tuple(found.get(each.region, each) for each in self.model.figures)
        if self._stale:
            self._count()

    def _counts_failed(self, error: BaseException) -> None:
        self._counting = False
        self._session.notify(in_words(error))

    def as_table(self) -> str:
        """All figures, as spreadsheets take them from the clipboard."""
        return as_table(self.model.figures)

    # What people do

    def choose_kind(self, kind: RegionKind) -> None:
        """What is drawn next; a region that is there stays what it is."""
        self.model.kind = kind

    def choose_tool(self, tool: RegionTool) -> None:
        """What the mouse does to regions."""
        if tool:
            self.model.shown = True  # nobody draws what is not seen
        self.model.tool = tool

    def show(self, shown: bool) -> None:
        """Whether regions are drawn on the image."""
        self.model.shown = shown

    def select(self, uid: UUID | None) -> None:
        """Select a region of the open image."""
        self.model.selected = uid

    def draw(self, polygon_xy: PointsXY) -> UUID | None:
        """Put a region of the chosen kind on the image, and select it; None where it is none."""
        kind, uid = self.model.kind, uuid4()
        name = self._free_name(NAMES[kind])
        if self._try(
            lambda sha256: [
                events.draw_region(sha256, region(name, kind, self._on_image(polygon_xy), uid=uid))
            ]
        ):
            self.model.selected = uid
            return uid
        return None

    def put(self, regions: Sequence[Region]) -> None:
        """Put regions on the image, as one gesture; those with the same identity are replaced."""
        if not regions:
            return
        self._try(
            lambda sha256: events.grouped(events.draw_region(sha256, each) for each in regions)
        )

    def reshape(self, uid: UUID, polygon_xy: PointsXY) -> bool:
        """Give a region another outline; False where that is none."""
        return self._try(
            lambda sha256: [events.reshape_region(sha256, uid, self._on_image(polygon_xy))]
        )

    def rename(self, uid: UUID, name: str) -> None:
        """Give a region another name."""
        name = " ".join(name.split())[:LONGEST_NAME]
        if name and (known := self._known(uid)) is not None and known.name != name:
            self._try(lambda sha256: [events.describe_region(sha256, uid, name, known.kind)])

    def set_kind(self, uid: UUID, kind: RegionKind) -> None:
        """Say what a region is for."""
        if (known := self._known(uid)) is not None and known.kind != kind:
            self._try(lambda sha256: [events.describe_region(sha256, uid, known.name, kind)])

    def delete(self, uids: Sequence[UUID]) -> None:
        """Take regions away, as one gesture."""
        there = [uid for uid in uids if self._known(uid) is not None]
        if there:
            self._try(
                lambda sha256: events.grouped(events.delete_region(sha256, uid) for uid in there)
            )

    def _on_image(self, polygon_xy: PointsXY) -> PointsXY:
        field = self._images.open_field
        return polygon_xy if field is None else clipped(polygon_xy, field.box)

    def _known(self, uid: UUID) -> Region | None:
        return next((each for each in self.model.regions if each.uid == uid), None)

    def _free_name(self, stem: str) -> str:
        taken = {each.name for each in self.model.regions}
        return next(name for n in range(1, len(taken) + 2) if (name := f"{stem} {n}") not in taken)

    def _try(self, make: Callable[[str], Sequence[Event]]) -> bool:
        """Make a gesture of the open image; what is no region is said, and nothing changes."""
        field = self._images.open_field
        if field is None:
            return False
        try:
            gesture = tuple(make(field.entry.sha256))
        except NunextError as error:
            self._session.notify(Notice(str(error), "warning"))
            return False
        self._session.commit(field.entry.sha256, gesture)
        return True
