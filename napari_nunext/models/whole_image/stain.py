"""The stain of an image, by looking at it: all of a tile, and some places of a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.errors import DamagedRegionError
from napari_nunext.core.geometry import Box
from napari_nunext.core.image.pen import pen_of
from napari_nunext.core.stains.optical_density import OD_OF_LEVEL
from napari_nunext.core.stains.telling import categories_under, green_share, stain_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.core.stains.telling import Stain
    from napari_nunext.models.detector import DetectorInfo

PIXEL_UM = 2.0
"""Side of the pixels that are judged."""
OVERVIEW_PX = 512
"""An image that has more of them along its longer side is looked at in places: ..."""
PLACES, PLACE_PX = 8, 256
"""... where most is stained, if it keeps a coarse picture of itself that tells, ..."""
GRID, GRID_PX = 5, 48
"""... or in so many rows and columns, for all of a large image takes seconds to read."""


def seen_stain(image: WindowReader, info: DetectorInfo, *, mpp: float) -> Stain | None:
    """The stain of an image, for a detector that knows the categories of both.

    Parameters
    ----------
    image : WindowReader
    info : DetectorInfo
        Of a detector; nothing is read for one that has nothing to choose.
    mpp : float
        Micrometres per level-0 pixel.

    Returns
    -------
    "H&E", "H-DAB" or None
        As `stain_of_image`; None for a detector that does not choose.
    """
    if not categories_under("H&E", [category.name for category in info.categories]):
        return None
    return stain_of_image(image, mpp=mpp)


def stain_of_image(image: WindowReader, *, mpp: float) -> Stain | None:
    """The stain of an image; None where it is in doubt, or where it cannot be read."""
    try:
        return stain_of(green_share(_pictures(image, mpp)))
    except DamagedRegionError:
        return None


def _pictures(image: WindowReader, mpp: float) -> Iterator[NDArray[np.uint8]]:
    """Parts of an image, or all of it, `PIXEL_UM` a pixel."""
    box = image.box
    side = max(box.width, box.height)
    whole = Box(box.x0, box.y0, box.x0 + side, box.y0 + side)
    out_px = max(round(side * mpp / PIXEL_UM), 1)
    if out_px <= OVERVIEW_PX:
        yield image.read_window(whole, out_px)
        return
    scale = side / OVERVIEW_PX
    if 4 * max(getattr(image, "levels", (1.0,))) >= scale:
        place_px = PLACE_PX
        overview = image.read_window(whole, OVERVIEW_PX)
        side_px = max(round(PLACE_PX * PIXEL_UM / mpp / scale), 1)
        centres = _most_stained(overview, side_px=side_px) * scale
    else:
        place_px = GRID_PX
        steps = (np.arange(GRID) + 0.5) / GRID
        columns, rows = np.meshgrid(steps * box.width, steps * box.height)
        centres = np.stack([columns.ravel(), rows.ravel()], axis=1)
    half = place_px * PIXEL_UM / mpp / 2
    for x, y in (centres + np.array([box.x0, box.y0])).tolist():
        yield image.read_window(Box(x - half, y - half, x + half, y + half), place_px)


def _most_stained(rgb: NDArray[np.uint8], *, side_px: int) -> PointsXY:
    """The places of so many pixels along a side with most stain, x and y of their middles.

    At most one in each sixteenth of the picture: a slide holds more than one piece of tissue.
    """
    density = np.where(pen_of(rgb), 0.0, OD_OF_LEVEL[rgb].sum(axis=2))
    around = scipy.ndimage.uniform_filter(density, side_px, mode="constant")
    step = OVERVIEW_PX // 4
    best: list[tuple[float, int, int]] = []
    for top in range(0, OVERVIEW_PX, step):
        for left in range(0, OVERVIEW_PX, step):
            block = around[top : top + step, left : left + step]
            y, x = divmod(int(block.argmax()), block.shape[1])
            best.append((float(block[y, x]), left + x, top + y))
    return np.array([(x, y) for _, x, y in sorted(best, reverse=True)[:PLACES]]) + 0.5
