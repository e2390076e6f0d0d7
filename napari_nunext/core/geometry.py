"""Boxes, scale and the arrays that hold points.

One convention: a point is ``(x, y)``, float64, in level-0 pixels of the image, continuous, origin
at the top-left corner of pixel (0, 0), whose centre is therefore (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from napari_nunext.core.errors import CalibrationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    PointsXY: TypeAlias = NDArray[np.float64]
    """Shape (N, 2): x, y in level-0 pixels, corner origin. N may be 0."""

MPP_RANGE = (0.02, 20.0)
"""Micrometres per pixel that any microscope or slide scanner could have produced."""


def as_points_xy(points: ArrayLike) -> PointsXY:
    """Points as a float64 array of shape (N, 2).

    Raises
    ------
    InputError
        If the array is not (N, 2) or holds a value that is not finite. An empty input of any
        shape gives shape (0, 2).
    """
    array = np.asarray(points, dtype=np.float64)
    if array.size == 0:
        return np.empty((0, 2))
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(f"Points have shape {array.shape}; expected (N, 2), each row x, y.")
    if not np.isfinite(array).all():
        raise InputError("Points contain NaN or infinity; expected finite pixel coordinates.")
    return array


class Place(Protocol):
    """Anything that lies at one point: a nucleus of a record, a judged point, a click."""

    @property
    def x(self) -> float:
        """Pixels."""
        ...

    @property
    def y(self) -> float:
        """Pixels."""
        ...


def points_at(places: Iterable[Place]) -> PointsXY:
    """Where these lie, in their order, shape (N, 2)."""
    return np.array([(place.x, place.y) for place in places], dtype=np.float64).reshape(-1, 2)


def check_mpp(mpp: float | None, what: str = "The image") -> float:
    """Return `mpp` as a float if a microscope could have produced it.

    Raises
    ------
    CalibrationError
        If `mpp` is None, not finite, or outside `MPP_RANGE`.
    """
    if mpp is None:
        raise CalibrationError(
            f"{what} has no scale. Give the micrometres per pixel, for example --mpp 0.5 "
            "(20x) or 0.25 (40x), or set it in the panel."
        )
    low, high = MPP_RANGE
    if not (math.isfinite(mpp) and low <= mpp <= high):
        raise CalibrationError(
            f"{what} has a scale of {mpp:g} um/px; expected between {low:g} and {high:g}. "
            "Typical values are 0.5 (20x) and 0.25 (40x)."
        )
    return float(mpp)


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box, level-0 pixels, corner origin. Half-open: left and top edges belong."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in self.as_tuple()):
            raise InputError(f"Box {self.as_tuple()} is not finite.")
        if self.x1 < self.x0 or self.y1 < self.y0:
            raise InputError(
                f"Box {self.as_tuple()} is inside out; expected x0 <= x1 and y0 <= y1."
            )

    @classmethod
    def of_image(cls, width_px: float, height_px: float) -> Box:
        """The whole of an image."""
        return cls(0.0, 0.0, float(width_px), float(height_px))

    @classmethod
    def from_sequence(cls, values: Sequence[float]) -> Box:
        """From ``[x0, y0, x1, y1]``, as JSON carries it."""
        if len(values) != 4:
            raise InputError(f"A box has 4 numbers x0, y0, x1, y1; got {len(values)}.")
        return cls(*(float(v) for v in values))

    @property
    def width(self) -> float:
        """Extent along x, px."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Extent along y, px."""
        return self.y1 - self.y0

    def as_tuple(self) -> tuple[float, float, float, float]:
        """``(x0, y0, x1, y1)``."""
        return (self.x0, self.y0, self.x1, self.y1)

    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which points lie inside, shape (N,). Half-open, so tiling boxes share no point."""
        x, y = points_xy[:, 0], points_xy[:, 1]
        inside: NDArray[np.bool_] = (x >= self.x0) & (x < self.x1) & (y >= self.y0) & (y < self.y1)
        return inside

    def grown(self, margin_px: float) -> Box:
        """The box with a margin on every side."""
        return Box(
            self.x0 - margin_px, self.y0 - margin_px, self.x1 + margin_px, self.y1 + margin_px
        )

    def covers(self, other: Box) -> bool:
        """Whether all of another box lies in it."""
        return other.clipped_to(self) == other

    def clipped_to(self, other: Box) -> Box:
        """The common part; empty (zero width or height) where there is none."""
        x0 = min(max(self.x0, other.x0), other.x1)
        y0 = min(max(self.y0, other.y0), other.y1)
        x1 = min(max(self.x1, other.x0), other.x1)
        y1 = min(max(self.y1, other.y0), other.y1)
        return Box(x0, y0, max(x0, x1), max(y0, y1))
