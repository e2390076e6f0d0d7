"""The scale that files give: pixel sizes, in whatever unit they are spelled."""

from __future__ import annotations

import math
import re

FILE_MPP_RANGE = (0.05, 5.0)
"""A resolution tag outside this is not a microscope's: 72, 96 or 300 dpi are an editor's default
(353, 265 or 85 um), and files that say nothing often say 1."""

LARGEST_ANISOTROPY = 0.01
"""Relative difference of x and y up to which pixels count as square."""

_UM_OF_UNIT = {
    "nm": 1e-3,
    "um": 1.0,
    "micron": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "in": 25_400.0,
    "inch": 25_400.0,
}
_PREFIXES = {"nano": "n", "micro": "u", "milli": "m", "centi": "c", "": ""}
_UM_OF_UNIT |= {
    prefix + word: _UM_OF_UNIT[short + "m"]
    for prefix, short in _PREFIXES.items()
    for word in ("meter", "metre")
}
_MICRO_SIGNS = re.compile("\u00b5|\u03bc|\\\\u00b5")
"""The micro sign, the Greek letter, and the sign as ImageJ escapes it."""


def um_of_unit(unit: str) -> float | None:
    """Micrometres in a unit of length as image files spell it; None for one that is not known."""
    name = _MICRO_SIGNS.sub("u", unit.strip().lower())
    if name == "inches":
        name = "inch"
    plural = len(name) > len("ms") and name.endswith("s")  # ms is a time
    return _UM_OF_UNIT.get(name[:-1] if plural else name)


def mpp_of_pixel_size(x_um: float, y_um: float) -> tuple[float | None, tuple[str, ...]]:
    """Scale from a file's pixel size, and notes on why there is none.

    Everything here counts in one mpp, so pixels that are not square have none: their scale is left
    to the user, who is told.

    Parameters
    ----------
    x_um, y_um : float
        Width and height of a pixel in micrometres; any float, files hold all kinds.
    """
    low, high = FILE_MPP_RANGE
    if not (math.isfinite(x_um) and math.isfinite(y_um) and x_um > 0 and y_um > 0):
        return None, ()
    if not (low <= x_um <= high and low <= y_um <= high):
        return None, ()
    if abs(x_um - y_um) > LARGEST_ANISOTROPY * min(x_um, y_um):
        return None, (
            f"its pixels are {x_um:.3g} x {y_um:.3g} um, not square: the scale was not taken",
        )
    return math.sqrt(x_um * y_um), ()
