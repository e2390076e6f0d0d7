from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.masks import FARTHEST_PX, MOST_PIXELS, Mask
from napari_nunext.core.shapes.packed_masks import PackedMasks

offsets = st.integers(-FARTHEST_PX + 20, FARTHEST_PX - 20)
masks = st.builds(
    Mask.from_array,
    hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    offsets,
    offsets,
)


@given(st.lists(masks, max_size=6))
def test_masks_come_out_as_they_went_in(given):
    packed = PackedMasks.of(given)
    assert list(packed) == given
    assert list(PackedMasks(packed.data, len(given))[1:]) == given[1:]


def test_the_largest_masks_fit():
    for mask in (Mask(0, 0, 1, MOST_PIXELS, (0, MOST_PIXELS)), Mask(-FARTHEST_PX, 0, 0, 9, (0,))):
        assert PackedMasks.of([mask])[0] == mask
    with pytest.raises(RecordError, match="expected a nucleus"):
        Mask(0, 0, MOST_PIXELS + 1, 0, ())


@given(
    packs=st.lists(st.lists(masks, max_size=3), max_size=3),
    given=st.lists(st.none() | masks, max_size=5),
    data=st.data(),
)
def test_a_column_of_packs_is_a_list_of_masks(packs, given, data):
    among = [mask for pack in packs for mask in pack]
    number = data.draw(st.lists(st.integers(-1, len(among) - 1), max_size=5))
    column = MaskColumn([PackedMasks.of(pack) for pack in packs], np.array(number, dtype=np.int64))
    want = [among[i] if i >= 0 else None for i in number]
    assert list(column) == want
    assert list(column.joined(MaskColumn.of(given))) == want + given
    assert list(MaskColumn.of(given).joined(column)) == given + want


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing packed",
        PackedMasks.of([Mask(0, 0, 1, 1, (0, 1))]).data[:-5],
        PackedMasks.of([]).data,
        zlib.compress(np.array([0, 0, 1, 1, 9], "<i8").tobytes()),
        zlib.compress(np.array([0, 0, 1, 1, -1], "<i8").tobytes()),
        zlib.compress(np.array([0, 0, 1, 1, 0], "<i8").tobytes() + b"abc"),
        zlib.compress(np.array([0, 0, 5, 5, 1], "<i8").tobytes() + b"\1\0\0\0"),
    ],
)
def test_bytes_that_hold_no_masks_are_refused(data):
    with pytest.raises(RecordError):
        PackedMasks(data, 1)[0]
