from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import open_image
from nunext_training.cli import main
from nunext_training.data.importers import IMPORTERS, importer_for
from nunext_training.data.importers.sets.brca_m2c import BRCA_M2C
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import nuclei_count, select_split, shared_patients
from nunext_training.data.sources import read_source

NAME = "TCGA-A1-A0SK-01Z-00-DX1_1_2_1000_1000_0.9824"


@pytest.fixture
def data_set(tmp_path):
    """Two tiles in the published layout."""
    folder = tmp_path / "published"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    rng = np.random.default_rng(0)
    for split, name, rows in (
        ("train", NAME, "0 0 1\n12 30 2\n19 39 3\n"),
        ("val", "TCGA-A8-A06N-01Z-00-DX1_3", ""),
    ):
        pixels = rng.integers(0, 255, (20, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{name}.png")
        (folder / "labels" / f"{name}_gt_class_coords.txt").write_text(rows)
        (folder / f"{split}.txt").write_text(f"{name}\n")
    return folder


def test_rows_columns_and_classes_become_points_at_pixel_centres(data_set):
    image, empty = BRCA_M2C.read(data_set)
    np.testing.assert_array_equal(image.points_xy, [[0.5, 0.5], [30.5, 12.5], [39.5, 19.5]])
    assert image.categories == ("Lymphocyte", "Tumour or epithelial", "Stromal")
    assert (image.split, empty.split) == ("train", "val")
    assert image.mpp == 0.5
    assert empty.points_xy.shape == (0, 2)


def test_a_patient_is_one_pseudonym_that_does_not_tell_the_barcode(data_set):
    image, other = BRCA_M2C.read(data_set)
    assert "A0SK" not in image.patient
    assert image.patient != other.patient


def test_the_layout_is_recognised(data_set, tmp_path):
    assert importer_for(data_set) is IMPORTERS["brca-m2c"]
    assert importer_for(tmp_path) is None


@pytest.mark.parametrize("row", ["1 2 4", "1.5 2 1", "1 2", "a b c"])
def test_a_bad_row_is_named(data_set, row):
    path = data_set / "labels" / f"{NAME}_gt_class_coords.txt"
    path.write_text(f"1 1 1\n{row}\n")
    with pytest.raises(RecordError, match=r"line 2 is .*expected row, column and a class"):
        BRCA_M2C.read(data_set)


def test_a_missing_image_is_named(data_set):
    (data_set / "images" / f"{NAME}.png").unlink()
    with pytest.raises(RecordError, match=r"images/TCGA-A1.*is missing"):
        BRCA_M2C.read(data_set)


def test_an_import_is_an_export_that_passes_every_check_and_names_nobody(data_set, tmp_path):
    out = tmp_path / "export"
    told = []
    images = BRCA_M2C.read(data_set)
    write_export(
        images,
        out,
        categories=BRCA_M2C.categories,
        origin="brca-m2c",
        progress=lambda done, total: told.append((done, total)),
    )
    export = read_export(out, strict=True)
    assert told == [(1, 2), (2, 2)]
    assert export.manifest.counts == {"sft": 2, "images": 2, "nuclei": 3}
    record = export.sft[0]
    np.testing.assert_array_equal(record.points_xy, images[0].points_xy)
    original = open_image(images[0].path)
    assert record.source.image_sha256 == original.id
    np.testing.assert_array_equal(open_image(export.image_path(record)).rgb, original.rgb)
    everything = "".join(p.name + p.read_text() for p in out.glob("*.json*"))
    assert "TCGA" not in everything
    assert not any("TCGA" in p.name for p in out.rglob("*"))
    assert json.loads(json.dumps(record.to_json()))["messages"][1]["content"][0]["text"] == (
        "[0, 0], [30, 12], [39, 19]"
    )


def test_the_command_line_may_say_the_split_of_every_image(data_set, tmp_path):
    out = tmp_path / "export"
    command = ["import", "brca-m2c", str(data_set), "--split", "val", "--out", str(out)]
    assert main(command) == 0
    assert [image.split for image in read_source(out).images] == ["val", "val"]


def test_an_import_does_not_overwrite_and_leaves_nothing_half_written(data_set, tmp_path):
    images = BRCA_M2C.read(data_set)
    out = tmp_path / "export"
    out.mkdir()
    (out / "mine.txt").touch()
    with pytest.raises(InputError, match="exists"):
        write_export(images, out, categories=BRCA_M2C.categories, origin="x")
    (data_set / "labels" / f"{NAME}_gt_class_coords.txt").write_text("50 1 1\n")
    with pytest.raises(RecordError, match=r"1 nuclei of TCGA.* lie outside"):
        write_export(
            BRCA_M2C.read(data_set), tmp_path / "new", categories=BRCA_M2C.categories, origin="x"
        )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["export", "published"]


def test_an_export_and_the_data_set_itself_read_the_same(data_set, tmp_path):
    out = tmp_path / "export"
    images = BRCA_M2C.read(data_set)
    write_export(images, out, categories=BRCA_M2C.categories, origin="brca-m2c")
    ours, theirs = read_source(out), read_source(data_set)
    for a, b in zip(ours.images, theirs.images, strict=True):
        np.testing.assert_array_equal(a.points_xy, b.points_xy)
        assert (a.categories, a.split, a.patient, a.mpp) == (
            b.categories,
            b.split,
            b.patient,
            b.mpp,
        )
    assert theirs.origin == {"importer": "brca-m2c", "images": 2, "nuclei": 3}
    assert len(ours.origin["manifest_sha256"]) == 64


def test_a_folder_that_is_neither_is_refused(tmp_path):
    with pytest.raises(RecordError, match="neither an export"):
        read_source(tmp_path)


def test_the_published_data_reads_whole(data_root):
    folder = data_root / "brca_m2c"
    if not folder.is_dir():
        pytest.skip("brca_m2c is not in the data folder")
    images = BRCA_M2C.read(folder)
    assert len(select_split(images, "train")) == 75
    assert len(select_split(images, "val")) == 10
    assert nuclei_count(images) == 20_210
    assert len(shared_patients(images)) == 2  # the published split is not by patient throughout


def test_masks_and_tissue_go_through_an_export_and_come_back(tmp_path, labelled_tile):
    masks = (Mask.from_array(np.ones((3, 3), dtype=bool), 9, 9), None)
    tile = replace(
        labelled_tile(tmp_path, "a", [(10.5, 10.5), (30, 30)]), masks=masks, tissue="Colon"
    )
    plain = labelled_tile(tmp_path, "b", [(20, 20)])
    write_export(
        [tile, plain], tmp_path / "out", categories=default_categories(["Round"]), origin="x"
    )
    image, other = read_source(tmp_path / "out").images
    assert (image.masks, image.tissue) == (masks, "Colon")
    assert (other.masks, other.tissue) == ((), None)
    assert image.complete_masks is None
    assert replace(image, masks=(masks[0], masks[0])).complete_masks == (masks[0], masks[0])


def test_an_image_that_was_there_before_is_left_out_and_named(tmp_path, labelled_tile, caplog):
    tiles = [labelled_tile(tmp_path, name, [(20, 20)]) for name in ("a", "b")]
    manifest = write_export(
        tiles, tmp_path / "out", categories=default_categories(["Round"]), origin="x"
    )
    assert manifest.counts == {"sft": 1, "images": 1, "nuclei": 1}
    assert "1 images whose pixels were there before (b)" in caplog.text
    assert len(read_export(tmp_path / "out", strict=True).sft) == 1
