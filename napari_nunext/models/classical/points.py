"""Nuclei as blobs of haematoxylin: Laplacian of Gaussian at the size of a nucleus.

The response to a nucleus is largest where the Gaussian fits it, so two or three sizes in um serve
lymphocytes and tumour nuclei alike, at any scale of the image. All constants were chosen on the 75
training tiles of BRCA-M2C; what else was tried is in docs/decisions/classical-floor.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from napari_nunext.core.geometry import check_mpp
from napari_nunext.models.classical.stain import haematoxylin_od

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY


@dataclass(frozen=True, slots=True)
class ClassicalParams:
    """What the detector was tuned to."""

    sigmas_um: tuple[float, ...] = (2.25, 2.75, 3.25)
    """Sizes of the Gaussian: a disc of radius r answers most to r / sqrt(2)."""
    saturation_od: float = 0.65
    """Haematoxylin beyond this counts as this, so that dark nuclei do not drown pale ones."""
    strong_od: float = 0.7
    """Haematoxylin of the darkest hundredth of a well stained window; a paler one is amplified."""
    most_gain: float = 2.0
    """But not by more than this, so that glass stays glass."""
    threshold: float = 0.085
    """Smallest response of a nucleus: the F1 optimum on the training tiles."""
    separation_um: float = 3.0
    """Of two responses closer than this only the stronger is a nucleus."""
    confidence_slope: float = 2.66
    """With `confidence_offset`: logistic regression of true positive on log response."""
    confidence_offset: float = 6.23
    truncate_sigmas: float = 3.0
    """Radius at which the Gaussian is cut off."""

    @property
    def reach_um(self) -> float:
        """How far away a pixel can change a response."""
        return max(self.sigmas_um) * self.truncate_sigmas


def detect_nuclei(
    rgb: NDArray[np.uint8], *, mpp: float, params: ClassicalParams | None = None
) -> tuple[PointsXY, NDArray[np.float64]]:
    """Find nuclei.

    Points nearer than ``params.reach_um`` to the image's border may change when there is more
    image; dropping them is left to the caller. Of what is further away a nucleus feels only the
    gain, and that only in a pale stain.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
        H&E, or any stain with haematoxylin as counterstain.
    mpp : float
        Micrometres per pixel of `rgb`. Tuned at 0.5; the work grows as 1 / mpp^3.
    params : ClassicalParams, optional

    Returns
    -------
    points_xy : ndarray of float64, shape (N, 2)
        x, y in pixels of `rgb`, corner origin, in raster order (y, then x). Finer than a pixel.
    confidence : ndarray of float64, shape (N,)
        In (0, 1), rises with the response: the share of responses of this strength that were nuclei
        on the training tiles. The weakest that is returned, at the F1 optimum, has 0.42.

    Raises
    ------
    CalibrationError
        If `mpp` is implausible.
    InputError
        If `rgb` is not 8-bit RGB.
    """
    params = params or ClassicalParams()
    mpp = check_mpp(mpp)
    haematoxylin = haematoxylin_od(rgb)
    haematoxylin *= stain_gain(haematoxylin, params)
    response = blob_response(haematoxylin, mpp=mpp, params=params)
    rows, cols = _peaks(response, params.threshold)
    strength = response[rows, cols].astype(np.float64)
    points_xy = np.stack([cols, rows], axis=1) + 0.5 + _subpixel(response, rows, cols)
    kept = _strongest(points_xy, strength, params.separation_um / mpp)
    points_xy, strength = points_xy[kept], strength[kept]
    order = np.lexsort((points_xy[:, 0], points_xy[:, 1]))
    confidence = scipy.special.expit(
        params.confidence_slope * np.log(strength) + params.confidence_offset
    )
    return points_xy[order], confidence[order]


def stain_gain(haematoxylin: NDArray[np.float32], params: ClassicalParams) -> float:
    """Return the factor that brings a pale stain to strength; 1 for an ordinary or dark one."""
    if haematoxylin.size == 0:
        return 1.0
    darkest = max(float(np.percentile(haematoxylin, 99)), params.strong_od / params.most_gain)
    return max(params.strong_od / darkest, 1.0)


def blob_response(
    haematoxylin: NDArray[np.float32], *, mpp: float, params: ClassicalParams
) -> NDArray[np.float32]:
    """Largest scale-normalised Laplacian over the sizes, shape (H, W), positive on blobs.

    Beyond ``sigma^2``, the usual norm, responses are weighted by ``sigma / max(sigmas)``: fine
    structure, of which there is more, has to be sharper to count.
    """
    capped = np.minimum(haematoxylin, params.saturation_od)
    response = np.zeros_like(capped)
    if capped.size == 0:
        return response
    for sigma_um in params.sigmas_um:
        sigma_px = sigma_um / mpp
        laplacian = scipy.ndimage.gaussian_laplace(
            capped, sigma_px, truncate=params.truncate_sigmas
        )
        weight = sigma_px**2 * sigma_um / max(params.sigmas_um)
        np.maximum(response, -weight * laplacian, out=response)
    return response


def _peaks(
    response: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the local maxima (3 x 3, ties included) of at least `threshold`."""
    if response.size == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    highest = scipy.ndimage.maximum_filter(response, size=3, mode="nearest")
    rows, cols = np.nonzero((response == highest) & (response >= threshold))
    return rows, cols


def _subpixel(
    response: NDArray[np.float32], rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Offset (x, y) of the top of a parabola through each peak, shape (N, 2), up to 0.5."""
    if len(rows) == 0:
        return np.empty((0, 2))
    padded = np.pad(response.astype(np.float64), 1, mode="edge")
    rows, cols = rows + 1, cols + 1
    centre = padded[rows, cols]

    def top(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
        bend = before - 2 * centre + after  # <= 0 at a peak
        return np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0.0)

    return np.stack(
        [
            top(padded[rows, cols - 1], padded[rows, cols + 1]),
            top(padded[rows - 1, cols], padded[rows + 1, cols]),
        ],
        axis=1,
    )


def _strongest(
    points_xy: PointsXY, strength: NDArray[np.float64], separation_px: float
) -> NDArray[np.intp]:
    """Indices left when each point, strongest first, removes those closer than `separation_px`.

    Of equal points the one further up, then further left, stays.
    """
    order = np.lexsort((points_xy[:, 0], points_xy[:, 1], -strength))
    if len(order) == 0:
        return order
    alive = np.ones(len(order), dtype=bool)
    neighbours = scipy.spatial.cKDTree(points_xy[order]).query_ball_point(
        points_xy[order], separation_px
    )
    for rank, near in enumerate(neighbours):
        if alive[rank]:
            alive[[other for other in near if other > rank]] = False
    return order[alive]
