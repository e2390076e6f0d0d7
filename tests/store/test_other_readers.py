"""What other people's libraries make of our files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.formats.coco import compressed, mask_of_rle
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.exports.coco import (
    coco_results,
    write_coco,
    write_coco_results,
)
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.state.reviewed import ReviewedNucleus
from tests.store.conftest import entry, predicted

SIDE = 40
CATEGORIES = [Category("Tumour", (9, 8, 7)), Category("Stroma", (1, 2, 3))]


def disc(x, y, radius):
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return Mask.from_array((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def with_mask(x, y, category, confidence=0.5, radius=4):
    return replace(predicted(x, y, category, confidence), mask=disc(x, y, radius))


@pytest.fixture
def images():
    """Two images with outlined nuclei of both kinds, a point, and a rejected one."""
    rejected = ReviewedNucleus(with_mask(30, 30, "Tumour"), status="rejected")
    by_person = ReviewedNucleus(replace(with_mask(10, 30, "Stroma"), confidence=None))
    one = [with_mask(10, 10, "Tumour", 0.9), predicted(20, 20, "Stroma"), by_person, rejected]
    two = [with_mask(38, 20, "Stroma", 0.7)]  # hangs over the edge
    size = {"width_px": SIDE, "height_px": SIDE}
    return [
        ImageNuclei(entry(**size), one),
        ImageNuclei(entry("cd" * 32, name="b.png", **size), two),
    ]


# The texts are those of pycocotools 2.0.11 (`mask.frPyObjects`).
@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([6, 1, 40, 4, 5, 4, 5, 4, 21], "61X13mN000`0"),
        ([0, 6], "06"),
        ([100000, 3, 997, 5, 100000, 1, 98994], "PeQ33Uo02keP3LbPO"),
    ],
)
def test_run_lengths_are_compressed_as_pycocotools_does(runs, text):
    assert compressed(runs) == text


def test_compressed_run_lengths_read_back(rng):
    for _ in range(50):
        pixels = rng.random((13, 17)) < rng.random()
        flat = pixels.ravel(order="F")
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
        runs = [0, *runs] if flat[0] else runs
        assert mask_of_rle((13, 17), compressed(runs)) == mask_of_rle((13, 17), runs)


def test_results_hold_outlines_that_stand_with_their_score(images):
    results = coco_results(images, categories=CATEGORIES)
    ids = [(r["image_id"], r["category_id"], r["score"]) for r in results]
    assert ids == [(1, 1, 0.9), (1, 2, 1.0), (2, 2, 0.7)]
    assert all(isinstance(r["segmentation"]["counts"], str) for r in results)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_pycocotools_loads_and_scores_both_files(images, tmp_path, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth, results = tmp_path / "instances.json", tmp_path / "results.json"
    write_coco(truth, images, categories=CATEGORIES)
    assert write_coco_results(results, images, categories=CATEGORIES) == 1
    data = coco.COCO(str(truth))
    assert len(data.anns) == 4
    for annotation in data.anns.values():
        assert data.annToMask(annotation).sum() == annotation["area"]
    found = data.loadRes(str(results))
    for image in data.getImgIds():
        said = [data.annToMask(a) for a in data.imgToAnns[image] if a["area"]]
        assert all(
            (found.annToMask(r) == mask).all()
            for r, mask in zip(found.imgToAnns[image], said, strict=True)
        )
    scores = cocoeval.COCOeval(data, found, "segm")
    scores.evaluate()
    scores.accumulate()
    scores.summarize()
    assert scores.stats[1] > 0.6  # of average precision at IoU 0.5; one nucleus is a point
    capsys.readouterr()


def test_geopandas_loads_outlines_points_and_what_was_said_of_them(images, tmp_path):
    geopandas = pytest.importorskip("geopandas")
    path = tmp_path / "nuclei.geojson"
    nuclei = images[0].nuclei
    write_geojson(path, nuclei, categories=CATEGORIES, masks=True)
    frame = geopandas.read_file(path).set_crs(None, allow_override=True)  # pixels, not degrees
    assert frame.geometry.is_valid.all()
    assert list(frame.geometry.geom_type) == ["Polygon", "Point", "Polygon", "Polygon"]
    assert frame.geometry.area[0] == pytest.approx(nuclei[0].mask.area_px, rel=0.1)
    said = [c if isinstance(c, dict) else json.loads(c) for c in frame["classification"]]
    assert [c["name"] for c in said] == ["Tumour", "Stroma", "Stroma", "Tumour"]
    (x, y) = frame.geometry.iloc[1].coords[0]
    assert (x, y) == (20, 20)
