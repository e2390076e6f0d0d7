"""From masks of cells to the lines round them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.shapes.regions import signed_area_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """Cells that touch by their sides."""

    outer_xy: PointsXY
    """The line round it, clockwise on the screen, in cells from the corner of the first; open."""
    holes_xy: tuple[PointsXY, ...]


def pieces_of(mask: NDArray[np.bool_]) -> list[Piece]:
    """The pieces of a mask, shape (rows, columns), in the order of their first cells."""
    labels, count = scipy.ndimage.label(mask)
    found: dict[int, tuple[list[PointsXY], list[PointsXY]]] = defaultdict(lambda: ([], []))
    for label, ring in _rings(labels):
        found[label][signed_area_px(ring) < 0].append(ring)
    return [Piece(found[label][0][0], tuple(found[label][1])) for label in range(1, int(count) + 1)]


def _rings(labels: NDArray[np.int32]) -> list[tuple[int, PointsXY]]:
    """Lines along the sides of labelled cells, each with its label on the right hand."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # above: to the right
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # on the right: down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # below: to the left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # on the left: up
    )
    ways: dict[tuple[int, int], dict[tuple[int, int], int]] = defaultdict(dict)
    for beside, (x, y), way in sides:
        rows, columns = np.nonzero((inner > 0) & (beside == 0))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            ways[column + x, row + y][way] = int(inner[row, column])
    found = []
    while ways:
        start = next(iter(ways))
        way = next(iter(ways[start]))
        label, at, ring = ways[start][way], start, []
        while at in ways and (way in ways[at]):
            ring.append(at)
            del ways[at][way]
            if not ways[at]:
                del ways[at]
            at = (at[0] + way[0], at[1] + way[1])
            right = (-way[1], way[0])
            # Where two cells touch by a corner, to the right: it stays with its own cell.
            turns = (right, way, (way[1], -way[0]))
            way = next((turn for turn in turns if turn in ways.get(at, {})), way)
        found.append((label, np.array(ring, dtype=np.float64)))
    return found
