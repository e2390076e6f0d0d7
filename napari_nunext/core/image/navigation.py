"""Finding one's way on an image: places and magnifications as people say them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from napari_nunext.core.geometry import Box

UM_AT_1X = 10.0
"""Micrometres a pixel at a magnification of 1: at 40x it is 0.25, as scanners count."""
MAGNIFICATIONS = (5, 10, 20, 40)
SHRUNK = (4, 2, 1)
"""Pixels of the image a pixel of the screen, where nobody knows how large those are."""

_UM_OF = {"um": 1.0, "\N{MICRO SIGN}m": 1.0, "\N{GREEK SMALL LETTER MU}m": 1.0, "mm": 1000.0}
_NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*([^\W\d_]*)")


@dataclass(frozen=True, slots=True)
class Step:
    """A magnification that can be chosen."""

    words: str
    screen_px_per_px: float
    """Pixels of the screen a level-0 pixel."""


def steps_of(mpp: float | None) -> tuple[Step, ...]:
    """The magnifications to choose from, the smallest first.

    Parameters
    ----------
    mpp : float or None
        Micrometres per level-0 pixel; None where nobody knows.
    """
    if mpp is None:
        return tuple(Step(f"1:{shrunk}", 1 / shrunk) for shrunk in SHRUNK)
    return tuple(Step(f"{times}x", mpp * times / UM_AT_1X) for times in MAGNIFICATIONS)


def magnification_in_words(screen_px_per_px: float, mpp: float | None) -> str:
    """How much larger or smaller than it is an image is shown: ``12x``; without a scale ``1:3``."""
    if mpp is not None:
        return f"{screen_px_per_px * UM_AT_1X / mpp:.2g}x"
    shrunk = 1 / screen_px_per_px
    return f"1:{shrunk:.3g}" if shrunk >= 1 else f"{screen_px_per_px:.3g}:1"


def place_of(words: str, image: Box, mpp: float | None) -> tuple[float, float]:
    """The place that a person typed: x and y, level-0 px.

    ``12345 6789``, ``x 12345, y 6789``, ``3.2, 1.7 mm``, ``3200 um; 1700 um``; without a unit it is
    pixels. In front of a semicolon, a comma is that of a decimal.

    Parameters
    ----------
    words : str
    image : Box
        All of the image.
    mpp : float or None
        Micrometres per level-0 pixel; None where nobody knows.

    Raises
    ------
    InputError
        If that is no place, or none of the image.
    """
    text = words.strip().lower()
    text = text.replace(",", ".") if ";" in text else text
    found = _NUMBER.findall(text)
    rest = re.sub(r"[\sxy=:,;]", "", _NUMBER.sub("", text))
    (x, x_unit), (y, y_unit) = found if len(found) == 2 else (("", ""), ("", ""))
    x_unit = x_unit if x_unit not in ("", "y") else y_unit
    units = {unit if unit else "px" for unit in (x_unit, y_unit)}
    if not x or rest or not units <= {"px", *_UM_OF}:
        raise InputError(
            f"{words.strip()} is no place. Type x and y in pixels, or with um or mm behind them: "
            "12345, 6789 or 3.1, 1.7 mm."
        )
    if units != {"px"} and mpp is None:
        raise InputError(
            "How large the pixels are is not known. Type x and y in pixels, or set the scale."
        )
    sizes = (_UM_OF[unit] / (mpp or 1) if unit in _UM_OF else 1.0 for unit in (x_unit, y_unit))
    x_px, y_px = (float(number) * size for number, size in zip((x, y), sizes, strict=True))
    if not image.contains(np.array([[x_px, y_px]]))[0]:
        raise InputError(
            f"{words.strip()} lies outside of the image, which is {image.width:.0f} x "
            f"{image.height:.0f} px"
            + ("." if mpp is None else f" ({image.width * mpp:.0f} x {image.height * mpp:.0f} um).")
        )
    return x_px, y_px
