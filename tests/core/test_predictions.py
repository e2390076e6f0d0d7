from __future__ import annotations

from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn, box_of
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.shapes.packed_masks import PackedMasks
from napari_nunext.core.uids import as_uids

places = st.floats(-1e6, 1e6, allow_nan=False)
masks = st.none() | st.builds(
    lambda x, y, size: Mask(x, y, size, size, (0, size * size)),
    st.integers(-9, 9),
    st.integers(-9, 9),
    st.integers(1, 5),
)
# Zeros at the end of a uid, or all through it, are bytes like others.
uids = st.one_of(st.uuids(), st.integers(0, 300).map(lambda i: UUID(int=i << 64)))
nuclei = st.builds(
    Nucleus,
    uid=uids,
    x_px=places,
    y_px=places,
    category=st.sampled_from(["Nucleus", "Tumour", "Stroma"]),
    confidence=st.none() | st.floats(0, 1),
    mask=masks,
    position_error_um=st.none() | st.floats(0, 9),
)
lists = st.lists(nuclei, unique_by=lambda n: n.uid, max_size=12)


@given(said=lists)
def test_columns_are_the_sequence_of_nuclei_they_were_made_of(said):
    columns = Predictions.of(said)
    assert len(columns) == len(said)
    assert list(columns) == said
    assert [columns[i] for i in range(len(said))] == said
    assert columns == said
    assert columns == Predictions.of(iter(said))
    assert Predictions.of(columns) is columns
    assert columns[1:7:2] == said[1:7:2]
    assert columns[::-1] == said[::-1]
    assert columns.masks.drawn.tolist() == [n.mask is not None for n in said]


@given(said=lists, change=st.sampled_from(["uid", "place", "category", "mask"]), data=st.data())
def test_columns_differ_where_one_nucleus_does(said, change, data):
    if not said:
        assert Predictions.of(said) != [Nucleus(uuid4(), 0, 0)]
        return
    at = data.draw(st.integers(0, len(said) - 1))
    n = said[at]
    other = {
        "uid": Nucleus(uuid4(), n.x_px, n.y_px, n.category, n.confidence, n.mask),
        "place": Nucleus(n.uid, n.x_px, n.y_px + 1, n.category, n.confidence, n.mask),
        "category": Nucleus(n.uid, n.x_px, n.y_px, "Immune", n.confidence, n.mask),
        "mask": Nucleus(
            n.uid, n.x_px, n.y_px, n.category, n.confidence, Mask(50, 50, 1, 1, (0, 1))
        ),
    }[change]
    assert Predictions.of(said) != [*said[:at], other, *said[at + 1 :]]


@given(parts=st.lists(lists, max_size=4))
def test_joined_columns_are_the_joined_lists(parts):
    columns = Predictions.of()
    for part in parts:
        columns = columns.joined(part)
    assert columns == [n for part in parts for n in part]
    assert len(set(columns.names)) == len(columns.names)


@given(said=lists, data=st.data())
def test_masks_go_to_the_nuclei_of_their_uids_and_later_ones_prevail(said, data):
    columns, want = Predictions.of(said), {n.uid: n.mask for n in said}
    for _ in range(2):
        known = st.sampled_from(sorted(want)) if want else st.nothing()
        given = data.draw(st.dictionaries(known | st.uuids(), masks.filter(bool), max_size=4))
        columns = columns.with_masks(given)
        want |= {uid: mask for uid, mask in given.items() if uid in want}
    assert {n.uid: n.mask for n in columns} == want
    assert [n.uid for n in columns] == [n.uid for n in said]


@given(said=lists, others=st.lists(uids, max_size=5))
def test_a_uid_leads_to_its_row(said, others):
    columns = Predictions.of(said)
    where = {n.uid: row for row, n in enumerate(said)}
    asked = [*where, *others]
    assert [columns.row_of(uid) for uid in asked] == [where.get(uid) for uid in asked]
    assert columns.rows_of(as_uids(asked)).tolist() == [where.get(uid, -1) for uid in asked]


def test_the_arrays_of_no_nuclei_have_their_shapes():
    none = Predictions.of()
    assert (none.uids.shape, none.points_xy.shape) == ((0, 16), (0, 2))
    assert none == ()
    assert none.row_of(uuid4()) is None


def test_what_columns_cannot_tell_apart_is_refused():
    with pytest.raises(InputError, match="confidence nan"):
        Predictions.of([Nucleus(uuid4(), 1, 1, confidence=float("nan"))])
    many = [Nucleus(uuid4(), 1, 1, f"kind {i}") for i in range(2**16 + 1)]
    with pytest.raises(InputError, match="65537 categories"):
        Predictions.of(many)
    assert Predictions.of(many[:-1])[-1].category == f"kind {2**16 - 1}"
    assert np.array_equal(Predictions.of(many[:9]).category, range(9))


@given(first=lists, more=lists, data=st.data())
def test_the_boxes_of_masks_are_known_without_the_masks(first, more, data):
    def boxes(masks):
        return [(0, 0, 0, 0) if m is None else box_of(m) for m in masks]

    def columns(nuclei) -> MaskColumn:
        packed = PackedMasks.of(n.mask for n in nuclei if n.mask is not None)
        has_mask = np.array([n.mask is not None for n in nuclei], dtype=bool)
        return MaskColumn([packed], np.where(has_mask, np.cumsum(has_mask) - 1, -1))

    known = columns(first)
    if data.draw(st.booleans()):  # asked before, and not again
        assert known.boxes_px.tolist() == [list(box) for box in boxes(known)]
    both = known.joined(MaskColumn.of(n.mask for n in more)).joined(columns(first))
    rows = np.array(data.draw(st.lists(st.integers(0, max(len(both) - 1, 0)))), dtype=np.intp)
    some = both.at(rows[: len(both) * len(rows)])
    assert both.boxes_px.tolist() == [list(box) for box in boxes(both)]
    assert some.boxes_px.tolist() == [list(box) for box in boxes(some)]


@given(said=lists)
def test_the_bytes_of_masks_are_known_without_the_masks(said):
    drawn = np.array([n.mask is not None for n in said], dtype=bool)
    packed = PackedMasks.of(n.mask for n in said if n.mask is not None)
    packs = MaskColumn([packed], np.where(drawn, np.cumsum(drawn) - 1, -1))
    both = packs.joined(MaskColumn.of(n.mask for n in said))
    rows = np.arange(len(both))[::-1]
    want = [b"" if mask is None else mask.to_bytes() for mask in both.at(rows)]
    assert list(both.to_bytes(rows)) == want
