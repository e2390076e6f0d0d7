"""Where a training window is cut and how it is turned: geometry only, no pixels read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_nunext.core.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY


P = TypeVar("P", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of an image, resampled to a window, mirrored and turned.

    Pixels and points take the same path: cut `box`, resample to `window_px`, mirror left to right
    if `mirrored`, then turn `quarter_turns` times counter-clockwise.
    """

    box: Box
    """Image pixels; may hang over the image's edge, where it is filled with white."""
    window_px: int
    mirrored: bool = False
    quarter_turns: int = 0

    def turn_pixels(self, window: NDArray[P]) -> NDArray[P]:
        """Mirror and turn a window that was read at `box`, shape (window_px, window_px, ...)."""
        if self.mirrored:
            window = window[:, ::-1]
        return np.ascontiguousarray(np.rot90(window, self.quarter_turns))

    def to_window(self, points_xy: PointsXY) -> PointsXY:
        """Image pixels to pixels of the turned window, shape (N, 2)."""
        scale = self.window_px / self.box.width
        x, y = ((points_xy - (self.box.x0, self.box.y0)) * scale).T
        if self.mirrored:
            x = self.window_px - x
        for _ in range(self.quarter_turns % 4):
            x, y = y, self.window_px - x
        return np.stack([x, y], axis=1)


def random_crop(
    rng: np.random.Generator,
    *,
    image: Box,
    side_px: float,
    window_px: int,
    scale_range: tuple[float, float] = (1.0, 1.0),
    turn: bool = True,
) -> Crop:
    """Draw a window of an image.

    Parameters
    ----------
    rng : Generator
    image : Box
        Extent of the image.
    side_px : float
        Side of the model's window in image pixels.
    window_px : int
        Side of the model's window in its own pixels.
    scale_range : tuple of float
        The window sees ``side_px`` times a log-uniform factor of this range: nuclei of other sizes.
    turn : bool
        Whether to mirror and turn at random.

    Returns
    -------
    Crop
        Uniform over the positions inside the image. Along an axis on which the image is smaller
        than the window it starts at the image's edge and is white beyond, as windows are when an
        image is detected.
    """
    factor = math.exp(rng.uniform(*np.log(scale_range)))
    side = side_px * factor
    # Whole-pixel starts, as `plan_windows` has them: at the model's own scale nothing is
    # resampled, and the model learns from the very pixels that it will see.
    starts = [
        start + int(rng.integers(0, math.floor(stop - start - side) + 1))
        if stop - start > side
        else start
        for start, stop in ((image.x0, image.x1), (image.y0, image.y1))
    ]
    x0, y0 = starts
    mirrored, turns = (bool(rng.integers(2)), int(rng.integers(4))) if turn else (False, 0)
    return Crop(Box(x0, y0, x0 + side, y0 + side), window_px, mirrored, turns)
