"""The density of a stain in each nucleus: the mean over its mask, or over a disc without one.

An image is read in blocks, each once, and what a nucleus has in each block is added up: of pixels
and of masks no more is in memory than a block's, whatever the image.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.stains.optical_density import dab_od

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask

DAB_OD = "Nucleus: DAB OD mean"
"""What QuPath calls this measurement."""
RADIUS_UM = 2.0
"""Of the disc around the centre of a nucleus without a mask: inside of most nuclei."""
BLOCK_PX = 1024
"""Side of what is read at once: 3 MB of pixels, 8 MB of densities."""


class RegionReader(Protocol):
    """As much of an `napari_nunext.core.image.source.ImageSource` as is needed."""

    @property
    def box(self) -> Box:
        """The whole image, level-0 px."""
        ...

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Whole pixels, shape (H, W, 3)."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Footprint:
    """The pixels that are looked at for one nucleus."""

    x0_px: int
    y0_px: int
    """Pixel of the image at ``[0, 0]``."""
    size_px: tuple[int, int]
    """Height and width."""
    unpacked: Callable[[], NDArray[np.bool_]]
    """Gives what is covered, of that shape: a mask is unpacked where it is looked at."""


def disc(radius_um: float, mpp: float) -> NDArray[np.bool_]:
    """Pixels whose centres lie within a radius of the middle pixel's, which always belongs.

    Shape (2 n + 1, 2 n + 1).
    """
    if not radius_um > 0:
        raise InputError(f"A disc has a radius of {radius_um:g} um; expected more than 0.")
    reach = max(1, int(np.ceil(radius_um / mpp)))
    steps = np.arange(-reach, reach + 1)
    within: NDArray[np.bool_] = np.hypot(*np.meshgrid(steps, steps)) * mpp <= radius_um
    within[reach, reach] = True
    return within


def discs_at(points_xy: PointsXY, radius_um: float, mpp: float) -> list[Footprint]:
    """A disc around each point: around the centre of the pixel in which it lies."""
    covered = disc(radius_um, mpp)
    side = covered.shape[0]
    corners = np.floor(points_xy).astype(int) - side // 2
    return [Footprint(x0, y0, (side, side), lambda: covered) for x0, y0 in corners.tolist()]


def footprints(
    points_xy: PointsXY, masks: Iterable[Mask | None], *, mpp: float, radius_um: float = RADIUS_UM
) -> Iterator[Footprint]:
    """The mask of each nucleus; a disc around its point where it has none, or an empty one."""
    discs = discs_at(points_xy, radius_um, mpp)
    for there, mask in zip(discs, masks, strict=True):
        if mask is None or not mask.area_px:
            yield there
        else:
            size_px = (mask.height_px, mask.width_px)
            yield Footprint(mask.x0_px, mask.y0_px, size_px, mask.to_array)


def means_in(
    values: NDArray[np.float64], given: Sequence[Footprint], x0_px: int = 0, y0_px: int = 0
) -> NDArray[np.float64]:
    """Mean of the values of a window over each footprint.

    Parameters
    ----------
    values : ndarray, shape (H, W)
    given : sequence of Footprint
        What lies outside of the window is left out.
    x0_px, y0_px : int
        Pixel of the image at ``values[0, 0]``.

    Returns
    -------
    ndarray, shape (N,)
        NaN where all of it lies outside.
    """
    sums, counts = (
        np.array([_sum_in(values, each, x0_px, y0_px) for each in given]).reshape(-1, 2).T
    )
    return _quotient(sums, counts)


def dab_od_of(
    image: RegionReader,
    points_xy: PointsXY,
    masks: Iterable[Mask | None],
    *,
    mpp: float,
    radius_um: float = RADIUS_UM,
    block_px: int = BLOCK_PX,
) -> NDArray[np.float64]:
    """Mean optical density of DAB of each nucleus, base 10: QuPath's *Nucleus: DAB OD mean*.

    Parameters
    ----------
    image : ImageSource
        Read at full resolution, where nuclei are.
    points_xy : ndarray, shape (N, 2)
        Centroids, level-0 px.
    masks : iterable of Mask or None
        Of each what it covers, where that is known.
    mpp : float
        Micrometres per level-0 pixel.
    radius_um : float
        Of the disc where there is no mask.
    block_px : int
        Side of a block.

    Returns
    -------
    ndarray, shape (N,)
        NaN for a nucleus outside of the image.
    """
    given = list(footprints(points_xy, masks, mpp=mpp, radius_um=radius_um))
    totals = np.zeros((len(given), 2))
    width_px, height_px = int(image.box.width), int(image.box.height)
    for (column, row), here in sorted(_by_block(given, width_px, height_px, block_px).items()):
        x0, y0 = column * block_px, row * block_px
        x1, y1 = min(x0 + block_px, width_px), min(y0 + block_px, height_px)
        values = dab_od(image.read_region(Box(x0, y0, x1, y1)))
        for index in here:
            totals[index] += _sum_in(values, given[index], x0, y0)
    return _quotient(*totals.T)


def _by_block(
    given: Sequence[Footprint], width_px: int, height_px: int, block_px: int
) -> dict[tuple[int, int], list[int]]:
    """Which footprints reach into each block (column, row) of an image."""
    blocks: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, each in enumerate(given):
        height, width = each.size_px
        x1, y1 = min(each.x0_px + width, width_px), min(each.y0_px + height, height_px)
        for row in range(max(each.y0_px, 0) // block_px, -(-y1 // block_px)):
            for column in range(max(each.x0_px, 0) // block_px, -(-x1 // block_px)):
                blocks[column, row].append(index)
    return blocks


def _sum_in(
    values: NDArray[np.float64], of: Footprint, x0_px: int, y0_px: int
) -> tuple[float, int]:
    """Sum over what a footprint has in a window, and of how many pixels."""
    height, width = values.shape
    rows, columns = of.size_px
    x, y = of.x0_px - x0_px, of.y0_px - y0_px
    left, top = max(x, 0), max(y, 0)
    right, bottom = max(min(x + columns, width), left), max(min(y + rows, height), top)
    covered = of.unpacked()[top - y : bottom - y, left - x : right - x]
    inside = values[top:bottom, left:right][covered]
    return float(inside.sum()), inside.size


def _quotient(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    means = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
