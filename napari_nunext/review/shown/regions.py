"""What the part for regions shows: those of the open image, what lies in them, and the tool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.shapes.regions import Region, RegionKind

RegionTool = Literal["", "select", "corners", "rectangle", "polygon", "freehand"]
"""What the mouse does to regions: nothing, choose and move them, move their corners, draw one."""


@dataclass(frozen=True, slots=True)
class RegionFigures:
    """A region and what lies in it."""

    region: Region
    area_mm2: float
    counts: dict[str, int] | None = None
    """Nuclei by category, the most frequent first; None while they are being counted."""

    @property
    def nuclei(self) -> int | None:
        """How many stand in it; None while they are being counted."""
        return None if self.counts is None else sum(self.counts.values())

    @property
    def per_mm2(self) -> float | None:
        """Their density; None while they are being counted."""
        return None if self.nuclei is None else self.nuclei / self.area_mm2


@dataclass(eq=False)
class RegionsModel:
    """What panels and canvas show of the regions."""

    figures: tuple[RegionFigures, ...] = ()
    """Of the open image, in the order in which they were drawn."""
    selected: UUID | None = None
    kind: RegionKind = "search"
    """What is drawn next."""
    tool: RegionTool = ""
    shown: bool = True
    """Whether they are drawn on the image."""
    finding_tissue: bool = False
    """Whether tissue is being looked for."""
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    @property
    def regions(self) -> tuple[Region, ...]:
        """Those of the open image."""
        return tuple(figures.region for figures in self.figures)

    @property
    def searchable(self) -> bool:
        """Whether a region says where to search."""
        return any(region.kind == "search" for region in self.regions)

    def forget_project(self) -> None:
        """Show nothing of the project that was left."""
        reset(self, keep=("kind", "shown"))
