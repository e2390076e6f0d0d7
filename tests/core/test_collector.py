from __future__ import annotations

import gc
import weakref

import pytest

from napari_nunext.core.process.collector import collector_at_rest


def test_the_collector_is_at_work_again_whatever_happens() -> None:
    assert gc.isenabled()
    with collector_at_rest():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), collector_at_rest():
        _ = 1 / 0
    assert gc.isenabled()


def test_one_that_rested_before_rests_on() -> None:
    gc.disable()
    try:
        with collector_at_rest():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_made_meanwhile_is_old_and_still_garbage_once_nobody_needs_it() -> None:
    gc.collect()
    with collector_at_rest():
        ring: list[object] = []
        ring.append(ring)
        kept = Kept(ring)
        known = weakref.ref(kept)
    assert any(each is kept for each in gc.get_objects(generation=2))
    ring.append(kept)
    del ring, kept
    gc.collect()
    assert known() is None


class Kept:
    """Something that holds a ring."""

    def __init__(self, ring: list[object]) -> None:
        self.ring = ring
