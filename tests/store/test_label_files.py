"""Label images of nuclei: tile by tile, at each level what one image would be; and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_nunext.cli import main
from napari_nunext.core.errors import StoreError
from napari_nunext.core.shapes.masks import Mask, label_image
from napari_nunext.images.nuclei import large_labels
from napari_nunext.images.nuclei_files import holds_labels, read_nuclei
from napari_nunext.store import ReviewedNucleus, events
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import export_format, image_nuclei, write_nuclei
from napari_nunext.store.exports.labels import files, painting
from napari_nunext.store.exports.labels.painting import LabelPainter
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info

zarr = pytest.importorskip("zarr")

WIDTH, HEIGHT = 150, 110


@pytest.fixture
def nuclei(rng):
    """Outlines that overlap, hang over the edges and lie on seams; dots among them."""
    made = []
    for i in range(80):
        n = predicted(*(rng.random(2) * (WIDTH, HEIGHT)).tolist())
        if i % 4:
            crop = rng.random((13, 11)) < 0.8
            x0, y0 = int(n.x_px) - 6, int(n.y_px) - 6
            n = replace(n, mask=Mask.from_array(crop, x0, y0))
        made.append(n)
    made[10] = ReviewedNucleus(made[10], status="rejected")
    return made


def expected(nuclei):
    """The whole image at once. A dot at 0.5 um/px is a disc of 2 px radius around its pixel."""
    y, x = np.mgrid[-2:3, -2:3]
    masks = []
    for n in nuclei:
        if isinstance(n, ReviewedNucleus):
            continue
        corner = int(n.x_px) - 2, int(n.y_px) - 2
        masks.append(n.mask or Mask.from_array(x**2 + y**2 <= 4, *corner))
    return label_image(masks, HEIGHT, WIDTH)


@pytest.fixture
def small(monkeypatch):
    """As if the image were a large one."""
    monkeypatch.setattr(painting, "SMALLEST_PX", 32)
    monkeypatch.setattr(files, "TIFF_TILE_PX", 32)
    monkeypatch.setattr(files, "ZARR_TILE_PX", 64)
    monkeypatch.setattr(large_labels, "LARGE_PX", 1000)
    monkeypatch.setattr(large_labels, "_TILE_PX", 64)


@pytest.mark.parametrize("side_px", [16, 37, 256])
@pytest.mark.parametrize("factor", [1, 4, 16])
def test_tiles_of_a_level_are_the_image_of_it(nuclei, side_px, factor):
    painter = LabelPainter(nuclei, WIDTH, HEIGHT, 0.5)
    want = expected(nuclei)[::factor, ::factor]
    assert painter.size_px(factor) == want.shape[::-1]
    got = np.zeros_like(want)
    for column, row, tile in painter.tiles(factor, side_px):
        if tile is not None:
            part = got[row * side_px :, column * side_px :][:side_px, :side_px]
            part[:] = tile[: part.shape[0], : part.shape[1]]
            assert not tile[part.shape[0] :].any()
            assert not tile[:, part.shape[1] :].any()
    np.testing.assert_array_equal(got, want)
    assert painter.dots == 20
    assert painter.count == 79


@pytest.mark.usefixtures("small")
def test_a_tiff_has_tiles_levels_and_scale(tmp_path, nuclei):
    image = ImageNuclei(entry(width_px=WIDTH, height_px=HEIGHT), nuclei)
    path = tmp_path / "a.labels.ome.tif"
    words = write_nuclei(export_format("labels-tiff"), path, [image], ())
    assert "20 nuclei without an outline are dots of 2 um" in words
    with tifffile.TiffFile(path) as tif:
        (series,) = tif.series
        assert [level.shape for level in series.levels] == [(110, 150), (28, 38), (7, 10)]
        assert all(level.keyframe.is_tiled for level in series.levels)
        for level, factor in zip(series.levels, (1, 4, 16), strict=True):
            np.testing.assert_array_equal(level.asarray(), expected(nuclei)[::factor, ::factor])
        assert 'PhysicalSizeX="0.5"' in tif.ome_metadata
        assert "a.png" not in tif.ome_metadata
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.usefixtures("small")
def test_an_ome_zarr_has_levels_and_scale_and_no_empty_chunks(tmp_path, nuclei):
    image = ImageNuclei(entry(width_px=WIDTH, height_px=HEIGHT), nuclei[:2])
    path = tmp_path / "a.labels.zarr"
    write_nuclei(export_format("labels-zarr"), path, [image], ())
    group = zarr.open_group(path, mode="r")
    assert group.attrs["image-label"] == {"version": "0.4"}
    (multiscale,) = group.attrs["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == ["y", "x"]
    for number, factor in enumerate((1, 4, 16)):
        said = multiscale["datasets"][number]
        assert said["coordinateTransformations"][0]["scale"] == [0.5 * factor] * 2
        level = group[said["path"]][:]
        np.testing.assert_array_equal(level, expected(nuclei[:2])[::factor, ::factor])
    chunks = [p for p in (path / "0").rglob("*") if p.is_file() and not p.name.startswith(".")]
    assert 0 < len(chunks) < 6
    write_nuclei(export_format("labels-zarr"), path, [image], ())  # over one of ours
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr" / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"b\.zarr is there already, and is no label image"):
        write_nuclei(export_format("labels-zarr"), tmp_path / "b.zarr", [image], ())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.labels.zarr", "b.zarr"]
    assert (tmp_path / "b.zarr" / "mine.txt").read_text() == "mine"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "file"),
    [("labels-tiff", "a.labels.ome.tif"), ("labels-zarr", "a.labels.zarr")],
)
def test_labels_come_back_tile_by_tile_as_they_are_in_the_image(tmp_path, nuclei, name, file):
    image = ImageNuclei(entry(width_px=WIDTH, height_px=HEIGHT), nuclei)
    write_nuclei(export_format(name), tmp_path / file, [image], ())
    assert holds_labels(tmp_path / file)
    (part,) = read_nuclei(tmp_path / file)
    assert (part.image, part.size_px, part.tool) == ("a", (WIDTH, HEIGHT), "")
    want = expected(nuclei)
    labels_there = [label for label in np.unique(want).tolist() if label]
    assert len(part.nuclei) == len(labels_there) > 60
    for n, label in zip(part.nuclei, labels_there, strict=True):
        assert n.nucleus.mask == Mask.from_array(want == label)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "file"), [("labels-tiff", "a.labels.ome.tif"), ("labels-zarr", "a.labels.zarr")]
)
def test_tiles_without_a_nucleus_hold_none(tmp_path, name, file):
    for nuclei in ([], [predicted(149.5, 109.5)]):
        image = ImageNuclei(entry(width_px=WIDTH, height_px=HEIGHT), nuclei)
        write_nuclei(export_format(name), tmp_path / file, [image], ())
        (part,) = read_nuclei(tmp_path / file)
        assert len(part.nuclei) == len(nuclei)


def test_a_project_gives_labels_and_takes_them_back(project, path, tmp_path, capsys):
    square = Mask.from_array(np.ones((9, 9), bool), 20, 30)
    nuclei = [replace(predicted(24.5, 34.5), mask=square), predicted(70, 50), predicted(5, 5)]
    run_id = project.start_run(IMAGE, run_info())
    project.add_predictions(run_id, nuclei)
    project.append([events.use_run(IMAGE, run_id, WHOLE)])
    project.append([events.reject(IMAGE, nuclei[2].uid), events.move(IMAGE, nuclei[1].uid, 80, 60)])
    painter = LabelPainter(image_nuclei(entry(), project.state(IMAGE)).nuclei, 100, 80, 0.5)
    ((_, _, tile),) = painter.tiles(1, 128)
    assert np.unique(tile).tolist() == [0, 1, 2]
    assert tile[60, 80] == 2
    project.close()
    assert main(["export", str(path), "--format", "labels-zarr", "--out", str(tmp_path / "o")]) == 0
    assert "label n is the n-th row" in capsys.readouterr().out
    assert main(["import", str(path), str(tmp_path / "o"), "--annotator", "jd", "--dry-run"]) == 0
    assert "2 nuclei of a label image as predictions" in capsys.readouterr().out
    folder = str(tmp_path / "o" / "a.labels.zarr")
    assert main(["import", str(path), folder, "--annotator", "jd", "--dry-run"]) == 0
    assert "2 nuclei of a label image as predictions" in capsys.readouterr().out
