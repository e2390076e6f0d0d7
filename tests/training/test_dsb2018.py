"""Tiles of the Data Science Bowl: scale, part and kind are ours, and stay what they are."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from nunext_training.cli import main
from nunext_training.data.importers import importer_for
from nunext_training.data.importers.sets.dsb2018 import DSB2018, kind_of, part_of
from nunext_training.data.sources import read_source


@pytest.fixture
def folder(tmp_path):
    """A pink tile with nuclei of 10 x 10, 10 x 10 and 40 x 20 px, and a white one without any."""
    for kind in ("images", "labels"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    labels = np.zeros((64, 80), dtype=np.uint16)
    labels[2:12, 2:12], labels[2:12, 20:30], labels[30:50, 5:45] = 1, 2, 7
    for name, color, image in (
        ("pink", (190, 80, 150), labels),
        ("white", (240, 240, 244), np.zeros_like(labels)),
    ):
        rgb = np.full((64, 80, 3), color, dtype=np.uint8)
        Image.fromarray(rgb).save(tmp_path / "set" / "images" / f"{name}.png")
        Image.fromarray(image).save(tmp_path / "set" / "labels" / f"{name}.png")
    return tmp_path / "set"


def test_a_tile_has_the_scale_at_which_its_median_nucleus_is_7_um(folder):
    tiles = {tile.name: tile for tile in DSB2018.read(folder)}
    diameter_px = np.sqrt(4 * 100 / np.pi)
    assert tiles["pink"].mpp == pytest.approx(7.0 / diameter_px)
    assert tiles["pink"].mpp_source == "assumed"
    assert tiles["white"].mpp == 0.5  # nothing to go by
    given = DSB2018.read(folder, 0.25)
    assert {(tile.mpp, tile.mpp_source) for tile in given} == {(0.25, "user")}


def test_tiles_are_imported_with_masks_part_and_kind(folder, tmp_path):
    assert main(["import", "dsb2018", str(folder), "--out", str(tmp_path / "out")]) == 0
    tiles = {tile.tissue: tile for tile in read_source(tmp_path / "out").images}
    assert set(tiles) == {"Pink", "Purple on white"}
    pink = tiles["Pink"]
    assert [mask.area_px for mask in pink.complete_masks] == [100, 100, 800]
    assert pink.mpp == pytest.approx(7.0 / np.sqrt(400 / np.pi))
    assert pink.split == part_of("pink")


def test_the_part_is_the_names_hash_so_that_kept_tiles_stay_kept():
    names = [f"{i:016x}" for i in range(4000)]
    parts = Counter(part_of(name) for name in names)
    assert parts["test"] / 4000 == pytest.approx(1 / 4, abs=0.03)
    assert parts["val"] / 4000 == pytest.approx(1 / 8, abs=0.03)
    digest = int(hashlib.sha256(b"abc").hexdigest()[:16], 16) % 8
    assert part_of("abc") == {0: "test", 1: "test", 2: "val"}.get(digest, "train")


def test_kinds_are_told_by_colour():
    def kind(*color):
        return kind_of(np.full((4, 4, 3), color, dtype=np.uint8))

    assert kind(190, 180, 202) == "Purple on white"
    assert kind(165, 140, 199) == "Purple on purple"
    assert kind(193, 102, 174) == "Pink"


def test_a_folder_with_labels_is_nobodys_set_unless_it_is_named(folder):
    assert importer_for(folder).name == "folder"


def test_the_real_tiles_are_dealt_out_with_every_kind_in_every_part(data_root):
    tiles = DSB2018.read(data_root / "dsb2018_stained")
    parts = Counter(tile.split for tile in tiles)
    assert parts == {"train": 56, "val": 11, "test": 16}
    kinds = {(tile.split, tile.tissue) for tile in tiles}
    assert len(kinds) == 9
    assert sum(len(tile.masks) for tile in tiles) == 3684
