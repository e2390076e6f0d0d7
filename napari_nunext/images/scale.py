"""Physical scale: micrometres per pixel, and who says so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from napari_nunext.core.geometry import check_mpp

ScaleSource: TypeAlias = Literal["file", "user", "assumed"]

FILE_MPP_RANGE = (0.05, 5.0)
"""A resolution tag outside this is not a microscope's: 72, 96 or 300 dpi are an editor's default
(353, 265 or 85 um), and files that say nothing often say 1."""

LARGEST_ANISOTROPY = 0.01
"""Relative difference of x and y up to which pixels count as square."""

_UM_OF_UNIT = {
    "nm": 1e-3,
    "um": 1.0,
    "\u00b5m": 1.0,  # micro sign
    "\u03bcm": 1.0,  # Greek mu
    "\\u00b5m": 1.0,  # as ImageJ escapes it
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "mm": 1e3,
    "cm": 1e4,
    "m": 1e6,
    "inch": 25_400.0,
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Micrometres per level-0 pixel and where the figure comes from; both None when unknown."""

    mpp: float | None = None
    source: ScaleSource | None = None

    def __post_init__(self) -> None:
        if self.mpp is not None:
            check_mpp(self.mpp)


def um_of_unit(unit: str) -> float | None:
    """Micrometres in a unit of length as image files spell it; None for one that is not known."""
    return _UM_OF_UNIT.get(unit.strip().lower())


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
