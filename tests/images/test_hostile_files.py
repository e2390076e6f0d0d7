"""Files of nuclei that mean harm, or were harmed: each is an error that names it, never another."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import tifffile

from napari_nunext.core.errors import ImageError, RecordError
from napari_nunext.images import open_image
from napari_nunext.images.nuclei_files import read_nuclei


def feature(coordinates, **more):
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": coordinates},
        "properties": more,
    }


def coco(**more):
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]} | more
    return {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [annotation]}


HOSTILE = {
    "huge number": feature([10**400, 1]),
    "outline without end": json.dumps(
        feature([[[1, 1], [1e300, 1], [1e300, 1e300]]]) | {"id": "a"}
    ).replace('"Point"', '"Polygon"'),
    "huge exponent": json.dumps(feature([1, 1])).replace("[1, 1]", "[1e999, 1]"),
    "measurements of text": feature([1, 1], measurements=["a"]),
    "measurements of a number": feature([1, 1], measurements=3),
    "confidence of infinite size": feature([1, 1], measurements={"NuNext confidence": 10**400}),
    "deep": "[" * 100_000,
    "deep in a feature": '{"type": "FeatureCollection", "features": [' + "[" * 100_000,
    "run lengths beyond numbers": coco(segmentation={"size": [1e999, 2], "counts": [1]}),
    "run lengths of a huge image": coco(
        segmentation={"size": [10**6, 10**6], "counts": [0, 10**12]}
    ),
    "contour of huge numbers": {"nuc": {"1": {"contour": [[10**400, 1], [1, 2], [3, 4]]}}},
    "cell that is a number": {"cells": [3], "type_map": {}},
    "shape without points": {"shapes": [{"label": "a"}]},
}


@pytest.mark.parametrize("held", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_an_error_that_names_its_file(held, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(held if isinstance(held, str) else json.dumps(held), encoding="utf-8")
    with pytest.raises(RecordError, match=r"a\.json"):
        read_nuclei(path)


def test_a_category_of_half_a_character_can_be_kept(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature([1, 2], classification={"name": "tumour \ud800"})))
    (part,) = read_nuclei(path)
    assert part.nuclei[0].nucleus.category == "tumour \ufffd"


def label_tiff(path, **tags):
    tifffile.imwrite(path, np.eye(4, dtype=np.uint8), byteorder="<")
    data = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", data, at)
        if tag in tags.values():
            struct.pack_into("<HII", data, at + 2, 4, 1, 400_000)
    path.write_bytes(data)


@pytest.mark.parametrize("tags", [{"width": 256}, {"length": 257}, {"width": 256, "length": 257}])
def test_a_label_image_of_absurd_size_takes_no_memory(tags, tmp_path):
    label_tiff(tmp_path / "a.tif", **tags)
    with pytest.raises(RecordError, match=r"a\.tif cannot be read as a label image"):
        read_nuclei(tmp_path / "a.tif")


def test_a_numpy_file_of_absurd_size_takes_no_memory(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4), dtype=np.int64))
    path.write_bytes(path.read_bytes().replace(b"(4, 4), ", b"(4000000, 4000000), ".ljust(8)[:8]))
    with pytest.raises(RecordError, match=r"a\.npy"):
        read_nuclei(path)


def test_a_label_image_that_was_cut_off_is_not_an_image_without_nuclei(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.eye(64, dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecordError, match="incomplete"):
        read_nuclei(path)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0,), (0, 0)])
def test_a_label_image_without_pixels_is_an_error(shape, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(shape, dtype=np.int32))
    with pytest.raises(RecordError, match=r"a\.npy"):
        read_nuclei(tmp_path / "a.npy")


def test_an_image_whose_name_is_no_text_is_refused(tmp_path):
    with pytest.raises(ImageError, match="Rename the file"):
        open_image(tmp_path / "a\udcff.png")
