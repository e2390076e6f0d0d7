"""Gestures into events, and which nuclei ask for a second look. Pure functions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_nunext.store import events
from napari_nunext.store.state.acceptance import is_truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store import Event, FieldState, ReviewedNucleus

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
    standing = [n.nucleus for n in state.nuclei.values() if is_truth(n)]
    covering = [n for n in standing if n.mask is not None and n.mask.covers(x_px, y_px)]
    near = covering or [n for n in standing if _distance_px(n, x_px, y_px) <= reach_px]
    return min(near, key=lambda n: _distance_px(n, x_px, y_px)).uid if near else None


def _distance_px(nucleus: Nucleus, x_px: float, y_px: float) -> float:
    return math.hypot(nucleus.x_px - x_px, nucleus.y_px - y_px)


def is_sure(nucleus: ReviewedNucleus, sure_above: float) -> bool:
    """Whether a nucleus needs no second look: a person touched it, or the model is sure."""
    confidence = nucleus.nucleus.confidence
    return nucleus.touched or confidence is None or confidence >= sure_above


def unsure_in_order(state: FieldState, sure_above: float) -> list[UUID]:
    """The unsure nuclei in the order they are visited: bands from the top, left to right."""
    unsure = [n.nucleus for n in state.nuclei.values() if not is_sure(n, sure_above)]
    return [n.uid for n in sorted(unsure, key=lambda n: (n.y_px // BAND_PX, n.x_px, n.y_px))]


def neighbour_in_order(
    state: FieldState, sure_above: float, current: UUID | None, step: int
) -> UUID | None:
    """The next (`step` 1) or previous (-1) unsure nucleus, around the end; None where none is.

    `current` need not be unsure itself: its place counts. Without one, the order starts anew.
    """
    order = unsure_in_order(state, sure_above)
    if not order:
        return None
    here = state.nuclei.get(current) if current is not None else None
    if here is None:
        return order[0 if step > 0 else -1]

    def place(uid: UUID) -> tuple[float, float, float]:
        n = state.nuclei[uid].nucleus
        return (n.y_px // BAND_PX, n.x_px, n.y_px)

    mine = place(here.uid)
    if step > 0:
        return next((uid for uid in order if place(uid) > mine), order[0])
    return next((uid for uid in reversed(order) if place(uid) < mine), order[-1])
