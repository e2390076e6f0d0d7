"""Predictions a window a row: what a run said, in which windows, and what that costs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.uids import place_in_window, uid_in_window
from napari_nunext.store import Project, RunFound, RunWindow, events
from napari_nunext.store.tables import windows as tables_of_windows
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info, ticking

DOT = Mask(3, 4, 1, 1, (0, 1))
names = st.sampled_from(["Nucleus", "Tumour", "Stroma", "Ä, ?"])
places = st.tuples(st.floats(-9, 99), st.floats(-9, 99), names, st.none() | st.floats(0, 1))
numbers = st.integers(0, 4) | st.integers(0, 2**32 - 1)


def found(run, number, *said, masks=()):
    """A window in which a run found nuclei, those at `masks` outlined."""
    return RunWindow(
        number,
        Predictions.of(
            Nucleus(uid_in_window(run, number, i), *at, mask=DOT if i in masks else None)
            for i, at in enumerate(said)
        ),
    )


@pytest.fixture
def run(project):
    return project.start_run(IMAGE, run_info())


def said(project):
    return list(project.predictions(IMAGE)[0].nuclei)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=25)
@given(groups=st.lists(st.dictionaries(numbers, st.lists(places, max_size=4), max_size=3)))
def test_what_was_found_is_read_as_it_was_said(tmp_path_factory, groups):
    path = tmp_path_factory.mktemp("p") / "p.nunext"
    placed, unplaced, done = {}, [], {}
    with Project.open(path, annotator="jd", clock=ticking()) as project:
        project.add_image(entry())
        other = project.start_run(IMAGE, run_info())
        run = project.start_run(IMAGE, run_info())
        for group in groups:
            windows = [found(run, n, *nuclei) for n, nuclei in group.items() if n not in done]
            project.add_found(run, RunFound(windows))
            outside = predicted(1, 2, "Tumour")
            project.add_predictions(run, [outside])
            placed |= {window.number: list(window.nuclei) for window in windows}
            unplaced.append(outside)
            done |= {window.number: "end" for window in windows}
    with Project.open(path, annotator="jd", mode="r") as project:
        before, read = project.predictions(IMAGE)
        assert before.nuclei == ()
        # Window by window, in whatever order they were searched; what is of none comes last.
        want = [nucleus for _, nuclei in sorted(placed.items()) for nucleus in nuclei]
        assert read.nuclei == want + unplaced
        assert project.windows_done(run) == done
        assert list(project.windows_done(run)) == sorted(done)
        assert project.windows_done(other) == {}


def test_a_window_without_nuclei_is_done_all_the_same(project, run):
    assert project.windows_done(run) == {}
    project.add_found(
        run, RunFound([found(run, 7), replace(found(run, 3, (1, 1)), finish="limit")])
    )
    project.add_found(run, RunFound([]))
    assert project.windows_done(run) == {3: "limit", 7: "end"}
    assert len(said(project)) == 1
    with pytest.raises(StoreError, match="no run"):
        project.windows_done(str(uuid4()))


def test_an_event_leads_to_the_window_of_its_nucleus(project, run):
    project.append([events.use_run(IMAGE, run, WHOLE)])
    project.add_found(run, RunFound([found(run, 2, (1, 1), (5, 5)), found(run, 9, (50, 50))]))
    third = said(project)[2]
    project.append([events.reject(IMAGE, third.uid)])
    assert place_in_window(run, project.journal(IMAGE)[-1].uid) == (9, 0)
    assert project.state(IMAGE).nuclei[third.uid].status == "rejected"


def test_a_window_is_recorded_once_and_a_group_whole_or_not_at_all(project, run):
    project.add_found(run, RunFound([found(run, 1, (1, 1))]))
    for group in ([found(run, 2), found(run, 1)], [found(run, 4), found(run, 4)]):
        with pytest.raises(StoreError, match="is recorded once"):
            project.add_found(run, RunFound(group))
    bad = found(run, 3, (1, 1), (float("inf"), 1))
    with pytest.raises(InputError, match="finite pixels"):
        project.add_found(run, RunFound([found(run, 2), bad]))
    assert project.windows_done(run) == {1: "end"}
    project.finish_run(run, "complete")
    with pytest.raises(StoreError, match="is complete"):
        project.add_found(run, RunFound([found(run, 2)]))


def test_nuclei_of_a_window_have_the_uids_of_their_places(project, run):
    right = found(run, 1, (1, 1), (2, 2))
    others = {
        "of another window": replace(right, number=2),
        "of another run": found(str(uuid4()), 1, (1, 1)),
        "of their own": RunWindow(1, Predictions.of([predicted(1, 1)])),
    }
    for window in others.values():
        with pytest.raises(InputError, match="uids of another run or window"):
            project.add_found(run, RunFound([window]))
    assert project.windows_done(run) == {}
    project.add_found(run, RunFound([replace(right, nuclei=right.nuclei[::-1])]))
    assert said(project) == list(right.nuclei[::-1]), "in any order, with the uids kept"


def test_a_run_has_no_two_nuclei_of_one_uid(project, run):
    n = predicted(1, 1)
    project.add_predictions(run, [n])
    project.add_found(run, RunFound([found(run, 0, (9, 9))]))
    of_a_window = Nucleus(uid_in_window(run, 0, 5), 1, 1)
    for again in ([n], [predicted(2, 2), n], [predicted(3, 3)] * 2, [of_a_window]):
        with pytest.raises(StoreError, match="two nuclei of one uid"):
            project.add_predictions(run, again)
    part_of_a_window = Nucleus(uid_in_window(run, 1, 0), 1, 1)
    project.keep_unfinished(run, [part_of_a_window])
    project.keep_unfinished(run, [part_of_a_window, of_a_window])
    whole = found(run, 1, (1, 1), (4, 4))
    project.add_found(run, RunFound([whole]))
    assert said(project)[1:] == [whole.nuclei[1], n, part_of_a_window], "kept once"
    project.keep_unfinished(run, whole.nuclei)
    assert len(said(project)) == 4
    project.add_found(run, RunFound(masks={n.uid: DOT for n in whole.nuclei}))
    assert [each.mask for each in said(project)] == [None, DOT, None, DOT]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20
)
@given(data=st.data())
def test_masks_go_to_their_nuclei_once(project, monkeypatch, data):
    monkeypatch.setattr(tables_of_windows, "_ASKED", 2)  # values in a query
    monkeypatch.setattr(tables_of_windows, "BATCH", 3)  # nuclei in a row
    run = project.start_run(IMAGE, run_info())
    outside = [replace(predicted(i, i), mask=DOT if i == 4 else None) for i in range(5)]
    project.add_predictions(run, outside)
    windows = [found(run, i, *[(i, i)] * i, masks=[1]) for i in range(6)]
    project.add_found(run, RunFound(windows))
    everyone = [*outside, *(n for window in windows for n in window.nuclei)]
    want = {n.uid: n.mask for n in everyone}
    free = [uid for uid, mask in want.items() if mask is None]
    drawn = data.draw(st.permutations(free))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(free)), max_size=3)))
    for start, end in zip([0, *cuts], [*cuts, len(free) // 2 * 2 - 1], strict=True):
        masks = {uid: DOT.moved(i, start) for i, uid in enumerate(drawn[start:end])}
        project.add_found(run, RunFound(masks=masks))
        want |= masks
    assert {n.uid: n.mask for n in project.predictions(IMAGE)[-1].nuclei} == want
    has_one = [uid for uid, mask in want.items() if mask is not None]
    beyond = uid_in_window(run, 2, 2)
    strangers = [uuid4(), beyond, uid_in_window(run, 6, 0), uid_in_window(str(uuid4()), 1, 0)]
    wrong = dict.fromkeys([*strangers, *has_one], DOT)
    told = f"4 are of nuclei it did not predict and {len(has_one)} of nuclei that have one"
    with pytest.raises(StoreError, match=told):
        project.add_found(run, RunFound(masks=wrong))


def test_what_was_hidden_before_its_window_is_done_is_hidden(project, run):
    project.append([events.use_run(IMAGE, run, WHOLE)])
    window = found(run, 1, (1, 1), (2, 2), (3, 3))
    first, second, third = (n.uid for n in window.nuclei)
    project.add_found(run, RunFound(hidden=[second]))
    project.add_found(run, RunFound([window]))
    project.add_found(run, RunFound(hidden=[third, second]))
    project.add_found(run, RunFound(hidden=[]))
    assert project.predictions(IMAGE)[0].hidden == {second, third}
    assert set(project.state(IMAGE).nuclei) == {first}


def test_many_categories_and_many_nuclei_of_a_file_are_kept(project, run):
    file = [predicted(i, -i, f"kind {i % 300}", i / 1000) for i in range(1000)]
    project.add_predictions(run, file)
    assert said(project) == file


def counted_steps(project):
    """How many steps SQLite's machine has taken, in tens, from now on."""
    counted = [0]

    def count():
        counted[0] += 1

    @event.listens_for(project.database.engine, "checkout")
    def watch(connection, *_):
        connection.set_progress_handler(count, 10)

    return counted


def test_a_window_costs_the_same_however_many_there_are(project, run):
    counted = counted_steps(project)

    def cost(number):
        before, window = counted[0], found(run, number, (1, 1), (2, 2))
        project.add_found(run, RunFound([window]))
        project.add_found(run, RunFound(masks={window.nuclei[0].uid: DOT}))
        project.add_found(run, RunFound(hidden=[window.nuclei[1].uid]))
        return counted[0] - before

    cost(0)
    few = cost(1)
    project.add_found(run, RunFound([found(run, n, (1, 1), masks=[0]) for n in range(2, 2000)]))
    assert 0 < cost(2000) < 2 * few


CHILD = """
import sys
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.uids import uid_in_window
from napari_nunext.store import Project, RunFound, RunWindow
path, run = sys.argv[1:]
project = Project.open(path, annotator="child")
image = project.images()[0].sha256
run = project.start_run(image, project.predictions(image)[0].info)
print(run, flush=True)
number = 0
while True:
    group = []
    for number in range(number, number + 3):
        nuclei = [Nucleus(uid_in_window(run, number, i), number, i) for i in range(number % 3)]
        group.append(RunWindow(number, Predictions.of(nuclei)))
    number += 1
    project.add_found(run, RunFound(group))
    print(number, flush=True)
"""


def test_after_kill_9_each_window_that_was_reported_is_there_once(project, run, path):
    project.close()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), run], stdout=subprocess.PIPE, text=True
    )
    theirs = child.stdout.readline().strip()
    for _ in range(20):
        child.stdout.readline()
    child.kill()
    rest, _ = child.communicate()
    reported = int(rest.splitlines()[-1]) if rest.strip() else 60
    with Project.open(path, annotator="jd") as again:
        done = again.windows_done(theirs)
        assert len(done) >= reported - 3
        assert len(done) % 3 == 0  # a group is there whole or not at all
        assert list(done) == list(range(len(done)))
        nuclei = again.predictions(IMAGE)[-1].nuclei
        assert len(nuclei) == sum(number % 3 for number in done)
        assert np.array_equal(nuclei.points_xy[:, 0], [n for n in done for _ in range(n % 3)])
