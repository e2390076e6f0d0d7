from __future__ import annotations

from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.uids import (
    UidIndex,
    as_uids,
    as_uuids,
    place_in_window,
    uid_in_window,
    uids_in_windows,
    windows_of,
)

windows = st.dictionaries(
    st.integers(0, 9) | st.integers(0, 2**32 - 1), st.integers(0, 5), max_size=6
)


@given(run=st.uuids().map(str) | st.text(), counts=windows)
def test_a_uid_follows_from_run_window_and_place_and_leads_back(run, counts):
    made = as_uuids(uids_in_windows(run, list(counts), list(counts.values())))
    places = [(window, place) for window, count in counts.items() for place in range(count)]
    assert made == [uid_in_window(run, *at) for at in places]
    assert [place_in_window(run, uid) for uid in made] == places
    strange = as_uids([uuid4(), *made, uid_in_window(run + "x", 0, 0)])
    assert windows_of(run, strange).tolist() == [-1, *(window for window, _ in places), -1]
    assert len(set(made)) == len(made)
    assert all((uid.version, uid.variant) == (8, RFC_4122) for uid in made)
    assert all(place_in_window(run + "x", uid) is None for uid in made)


def test_the_last_place_of_the_last_window_has_a_uid_too():
    uid = uid_in_window("run", 2**32 - 1, 2**30 - 1)
    assert place_in_window("run", uid) == (2**32 - 1, 2**30 - 1)
    assert (uid.version, uid.variant) == (8, RFC_4122)
    assert place_in_window("run", UUID(int=uid.int ^ 3 << 62)) is None


def test_uids_of_other_runs_and_random_ones_are_none_of_a_run():
    runs = [str(uuid4()) for _ in range(200)]
    assert len({uid_in_window(run, 0, 0) for run in runs}) == 200
    assert all(place_in_window(run, uuid4()) is None for run in runs)


@pytest.mark.parametrize(("window", "count"), [(-1, 1), (2**32, 1), (0, 2**30 + 1)])
def test_what_a_uid_has_no_room_for_is_refused(window, count):
    with pytest.raises(InputError, match="A window's number"):
        uids_in_windows("run", [window], [count])


@given(st.lists(st.integers(0, 5).map(lambda i: UUID(int=i << 8 * i)), max_size=8))
def test_an_index_knows_twins_and_finds_the_first(uids):
    index = UidIndex(as_uids(uids))
    assert index.has_twins == (len(set(uids)) < len(uids))
    assert index.rows_of(as_uids(uids)).tolist() == [uids.index(uid) for uid in uids]
