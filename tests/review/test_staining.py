"""A stain in the review: measured as it changes, counted, marked, taken back and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import rectangle
from napari_nunext.core.stains import measuring
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.optical_density import H_DAB
from napari_nunext.review.stained.tint import COLORS, NOT_COUNTED
from napari_nunext.store import Project, events
from napari_nunext.store.kinds.settings import cut_offs_in
from tests.review.fakes import Later, review_on, square

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController

AMOUNTS = (0.1, 0.3, 0.5, 0.8)


def section(folder: Path, name: str = "strips.png", amounts: tuple[float, ...] = AMOUNTS) -> Path:
    """Strips of 30 px, each of one density."""
    field = np.kron([amounts], np.ones((60, 30)))
    path = folder / name
    Image.fromarray(
        np.rint(255 * 10 ** -(field[..., np.newaxis] * H_DAB[1])).astype(np.uint8)
    ).save(path)
    return path


@pytest.fixture
def strips(controller: ReviewController, tmp_path: Path) -> ReviewController:
    """A section with a nucleus on each strip, and its stain looked at."""
    controller.open.paths([section(tmp_path)])
    for strip in range(4):
        controller.correct.add(15 + 30 * strip, 20)
    controller.stain.open(True)
    return controller


def names(controller: ReviewController) -> list[str]:
    state = controller.model.state
    assert state is not None
    return [n.nucleus.category for n in state.nuclei.values()]


def index(controller: ReviewController) -> tuple[int, int]:
    whole = controller.stain.model.figures[0].index
    return whole.positive, whole.nuclei


def test_nothing_is_measured_before_somebody_looks(controller, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(
        measuring, "dab_od", lambda rgb: read.append(rgb) or np.zeros(rgb.shape[:2])
    )
    controller.open.paths([section(tmp_path)])
    controller.correct.add(15, 20)
    assert not read
    assert controller.view.model.tint is None
    controller.stain.open(True)
    assert len(read) == 1
    controller.stain.open(False)
    controller.correct.add(45, 20)
    assert len(read) == 1
    assert controller.view.model.tint is None


def test_the_figures_follow_the_cut_offs(strips):
    stain = strips.stain
    assert stain.model.counted.od == pytest.approx(AMOUNTS, abs=0.01)
    assert index(strips) == (3, 4)
    whole = stain.model.figures[0]
    assert whole.index_interval == whole.index.interval
    assert whole.score.grades == (1, 1, 1, 1)
    stain.positive_from(0.4)
    assert index(strips) == (2, 4)
    stain.grade_from(0, 0.05)
    assert stain.model.figures[0].score.grades == (0, 2, 1, 1)
    stain.grade_from(0, 0.6)
    assert stain.model.cut_offs == CutOffs(0.4, (0.6, 0.61, 0.62)), "the others make room"
    stain.grade_from(2, 0.3)
    assert stain.model.cut_offs == CutOffs(0.4, (0.28, 0.29, 0.3))
    headings, whole = (line.split("\t") for line in stain.as_table().splitlines())
    row = dict(zip(headings, whole, strict=True))
    assert (row["region"], row["nuclei"], row["positive"]) == ("Image", "4", "2")
    assert (row["labelling_index"], row["positive_from_od"]) == ("0.5", "0.4")
    stain.suggest()
    assert stain.model.cut_offs.positive == round(stain.model.counted.suggested, 2)


def test_only_what_changed_is_measured_again(strips, monkeypatch):
    measured = []
    really = measuring.footprints

    def footprints(points_xy, masks, **how):
        measured.extend(np.asarray(points_xy).tolist())
        return really(points_xy, masks, **how)

    monkeypatch.setattr(measuring, "footprints", footprints)
    uids = list(strips.model.state.nuclei)
    strips.correct.relabel([uids[0]], "Other")
    assert measured == []
    strips.correct.move({uids[0]: (105.0, 20.0)})
    assert measured == [[105.0, 20.0]]
    assert strips.stain.model.counted.od == pytest.approx([0.8, 0.3, 0.5, 0.8], abs=0.01)
    strips.correct.delete([uids[1]])
    assert index(strips) == (3, 3)
    strips.correct.add(15, 40)
    assert measured[1:] == [[15.0, 40.0]]
    strips.history.undo()
    strips.history.undo()
    assert index(strips) == (4, 4)
    assert measured[2:] == [[45.0, 20.0]], "it had gone, and came back"


def test_a_new_outline_is_measured(strips):
    (uid, *_), sha256 = list(strips.model.state.nuclei), strips.images.model.open_field.entry.sha256
    strips.session.commit(sha256, [events.edit_mask(sha256, uid, square(30, 20, side_px=8))])
    od = strips.stain.model.counted.od[0]
    assert od == pytest.approx(0.2, abs=0.02), "half of it is on the next strip"


def test_regions_are_counted_and_what_is_left_out_counts_nowhere(strips):
    regions = strips.regions
    regions.choose_kind("interest")
    regions.draw(rectangle(Box(0, 0, 90, 60)))
    assert [(f.name, f.index.nuclei) for f in strips.stain.model.figures] == [
        ("Image", 4),
        ("Region 1", 3),
    ]
    regions.choose_kind("leave_out")
    regions.draw(rectangle(Box(30, 0, 60, 60)))
    assert [(f.name, f.index.nuclei) for f in strips.stain.model.figures] == [
        ("Image", 3),
        ("Region 1", 2),
    ]
    assert strips.stain.model.counted.left_out == 1
    colors = strips.view.model.tint.colors(strips.model.table.uids) * 255
    assert colors.round().astype(int).tolist() == [
        [*COLORS["Negative"]],
        [*NOT_COUNTED],
        [*COLORS["Positive"]],
        [*COLORS["Positive"]],
    ]
    before = names(strips)
    strips.stain.mark()
    assert names(strips) == ["Negative", before[1], "Positive", "Positive"]


def test_marking_is_one_step_that_undo_takes_back_and_a_file_keeps(strips, tmp_path):
    before = names(strips)
    known = [c.name for c in strips.model.categories]
    steps = strips.model.undo_steps
    strips.stain.positive_from(0.4)
    strips.stain.mark()
    assert names(strips) == ["Negative", "Negative", "Positive", "Positive"]
    assert strips.model.undo_steps == steps + 1
    assert strips.model.undo_words == "gave a nucleus another category"
    assert {"Positive", "Negative"} <= {c.name for c in strips.model.categories}
    assert "2 nuclei marked Positive, 2 Negative, from 0.40 OD" in strips.model.notice.words

    strips.history.undo()
    assert names(strips) == before
    assert strips.model.notice is None
    assert [c.name for c in strips.model.categories] == known
    assert strips.model.undo_steps == steps
    strips.history.redo()
    assert names(strips) == ["Negative", "Negative", "Positive", "Positive"]

    strips.stain.mark()  # once more: the categories are there
    assert strips.model.undo_steps == steps + 2
    strips.history.undo()
    strips.close()
    sha256 = strips.images.model.open_field.entry.sha256
    with Project.open(tmp_path / "review.nunext", annotator="ab") as project:
        nuclei = list(project.state(sha256).nuclei.values())
        assert [n.nucleus.category for n in nuclei] == [
            "Negative",
            "Negative",
            "Positive",
            "Positive",
        ]
        assert {n.annotator for n in nuclei} == {"ab"}
        assert all(n.touched for n in nuclei)
        assert cut_offs_in(project.journal_of_project()) == CutOffs(0.4)
        assert project.verify()
        colors = {c.name: c.color for c in project.categories()}
        assert {name: colors[name] for name in COLORS} == COLORS
        gestures = {g for kind, _, g in project.gestures() if kind == "relabel"}
        assert len(gestures) == 1, "to mark what is marked says that it is right"


def test_undone_after_it_was_opened_again(strips, tmp_path, server):
    before = names(strips)
    strips.stain.mark()
    strips.close()
    again = review_on(tmp_path, server)
    again.open.paths([tmp_path / "strips.png"])
    assert names(again) == ["Negative", "Positive", "Positive", "Positive"]
    again.history.undo()
    assert names(again) == before
    assert "Positive" not in {c.name for c in again.model.categories}
    again.history.redo()
    assert names(again) == ["Negative", "Positive", "Positive", "Positive"]
    again.close()


def test_cut_offs_are_kept_with_the_project(strips, tmp_path, server):
    strips.stain.positive_from(0.33)
    assert cut_offs_in(strips.session.of_project) == CutOffs(), "nothing is kept while one drags"
    strips.stain.keep()
    strips.stain.keep()
    kinds = [e.kind for e in strips.session.of_project]
    assert kinds.count("set_cut_offs") == 2
    steps = strips.model.undo_steps
    strips.close()
    again = review_on(tmp_path, server)
    again.open.paths([tmp_path / "strips.png"])
    assert again.stain.model.cut_offs == CutOffs(0.33)
    assert again.model.undo_steps == steps, "it is a setting, and no step"
    again.close()


def test_another_image_is_measured_and_the_one_that_was_left_is_not(tmp_path, server):
    later = Later()
    controller = review_on(tmp_path, server, later)
    paths = [section(tmp_path), section(tmp_path, "pale.png", (0.3, 0.1, 0.1, 0.1))]
    controller.open.paths(paths)
    later.catch_up()
    controller.stain.open(True)
    later.catch_up()
    controller.correct.add(15, 20)  # is to be measured
    assert controller.stain.model.measuring
    controller.images.go_to(1)
    assert controller.stain.model.counted is not None
    later.catch_up()
    controller.correct.add(15, 20)
    later.catch_up()
    assert controller.stain.model.counted.od == pytest.approx([0.3], abs=0.01)
    assert not controller.stain.model.measuring
    controller.close()


def test_nobody_marks_by_what_is_not_measured_yet(tmp_path, server):
    later = Later()
    controller = review_on(tmp_path, server, later)
    controller.open.paths([section(tmp_path)])
    later.catch_up()
    controller.stain.open(True)
    later.catch_up()
    controller.stain.mark()
    assert "No nucleus was measured" in controller.model.notice.words
    controller.correct.add(15, 20)
    controller.stain.mark()
    assert "still being measured" in controller.model.notice.words
    later.catch_up()
    controller.stain.mark()
    controller.stain.mark()  # the second of two clicks
    later.catch_up()
    assert names(controller) == ["Negative"]
    assert controller.model.undo_steps == 2
    controller.close()
