"""Which outlines of a file are drawn round nuclei, and are none themselves.

QuPath's "Export all objects" writes the annotation in which cells were sought beside the cells, and
people outline tissue in which they then outline nuclei. A nucleus inside another one stays one.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import scipy

if TYPE_CHECKING:
    from collections.abc import Sequence

Rings: TypeAlias = "list[list[tuple[float, float]]]"
"""Outer rings and holes of one outline, level-0 px, in any order."""

FAR_LARGER = 10.0
"""An outline with so many times the area of the only one that it holds is no nucleus."""


@dataclass(frozen=True, slots=True)
class Item:
    """A nucleus, or what may be a region round some."""

    feature: int
    """Which feature of the file it is part of."""
    x_px: float
    y_px: float
    found: bool
    """Surely a nucleus: a detection, a cell, or a point of an annotation."""
    rings: Rings
    """Empty for a point."""
    area_px: float = 0.0


def regions(items: Sequence[Item]) -> set[int]:
    """Indices of the items that are regions round nuclei.

    An outline that is not surely a nucleus is a region if it holds the centre of one that is, of
    two or more others, or of one that is `FAR_LARGER` times smaller. Parts of one feature do not
    hold each other; if one part holds a sure nucleus, every part of its feature is region.
    """
    open_ones = [i for i, item in enumerate(items) if item.rings and not item.found]
    if not open_ones:
        return set()
    xy = np.array([(item.x_px, item.y_px) for item in items])
    tree = scipy.spatial.cKDTree(xy)
    low = np.array([np.min(np.concatenate(items[i].rings), axis=0) for i in open_ones])
    high = np.array([np.max(np.concatenate(items[i].rings), axis=0) for i in open_ones])
    centres, radii = (low + high) / 2, (high - low).max(axis=1) / 2
    near = tree.query_ball_point(centres, radii, p=np.inf, return_length=True)
    found: set[int] = set()
    round_sure_ones: set[int] = set()
    for k in np.flatnonzero(near > 1):
        i = open_ones[k]
        others = [
            j
            for j in tree.query_ball_point(centres[k], radii[k], p=np.inf)
            if items[j].feature != items[i].feature and items[j].area_px < items[i].area_px
        ]
        held = [items[j] for j in np.array(others, int)[_inside(xy[others], items[i].rings)]]
        if any(item.found for item in held):
            round_sure_ones.add(items[i].feature)
        elif len(held) > 1 or (held and held[0].area_px * FAR_LARGER <= items[i].area_px):
            found.add(i)
    parts: dict[int, list[int]] = defaultdict(list)
    for i in open_ones:
        parts[items[i].feature].append(i)
    return found.union(*(parts[feature] for feature in round_sure_ones))


def _inside(points_xy: np.ndarray, rings: Rings) -> np.ndarray:
    """Whether points, shape (N, 2), lie inside rings by the even-odd rule, shape (N,)."""
    inside = np.zeros(len(points_xy), dtype=bool)
    x, y = points_xy.reshape(-1, 2).T
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if y0 != y1:
                crosses = (y0 <= y) != (y1 <= y)
                inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside
