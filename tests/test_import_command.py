"""`napari-nunext import`, from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from roifile import ImagejRoi

from napari_nunext.cli import main
from napari_nunext.store import Project
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tiles(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with two tiles, and a project that knows them after the first import."""
    for name in ("a.png", "b.png"):
        rgb = rng.integers(0, 256, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(rgb).save(tmp_path / name)
    return tmp_path


def geojson(path: Path, *places: tuple[float, float]) -> Path:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": list(xy)},
            "properties": {"objectType": "detection", "classification": {"name": "Tumour"}},
        }
        for xy in places
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main(["import", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_project_is_begun_filled_and_nothing_comes_twice(tiles, capsys):
    project, found = tiles / "review.nunext", geojson(tiles / "a.geojson", (10, 10), (50, 40))
    image = ("--image", tiles / "a.png", "--mpp", "0.5")
    code, out, err = run(capsys, project, found)
    assert (code, out) == (2, "")
    assert "There is no project" in err
    code, out, _ = run(capsys, project, found, *image)
    assert code == 0
    assert out == "a.png: 2 nuclei of QuPath as predictions: 2 nuclei of QuPath to be reviewed.\n"
    code, out, _ = run(capsys, project, found)
    assert code == 0
    assert out.endswith("here already. Nothing changed.\n")
    with Project.open(project, annotator="x", mode="r", create=False) as opened:
        (entry,) = opened.images()
        state = opened.state(entry.sha256)
        assert [c.name for c in opened.categories()] == ["Tumour"]
        assert len(state.nuclei) == 2
        write_geojson(tiles / "a.geojson", tuple(state.nuclei.values()))
    data = json.loads((tiles / "a.geojson").read_text())
    data["features"][0]["geometry"]["coordinates"] = [12, 11]
    (tiles / "a.geojson").write_text(json.dumps(data))
    for _ in range(2):  # a dry run changes nothing, so that the second says the same
        code, out, _ = run(capsys, project, found, "--dry-run", "--annotator", "Dr. X")
        assert code == 0
        assert "as corrections: 1 as they are here, 1 moved. Nothing was written" in out
    code, out, _ = run(capsys, project, found, "--annotator", "Dr. X")
    with Project.open(project, annotator="x", mode="r", create=False) as opened:
        moved = [n for n in opened.state(entry.sha256).nuclei.values() if n.touched]
        assert [(n.nucleus.x_px, n.nucleus.y_px, n.annotator) for n in moved] == [(12, 11, "Dr. X")]
        assert opened.verify() > 0


def test_a_folder_beside_the_images_is_taken_file_by_file(tiles, capsys):
    project = tiles / "review.nunext"
    geojson(tiles / "a.png.geojson", (10, 10))  # as QuPath suggests
    run(capsys, project, tiles / "a.png.geojson", "--image", tiles / "a.png", "--mpp", "0.5")
    labels = np.zeros((80, 100), np.uint8)
    labels[10:20, 10:20] = 3
    Image.fromarray(labels).save(tiles / "b_cp_masks.png")
    (tiles / "c.json").write_text("{}")
    geojson(tiles / "d.geojson", (10, 10))
    run(capsys, project, tiles / "b_cp_masks.png", "--image", tiles / "b.png", "--mpp", "0.5")
    code, out, err = run(capsys, project, tiles)
    assert code == 2  # two files were not taken
    assert out.count("here already. Nothing changed.") == 2
    assert "b.png: 1 nucleus of Cellpose as predictions" in out
    assert "c.json is JSON but not GeoJSON" in err
    assert "d.geojson means no image of the project" in err
    with Project.open(project, annotator="x", mode="r", create=False) as opened:
        b = opened.images()[1]
        (nucleus,) = opened.state(b.sha256).nuclei.values()
        assert nucleus.nucleus.mask.area_px == 100


def test_a_file_of_another_image_is_refused_in_words(tiles, capsys):
    project, far = tiles / "review.nunext", geojson(tiles / "far.geojson", (500, 10), (50, 40))
    image = ("--image", tiles / "a.png", "--mpp", "0.5")
    code, _, err = run(capsys, project, far, *image)
    assert code == 2
    assert "1 of the 2 nuclei of far.geojson lie outside a.png (100 x 80 px)" in err
    code, out, _ = run(capsys, project, far, *image, "--leave-outside-out", "--source", "StarDist")
    assert code == 0
    assert "1 nucleus of StarDist to be reviewed; left out 1 nucleus outside the image." in out


def test_rois_of_cellpose_come_in_with_their_outlines(tiles, capsys):
    border = np.array([[10, 20], [15, 20], [15, 23], [10, 23]])  # of 6 x 4 px
    ImagejRoi.frompoints(border).tofile(tiles / "a_rois.zip")
    image = ("--image", tiles / "a.png", "--mpp", "0.5")
    code, out, _ = run(capsys, tiles / "review.nunext", tiles / "a_rois.zip", *image)
    assert code == 0
    assert "a.png: 1 nucleus of Cellpose" in out
    with Project.open(tiles / "review.nunext", annotator="x", mode="r", create=False) as opened:
        (entry,) = opened.images()
        (found,) = opened.state(entry.sha256).nuclei.values()
        assert (found.nucleus.x_px, found.nucleus.y_px) == pytest.approx((13, 22))
        assert found.nucleus.mask.area_px == 24


def test_rois_that_are_none_are_one_line(tiles, capsys):
    (tiles / "a_rois.zip").write_bytes(b"PK")
    image = ("--image", tiles / "a.png", "--mpp", "0.5")
    code, _, err = run(capsys, tiles / "review.nunext", tiles / "a_rois.zip", *image)
    assert code == 2
    assert "a_rois.zip is damaged, or no zip" in err
    assert err.count("\n") == 1
