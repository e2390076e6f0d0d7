"""Labels as other tools write them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import RecordError
from napari_nunext.images import open_image
from nunext_training.data.importers import IMPORTERS
from nunext_training.evaluation.predictions import prediction_files, read_prediction

PLACES = [(4, 4), (20, 4), (4, 20)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.full((32, 48, 3), 200, np.uint8)).save(tmp_path / "images" / "a.png")
    return tmp_path


def labels(values=(1, 2, 3)):
    image = np.zeros((32, 48), np.uint8)
    for (x, y), value in zip(PLACES, values, strict=True):
        image[y : y + 6, x : x + 6] = value
    return image


def read(folder):
    (image,) = IMPORTERS["folder"].read(folder, 0.5)
    return image


def test_binary_mask_one_nucleus(folder):
    path = folder / "labels" / "a.png"
    Image.fromarray(labels((255, 255, 255))).save(path)
    image = read(folder)
    assert sorted(map(tuple, image.points_xy.tolist())) == [(7, 7), (7, 23), (23, 7)]
    says = ("a.png: a mask of one label; its 3 separate pieces are read as 3 nuclei.",)
    assert image.notes == read_prediction(path).notes == says
    assert len(read_prediction(path).points_xy) == 3
    Image.fromarray(labels((7, 0, 0))).save(path)
    assert (len(read(folder).points_xy), read(folder).notes) == (1, ())


@pytest.mark.parametrize("name", ["a_cp_masks.png", "a_masks.tif"])
def test_cellpose_file_names(folder, name):
    Image.fromarray(labels()).save(folder / "labels" / name)
    assert len(read(folder).points_xy) == 3
    assert list(prediction_files(folder / "labels")) == ["a"]


def test_the_project_of_cellpose_is_named_and_never_opened(folder):
    (folder / "labels" / "a_seg.npy").write_bytes(b"anything")
    says = r"a_seg\.npy is Cellpose's own .* masks as PNG or TIFF"
    with pytest.raises(RecordError, match=says):
        read(folder)
    with pytest.raises(RecordError, match=says):
        read_prediction(prediction_files(folder / "labels")["a"])
    Image.fromarray(labels()).save(folder / "labels" / "a_cp_masks.png")
    assert prediction_files(folder / "labels")["a"].name == "a_cp_masks.png"
    assert len(read(folder).points_xy) == 3


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_turned_image_labels(folder, orientation):
    (folder / "images" / "a.png").unlink()
    shown = np.full((32, 48, 3), 255, np.uint8)
    shown[labels() > 0] = 0
    image = Image.fromarray(shown)
    image.getexif()[0x0112] = orientation
    image.save(folder / "images" / "a.jpg", exif=image.getexif(), quality=95)
    Image.fromarray(labels()).save(folder / "labels" / "a.png")
    found = read(folder)
    rgb = found.open().rgb
    assert len(found.masks) == 3
    assert all(rgb[int(y), int(x)].max() < 50 for x, y in found.points_xy)
    assert bool(found.notes) == (orientation != 1)


def ring(x, y, side=6):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def cells():
    return [
        {"centroid": [x + 2.5, y + 2.5], "contour": ring(x, y, 5), "type": 1} for x, y in PLACES
    ]


@pytest.mark.parametrize(
    ("data", "category"),
    [
        ({"mag": 40, "nuc": {str(i): c for i, c in enumerate(cells())}}, "type 1"),
        ({"type_map": {"1": "Neoplastic"}, "cells": cells()}, "Neoplastic"),
        (
            {
                "images": [{"id": 4, "file_name": "x/a.png"}, {"id": 5, "file_name": "b.png"}],
                "categories": [{"id": 2, "name": "n"}],
                "annotations": [
                    {"image_id": 4, "category_id": 2, "segmentation": [np.ravel(ring(*p)).tolist()]}
                    for p in PLACES
                ],
            },
            "n",
        ),
        (
            {
                "shapes": [
                    {"label": "n", "points": ring(*p), "shape_type": "polygon"} for p in PLACES
                ]
            },
            "n",
        ),
    ],
)
def test_hovernet_cellvit_json(folder, data, category):
    (folder / "labels" / "a.json").write_text(json.dumps(data))
    image = read(folder)
    assert image.points_xy == pytest.approx(np.array([(x + 3, y + 3) for x, y in PLACES]))
    assert [m.area_px for m in image.masks] == [36] * 3
    assert image.categories == (category,) * 3


def test_json_of_a_tool_that_is_broken_names_the_tool(folder):
    for data, says in (
        ({"nuc": {"1": {}}}, "HoVer-Net, but is malformed"),
        (
            {
                "images": [{"id": 1, "file_name": "a"}],
                "annotations": [
                    {"image_id": 1, "area": 3, "segmentation": {"size": [1, 1], "counts": "x"}}
                ],
            },
            "COCO.*ompressed run lengths hold",
        ),
        ({"images": [], "annotations": []}, "holds 0 images"),
    ):
        (folder / "labels" / "a.json").write_text(json.dumps(data))
        with pytest.raises(RecordError, match=says):
            read(folder)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".json", ".geojson"])
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"II*\0", b"\x89PNG\r\n\x1a\n", b"\x93NUMPY\x01\0"]
)
def test_a_broken_label_file_is_an_error(folder, suffix, content):
    (folder / "labels" / f"a{suffix}").write_bytes(content)
    with pytest.raises(RecordError, match=f"a{suffix}"):
        read(folder)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_predicted_labels_are_turned_with_their_image(folder, orientation, suffix):
    (folder / "images" / "a.png").unlink()
    shown = np.full((32, 48, 3), 255, np.uint8)
    shown[labels() > 0] = 0
    stored = Image.fromarray(shown)
    path = folder / "images" / f"a{suffix}"
    if suffix == ".tif":
        stored.save(path, tiffinfo={0x0112: orientation})
    else:
        stored.getexif()[0x0112] = orientation
        stored.save(path, exif=stored.getexif())
    Image.fromarray(labels()).save(folder / "labels" / "a.png")
    image = open_image(path)
    found = read_prediction(folder / "labels" / "a.png", image)
    assert len(found.points_xy) == 3
    assert all(image.rgb[int(y), int(x)].max() < 50 for x, y in found.points_xy)
    assert bool(found.notes) == (orientation != 1)


def test_predicted_labels_of_another_size_than_their_image_are_refused(folder):
    np.save(folder / "labels" / "a.npy", labels()[:-1])
    with pytest.raises(RecordError, match="labels of shape"):
        read_prediction(folder / "labels" / "a.npy", open_image(folder / "images" / "a.png"))
