"""A view of a picture has its boxes where it shows them; each fold of patients is left out once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.rows import ShownPicture, seen_reply
from nunext_training.data.answers.views import draw_views
from nunext_training.data.importers.folds import Fold
from nunext_training.data.importers.questions.base import AnsweredImage, KnownAnswer, known_boxes
from nunext_training.data.importers.questions.writing import write_questions
from tests.training.question_sets import glomeruli, imported, one_line

WIDTH, HEIGHT = 96, 64
BOX = Box(16, 8, 48, 24)


def picture():
    rgb = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    rgb[int(BOX.y0) : int(BOX.y1), int(BOX.x0) : int(BOX.x1)] = 255
    return rgb


@pytest.fixture
def export(tmp_path):
    """A lesion in a picture, and where most nuclei are: that names a direction."""
    lesion = known_boxes("glomerulus", "kidney", (BOX,), (WIDTH, HEIGHT))
    place = KnownAnswer(Question("question", text="Where are most?"), "upper left")
    image = AnsweredImage(name="a", rgb=picture(), split="train", answers=(lesion, place))
    held_out = AnsweredImage(name="b", rgb=picture()[:, ::-1], split="val", answers=(lesion,))
    write_questions(
        [lambda: [image, held_out]], tmp_path / "export", origin="drawn", mpp=1.0, mpp_source="user"
    )
    return tmp_path / "export"


def read(export, method, **options):
    return read_answers([export], method, budget=24, patch_px=8, strict=True, **options)


def bright(shown):
    """The boxes that the picture shows, px of the picture: one or none."""
    ys, xs = np.nonzero(np.asarray(shown.open())[..., 0] > 127)
    found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else []
    return np.reshape(found, (-1, 4))


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_view_shows_its_boxes_where_its_answer_says(export, method):
    rows = read(export, method, views=40, thought="none").train
    lesions = [row for row in rows if "Detect" in row["prompt"][1]["content"]]
    shown = [row["images"][0] for row in lesions]
    assert {(s.sent.width_px, s.sent.height_px) for s in shown} == {(48, 32), (32, 48)}
    assert {s.view.orientation for s in shown} == set(range(1, 9))
    assert len({s.open().tobytes() for s in shown}) > 35
    for row, picture in zip(lesions, shown, strict=True):
        assert ShownPicture.from_json(picture.to_json()) == picture
        size_px = [picture.sent.width_px, picture.sent.height_px]
        if method == "sft":
            said = seen_reply(row["completion"][0]["content"], None, [], [], size_px).boxes
            found = [list(box.as_tuple()) for box in said]
        else:
            found = row["boxes"]
            assert row["size_px"] == size_px
        # Pixels of the picture are four of a view at most; words have whole ones.
        np.testing.assert_allclose(np.reshape(found, (-1, 4)), bright(picture), atol=1.01)


def test_what_may_name_a_direction_or_is_held_out_lies_as_it_is(export):
    plain, viewed = (read(export, "sft", views=v, thought="none") for v in (0, 8))
    assert (len(plain.train), len(viewed.train)) == (2, 9)
    assert plain.val == viewed.val
    (place,) = (r for r in viewed.train if "Where" in r["prompt"][1]["content"])
    assert place in plain.train


def test_views_are_those_of_a_seed_at_every_budget(export):
    first, again, other = (
        read(export, "sft", views=8, thought="none", seed=seed) for seed in (0, 0, 1)
    )
    assert first.train == again.train != other.train
    there, smaller = ([r["images"][0].view for r in d.train] for d in (first, first.at(6)))
    assert there == smaller


def test_a_box_is_seen_enough_to_be_named_or_not_at_all(rng):
    boxes = [Box(0, 0, 40, 60), Box(90, 10, 100, 20)]
    for view in draw_views(Box.of_image(100, 80), boxes, 200, rng):
        x0, y0, x1, y1 = view.region
        assert 0 <= x0 < x1 <= 100
        assert 0 <= y0 < y1 <= 80
        for box in boxes:
            seen = view.seen(box)
            part = seen.width * seen.height / (box.width * box.height)
            assert part == 0 or part >= 0.25


def test_each_patient_is_left_for_the_report_once():
    patients = [f"{i:016x}" for i in range(10)]
    folds = [Fold(k, 3).splits(patients) for k in (1, 2, 3)]
    left = [[p for p in patients if fold[p] == "test"] for fold in folds]
    assert sorted(p for part in left for p in part) == patients
    assert sorted(map(len, left)) == [3, 3, 4]
    assert all(set(fold.values()) == {"train", "test"} for fold in folds)
    assert Fold.parse("2/3") == Fold(2, 3)


def test_folds_of_a_set_of_questions_differ_in_their_splits_alone(tmp_path):
    folder = glomeruli(tmp_path / "set")
    tested = []
    for k in (1, 2, 3):
        export = imported("glomeruli", folder, tmp_path / str(k), "--fold", f"{k}/3")
        records = export.answers_for_trainers["answers_rft"]
        tested += [r.id for r in records if r.source.split == "test"]
        assert len(records) == 3
    assert len(set(tested)) == len(tested) == 3


@pytest.mark.parametrize("text", ["0/3", "4/3", "1/1", "a/b", "1", "1/3/4", "-1/3"])
def test_what_is_no_fold_is_refused_in_words(text):
    with pytest.raises(InputError, match=r"is no fold; expected"):
        Fold.parse(text)


def test_more_folds_than_patients_and_a_fold_of_drawn_tissue_are_refused(tmp_path, capsys):
    folder = glomeruli(tmp_path / "set")
    command = ["import", "glomeruli", str(folder), "--out", str(tmp_path / "out")]
    assert main([*command, "--fold", "1/4"]) == 2
    assert "4 folds of 3 patients cannot be made" in one_line(capsys)
    assert not (tmp_path / "out").exists()
    assert main(["import", "synthetic", "--out", str(tmp_path / "out"), "--fold", "1/3"]) == 2
    assert "--fold" in one_line(capsys)
