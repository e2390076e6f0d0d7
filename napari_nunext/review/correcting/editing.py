"""Gestures into events, and which nuclei ask for a second look. Pure functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.uids import as_uuids
from napari_nunext.store import events
from napari_nunext.store.state.acceptance import is_truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store import Event, FieldState, ReviewedNucleus
    from napari_nunext.store.state.nucleus_map import NucleusMap

BAND_PX = 64.0
"""Height of the bands in which unsure nuclei are visited, so that the view moves little."""


def moved(
    state: FieldState, image_sha256: str, places_xy: Mapping[UUID, tuple[float, float]]
) -> tuple[Event, ...]:
    """Move nuclei, as one gesture; those that are not there or did not move are left out."""
    return events.grouped(
        events.move(image_sha256, uid, x_px, y_px)
        for uid, (x_px, y_px) in places_xy.items()
        if uid in state.nuclei
        and (state.nuclei[uid].nucleus.x_px, state.nuclei[uid].nucleus.y_px) != (x_px, y_px)
    )


def deleted(state: FieldState, image_sha256: str, uids: Iterable[UUID]) -> tuple[Event, ...]:
    """Delete nuclei, as one gesture."""
    return events.grouped(events.delete(image_sha256, uid) for uid in uids if uid in state.nuclei)


def relabelled(
    state: FieldState, image_sha256: str, uids: Iterable[UUID], category: str
) -> tuple[Event, ...]:
    """Give nuclei a category, as one gesture; those that have it already are accepted as right."""
    return events.grouped(
        events.accept(image_sha256, uid)
        if state.nuclei[uid].nucleus.category == category
        else events.relabel(image_sha256, uid, category)
        for uid in uids
        if uid in state.nuclei
    )


def nucleus_at(state: FieldState, x_px: float, y_px: float, reach_px: float) -> UUID | None:
    """The nucleus that a click means; None where there is none.

    Of those whose outline covers the place, or else whose point is in reach, it is the one with the
    nearest point. Rejected nuclei are not meant.
    """
    covering = [n.nucleus for n in state.nuclei.covering(x_px, y_px) if is_truth(n)]
    if covering:
        return min(covering, key=lambda n: math.hypot(n.x_px - x_px, n.y_px - y_px)).uid
    near = state.nuclei.near(x_px, y_px, reach_px)
    return next((n.uid for n in near if is_truth(n)), None)


def is_sure(nucleus: ReviewedNucleus, sure_above: float) -> bool:
    """Whether a nucleus needs no second look: a person touched it, or the model is sure."""
    confidence = nucleus.nucleus.confidence
    return nucleus.touched or confidence is None or confidence >= sure_above


def unsure_in_order(state: FieldState, sure_above: float) -> list[UUID]:
    """The unsure nuclei in the order they are visited: bands from the top, left to right."""
    said, rows = state.nuclei.ground.said, _unsure_rows(state.nuclei, sure_above)
    return as_uuids(said.uids[_in_order(rows, said.points_xy)])


def _unsure_rows(nuclei: NucleusMap, sure_above: float) -> NDArray[np.intp]:
    """Their rows in the ground: what a person touched is sure."""
    return np.flatnonzero(nuclei.untouched & (nuclei.ground.said.confidence < sure_above))


def _in_order(rows: NDArray[np.intp], points_xy: PointsXY) -> NDArray[np.intp]:
    x_px, y_px = points_xy[rows].T
    return rows[np.lexsort((y_px, x_px, y_px // BAND_PX))]


def neighbour_in_order(
    state: FieldState, sure_above: float, current: UUID | None, step: int
) -> UUID | None:
    """The next (`step` 1) or previous (-1) unsure nucleus, around the end; None where none is.

    `current` need not be unsure itself: its place counts. Without one, the order starts anew.
    """
    said, rows = state.nuclei.ground.said, _unsure_rows(state.nuclei, sure_above)
    here = None if current is None else state.nuclei.get(current)
    if here is not None:
        chosen = rows[_sides(said.points_xy[rows], here.nucleus) == step]
        rows = chosen if len(chosen) else rows
    if not len(rows):
        return None
    bands = said.points_xy[rows, 1] // BAND_PX  # those of one band are put in order, not all
    band, at = (bands.min(), 0) if step > 0 else (bands.max(), -1)
    return said[int(_in_order(rows[bands == band], said.points_xy)[at])].uid


def _sides(points_xy: PointsXY, nucleus: Nucleus) -> NDArray[np.float64]:
    """Which places are visited before a nucleus, -1, and which after it, 1; shape (N,)."""
    (x_px, y_px), n = points_xy.T, nucleus
    sides: NDArray[np.float64] = np.sign(y_px // BAND_PX - n.y_px // BAND_PX)
    for less in (x_px - n.x_px, y_px - n.y_px):
        sides = np.where(sides == 0, np.sign(less), sides)
    return sides
