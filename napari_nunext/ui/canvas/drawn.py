"""What of a field's nuclei the points show, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_nunext.core.uids import as_uuids
from napari_nunext.ui.canvas.layers import to_napari

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.review.model import ReviewModel
    from napari_nunext.review.shown.view import Held, ViewModel
    from napari_nunext.review.table import NucleusTable, Part

HALO = (0.07, 0.07, 0.10, 1.0)
"""Thin dark rim, so that every colour reads on pink and on purple."""
HALO_WIDTH = 0.1
"""Part of a point's diameter."""
RING_WIDTH = 0.3
"""Of an unsure nucleus, which is hollow: wide enough to show its colour in the smallest points."""
UNKNOWN_COLOR = (200, 200, 200)
SURE_ALPHA, UNSURE_ALPHA = 0.85, 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """The points, N rows: those nuclei drawn one by one whose category is shown."""

    table: NucleusTable
    rows: NDArray[np.intp]
    """Of the table, ascending, shape (N,)."""
    part: Part
    """Of the table: these rows."""
    places_rc: NDArray[np.float64]
    """As napari has them, shape (N, 2)."""
    colors: NDArray[np.float32]
    """Of the categories or by the stain, RGB in 0..1, shape (N, 3)."""
    sure: NDArray[np.bool_]

    @classmethod
    def of(cls, review: ReviewModel, view: ViewModel) -> Drawn:
        """Those of the open image."""
        table = review.table
        rows = rows_held(table, view.held)
        part = table.part(rows)
        shown = ~(part.rejected | part.is_of(view.hidden_categories))
        if not shown.all():
            rows = rows[shown]
            part = table.part(rows)
        rgb = {c.name: c.color for c in review.categories}
        palette = np.array(
            [rgb.get(name, UNKNOWN_COLOR) for name in table.names], dtype=np.float32
        ).reshape(-1, 3)
        colors = (palette / np.float32(255))[part.category]
        if view.tint is not None:
            colors = view.tint.colors(part.uids)
        return cls(
            table=table,
            rows=rows,
            part=part,
            places_rc=to_napari(part.points_xy),
            colors=colors,
            sure=part.is_sure(view.sure_above),
        )

    def __len__(self) -> int:
        return len(self.rows)

    def uids(self, points: Iterable[int]) -> list[UUID]:
        """Identities of the nuclei that some points stand for."""
        return as_uuids(self.part.uids[list(points)])

    def is_as(self, other: Drawn) -> bool:
        """Whether both show the same."""
        return (
            np.array_equal(self.part.uids, other.part.uids)
            and np.array_equal(self.places_rc, other.places_rc)
            and self.looks_like(other)
        )

    def looks_like(self, other: Drawn) -> bool:
        """Whether all but the places is drawn alike, and napari says the same of each point."""
        return (
            self.table.names == other.table.names
            and np.array_equal(self.part.category, other.part.category)
            and np.array_equal(self.part.confidence, other.part.confidence, equal_nan=True)
            and np.array_equal(
                self.part.position_error_um, other.part.position_error_um, equal_nan=True
            )
            and np.array_equal(self.colors, other.colors)
            and np.array_equal(self.sure, other.sure)
        )

    def face_colors(self) -> NDArray[np.float32]:
        """Of the sure ones; an unsure one is hollow.  RGBA, shape (N, 4)."""
        alpha = np.where(self.sure, SURE_ALPHA, UNSURE_ALPHA)
        return np.column_stack((self.colors, alpha)).astype(np.float32)

    def border_colors(self) -> NDArray[np.float32]:
        """The halo of a sure one, the ring of an unsure one.  RGBA, shape (N, 4)."""
        made = np.tile(np.array(HALO, dtype=np.float32), (len(self), 1))
        made[~self.sure, :3] = self.colors[~self.sure]
        return made

    def border_widths(self) -> NDArray[np.float64]:
        """Parts of a point's diameter, shape (N,)."""
        return np.where(self.sure, HALO_WIDTH, RING_WIDTH)

    def features(self) -> pd.DataFrame:
        """What napari says of a point under the cursor."""
        names = pd.Categorical.from_codes(self.part.category, categories=list(self.table.names))
        return pd.DataFrame(
            {
                "category": names,
                "confidence": self.part.confidence,
                "sure": self.sure,
                "position_error_um": self.part.position_error_um,
            }
        )


def rows_held(table: NucleusTable, held: Held) -> NDArray[np.intp]:
    """The rows of the nuclei that are drawn one by one, hidden and rejected ones included."""
    if held.too_many:
        return np.empty(0, dtype=np.intp)
    return np.arange(len(table)) if held.within is None else table.rows_within(held.within)
