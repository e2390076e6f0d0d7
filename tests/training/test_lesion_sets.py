"""Lesions of published sets: boxes of instance masks, in tiles, to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nunext.images.tile import tile_of_rgb
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.importers.questions.base import known_boxes
from nunext_training.data.importers.questions.digestpath import case_of
from nunext_training.data.importers.questions.tiles import (
    TILE_PX,
    boxes_of_labels,
    tiles_with_boxes,
)
from tests.training.published import save_image
from tests.training.question_sets import QUESTION_SETS, imported, labelled, one_line


def lesions_of(export):
    """Name, split, region and boxes of each tile, in order."""
    return [
        (
            Path(r.images[0]).stem,
            r.source.split,
            r.source.region.as_tuple(),
            [box.box.as_tuple() for box in r.boxes],
        )
        for r in export.answers_for_trainers["answers_rft"]
    ]


def test_boxes_of_crag_are_those_of_each_gland_in_each_tile_to_the_pixel(tmp_path):
    export = imported("crag", QUESTION_SETS["crag"](tmp_path / "set"), tmp_path / "out")
    assert lesions_of(export) == [
        ("train_1-x0-y0", "train", (0, 0, 1024, 100), [(80, 10, 120, 60), (1000, 30, 1024, 90)]),
        # The first gland's last 44 px, and the second whole.
        ("train_1-x76-y0", "train", (76, 0, 1100, 100), [(4, 10, 44, 60), (924, 30, 1014, 90)]),
        ("test_1-x0-y0", "test", (0, 0, 70, 60), []),  # 5 px are a sliver
    ]
    first, second, third = export.answers_for_trainers["answers_sft"]
    assert first.prompt[1]["content"] == (
        "Detect glands in pathology colon. Output bounding boxes in [[x_min, y_min, x_max, "
        "y_max],...] format."
    )
    said = "<think></think><answer>[[80, 10, 120, 60], [1000, 30, 1024, 90]]</answer>"
    assert first.completion[0]["content"] == said
    assert third.completion[0]["content"] == "<think></think><answer>[]</answer>"
    assert first.source.image_sha256 == second.source.image_sha256 != third.source.image_sha256
    assert first.source.patient == second.source.patient != third.source.patient


def test_tiles_cover_the_image_and_none_is_larger_than_the_papers():
    labels = np.zeros((1500, 2300), dtype=np.uint16)
    labels[700:1200, 1000:1100] = 7
    image = tile_of_rgb(np.zeros((1500, 2300, 3), dtype=np.uint8), "it")
    what = {"category": "glands", "organ": "colon", "split": "train", "patient": "0" * 16}
    tiles = [*tiles_with_boxes(image, labels, "it.png", name="it", **what)]
    covered = np.zeros(labels.shape, dtype=bool)
    for tile in tiles:
        x0, y0, x1, y1 = map(int, tile.region.as_tuple())
        assert tile.rgb.shape == (y1 - y0, x1 - x0, 3) == (TILE_PX, TILE_PX, 3)
        covered[y0:y1, x0:x1] = True
        crop = np.zeros((TILE_PX, TILE_PX), dtype=bool)
        for box in tile.answers[0].boxes:
            left, top, right, bottom = map(int, box.as_tuple())
            crop[top:bottom, left:right] = True
        np.testing.assert_array_equal(crop, labels[y0:y1, x0:x1] > 0)
    assert covered.all()
    assert len(tiles) == 6


def test_boxes_are_written_from_the_top_down_and_slivers_are_nothing():
    labels = labelled((64, 64), _1=(30, 40, 60, 50), _4=(0, 8, 64, 15), _3=(40, 8, 48, 32))
    labels[60:64, 0:4] = 3  # the same instance, elsewhere
    found = boxes_of_labels(labels)
    assert [box.as_tuple() for box in found] == [(30, 40, 60, 50), (0, 8, 48, 64)]
    answer = known_boxes("glands", "colon", found, (64, 64))
    assert answer.truth == "[[0, 8, 48, 64], [30, 40, 60, 50]]"


def test_labels_of_another_size_are_left_out(tmp_path, capsys):
    folder = QUESTION_SETS["crag"](tmp_path / "set")
    save_image(folder / "CRAG" / "valid" / "Annotation" / "test_1.png", labelled((60, 71)))
    command = ["import", "crag", str(folder), "--out", str(tmp_path / "out"), "--strict"]
    assert main(command) == 2
    assert "Annotation/test_1.png has labels of shape (60, 71)" in one_line(capsys)


def test_pieces_of_a_jpeg_mask_are_lesions_and_cases_stay_together(tmp_path):
    folder = QUESTION_SETS["digestpath"](tmp_path / "set")
    export = imported("digestpath", folder, tmp_path / "out")
    found = lesions_of(export)
    assert [boxes for *_, boxes in found] == [
        [(16, 8, 40, 48)],
        [(0, 0, 24, 16), (56, 32, 80, 64)],
        [],
    ]
    a, b, c = (r.source for r in export.answers_for_trainers["answers_rft"])
    assert a.patient == b.patient != c.patient
    assert a.split == b.split
    written = "".join(p.read_text("utf-8") for p in (tmp_path / "out").glob("*.json*"))
    assert "00530" not in written
    assert "2019-0" not in "".join(name for name, *_ in found)


def test_boxes_of_glomeruli_are_those_that_are_listed(tmp_path):
    export = imported("glomeruli", QUESTION_SETS["glomeruli"](tmp_path / "set"), tmp_path / "out")
    assert [(name, region, boxes) for name, _, region, boxes in lesions_of(export)] == [
        ("10", (0, 0, 80, 64), [(0, 12.5, 20, 40)]),
        ("11", (0, 0, 80, 64), [(5, 4, 9, 8), (30, 40, 50, 60)]),
        ("12", (0, 0, 80, 64), []),
    ]
    first, second, third = export.answers_for_trainers["answers_rft"]
    assert first.prompt[1]["content"].startswith("Detect glomerulus in pathology kidney.")
    assert first.source.mpp_source == "assumed"
    assert len({r.source.patient for r in (first, second, third)}) == 3


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ('{"10": [[0, 0, 81, 20]]}', "expected one inside its 80 x 64 px"),
        ('{"10": [[5, 5, 5, 20]]}', "expected one inside its 80 x 64 px"),
        ('{"10": [[0, 0, 8]]}', "expected [x0, y0, x1, y1]"),
        ('{"10": [[0, 0, "wide", 9]]}', "expected [x0, y0, x1, y1]"),
        ('{"10": [[9, 0, 3, 9]]}', "expected [x0, y0, x1, y1]"),
        ('{"10": [7]}', "expected [x0, y0, x1, y1]"),
        ('{"13": []}', "13 of boxes.json has no image"),
        ('{"../images/10": []}', "expected the name of a file"),
        ('{"10": 3}', "is no list of boxes"),
        ("[1, 2]", "is no list of boxes"),
        ("{", "is no list of boxes"),
    ],
)
def test_a_list_of_glomeruli_that_does_not_hold_is_one_sentence(listed, told, tmp_path, capsys):
    folder = QUESTION_SETS["glomeruli"](tmp_path / "set")
    (folder / "boxes.json").write_text(listed)
    command = ["import", "glomeruli", str(folder), "--out", str(tmp_path / "out"), "--strict"]
    assert main(command) == 2
    assert told in one_line(capsys)


def test_the_glomeruli_that_are_at_hand_are_all_there(data_root, tmp_path):
    export = imported("glomeruli", data_root / "glomeruli", tmp_path / "out")
    boxes = [boxes for *_, boxes in lesions_of(export)]
    assert len(boxes) == 18
    assert sum(map(len, boxes)) == 21


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("18-00530A_2019-05-07 23_56_22-lv1-21501-18652-4975-5966", "18-00530"),
        ("D201900160_2019-05-14 13_06_18-lv1-1-2-3-4", "D201900160"),
        ("2018S21198001-lv1-1-2-3-4", "2018S21198001"),
        ("2019-06-11 10.38.46-lv1-3-5-80-64", "2019-06-11 10.38.46"),
    ],
)
def test_a_case_is_what_stands_before_the_date(name, case):
    assert case_of(name) == case


def test_truth_follows_the_picture_to_the_budget(tmp_path):
    out = tmp_path / "out"
    imported("digestpath", QUESTION_SETS["digestpath"](tmp_path / "set"), out)
    data = read_answers([out], "grpo", budget=4, patch_px=28, strict=True)
    for row in (*data.train, *data.val):
        picture = row["images"][0].open()
        assert list(picture.size) == row["size_px"]
        assert row["truth"] is None
        assert all(
            0 <= x0 < x1 <= picture.width and 0 <= y0 < y1 <= picture.height
            for x0, y0, x1, y1 in row["boxes"]
        )
    assert sorted(len(row["boxes"]) for row in (*data.train, *data.val)) == [0, 1, 2]
