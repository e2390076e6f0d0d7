"""How many nuclei a part of a field has, of which categories, and how dense they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.review.correcting.density import UM2_PER_MM2

if TYPE_CHECKING:
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.table import NucleusTable

GROUPS = "\N{THIN SPACE}"
"""Between the thousands of a number."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What stands in a part of a field, hidden categories included and rejected nuclei not."""

    counts: dict[str, int]
    """By category."""
    area_mm2: float

    @property
    def nuclei(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    @property
    def words(self) -> str:
        """Number and density; of no area no density is said."""
        said = f"{grouped(self.nuclei)} {'nucleus' if self.nuclei == 1 else 'nuclei'}"
        if not self.area_mm2:
            return said
        return f"{said}, {grouped(round(self.nuclei / self.area_mm2))} per mm\N{SUPERSCRIPT TWO}"


def figures_of(table: NucleusTable, part: Box, field: Box, mpp: float) -> Figures:
    """Those of what of a field lies in a part, level-0 px."""
    inside = part.clipped_to(field)
    area_mm2 = inside.width * inside.height * mpp**2 / UM2_PER_MM2
    counts = table.counts() if inside == field else table.counts_within(inside)
    return Figures(counts, area_mm2)


def grouped(number: int) -> str:
    """A number with its thousands apart."""
    return f"{number:,}".replace(",", GROUPS)
