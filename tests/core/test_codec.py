from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.codec import UNKNOWN_CATEGORY, Codec, ParseFailure
from napari_nunext.core.errors import CheckpointError, InputError

START, COMMA, END = 100, 7, 8
CATEGORY_IDS = (20, 21, 22)
NAMES = ("Lymphocyte", "Tumour", "Stromal")


def plain(bins: int = 64, window_px: int = 64) -> Codec:
    return Codec(bins, window_px, START, COMMA, END)


def with_categories(bins: int = 64, window_px: int = 64) -> Codec:
    return Codec(bins, window_px, START, COMMA, END, (), CATEGORY_IDS, NAMES)


points = st.lists(st.tuples(st.floats(0, 63.999), st.floats(0, 63.999)), max_size=30).map(
    lambda p: np.array(p, dtype=float).reshape(-1, 2)
)


@given(
    x=st.floats(0, 1, exclude_max=True),
    bins=st.integers(2, 1000),
    window_px=st.integers(2, 2048),
)
def test_a_bin_is_the_one_whose_centre_is_nearest_eq_1(x: float, bins: int, window_px: int):
    codec = plain(bins, window_px)
    chosen = int(codec.to_bins(np.array([[x * window_px, 0.0]]))[0, 0])
    distance = np.abs(x - (np.arange(bins) + 0.5) / bins)
    assert distance[chosen] <= distance.min() + 1e-9


@given(points, st.integers(2, 500))
def test_decoding_returns_to_within_half_a_bin(points_xy: np.ndarray, bins: int):
    codec = plain(bins)
    back = codec.to_points(codec.to_bins(points_xy))
    assert np.all(np.abs(back - points_xy) <= codec.bin_px / 2 + 1e-9)


def test_category_tokens_need_not_follow_each_other():
    codec = Codec(64, 64, START, COMMA, END, (), (23, 40, 21), NAMES)
    points_xy = np.array([(9.5, 3.5), (5.5, 20.5), (30.5, 40.5)])
    reply = codec.encode(points_xy, [1, 2, 0])
    assert [reply[i] for i in (2, 5, 8)] == [40, 21, 23]
    parsed = codec.parse(reply)
    assert parsed.failure is None
    assert list(parsed.category_indices) == [1, 2, 0]


def test_bin_centres_are_fixed_points():
    codec = plain(64, 256)
    bins = np.stack([np.arange(64), np.arange(64)[::-1]], axis=1)
    assert np.array_equal(codec.to_bins(codec.to_points(bins)), bins)


def test_what_lies_outside_the_window_is_drawn_to_its_edge():
    assert plain().to_bins(np.array([[-5.0, 64.0], [63.99, 1e6]])).tolist() == [[0, 63], [63, 63]]


def test_a_reply_is_in_raster_order_of_its_tokens_with_commas_between():
    reply = plain().encode(np.array([[30.0, 20.0], [5.0, 20.9], [9.0, 3.0]]))
    assert reply == (
        *(START + 9, START + 3, COMMA),
        *(START + 5, START + 20, COMMA),
        *(START + 30, START + 20, END),
    )


def test_a_category_follows_every_point_also_the_last():
    reply = with_categories().encode(np.array([[1.0, 1.0], [2.0, 0.0]]), [2, 0])
    assert reply == (START + 2, START, 20, START + 1, START + 1, 22, END)


def test_no_nucleus_is_the_end_token_alone():
    assert plain().encode(np.empty((0, 2))) == (END,)
    parsed = plain().parse([END])
    assert len(parsed) == 0
    assert parsed.failure is None


@given(points, st.data())
def test_parsing_inverts_encoding(points_xy: np.ndarray, data: st.DataObject):
    for codec in (plain(), with_categories()):
        categories = None
        if codec.has_categories:
            n = len(points_xy)
            categories = data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
        reply = codec.encode(points_xy, categories)
        parsed = codec.parse(reply)
        assert parsed.failure is None
        bins_xy = codec.to_bins(points_xy)
        expected = sorted(
            (int(y), int(x), -1 if categories is None else categories[i])
            for i, (x, y) in enumerate(bins_xy)
        )
        got = [
            (int(y), int(x), int(c))
            for (x, y), c in zip(parsed.bins_xy, parsed.category_indices, strict=True)
        ]
        assert sorted(got) == expected
        assert [g[:2] for g in got] == sorted(g[:2] for g in got)


@given(st.lists(st.sampled_from([START, START + 5, COMMA, END, 20, 99]), max_size=12))
def test_grammar_and_parser_agree_on_every_sequence(reply: list[int]):
    for codec in (plain(), with_categories()):
        first_illegal = next(
            (i for i, t in enumerate(reply) if t not in codec.allowed_at(i).tolist()), None
        )
        end = next((i for i, t in enumerate(reply) if t == END), None)
        parsed = codec.parse(reply)
        if first_illegal is not None and (end is None or first_illegal <= end):
            assert parsed.failure is not None
            assert parsed.failure.position == first_illegal
        elif end is None:
            assert parsed.failure is not None
            assert parsed.failure.reason == "no end"
        elif end + 1 < len(reply):
            assert parsed.failure is not None
            assert parsed.failure.reason == "token after end"
        else:
            assert parsed.failure is None


def test_spans_cover_the_tokens_of_a_point_and_what_follows_it():
    parsed = plain().parse([START, START, COMMA, START + 1, START + 1, END])
    assert parsed.spans == ((0, 3), (3, 5))
    parsed = with_categories().parse([START, START, 21, START + 1, START + 1, 20, END])
    assert parsed.spans == ((0, 3), (3, 6))
    assert parsed.category_indices.tolist() == [1, 0]


def test_a_truncated_reply_keeps_the_points_before_the_cut():
    parsed = plain().parse([START + 3, START + 4, COMMA, START + 9])
    assert parsed.bins_xy.tolist() == [[3, 4]]
    assert parsed.failure is not None
    assert (parsed.failure.reason, parsed.failure.position) == ("no end", 4)


def test_a_comma_must_be_followed_by_a_point():
    parsed = plain().parse([START, START, COMMA, END])
    assert parsed.failure is not None
    assert (parsed.failure.position, parsed.failure.token_id) == (3, END)


def test_categories_missing_or_unknown_are_refused():
    point = np.array([[1.0, 1.0]])
    with pytest.raises(InputError, match="need 1 categories; got none"):
        with_categories().encode(point)
    with pytest.raises(InputError, match="Lymphocyte, Tumour, Stromal"):
        with_categories().encode(point, [3])
    with pytest.raises(InputError, match="has none"):
        plain().encode(point, [0])


def test_an_unknown_category_is_a_comma_that_no_reply_may_have():
    codec = with_categories()
    reply = codec.encode(np.array([[5.0, 1.0], [2.0, 1.0]]), [UNKNOWN_CATEGORY, 1])
    assert reply == (START + 2, START + 1, CATEGORY_IDS[1], START + 5, START + 1, COMMA, END)
    failure = codec.parse(reply).failure
    assert failure is not None
    assert (failure.position, failure.token_id) == (5, COMMA)


def test_json_round_trip():
    codec = Codec(64, 96, START, COMMA, END, (1, 2, 3), CATEGORY_IDS, NAMES)
    assert Codec.from_json(codec.to_json()) == codec


def test_a_foreign_version_is_refused_by_name():
    data = plain().to_json() | {"version": 99}
    with pytest.raises(CheckpointError, match=r"codec version 99.*reads version 1"):
        Codec.from_json(data)


@pytest.mark.parametrize("missing", ["bins", "end_id", "category_names"])
def test_a_missing_field_is_refused(missing: str):
    data = plain().to_json()
    del data[missing]
    with pytest.raises(CheckpointError, match=missing):
        Codec.from_json(data)


def test_ids_may_not_be_shared():
    with pytest.raises(CheckpointError, match="share an id"):
        Codec(64, 64, START, START + 3, END)
    with pytest.raises(CheckpointError, match="share an id"):
        Codec(64, 64, START, COMMA, COMMA)


@pytest.mark.parametrize(("ids", "names"), [((7,), ()), ((), ("Tumour",)), ((7, 8), ("Tumour",))])
def test_a_category_has_one_token_and_one_name(ids: tuple[int, ...], names: tuple[str, ...]):
    with pytest.raises(CheckpointError, match="one name each"):
        Codec(4, 8, 10, 1, 2, category_ids=ids, category_names=names)


def test_what_follows_the_end_is_named_with_its_place():
    parsed = Codec(4, 8, 10, 1, 2).parse([10, 11, 2, 13, 1])
    assert parsed.failure == ParseFailure("token after end", 3, 13)
    assert parsed.bins_xy.tolist() == [[0, 1]]


def test_a_reply_cut_off_after_y_covers_both_tokens_of_its_point():
    parsed = Codec(4, 8, 10, 1, 2).parse([10, 11, 1, 12, 13])
    assert parsed.spans == ((0, 3), (3, 5))
    assert parsed.failure == ParseFailure("no end", 5)
