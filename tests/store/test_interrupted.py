"""A run that was broken off: what is kept of it, and how it goes on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.errors import StoreError
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.uids import as_uuids, uid_in_window
from napari_nunext.store import Project, RunFound, RunWindow, events
from tests.store.conftest import IMAGE, entry, run_info


def seen(run_id, window, *places_xy):
    return [
        Nucleus(uid_in_window(run_id, window, place), x, y, "Nucleus", 0.5)
        for place, (x, y) in enumerate(places_xy)
    ]


def window(number, nuclei, finish="end"):
    return RunWindow(number, Predictions.of(nuclei), finish)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "p.nunext"


def begun(path):
    project = Project.open(path, annotator="jd")
    project.add_image(entry())
    return project, project.start_run(IMAGE, run_info())


def test_what_a_run_found_is_recorded_at_once_and_the_last_word_on_each_nucleus_counts(path):
    project, run_id = begun(path)
    one, two, three = seen(run_id, 4, (1, 2), (3, 4), (5, 6))
    square = Mask.from_array(np.ones((2, 2), dtype=bool), 1, 1)
    found = [
        RunFound([window(4, [one, two, three], "limit")], hidden=[one.uid, two.uid]),
        RunFound([window(0, [])], back=[two.uid], masks={three.uid: square}),
        RunFound(hidden=[two.uid, three.uid]),
        RunFound(back=[three.uid]),
    ]
    for part in found:
        project.add_found(run_id, part)
    (run,) = project.predictions(IMAGE)
    assert [n.uid for n in run.nuclei] == [one.uid, two.uid, three.uid]
    assert run.nuclei[2].mask == square
    assert run.hidden == {one.uid, two.uid}
    assert project.windows_done(run_id) == {0: "end", 4: "limit"}
    with pytest.raises(StoreError, match="window is recorded once"):
        project.add_found(run_id, RunFound([window(7, []), window(4, [])], hidden=[three.uid]))
    assert project.predictions(IMAGE)[0].hidden == run.hidden, "all of it or nothing"
    assert 7 not in project.windows_done(run_id)
    project.close()


@pytest.mark.parametrize("how", ["paused", "killed"])
def test_a_run_goes_on_without_what_unfinished_windows_had_found(path, how):
    project, run_id = begun(path)
    (one,), (part,) = seen(run_id, 0, (1, 2)), seen(run_id, 1, (3, 4))
    project.add_found(run_id, RunFound([window(0, [one])]))
    project.add_predictions(run_id, [part])
    with pytest.raises(StoreError, match="can no longer go on"):
        project.go_on_with_run(run_id)
    if how == "paused":
        project.finish_run(run_id, "interrupted")
    else:
        project.close()
        project = Project.open(path, annotator="jd")
    (run,) = project.predictions(IMAGE)
    assert run.status == "interrupted"
    assert [n.uid for n in run.nuclei] == [one.uid, part.uid]
    project.go_on_with_run(run_id)
    (run,) = project.predictions(IMAGE)
    assert (run.status, [n.uid for n in run.nuclei]) == ("running", [one.uid])
    project.add_found(run_id, RunFound([window(1, [part])], hidden=[part.uid]))
    project.finish_run(run_id, "complete")
    (run,) = project.predictions(IMAGE)
    assert (run.status, run.hidden) == ("complete", {part.uid})
    assert [n.uid for n in run.nuclei] == [one.uid, part.uid]
    project.close()


def test_what_was_said_of_half_a_window_keeps_its_nucleus(path):
    project, run_id = begun(path)
    named, lost, masked, whole = (
        seen(run_id, window, (1, 2), (3, 4))[place]
        for window, place in ((1, 1), (1, 0), (2, 0), (3, 0))
    )
    square = Mask.from_array(np.ones((2, 2), dtype=bool), 1, 1)
    project.keep_unfinished(run_id, [named, lost, masked, whole])
    project.add_found(run_id, RunFound(masks={masked.uid: square}))
    project.add_found(run_id, RunFound([window(3, [whole])]))
    project.append([events.delete(IMAGE, named.uid), events.flag_nucleus(IMAGE, masked.uid, True)])
    project.finish_run(run_id, "interrupted")
    project.keep_unfinished(run_id, [named])  # said late: it has all that there was
    kept = project.go_on_with_run(run_id)
    assert set(as_uuids(kept)) == {named.uid, masked.uid}
    (run,) = project.predictions(IMAGE)
    assert {n.uid: n.mask for n in run.nuclei} == {
        named.uid: None,
        masked.uid: square,
        whole.uid: None,
    }
    again = seen(run_id, 1, (5, 5), (6, 6), (7, 7))[2:]
    project.add_found(run_id, RunFound([window(1, again), window(2, [])]))
    project.finish_run(run_id, "interrupted")
    project.go_on_with_run(run_id)
    (run,) = project.predictions(IMAGE)
    assert {n.uid for n in run.nuclei} == {named.uid, masked.uid, whole.uid, again[0].uid}
    project.close()


def test_a_run_that_was_broken_off_can_be_given_up_and_no_other(path):
    project, run_id = begun(path)
    project.finish_run(run_id, "interrupted")
    project.finish_run(run_id, "cancelled")
    assert project.predictions(IMAGE)[0].status == "cancelled"
    for ended in ("complete", "cancelled", "interrupted"):
        with pytest.raises(StoreError, match="is cancelled"):
            project.finish_run(run_id, ended)
    with pytest.raises(StoreError, match="is cancelled"):
        project.go_on_with_run(run_id)
    with pytest.raises(StoreError, match="no run nowhere"):
        project.go_on_with_run("nowhere")
    project.close()
