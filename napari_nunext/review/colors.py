"""A colour for a further category: none that is in use, and as unlike those as can be."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.nuclei import OKABE_ITO, Category

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    Color: TypeAlias = tuple[int, int, int]

LEVELS = range(0, 256, 17)
LIGHTNESS = (35.0, 90.0)
"""L* of what is seen on tissue: neither its darkest nuclei nor the glass."""
LEAST_CHROMA = 35.0
"""In CIELAB: grey is no colour of a category."""
TISSUE = ((232, 180, 208), (104, 62, 140))
"""Eosin and haematoxylin, which a category should not look like either."""


def next_color(used: Collection[Color]) -> Color:
    """A colour that is not in use, RGB in 0..255.

    The first of `OKABE_ITO` that is free; after those, the one farthest in CIELAB from all that are
    in use and from the tissue. The same colours in use always give the same one.
    """
    for color in OKABE_ITO:
        if color not in used:
            return color
    candidates = np.array(list(itertools.product(LEVELS, repeat=3)), dtype=np.uint8)
    lab = _lab(candidates)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    may = (lab[:, 0] >= LIGHTNESS[0]) & (lab[:, 0] <= LIGHTNESS[1]) & (chroma >= LEAST_CHROMA)
    candidates, lab = candidates[may], lab[may]
    taken = _lab(np.array([*used, *TISSUE], dtype=np.uint8))
    distance = np.full(len(lab), np.inf)
    for one in taken:
        distance = np.minimum(distance, np.linalg.norm(lab - one, axis=1))
    red, green, blue = candidates[int(distance.argmax())].tolist()
    return red, green, blue


def in_free_colors(
    names: Iterable[str], known: Iterable[Category], wanted: Mapping[str, Color] | None = None
) -> list[Category]:
    """Categories of those names that are not known, in their order, each in a colour of its own.

    A colour in `wanted` is taken where it is free.
    """
    colors = {category.name: category.color for category in known}
    added = []
    for name in dict.fromkeys(names):
        if name in colors:
            continue
        used = colors.values()
        color = (wanted or {}).get(name)
        colors[name] = next_color(used) if color is None or color in used else color
        added.append(Category(name, colors[name]))
    return added


def _lab(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIELAB of colours, shape (N, 3) in and out."""
    from skimage.color import rgb2lab  # half a second, and seldom wanted

    lab: NDArray[np.float64] = rgb2lab(rgb[np.newaxis] / 255.0)[0]
    return lab
