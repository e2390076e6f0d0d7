"""The only place where the project's coordinates meet napari's.

Inside the project a point is (x, y) in level-0 pixels with the origin at the corner of the first
pixel, whose centre is (0.5, 0.5). In napari a point is (row, column) with pixel centres at whole
numbers. All layers of a field share one scale (um per pixel) and one unit, so that data coordinates
of different layers agree to the fraction of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.geometry import Box, as_points_xy

if TYPE_CHECKING:
    from napari.layers import Layer
    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.geometry import PointsXY

UNITS = ("um", "um")


def to_napari(points_xy: PointsXY) -> NDArray[np.float64]:
    """(x, y), corner origin, to (row, column), centres at whole numbers; shape (N, 2) both."""
    return points_xy[:, ::-1] - 0.5


def from_napari(points_rc: ArrayLike) -> PointsXY:
    """Inverse of `to_napari`."""
    return as_points_xy(points_rc)[:, ::-1] + 0.5


def box_to_napari(box: Box) -> NDArray[np.float64]:
    """The corners of a box as a rectangle of a Shapes layer, shape (4, 2)."""
    corners = [(box.x0, box.y0), (box.x1, box.y0), (box.x1, box.y1), (box.x0, box.y1)]
    return to_napari(np.array(corners))


def box_from_napari(corners_rc: ArrayLike) -> Box:
    """The box around a drawn shape."""
    points_xy = from_napari(corners_rc)
    (x0, y0), (x1, y1) = points_xy.min(axis=0), points_xy.max(axis=0)
    return Box(float(x0), float(y0), float(x1), float(y1))


@dataclass(frozen=True, slots=True)
class Patch:
    """Where the pixels of a layer lie that are not those of the image: a corner, and their side."""

    x0_px: float = 0.0
    y0_px: float = 0.0
    step_px: float = 1.0

    def scale(self, mpp: float) -> tuple[float, float]:
        """Of a layer, um per pixel of it."""
        return (self.step_px * mpp, self.step_px * mpp)

    def translate(self, mpp: float) -> tuple[float, float]:
        """Of a layer: where the centre of its first pixel lies, um."""
        half_px = (self.step_px - 1) / 2
        return ((self.y0_px + half_px) * mpp, (self.x0_px + half_px) * mpp)


WHOLE = Patch()
"""The pixels of the image itself."""


def placement(mpp: float, patch: Patch = WHOLE) -> dict[str, Any]:
    """Keyword arguments that place a layer of an image with this scale."""
    return {"scale": patch.scale(mpp), "translate": patch.translate(mpp), "units": UNITS}


def place(layer: Layer, mpp: float, patch: Patch = WHOLE) -> None:
    """Put a layer where an image with this scale lies: nowhere but on the image's own pixels."""
    if not np.array_equal(layer.affine.affine_matrix, np.eye(3)):
        layer.affine = np.eye(3)
    wanted: dict[str, Any] = {
        "rotate": np.eye(2),
        "shear": [0.0],
        "translate": patch.translate(mpp),
        "scale": patch.scale(mpp),
    }
    for name, value in wanted.items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)
    if not _has_our_units(layer):
        layer.units = UNITS


def is_placed(layer: Layer, mpp: float, patch: Patch = WHOLE) -> bool:
    """Whether a layer lies where `place` puts it."""
    return (
        np.array_equal(layer.scale, patch.scale(mpp))
        and np.array_equal(layer.translate, patch.translate(mpp))
        and not np.any(layer.shear)
        and np.array_equal(layer.rotate, np.eye(2))
        and np.array_equal(layer.affine.affine_matrix, np.eye(3))
        and _has_our_units(layer)
    )


def _has_our_units(layer: Layer) -> bool:
    return [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]


def world_of(x_px: float, y_px: float, mpp: float) -> tuple[float, float]:
    """Where on the canvas a point lies: (row, column) in um."""
    row, column = to_napari(np.array([[x_px, y_px]]))[0] * mpp
    return float(row), float(column)
