from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.images import open_image
from napari_nunext.synthetic import CATEGORIES, SynthesisOptions
from nunext_training.cli import main
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.labelled import select_split
from nunext_training.data.sources import read_source


def test_a_tile_depends_on_the_seed_and_its_number_alone():
    few = DrawnTiles(2, size_px=64, mpp=0.5, seed=3)
    many = DrawnTiles(9, size_px=64, mpp=0.5, seed=3)
    assert len(many[1:3]) == 2
    assert few[1].name == many[1].name == many[-8].name
    np.testing.assert_array_equal(few[1].open().rgb, many[1].open().rgb)
    assert few[1].masks == many[1].masks
    assert (few[1].open().rgb != DrawnTiles(2, size_px=64, mpp=0.5, seed=4)[1].open().rgb).any()
    with pytest.raises(IndexError):
        few[2]


def test_options_reach_the_drawing():
    options = SynthesisOptions(
        epithelium_fraction=0.0, lymphocytes_per_mm2=0.0, stromal_per_mm2=0.0
    )
    tile = DrawnTiles(1, size_px=64, mpp=0.5, seed=0, options=options)[0]
    assert tile.points_xy.shape == (0, 2)


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (1, -1)])
def test_numbers_that_make_no_set_are_refused(count, seed):
    with pytest.raises(InputError, match="expected at least 1 tile"):
        DrawnTiles(count, size_px=64, mpp=0.5, seed=seed)


def test_the_command_writes_an_export_with_masks_categories_and_a_split(tmp_path, capsys):
    out = tmp_path / "drawn"
    arguments = ["--count", "6", "--size-px", "96", "--mpp", "0.4", "--seed", "5"]
    assert main(["import", "synthetic", *arguments, "--out", str(out)]) == 0
    assert "6 images" in capsys.readouterr().out
    export = read_export(out, strict=True)
    assert [c["name"] for c in export.manifest.categories] == [c.name for c in CATEGORIES]
    images = read_source(out).images
    assert [len(select_split(images, split)) for split in ("train", "val")] == [5, 1]
    assert len({image.patient for image in images}) == 6
    drawn = DrawnTiles(6, size_px=96, mpp=0.4, seed=5)
    for image, tile in zip(images, drawn, strict=True):
        assert image.mpp == 0.4
        assert image.masks == tile.masks
        assert image.categories == tile.categories
        np.testing.assert_array_equal(image.points_xy, tile.points_xy)
        np.testing.assert_array_equal(open_image(image.path).rgb, tile.open().rgb)


def test_the_command_line_may_say_the_split_of_every_tile(tmp_path):
    out = tmp_path / "drawn"
    arguments = ["--count", "6", "--size-px", "64", "--split", "test"]
    assert main(["import", "synthetic", *arguments, "--out", str(out)]) == 0
    assert {image.split for image in read_source(out).images} == {"test"}


def test_a_path_for_what_is_drawn_or_none_for_what_is_read_is_one_line(tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["import", "synthetic", str(tmp_path), "--out", out]) == 2
    assert "drawn, not read" in capsys.readouterr().err
    assert main(["import", "brca-m2c", "--out", out]) == 2
    assert "read from a folder" in capsys.readouterr().err
