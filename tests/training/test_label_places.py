"""Labels are found where tools put them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from roifile import ImagejRoi
from scipy.io import savemat

from napari_nunext.core.errors import RecordError
from nunext_training.data.importers import IMPORTERS, importer_for
from tests.training.published import HEIGHT, WIDTH, centroid, corners, labels, save_image


@pytest.mark.parametrize(
    ("images", "labels_in", "name"),
    [
        ("images", "labels", "a.png.geojson"),  # as `stem_of` reads it
        ("Images", "Labels", "a.mat"),  # HoVer-Net
        ("images", "masks", "a.tif"),  # StarDist
        ("images", "annotations", "a.json"),  # labelme, QuPath
        ("imgs", "masks", "a_masks.tif"),  # Cellpose
        (".", ".", "a_cp_masks.png"),  # Cellpose, beside its image
        (".", ".", "a.geojson"),
        ("train", "train", "a.csv"),
        ("images", "annotations", "instances_train.json"),  # COCO, one file for all
        (".", ".", "_annotations.coco.json"),
        ("images", ".", "annotations.json"),
    ],
)
def test_labels_are_found_where_tools_put_them(tmp_path, images, labels_in, name):
    (tmp_path / images).mkdir(exist_ok=True)
    (tmp_path / labels_in).mkdir(exist_ok=True)
    if labels_in == "." and images != ".":  # the file lies above both folders
        (tmp_path / "annotations").mkdir()
    save_image(tmp_path / images / "a.png")
    path = tmp_path / labels_in / name
    points = [centroid(0), centroid(1)]
    if path.suffix == ".mat":
        savemat(path, {"inst_map": labels(1, 2), "type_map": labels(3, 1)})
    elif path.suffix in (".tif", ".png"):
        save_image(path, labels(1, 2))
    elif path.suffix == ".csv":
        path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in points))
    elif name.startswith("a."):
        features = [
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": p}, "properties": {}}
            for p in points
        ]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    else:
        ring = [[v for corner in corners(i) for v in corner] for i in range(2)]
        annotations = [
            {"id": i, "image_id": 7, "category_id": 1, "segmentation": [r], "bbox": [0, 0, 1, 1]}
            for i, r in enumerate(ring)
        ]
        image = {"id": 7, "file_name": "sub/a.png", "width": WIDTH, "height": HEIGHT}
        kinds = [{"id": 1, "name": "Tumour"}]
        data = {"images": [image], "annotations": annotations, "categories": kinds}
        path.write_text(json.dumps(data))
    assert importer_for(tmp_path) is not None
    (found,) = IMPORTERS["folder"].read(tmp_path, 0.5)
    assert sorted(found.points_xy.tolist()) == points
    if path.suffix == ".mat":
        assert found.categories == ("Class 3", "Class 1")


def test_rois_of_imagej_are_found_beside_their_image(tmp_path):
    save_image(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    roi = ImagejRoi.frompoints(np.array([[10, 20], [16, 20], [16, 24], [10, 24]]) + 0.0)
    roi.tofile(tmp_path / "labels" / "a_rois.zip")
    (found,) = IMPORTERS["folder"].read(tmp_path, 0.5)
    assert found.points_xy.tolist() == [[13, 22]]


def test_json_that_is_of_no_image_is_passed_over(tmp_path):
    """Such as the settings of a tool beside the folders."""
    for name in ("a", "b"):
        save_image(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(RecordError, match="For the image b there is nothing in labels"):
        IMPORTERS["folder"].read(tmp_path, 0.5)
