from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.process.bounded import BoundedCache


def cache(capacity_bytes: int) -> BoundedCache[str, bytes]:
    return BoundedCache(capacity_bytes, len)


def test_what_was_used_longest_ago_makes_room() -> None:
    kept = cache(6)
    for key in "abc":
        kept.put(key, b"xx")
    assert kept.get("a") == b"xx"  # used: now b is the oldest
    kept.put("d", b"xx")
    assert [kept.get(key) for key in "abcd"] == [b"xx", None, b"xx", b"xx"]
    assert (len(kept), kept.size_bytes) == (3, 6)


def test_a_large_value_drives_out_as_many_as_it_needs() -> None:
    kept = cache(6)
    for key in "abc":
        kept.put(key, b"xx")
    kept.put("d", b"xxx")
    assert [kept.get(key) for key in "abcd"] == [None, None, b"xx", b"xxx"]


def test_a_value_larger_than_the_cache_drives_nothing_out() -> None:
    kept = cache(4)
    kept.put("a", b"xx")
    kept.put("b", b"xxxxx")
    assert kept.get("a") == b"xx"
    assert kept.get("b") is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=40))
def test_what_it_says_it_holds_is_what_it_holds(puts: list[tuple[str, int]]) -> None:
    kept = cache(12)
    latest = {}
    for key, size in puts:
        kept.put(key, bytes(size))
        latest[key] = size
    held = {key: kept.get(key) for key in "abcdef"}
    assert kept.size_bytes == sum(len(value) for value in held.values() if value is not None) <= 12
    assert all(len(value) == latest[key] for key, value in held.items() if value is not None)
