"""A window of an annotated tile, and a question whose answer follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.nuclei import UNCATEGORISED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box, PointsXY

Known: TypeAlias = "str | int | tuple[Box, ...]"
"""What is right: a word, a number, or boxes."""

_WORDS = {
    "Lymphocyte": ("lymphocyte", "lymphocytes"),
    "Tumour or epithelial": ("tumour", "tumour nuclei"),
    "Stromal": ("stromal", "stromal nuclei"),
}
"""How BRCA-M2C's categories are spoken of: as an option, and several of them."""
ALL_NUCLEI = "nuclei"


@dataclass(frozen=True, slots=True)
class Spoken:
    """The categories that are told apart, and what they are called in questions."""

    names: tuple[str, ...]
    """None where nuclei have no categories."""
    words: tuple[str, ...]
    """Of each, as an option says it."""
    plurals: tuple[str, ...]
    """Of each; of all nuclei, where they have no categories."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Spoken:
        """In the order of `names`, which decides what is drawn."""
        told = tuple(dict.fromkeys(name for name in names if name != UNCATEGORISED))
        said = [_WORDS.get(name, (name.lower(), f"{name.lower()} nuclei")) for name in told]
        plurals = tuple(plural for _, plural in said)
        return cls(told, tuple(word for word, _ in said), plurals or (ALL_NUCLEI,))

    def indices(self, categories: Sequence[str]) -> NDArray[np.int64]:
        """Of each nucleus the index of its category; -1 for one without."""
        place = {name: at for at, name in enumerate(self.names)}
        return np.array([place.get(name, -1) for name in categories], dtype=np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class AnnotatedWindow:
    """A part of a tile in which every nucleus is known.

    Points are in the frame that `region` is in: that of the tile, or of the window's own picture.
    """

    region: Box
    points_xy: PointsXY
    """Shape (N, 2)."""
    kinds: NDArray[np.int64]
    """Of each nucleus its category, an index of `spoken`, or -1; shape (N,)."""
    spoken: Spoken
    mpp: float
    """Micrometres per pixel of that frame."""
    rgb: NDArray[np.uint8] | None = None
    """Shape (H, W, 3), the pixels of `region`, where these are asked about."""
    organ: str = "tissue"

    @classmethod
    def cut(
        cls,
        region: Box,
        points_xy: PointsXY,
        categories: Sequence[str],
        spoken: Spoken,
        mpp: float,
    ) -> AnnotatedWindow:
        """The part `region` of a tile with these nuclei."""
        inside = region.contains(points_xy)
        return cls(region, points_xy[inside], spoken.indices(categories)[inside], spoken, mpp)

    def indices_of(self, kind: int) -> NDArray[np.int64]:
        """The nuclei of a category; all of them where there are no categories."""
        if not self.spoken.names:
            return np.arange(len(self.points_xy))
        return np.flatnonzero(self.kinds == kind)

    def of(self, kind: int) -> PointsXY:
        """Places of the nuclei of a category, shape (n, 2)."""
        return self.points_xy[self.indices_of(kind)]

    @property
    def area_mm2(self) -> float:
        """Of the region."""
        return self.region.width * self.region.height * self.mpp**2 / 1e6


@dataclass(frozen=True, slots=True)
class DerivedQuestion:
    """A question about a window, and what is right."""

    kind: str
    """The rule that made it."""
    question: Question
    answer: Known
    """Boxes are in the frame of the window's region."""
