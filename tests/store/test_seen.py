"""The digest of what was seen: a sum of the nuclei's own, and projects with the one of before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import Project, events
from napari_nunext.store.state.reviewed import ReviewedNucleus
from napari_nunext.store.state.seen import Seen
from tests.store.conftest import IMAGE, WHOLE

BEFORE = Path(__file__).with_name("accepted_before.sql")
"""A project of the version whose acceptances kept one hash of all that was seen."""
REVIEWED, OTHER = "5a" * 32, "6b" * 32
"""Its images: two accepted halves with edits since, and one accepted beside what stood there."""
DISC = Mask.from_array(np.hypot(*np.mgrid[-4:5, -4:5]) <= 4, 10, 12)
ONE = Nucleus(UUID(int=1), 14.0, 16.0, "A", 0.5, DISC)
TWO = Nucleus(UUID(int=2), 40.0, 20.0, "B")


def seen(*nuclei: Nucleus | ReviewedNucleus) -> Seen:
    reviewed = [n if isinstance(n, ReviewedNucleus) else ReviewedNucleus(n) for n in nuclei]
    return Seen.of(reviewed, WHOLE)


def test_the_order_of_the_nuclei_does_not_matter():
    assert seen(ONE, TWO) == seen(TWO, ONE)


@pytest.mark.parametrize(
    "change",
    [
        {"uid": UUID(int=3)},
        {"x_px": 14.000001},
        {"y_px": 16.000001},
        {"x_px": 16.0, "y_px": 14.0},
        {"category": "a"},
        {"category": ""},
        {"mask": None},
        {"mask": DISC.moved(1, 0)},
        {"mask": DISC.moved(0, 1)},
        {"mask": Mask(10, 12, 1, 2, (1, 1))},
    ],
)
def test_each_thing_that_is_seen_of_a_nucleus_counts(change):
    assert seen(replace(ONE, **change), TWO) != seen(ONE, TWO)


def test_what_the_model_was_sure_of_is_not_seen():
    assert seen(replace(ONE, confidence=0.9)) == seen(ONE)


def test_zero_and_minus_zero_are_one_place():
    assert seen(replace(ONE, x_px=-0.0)) == seen(replace(ONE, x_px=0.0))


def test_a_rejected_nucleus_is_none():
    assert seen(ReviewedNucleus(ONE, status="rejected"), TWO) == seen(TWO)


def test_two_alike_do_not_cancel_out():
    assert len({seen(), seen(ONE), seen(ONE, ONE), seen(TWO), seen(TWO, TWO)}) == 5


def test_a_thousand_fields_have_a_thousand_sums():
    nuclei = [replace(TWO, uid=UUID(int=i), x_px=i % 30, y_px=i // 30) for i in range(30)]
    rng = np.random.default_rng(1)
    chosen = {tuple(np.flatnonzero(rng.random(30) < 0.5).tolist()) for _ in range(1000)}
    assert len({seen(*(nuclei[i] for i in rows)) for rows in chosen}) == len(chosen)


def test_what_goes_and_comes_is_what_stands_at_last():
    before = [ReviewedNucleus(n) for n in (ONE, TWO)]
    moved = ReviewedNucleus(replace(TWO, x_px=41.0))
    assert seen(ONE, TWO).replaced(WHOLE, before[1:], [moved]) == seen(ONE, moved)
    assert seen(ONE, TWO).replaced(WHOLE, before, []) == Seen()


@pytest.fixture
def old_project(tmp_path):
    path = tmp_path / "before.nunext"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(BEFORE.read_text(encoding="utf-8"))
    with Project.open(path, annotator="jd") as project:
        project.verify()
        yield project


def test_what_was_accepted_with_the_digest_of_before_stays_so(old_project):
    state = old_project.state(REVIEWED)
    assert state.complete == (Box(0, 0, 50, 80), Box(50, 0, 100, 80))
    assert not state.changed
    assert len(state.nuclei) == 5


def test_what_differed_from_the_digest_of_before_is_still_changed(old_project):
    assert old_project.state(OTHER).changed == (WHOLE,)


def test_the_digest_of_before_is_checked_and_not_believed(old_project):
    state = old_project.state(REVIEWED)
    (first, _) = (e for e in state.events if e.kind == "complete_region")
    wrong = {"count": 3, "sha256": first.payload["seen"]["sha256"][::-1]}
    for said, differs in ((first.payload["seen"], False), (wrong, True)):
        again = events.complete_region(REVIEWED, first.region, said)
        kept = [e for e in state.events if e.seq < first.seq]
        (acceptance,) = type(state).fold(state.runs.values(), [*kept, again]).acceptances
        assert acceptance.changed == differs


def test_an_old_project_is_accepted_anew_with_the_digest_of_now(old_project):
    region = Box(50, 0, 100, 80)
    said = old_project.state(REVIEWED).seen_in(region)
    assert said["version"] == 2
    old_project.append([events.complete_region(REVIEWED, region, said)])
    assert old_project.state(REVIEWED).complete == (Box(0, 0, 50, 80), region)


@pytest.mark.parametrize(
    "said",
    [
        {"version": 3, "count": 1, "sum": "0"},
        {"version": 2, "count": 1, "sha256": "0"},
        {"version": 2, "count": 1},
        {"count": 1, "sum": "0"},
        {"version": 2, "count": "1", "sum": "0"},
        {"version": 2, "count": 1, "sum": 0},
    ],
)
def test_a_digest_of_no_known_version_is_no_event(said):
    with pytest.raises(InputError, match="seen"):
        events.complete_region(IMAGE, WHOLE, said)
