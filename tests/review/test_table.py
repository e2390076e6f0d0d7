"""The columns say what the nuclei say, whatever was edited in between."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.correcting.editing import is_sure
from napari_nunext.review.model import ReviewModel
from napari_nunext.review.table import NucleusTable
from napari_nunext.store import FieldState, events
from napari_nunext.store.state.touched import Touched
from tests.store.conftest import IMAGE
from tests.store.test_nucleus_map import Walk

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.store import ReviewedNucleus

SURE_ABOVE = 0.45


def assert_same(model: ReviewModel) -> None:
    """Each column holds what a walk over all nuclei finds."""
    table, state = model.table, model.state
    assert state is not None
    nuclei = list(state.nuclei.values())
    assert table.nuclei_at(range(len(table))) == nuclei
    assert table.uids_at(range(len(table))) == [n.uid for n in nuclei]
    assert table.points_xy.tolist() == [[n.nucleus.x_px, n.nucleus.y_px] for n in nuclei]
    assert [table.names[c] for c in table.category] == [n.nucleus.category for n in nuclei]
    assert table.is_sure(SURE_ABOVE).tolist() == [is_sure(n, SURE_ABOVE) for n in nuclei]
    assert table.rejected.tolist() == [n.status == "rejected" for n in nuclei]
    assert (table.mask_ids != 0).tolist() == [n.nucleus.mask is not None for n in nuclei]
    for n, box in zip(nuclei, table.mask_boxes_px.tolist(), strict=True):
        mask = n.nucleus.mask
        if mask is not None:
            assert box[:2] == [mask.x0_px, mask.y0_px]
            assert (box[2] - box[0], box[3] - box[1]) == (mask.width_px, mask.height_px)
    counted = [n.nucleus for n in nuclei if n.status != "rejected"]
    standing = table.standing()
    assert [replace(n, mask=None) for n in counted] == list(standing)
    assert set(standing.names) == {n.category for n in counted}
    assert_parts_same(table, nuclei)


def assert_parts_same(table: NucleusTable, nuclei: list[ReviewedNucleus]) -> None:
    """What is asked of some rows is what the columns of all say."""
    some = nuclei[::3]
    assert table.nuclei_at(table.rows_of([n.uid for n in some])) == some
    places = {n.uid: (n.nucleus.x_px, n.nucleus.y_px) for n in nuclei}
    for box in (Box(-5, -5, 99, 99), Box(10, 5, 31, 30), Box(20, 20, 20, 20)):
        inside = [n for n in nuclei if box.contains(np.array([places[n.uid]]))[0]]
        rows = table.rows_within(box)
        assert table.nuclei_at(rows) == inside
        counted = Counter(n.nucleus.category for n in inside if n.status != "rejected")
        assert table.counts_within(box) == dict.fromkeys(table.names, 0) | counted
        part = table.part(rows[::-1])
        assert len(part) == len(rows)
        for name in ("uids", "points_xy", "category", "touched", "rejected", "mask_ids"):
            np.testing.assert_array_equal(getattr(part, name), getattr(table, name)[rows[::-1]])
        np.testing.assert_array_equal(part.mask_boxes_px, table.mask_boxes_px[rows[::-1]])
        np.testing.assert_array_equal(part.confidence, table.confidence[rows[::-1]])
        np.testing.assert_array_equal(part.is_of(["A"]), table.is_of(["A"])[rows[::-1]])
        assert table.masks_at(rows[::-1]) == [n.nucleus.mask for n in inside[::-1]]
        sure = table.is_sure(SURE_ABOVE)[rows[::-1]]
        np.testing.assert_array_equal(part.is_sure(SURE_ABOVE), sure)
    unsure = ~table.is_sure(SURE_ABOVE) & ~table.rejected
    assert table.unsure(SURE_ABOVE) == unsure.sum()
    counted = Counter(n.nucleus.category for n in nuclei if n.status != "rejected")
    assert table.counts() == dict.fromkeys(table.names, 0) | counted


@pytest.mark.parametrize("seed", range(4))
def test_parts_follow_runs_and_edits_in_any_order(seed: int) -> None:
    walk, touched = Walk(np.random.default_rng(seed)), Touched.none()
    for _ in range(60):
        walk.step()
        touched = touched.after(walk.map)
        assert_parts_same(NucleusTable(walk.map, touched), list(walk.map.values()))


def test_the_columns_follow_any_edits(rng: np.random.Generator) -> None:
    model = ReviewModel(state=FieldState.fold())
    uids: list[UUID] = []
    for _ in range(150):
        x, y = (float(v) for v in rng.integers(0, 60, 2))
        kind = rng.choice(
            ["add", "delete", "relabel", "reject", "mask"], p=[0.5, 0.2, 0.1, 0.1, 0.1]
        )
        if kind == "add" or not uids:
            uids.append(uuid4())
            event = events.add(IMAGE, x, y, str(rng.choice(["A", "B"])), uid=uids[-1])
        elif kind == "delete":
            event = events.delete(IMAGE, uids.pop(int(rng.integers(len(uids)))))
        elif kind == "relabel":
            event = events.relabel(IMAGE, uids[int(rng.integers(len(uids)))], "C")
        elif kind == "reject":
            event = events.reject(IMAGE, uids[0])
        else:
            mask = Mask.from_array(np.ones((3, 2), bool), int(x), int(y))
            event = events.edit_mask(IMAGE, uids[-1], mask)
        assert model.state is not None
        model.state = model.state.apply(event)
        if rng.random() < 0.7:  # or several states later
            assert_same(model)
    assert_same(model)
    model.state = None
    assert len(model.table) == 0
