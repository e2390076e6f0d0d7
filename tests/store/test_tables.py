"""CSV and COCO."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import CalibrationError, RecordError
from napari_nunext.core.formats.csv_table import COLUMNS, read_csv, read_rows
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import ReviewedNucleus
from napari_nunext.store.exports.coco import coco_instances, write_coco
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei
from tests.store.conftest import entry, predicted


def decoded(segmentation) -> np.ndarray:
    """COCO's RLE as its definition has it: column-major runs of 0, 1, 0, ..."""
    flat: list[int] = []
    for i, count in enumerate(segmentation["counts"]):
        flat += [i % 2] * count
    height, width = segmentation["size"]
    return np.array(flat, dtype=bool).reshape(width, height).T


def test_a_table_has_pixels_and_micrometres(tmp_path):
    mask = Mask.from_array(np.ones((4, 5), dtype=bool), 9, 19)
    by_model = predicted(10.5, 20.25, "Tumour, grade 2", 0.75)
    by_model = replace(by_model, mask=mask, position_error_um=0.8125)
    by_person = ReviewedNucleus(
        replace(predicted(1, 2), confidence=None), touched=True, status="accepted", annotator="jd"
    )
    write_csv(tmp_path / "n.csv", [by_model, by_person], mpp=0.5)
    with (tmp_path / "n.csv").open(encoding="utf-8", newline="") as file:
        header, one, two = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert one == [
        "10.50", "20.25", "5.250", "10.125", "Tumour, grade 2", "0.7500", "unreviewed", "",
        str(by_model.uid), "5.000", "", "model", "", "0.8125",
    ]  # fmt: skip
    assert two[5:8] == ["", "accepted", "jd"]
    assert two[9] == two[13] == ""
    read = [n.nucleus.position_error_um for n in read_csv(tmp_path / "n.csv")]
    assert read == [0.8125, None]
    with pytest.raises(CalibrationError):
        write_csv(tmp_path / "n.csv", [], mpp=0)


def test_coco_masks_cover_the_same_pixels_wherever_they_lie(rng):
    height, width = 24, 30
    image = entry(width_px=width, height_px=height)
    for _ in range(30):
        crop = rng.random((6, 7)) < 0.6
        x0, y0 = int(rng.integers(-5, width)), int(rng.integers(-5, height))
        mask = Mask.from_array(crop, x0, y0)
        painted = np.zeros((height + 40, width + 40), dtype=bool)
        painted[y0 + 20 : y0 + 26, x0 + 20 : x0 + 27] = crop
        expected = painted[20 : 20 + height, 20 : 20 + width]
        nucleus = replace(predicted(5, 5), mask=mask)
        (annotation,) = coco_instances([ImageNuclei(image, [nucleus])])["annotations"]
        assert annotation["area"] == expected.sum()
        if not expected.any():
            assert not decoded(annotation["segmentation"]).any()  # pycocotools takes no list
            continue
        segmentation = annotation["segmentation"]
        assert (decoded(segmentation) == expected).all()
        assert all(c > 0 for c in segmentation["counts"][1:])
        rows, columns = np.nonzero(expected)
        x, y, w, h = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + w - 1, y + h - 1) == (columns.max(), rows.max())


def test_a_mask_of_the_whole_image_is_one_run():
    image = entry(width_px=3, height_px=2)
    nucleus = replace(predicted(1, 1), mask=Mask.from_array(np.ones((2, 3), dtype=bool)))
    (annotation,) = coco_instances([ImageNuclei(image, [nucleus])])["annotations"]
    assert annotation["segmentation"] == {"size": [2, 3], "counts": [0, 6]}


def test_coco_point_without_mask(tmp_path):
    """A nucleus without an outline has one of no pixel: pycocotools breaks at an empty list."""
    write_coco(tmp_path / "c.json", [ImageNuclei(entry(), [predicted(3, 4)])], categories=[])
    (annotation,) = json.loads((tmp_path / "c.json").read_text())["annotations"]
    width, height = entry().width_px, entry().height_px
    assert annotation["segmentation"]["size"] == [height, width]
    assert not decoded(annotation["segmentation"]).any()
    assert (annotation["area"], annotation["bbox"]) == (0, [3, 4, 0, 0])


def test_coco_ids_point_at_each_other(tmp_path):
    rejected = ReviewedNucleus(predicted(3, 3), status="rejected")
    images = [
        ImageNuclei(entry(), [predicted(1, 2, "Stroma"), rejected]),
        ImageNuclei(entry("cd" * 32, name="b.png"), [predicted(4, 5, "Tumour")]),
    ]
    write_coco(tmp_path / "c.json", images, categories=[Category("Tumour", (9, 8, 7))])
    data = json.loads((tmp_path / "c.json").read_text())
    assert [c["name"] for c in data["categories"]] == ["Tumour", "Stroma", "Nucleus"]
    assert data["categories"][0]["color"] == [9, 8, 7]
    one, two = data["annotations"]
    (no_nucleus,) = data["rejected"]
    assert (no_nucleus["category_id"], no_nucleus["attributes"]["status"]) == (3, "rejected")
    assert (one["image_id"], one["category_id"], one["keypoints"]) == (1, 2, [1, 2, 2])
    assert (two["image_id"], two["category_id"], two["bbox"]) == (2, 1, [4, 5, 0, 0])
    assert [i["file_name"] for i in data["images"]] == ["a.png", "b.png"]
    assert data == coco_instances(images, categories=[Category("Tumour", (9, 8, 7))])


def test_a_table_names_its_image_in_every_row(tmp_path):
    write_csv(tmp_path / "n.csv", [predicted(1, 2), predicted(3, 4)], mpp=0.5, image="a.png")
    assert [row["image"] for row in read_rows(tmp_path / "n.csv")] == ["a.png", "a.png"]


@pytest.mark.parametrize("content", [b"", b"\0", b"\n", b"row,column\n"])
def test_an_empty_table_is_an_error_and_not_an_image_without_nuclei(tmp_path, content):
    path = tmp_path / "n.csv"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"n\.csv"):
        read_csv(path)
    path.write_bytes(b"x,y\n")
    assert read_csv(path) == []
