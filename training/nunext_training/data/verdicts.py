"""People's verdicts on what a model had said of an image, cut to training windows.

A record's verdicts are of its whole region; a window sees a part of it, turned and scaled. The
points inside the window are what the model said there; a nucleus inside the window that none of
*them* stands for was missed there. Which point stands for which nucleus is not recorded: a true
positive stands within 3 um of its nucleus (`docs/records.md`), so the two are matched within that,
as many as possible and then as near as possible.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import points_at
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.formats.records import JudgedPoint
    from napari_nunext.core.geometry import PointsXY
    from nunext_training.data.crops import Crop
    from nunext_training.data.labelled import LabelledImage

_ROUNDING = 1 + 1e-6
"""Of coordinates in pixels of a region that came from pixels of a slide."""


@dataclass(frozen=True, eq=False, slots=True)
class JudgedWindow:
    """What a model had said in a window, and what it had missed there, in pixels of the window."""

    points: tuple[JudgedPoint, ...]
    missed_xy: PointsXY
    """Shape (K, 2): nuclei that none of the points stands for."""


@dataclass(frozen=True, eq=False, slots=True)
class Verdicts:
    """The judged points of an image, and the one that stands for each nucleus."""

    points: tuple[JudgedPoint, ...]
    points_xy: PointsXY
    """Shape (N, 2), pixels of the image."""
    stands_for: NDArray[np.intp]
    """Shape (M,): for each nucleus the index of its true positive; -1 where it was missed."""

    @classmethod
    def of(cls, image: LabelledImage) -> Verdicts | None:
        """Those of an image; None where people judged nothing."""
        if image.rollout is None:
            return None
        points = image.rollout.points
        points_xy = points_at(points)
        hits = np.flatnonzero([p.verdict == "tp" for p in points])
        matching = match_points(
            points_xy[hits], image.points_xy, radius_px=MATCH_RADIUS_UM / image.mpp * _ROUNDING
        )
        stands_for = np.full(len(image.points_xy), -1, dtype=np.intp)
        stands_for[matching.true_index] = hits[matching.pred_index]
        return cls(points, points_xy, stands_for)

    def in_window(self, crop: Crop, nuclei: NDArray[np.intp], nuclei_xy: PointsXY) -> JudgedWindow:
        """What the model had said in a window, in its pixels.

        Parameters
        ----------
        crop : Crop
        nuclei : ndarray of int
            Indices of the nuclei inside, shape (K,).
        nuclei_xy : ndarray, shape (K, 2)
            The same nuclei in pixels of the window.
        """
        inside = np.flatnonzero(crop.box.contains(self.points_xy))
        places = crop.to_window(self.points_xy[inside]).tolist()
        found = np.isin(self.stands_for[nuclei], inside)
        return JudgedWindow(
            points=tuple(
                replace(self.points[i], x=x, y=y) for i, (x, y) in zip(inside, places, strict=True)
            ),
            missed_xy=nuclei_xy[~found],
        )
