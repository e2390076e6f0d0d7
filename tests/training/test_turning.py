"""A picture lies in eight ways, its boxes in it; and each fold of patients is left out once."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.rows import ShownPicture, seen_reply
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
    """The box that the picture shows, px of the picture."""
    ys, xs = np.nonzero(np.asarray(shown.open())[..., 0] > 127)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_turned_picture_shows_its_boxes_where_its_answer_says(export, method):
    rows = read(export, method, turned=True, thought="none").train
    lesions = [row for row in rows if "Detect" in row["prompt"][1]["content"]]
    shown = [row["images"][0] for row in lesions]
    assert {(s.sent.width_px, s.sent.height_px) for s in shown} == {(48, 32), (32, 48)}
    assert len({s.open().tobytes() for s in shown}) == 8
    for row, picture in zip(lesions, shown, strict=True):
        assert ShownPicture.from_json(picture.to_json()) == picture
        size_px = [picture.sent.width_px, picture.sent.height_px]
        if method == "sft":
            said = seen_reply(row["completion"][0]["content"], None, [], [], size_px).boxes
            assert [list(box.as_tuple()) for box in said] == [bright(picture)]
        else:
            assert row["boxes"] == [bright(picture)]
            assert row["size_px"] == size_px


def test_what_may_name_a_direction_or_is_held_out_lies_as_it_is(export):
    plain, turned = (read(export, "sft", turned=t, thought="none") for t in (False, True))
    assert (len(plain.train), len(turned.train)) == (2, 9)
    assert plain.val == turned.val
    assert plain.train[0]["images"] == turned.train[0]["images"]
    (place,) = (r for r in turned.train if "Where" in r["prompt"][1]["content"])
    assert place["images"][0].orientation == 1
    assert (
        turned.at(6).train[3]["images"][0].orientation == turned.train[3]["images"][0].orientation
    )


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
