"""Nuclei painted into training windows: label images beside the pixels.

A painter takes an image and a crop, and gives an int32 image of shape (window_px, window_px): the
index of each pixel's nucleus in the image plus 1, and 0 for background. Nuclei centred outside the
window are painted as far as they reach into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import label_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nunext_training.data.crops import Crop
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.method.choices import Foreground

Painter: TypeAlias = "Callable[[LabelledImage, Crop], NDArray[np.int32]]"


def check_masks(images: Sequence[LabelledImage]) -> None:
    """Raise `RecordError` unless every nucleus of every image has a mask."""
    without = [image.name for image in images if image.complete_masks is None]
    if without:
        raise RecordError(
            f"{len(without)} of {len(images)} images have nuclei without a mask, the first is "
            f"{without[0]}. Export with masks, or use data that has them."
        )


def paint_masks(image: LabelledImage, crop: Crop) -> NDArray[np.int32]:
    """The nuclei's masks; each window pixel takes the image pixel under its centre.

    Where masks overlap, the later one covers the earlier.

    Raises
    ------
    RecordError
        If a nucleus has no mask.
    """
    masks = image.complete_masks
    if masks is None:
        check_masks([image])
    at = (np.arange(crop.window_px) + 0.5) * (crop.box.width / crop.window_px)
    x = np.floor(crop.box.x0 + at).astype(int)
    y = np.floor(crop.box.y0 + at).astype(int)
    moved = [mask.moved(-int(x[0]), -int(y[0])) for mask in masks or ()]
    labels = label_image(moved, int(y[-1] - y[0]) + 1, int(x[-1] - x[0]) + 1)
    return crop.turn_pixels(labels[np.ix_(y - y[0], x - x[0])])


@dataclass(frozen=True, slots=True)
class Discs:
    """Paint a disc around each centroid: for data that has no masks."""

    radius_um: float

    def __call__(self, image: LabelledImage, crop: Crop) -> NDArray[np.int32]:
        """Pixels whose centre is within the radius; the later nucleus covers the earlier."""
        side = crop.window_px
        radius = self.radius_um / (image.mpp * crop.box.width / side)
        labels = np.zeros((side, side), dtype=np.int32)
        for label, (x, y) in enumerate(crop.to_window(image.points_xy), start=1):
            x0, x1 = _pixels_around(x, radius, side)
            y0, y1 = _pixels_around(y, radius, side)
            rows = np.arange(y0, y1)[:, None] + 0.5
            columns = np.arange(x0, x1)[None] + 0.5
            labels[y0:y1, x0:x1][(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = label
        return labels


def _pixels_around(centre: float, radius: float, side: int) -> tuple[int, int]:
    """Half-open range of pixels that a disc can touch."""
    start = max(int(np.floor(centre - radius)), 0)
    return start, max(min(int(np.ceil(centre + radius)), side), start)


def foreground_painter(
    images: Sequence[LabelledImage], target: Foreground, radius_um: float
) -> Painter:
    """What paints the nuclei; raises `RecordError` where masks are asked for and missing."""
    if target == "discs":
        return Discs(radius_um)
    check_masks(images)
    return paint_masks
