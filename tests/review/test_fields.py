from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.naming import only_in_decoding
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.review.fields import (
    harvest,
    patient_of,
    queue_items,
    status_in,
    status_of,
)
from napari_nunext.store import FieldState, Project, events
from napari_nunext.store.exports.regions import CompleteRegion, complete_regions
from napari_nunext.store.exports.training import export_training
from napari_nunext.store.state.acceptance import truth_in
from tests.images.slides.marked import drawing
from tests.images.slides.test_tiff_slides import write_pyramid
from tests.store.answering import AskingLab
from tests.store.conftest import WHOLE, entry, predicted, run_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.store import RunInfo


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("TCGA-A7-A0D9-01Z-00-DX2_18001.png", "TCGA-A7-A0D9"),
        ("crop of TCGA-E2-A1B5.tif", "TCGA-E2-A1B5"),
        ("slide 7.png", None),
    ],
)
def test_the_patient_is_read_from_a_tcga_barcode(name: str, patient: str | None) -> None:
    assert patient_of(name) == patient


def test_an_image_that_is_larger_than_the_memory_is_not_shown_and_the_review_goes_on(
    controller: ReviewController,
    tile_path: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_nunext.review.fields.MAX_PIXELS", 100)
    controller.open.paths([tile_path("a.png")])
    assert controller.images.model.open_field is None
    assert "a.png is" in controller.session.model.notice.words
    assert "the window shows up to" in controller.session.model.notice.words


def test_a_slide_of_any_size_is_opened(
    controller: ReviewController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pyramid(tmp_path / "a.tif", drawing(500, 400), factors=(2,))
    monkeypatch.setattr("napari_nunext.review.fields.MAX_PIXELS", 100)
    controller.open.paths([path])
    assert controller.images.model.open_field is not None


def test_a_later_session_sees_which_images_are_done(
    controller: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    paths = [tile_path("a.png"), tile_path("b.png"), tile_path("c.png")]
    controller.open.paths(paths)
    controller.correct.add(10, 10)
    controller.decide.accept()
    controller.correct.flag()
    statuses = [item.status for item in queue_items(controller.session.project, paths)]
    assert statuses == ["done", "flagged", "waiting"]


def test_the_harvest_counts_corrections_and_only_accepted_nuclei(
    controller: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    controller.open.paths([tile_path("TCGA-A1-A0SP.png"), tile_path("TCGA-A2-A0SQ.png")])
    gone = controller.correct.add(10, 10)
    controller.correct.add(20, 20)
    controller.correct.delete([gone])
    controller.decide.accept()
    controller.correct.add(5, 5)
    counted = harvest(controller.session.project)
    assert (counted.corrections, counted.fields, counted.nuclei) == (1, 1, 1)
    assert [check.passed for check in counted.checks] == [True, True, False]
    assert counted.ready
    controller.decide.accept()
    assert all(check.passed for check in harvest(controller.session.project).checks)


@pytest.mark.parametrize(
    ("flagged", "accepted", "searched_again", "status"),
    [
        (False, False, False, "open"),
        (False, True, False, "done"),
        (False, True, True, "changed"),
        (True, False, False, "flagged"),
        (True, True, False, "flagged"),
        (True, True, True, "flagged"),
    ],
)
def test_a_field_is_done_exactly_when_it_is_exported_as_truth(
    tmp_path: Path, *, flagged: bool, accepted: bool, searched_again: bool, status: str
) -> None:
    with Project.open(tmp_path / "p.nunext", annotator="ab") as project:
        sha256 = project.add_image(entry()).sha256
        if accepted:
            project.append(
                [events.complete_region(sha256, WHOLE, FieldState.fold().seen_in(WHOLE))]
            )
        if searched_again:
            run = project.start_run(sha256, run_info())
            project.append([events.use_run(sha256, run, WHOLE)])
        project.append([events.flag_field(sha256, flagged)])
        assert status_of(project.state(sha256)) == status
        assert harvest(project).fields == (status == "done")


@pytest.mark.parametrize("seed", range(24))
def test_what_is_counted_is_what_is_exported(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    tiles = {}
    with Project.open(tmp_path / "p.nunext", annotator="ab") as project:
        for number in range(3):
            rgb = rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)
            sha256 = pixels_sha256(rgb)
            tiles[sha256] = tile_of_rgb(rgb, "tile")
            project.add_image(entry(sha256, patient=f"patient {number % 2}"))
            review_at_random(project, sha256, rng)
        statuses = {e.sha256: status_of(project.state(e.sha256)) for e in project.images()}
        assert {sha256: status_in(project, sha256) for sha256 in tiles} == statuses
        for region in complete_regions(project):
            assert region.count == len(region.nuclei)
            assert region.corrections == corrections_one_by_one(region)
        counted = harvest(project)
        if not counted.fields:
            with pytest.raises(RecordError, match="No region is complete"):
                export_training(
                    project,
                    tmp_path / "out",
                    images=lambda e: tiles[e.sha256],
                )
            return
        manifest = export_training(project, tmp_path / "out", images=lambda e: tiles[e.sha256])
    exported = tuple(manifest.counts[what] for what in ("corrections", "images", "nuclei"))
    assert (counted.corrections, counted.fields, counted.nuclei) == exported


def corrections_one_by_one(region: CompleteRegion) -> int:
    """In how many points the list of the region is another than what was said of such nuclei."""
    asked = region.asked
    called = {base.run_id: base.called for base in region.state.bases}
    said = {
        n.uid: n
        for run in region.state.runs.values()
        for n in run.nuclei
        if not asked or called.get(run.run_id, str)(n.category) in asked
    }
    gone = [xy for uid, xy in region.state.deleted.items() if uid in said]
    rejected = [n for n in region.state.nuclei.values() if n.status == "rejected"]
    gone += [n.predicted_xy for n in rejected if n.predicted_xy is not None and n.uid in said]
    listed = {n.uid: n for n in region.nuclei}
    changed = [n for n in listed.values() if replace(n, confidence=None) != as_said(n, said)]
    here = truth_in(region.state.nuclei.values(), region.crop)
    changed += [said[n.uid] for n in here if n.uid in said and n.uid not in listed]
    return len(changed) + int(region.crop.contains(np.array(gone).reshape(-1, 2)).sum())


def as_said(n: Nucleus, said: dict[UUID, Nucleus]) -> Nucleus | None:
    return replace(said[n.uid], confidence=None) if n.uid in said else None


def searched_for(only: tuple[str, ...], region: Box) -> RunInfo:
    info = run_info(region, decoding=only_in_decoding(only, asked=True))
    categories = default_categories(["Nucleus", "A", "B"])
    return replace(
        info, model=replace(info.model, categories=categories, prompt="Point to nucleus.")
    )


def review_at_random(project: Project, sha256: str, rng: np.random.Generator) -> None:
    """Search, correct, accept, flag, undo, in any order."""
    for step in rng.choice(
        ["find", "edit", "edit", "edit", "accept", "flag", "undo", "name"], size=16
    ):
        state = project.state(sha256)
        x0, y0 = rng.integers(0, 60, 2).tolist()
        region = WHOLE if rng.random() < 0.5 else Box(x0, y0, x0 + 35.5, y0 + 20)
        uids = list(state.nuclei)
        x, y = rng.uniform(0, 80, 2).tolist()
        match step:
            case "find":
                only = ("A",) if rng.random() < 0.4 else ()
                run = project.start_run(sha256, searched_for(only, region))
                names = only or ("Nucleus", "A")
                places = rng.uniform(0, 80, (5, 2)).tolist()
                found = [predicted(*xy, str(rng.choice(names))) for xy in places]
                project.add_predictions(run, found)
                project.finish_run(run, "complete")
                project.append([events.use_run(sha256, run, region)])
            case "name":
                one, other = rng.permutation(["Nucleus", "A", "B"])[:2].tolist()
                project.append([events.rename_category(one, other)])
            case "edit" if uids:
                uid = uids[rng.integers(len(uids))]
                choices = [
                    events.add(sha256, x, y, "A"),
                    events.move(sha256, uid, x, y),
                    events.delete(sha256, uid),
                    events.relabel(sha256, uid, "B"),
                    events.reject(sha256, uid),
                    events.accept(sha256, uid),
                ]
                project.append([choices[rng.integers(len(choices))]])
            case "accept":
                project.append([events.complete_region(sha256, region, state.seen_in(region))])
            case "flag":
                project.append([events.flag_field(sha256, bool(rng.random() < 0.3))])
            case "undo" if state.can_undo("ab"):
                project.append([events.undo(sha256, state.next_undo("ab"))])


def test_only_what_differs_from_the_model_in_accepted_regions_is_a_correction(
    tmp_path: Path,
) -> None:
    with Project.open(tmp_path / "p.nunext", annotator="ab") as project:
        sha256 = project.add_image(entry()).sha256
        run = project.start_run(sha256, run_info())
        nuclei = [predicted(x, 10) for x in range(10, 90, 10)]
        project.add_predictions(run, nuclei)
        project.finish_run(run, "complete")
        left = Box(0, 0, 65, 80)
        moved, relabelled, deleted, rejected, looked_at, _, outside, gone_outside = nuclei
        project.append(
            [
                events.use_run(sha256, run, WHOLE),
                events.move(sha256, moved.uid, 11, 11),
                events.relabel(sha256, relabelled.uid, "A"),
                events.delete(sha256, deleted.uid),
                events.reject(sha256, rejected.uid),
                events.accept(sha256, looked_at.uid),
                events.comment(sha256, "mitosis?", looked_at.uid),
                placed := events.add(sha256, 5, 5, "A"),
                mistake := events.add(sha256, 6, 6, "A"),
                events.delete(sha256, mistake.uid),
                events.relabel(sha256, outside.uid, "A"),
                events.delete(sha256, gone_outside.uid),
            ]
        )
        assert harvest(project).corrections == 0
        state = project.state(sha256)
        project.append([events.complete_region(sha256, left, state.seen_in(left))])
        assert placed.uid in state.nuclei
        assert harvest(project).corrections == 5


def test_the_status_of_what_nobody_vouches_for_is_told_without_what_models_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project.open(tmp_path / "p.nunext", annotator="ab") as project:
        known = {"plain": "5a" * 32, "flagged": "6b" * 32, "done": "7c" * 32}
        for sha256 in known.values():
            project.add_image(entry(sha256, path=f"/{sha256}.png"))
            run = project.start_run(sha256, run_info(WHOLE))
            project.add_predictions(run, [predicted(5, 5)])
            project.append([events.use_run(sha256, run, WHOLE)])
            project.append([events.complete_region(sha256, WHOLE)])
        project.append([events.reopen_region(known["plain"], WHOLE)])
        project.append([events.flag_field(known["flagged"])])
        read: list[str] = []
        state = Project.state

        def watched(self: Project, sha256: str, *more: Any, no_runs: bool = False) -> Any:
            read.extend([] if no_runs else [sha256])
            return state(self, sha256, *more, no_runs=no_runs)

        monkeypatch.setattr(Project, "state", watched)
        statuses = [status_in(project, sha256) for sha256 in known.values()]
        assert statuses == ["open", "flagged", "done"]
        assert [region.entry.sha256 for region in complete_regions(project)] == [known["done"]]
        assert set(read) == {known["done"]}


def test_the_harvest_counts_judged_answers_and_those_that_may_not_be_learned_from(
    tmp_path: Path,
) -> None:
    with Project.open(tmp_path / "a.nunext", annotator="jd") as project:
        lab = AskingLab(project)
        sha = lab.add_image()
        assert not harvest(project).can_leave
        lab.ask(sha, "<think>a</think><answer>yes</answer>")  # nobody judged it
        rated = [lab.ask(sha, "yes", may_train=may) for may in (True, False)]
        for answer_id in rated:
            lab.rate(sha, answer_id, 4)
        counted = harvest(project)
    assert (counted.answers, counted.restricted_answers) == (1, 1)
    assert counted.can_leave
    assert not counted.ready
