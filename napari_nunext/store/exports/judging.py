"""What people made of a run's predictions, point by point (the labels of NuNext, Eq. 18)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.formats.records import JudgedPoint, Rollout
from napari_nunext.core.nuclei import points_of
from napari_nunext.core.scores.matching import match_points
from napari_nunext.store.state.acceptance import have_common_area, is_truth

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import Run
    from napari_nunext.store.exports.regions import CompleteRegion
    from napari_nunext.store.state.folding import Base
    from napari_nunext.store.state.reviewed import ReviewedNucleus
    from napari_nunext.store.state.state import FieldState

HIT_RADIUS_UM = 3.0
"""A prediction that a person moved no further than this had found its nucleus: the customary
matching radius, 12 px at 40x."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A run's predictions in a region, in pixels of the region, and the verdict on each."""

    run: Run
    rollout: Rollout

    @property
    def points_xy(self) -> PointsXY:
        """What the model said, shape (N, 2)."""
        points = [(p.x, p.y) for p in self.rollout.points]
        return np.array(points, dtype=np.float64).reshape(-1, 2)


def judge(region: CompleteRegion) -> Judged | None:
    """Judge the run that is the base of a region; None where no single finished run is.

    Nor where it looked for other categories than those that the truth here is about. Categories are
    called as the project calls them now, as the truth is.

    A prediction that stands within `HIT_RADIUS_UM` of where the model had put it is a true
    positive; one that was deleted, rejected or moved further is a false positive. One that was
    never shown, because earlier corrections stood in its place, is matched to what stands there.
    Nuclei that no true positive stands for were missed.
    """
    state, crop = region.state, region.crop
    base = _base(state, crop)
    if base is None or base.only != region.only:
        return None
    run = state.runs[base.run_id]
    radius_px = HIT_RADIUS_UM / region.entry.mpp
    inside = np.flatnonzero(crop.contains(run.nuclei.points_xy))
    predictions = [n for n in run.nuclei.at(inside) if n.uid not in run.hidden]
    hits = {n.uid for n in predictions if _is_hit(state.nuclei.get(n.uid), n, radius_px)}
    unclaimed = [n for n in region.nuclei if n.uid not in hits]
    unseen = [n for n in predictions if n.uid not in state.nuclei and n.uid not in state.deleted]
    matching = match_points(points_of(unseen), points_of(unclaimed), radius_px=radius_px)
    hits |= {unseen[i].uid for i in matching.pred_index}
    points = tuple(_judged_point(n, base.called(n.category), crop, hits) for n in predictions)
    return Judged(run, Rollout(points, missed=len(unclaimed) - matching.tp))


def _base(state: FieldState, crop: Box) -> Base | None:
    """The run last used anywhere in the crop, if it is whole and covers all of the crop."""
    for base in reversed(state.bases):
        if not any(have_common_area(box, crop) for box in base.boxes):
            continue
        run = state.runs[base.run_id]
        covers = base.searches(crop) and run.info.region.covers(crop)
        return base if covers and run.status == "complete" else None
    return None


def _is_hit(now: ReviewedNucleus | None, said: Nucleus, radius_px: float) -> bool:
    if now is None or not is_truth(now):
        return False
    return float(np.hypot(now.nucleus.x_px - said.x_px, now.nucleus.y_px - said.y_px)) <= radius_px


def _judged_point(nucleus: Nucleus, category: str, crop: Box, hits: set[UUID]) -> JudgedPoint:
    """A prediction with its verdict; its category as the truth beside it calls it."""
    return JudgedPoint(
        x=nucleus.x_px - crop.x0,
        y=nucleus.y_px - crop.y0,
        category=category,
        confidence=nucleus.confidence,
        verdict="tp" if nucleus.uid in hits else "fp",
    )
