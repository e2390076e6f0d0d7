"""Outlines of nuclei whose places are known: watershed between them, Otsu within.

Every prompt owns the pixels that a flood of the haematoxylin relief from its points reaches first,
no further away than a nucleus can be. There a threshold of its own parts nucleus from surroundings,
so pale and dark neighbours do not share one. What holds the point is the nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import as_points_xy, check_mpp
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.classical.stain import haematoxylin_od
from napari_nunext.models.segmenter import Prompt, ScoredMask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.geometry import PointsXY


@dataclass(frozen=True, slots=True)
class OutlineParams:
    """Sizes and contrast of a nucleus."""

    radius_um: float = 8.0
    """No pixel of a mask is further from its point."""
    fallback_radius_um: float = 2.0
    """Of the disc drawn where the image shows no nucleus within this distance."""
    smoothing_um: float = 0.5
    """Gaussian over the haematoxylin: chromatin is not an edge."""
    spur_um: float = 0.6
    """Parts thinner than twice this are cut off."""
    contrast_od: float = 0.04
    """A nucleus holds at least this much more haematoxylin than what surrounds it."""
    roundness_od_per_um: float = 0.1
    """What a um of distance weighs against haematoxylin in the flood between neighbours."""


def segment_points(
    rgb: NDArray[np.uint8],
    points_xy: ArrayLike,
    *,
    mpp: float,
    params: OutlineParams | None = None,
) -> list[ScoredMask]:
    """Outline the nucleus at each point; see `segment_prompts`.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    points_xy : array_like, shape (N, 2)
        x, y in pixels of `rgb`, corner origin. N may be 0.
    mpp : float
        Micrometres per pixel.
    params : OutlineParams, optional
    """
    prompts = [Prompt(point[np.newaxis], (True,)) for point in as_points_xy(points_xy)]
    return list(segment_prompts(rgb, prompts, mpp=mpp, params=params))


def segment_prompts(
    rgb: NDArray[np.uint8],
    prompts: Sequence[Prompt],
    *,
    mpp: float,
    params: OutlineParams | None = None,
) -> Iterator[ScoredMask]:
    """One mask for each prompt, in order. Masks do not overlap.

    Where there is nothing to outline (glass, a point beside any nucleus), the answer is a small
    disc with score 0, so that every nucleus that a person placed has a mask to start from.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    prompts : sequence of Prompt
        All of one image together: each keeps its neighbours out. A box without points counts as a
        point in its middle, and no mask leaves its box.
    mpp : float
        Micrometres per pixel.
    params : OutlineParams, optional

    Yields
    ------
    ScoredMask
        In pixels of `rgb`. Of area 0 only for a prompt outside the image or one whose every pixel
        an earlier prompt holds. The score is the share of the variance of haematoxylin in the
        prompt's surroundings that the outline explains (Otsu's criterion), in [0, 1].

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    InputError
        If `rgb` is not 8-bit RGB, or a prompt has neither a positive point nor a box.
    """
    params = params or OutlineParams()
    mpp = check_mpp(mpp)
    relief = scipy.ndimage.gaussian_filter(haematoxylin_od(rgb), params.smoothing_um / mpp)
    seeds = [_seeds(prompt) for prompt in prompts]
    territory = _territories(relief, prompts, seeds, mpp=mpp, params=params)
    slices = scipy.ndimage.find_objects(territory, max_label=len(prompts))
    for label, (prompt, points, where) in enumerate(zip(prompts, seeds, slices, strict=True), 1):
        if where is None:
            column, row = np.floor(points[0]).astype(int)
            yield ScoredMask(Mask(int(column), int(row), 0, 0, ()), 0.0)
            continue
        mine = territory[where] == label
        yield _outline(relief[where], mine, _origin(where), points, prompt, mpp=mpp, params=params)


def _seeds(prompt: Prompt) -> PointsXY:
    """Points that belong to the nucleus, shape (N, 2), N at least 1."""
    positive = prompt.points_xy[np.asarray(prompt.positive, dtype=bool)]
    if len(positive):
        return positive
    if prompt.box is None:
        raise InputError("A prompt has neither a point on the nucleus nor a box; expected one.")
    x0, y0, x1, y1 = prompt.box.as_tuple()
    return np.array([[(x0 + x1) / 2, (y0 + y1) / 2]])


def _origin(where: tuple[slice, slice]) -> tuple[int, int]:
    """(x0, y0) of a crop."""
    return where[1].start, where[0].start


def _territories(
    relief: NDArray[np.float32],
    prompts: Sequence[Prompt],
    seeds: Sequence[PointsXY],
    *,
    mpp: float,
    params: OutlineParams,
) -> NDArray[np.int32]:
    """Label image, shape (H, W): i + 1 where prompt i may have its nucleus, 0 elsewhere."""
    from skimage.segmentation import watershed  # slow to import, and only wanted here

    markers = np.zeros(relief.shape, dtype=np.int32)
    beside = len(prompts) + 1
    for prompt in prompts:
        _mark(markers, prompt.points_xy[~np.asarray(prompt.positive, dtype=bool)], beside)
    for label in range(len(prompts), 0, -1):  # of prompts on one pixel the first holds it
        _mark(markers, seeds[label - 1], label)
    if not markers.any():
        return markers
    distance_um = scipy.ndimage.distance_transform_edt(markers == 0) * mpp
    flood = params.roundness_od_per_um * distance_um - relief
    territory: NDArray[np.int32] = watershed(
        flood, markers, mask=distance_um <= params.radius_um + mpp
    )
    territory[territory == beside] = 0
    return territory


def _mark(markers: NDArray[np.int32], points_xy: PointsXY, label: int) -> None:
    """Write `label` into the pixels of those points that are inside the image."""
    height, width = markers.shape
    pixels = np.floor(points_xy).astype(np.intp)
    pixels = pixels[((pixels >= 0) & (pixels < (width, height))).all(axis=1)]
    markers[pixels[:, 1], pixels[:, 0]] = label


def _outline(
    relief: NDArray[np.float32],
    mine: NDArray[np.bool_],
    origin: tuple[int, int],
    points: PointsXY,
    prompt: Prompt,
    *,
    mpp: float,
    params: OutlineParams,
) -> ScoredMask:
    """Mask of one prompt within its territory `mine`; arrays are crops at `origin` (x0, y0)."""
    x0, y0 = origin
    rows, cols = np.indices(mine.shape)
    centres = np.stack([cols + x0 + 0.5, rows + y0 + 0.5], axis=-1)
    distance_um = scipy.spatial.cKDTree(points).query(centres)[0] * mpp
    # The pixel of the point itself always counts, however coarse the image.
    mine = mine & (distance_um <= max(params.radius_um, float(distance_um.min())))
    if prompt.box is not None:
        mine &= prompt.box.contains(centres.reshape(-1, 2)).reshape(mine.shape)
    if not mine.any():
        return ScoredMask(Mask(x0, y0, 0, 0, ()), 0.0)
    threshold, contrast, explained = _otsu(relief[mine])
    if contrast >= params.contrast_od:
        nucleus = _part_at(mine & (relief >= threshold), distance_um, mpp=mpp, params=params)
        nucleus &= mine
        if nucleus.any():
            return ScoredMask(Mask.from_array(nucleus, x0, y0), explained)
    smallest = float(distance_um[mine].min())
    disc = mine & (distance_um <= max(params.fallback_radius_um, smallest))
    return ScoredMask(Mask.from_array(disc, x0, y0), 0.0)


def _part_at(
    nucleus: NDArray[np.bool_],
    distance_um: NDArray[np.float64],
    *,
    mpp: float,
    params: OutlineParams,
) -> NDArray[np.bool_]:
    """The part nearest to the point, without spurs and holes; empty if it is not near enough."""
    nucleus = _without_spurs(nucleus, params.spur_um / mpp)
    distance_um = np.where(nucleus, distance_um, np.inf)
    nearest = int(np.argmin(distance_um))
    if distance_um.flat[nearest] > params.fallback_radius_um:
        return np.zeros_like(nucleus)
    parts, _ = scipy.ndimage.label(nucleus)
    part: NDArray[np.bool_] = scipy.ndimage.binary_fill_holes(parts == parts.flat[nearest])
    return part


def _without_spurs(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    """Opening by a disc; what lies beyond the crop is background."""
    depth = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))
    inner = depth > radius_px
    if not inner.any():
        return np.zeros_like(mask)
    opened: NDArray[np.bool_] = scipy.ndimage.distance_transform_edt(~inner) <= radius_px
    return opened[1:-1, 1:-1]


def _otsu(values: NDArray[np.float32], bins: int = 64) -> tuple[float, float, float]:
    """Otsu's threshold, the gap between its two classes' means, and the share of variance between.

    The gap and the share are 0 where the values do not differ.
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return high, 0.0, 0.0
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    mids = (edges[:-1] + edges[1:]) / 2
    share = counts / counts.sum()
    mean = float(share @ mids)
    below = np.cumsum(share)[:-1]  # never 0: the lowest value is in the first bin, and so above
    mean_below = np.cumsum(share * mids)[:-1] / below
    gap = (mean - mean_below) / (1 - below)  # mean above less mean below
    between = below * (1 - below) * gap**2
    best = int(np.argmax(between))
    explained = float(between[best] / (share @ (mids - mean) ** 2))
    return float(edges[best + 1]), float(gap[best]), min(explained, 1.0)
