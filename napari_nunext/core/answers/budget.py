"""How many image tokens a picture takes: arXiv 2505.15687, Eq. 4-6.

We resize on our side and pin the sizes, because a model's own resizing gives other sizes in two of
three cases and can pass the budget.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from napari_nunext.core.geometry import Box, PointsXY

PATCH_PX = 28
"""P, side of what becomes one token, in pixels of the picture that is sent."""
BUDGET_TOKENS = 256
"""The paper's budget."""
MOST_TOKENS = 16_384


def image_tokens(height_px: int, width_px: int, patch_px: int = PATCH_PX) -> int:
    """Eq. 4: ``N = (H / P) (W / P)``, for sides that are whole patches."""
    return (height_px // patch_px) * (width_px // patch_px)


def resized_sides(
    height_px: float, width_px: float, budget: int, patch_px: int = PATCH_PX
) -> tuple[int, int]:
    """Height and width of the picture that is sent, in pixels.

    Eq. 5: ``s = min(1, sqrt(n P^2 / (H W)))``. Eq. 6: both sides are scaled by s and rounded to
    whole patches, at least one. Where rounding up would pass the budget, the side that was rounded
    up furthest is rounded down, then the other (ours). A strip that is one patch high and still too
    long is cut to the budget (ours).

    Raises
    ------
    InputError
        If a side is not positive, or the budget is not from 1 to `MOST_TOKENS`.
    """
    if not (0 < height_px < math.inf and 0 < width_px < math.inf):
        raise InputError(
            f"A picture of {width_px:g} x {height_px:g} px cannot be sent; choose a region that "
            "lies in the image."
        )
    if not 1 <= budget <= MOST_TOKENS:
        raise InputError(f"The budget is {budget} image tokens; expected 1 to {MOST_TOKENS}.")
    scale = min(1.0, patch_px * math.sqrt(budget / height_px / width_px))
    exact = [height_px * scale / patch_px, width_px * scale / patch_px]
    patches = [max(1, round(side)) for side in exact]
    for side in sorted((0, 1), key=lambda i: exact[i] - patches[i]):
        if math.prod(patches) > budget:
            patches[side] = max(1, math.floor(exact[side]))
    if math.prod(patches) > budget:
        longer = patches.index(max(patches))
        patches[longer] = max(1, budget // patches[1 - longer])
    return patches[0] * patch_px, patches[1] * patch_px


def usual_budget(taught: int | None, *, allocates: bool) -> int:
    """Image tokens where nobody says otherwise.

    Parameters
    ----------
    taught : int, optional
        Of the pictures that the answerer was taught with, where it says so.
    allocates : bool
        Whether it chooses how many of them it spends: then they are a limit.
    """
    return BUDGET_TOKENS if taught is None or allocates else taught


@dataclass(frozen=True, slots=True)
class SentPicture:
    """A region of a slide as a model sees it."""

    region: Box
    """Level-0 px."""
    width_px: int
    height_px: int
    patch_px: int = PATCH_PX

    @classmethod
    def of(cls, region: Box, budget: int, patch_px: int = PATCH_PX) -> SentPicture:
        """A region within a budget; errors are those of `resized_sides`."""
        height_px, width_px = resized_sides(region.height, region.width, budget, patch_px)
        return cls(region, width_px, height_px, patch_px)

    @property
    def image_tokens(self) -> int:
        """What it costs."""
        return image_tokens(self.height_px, self.width_px, self.patch_px)

    def to_level0(self, points_xy: PointsXY) -> PointsXY:
        """Points of the picture in level-0 px, by each side's exact ratio. Shape (N, 2)."""
        region = self.region
        ratio = (region.width / self.width_px, region.height / self.height_px)
        return np.asarray(points_xy, dtype=np.float64) * ratio + (region.x0, region.y0)

    def from_level0(self, points_xy: PointsXY) -> PointsXY:
        """Inverse of `to_level0`."""
        region = self.region
        ratio = (self.width_px / region.width, self.height_px / region.height)
        return (np.asarray(points_xy, dtype=np.float64) - (region.x0, region.y0)) * ratio
