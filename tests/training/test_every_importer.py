"""What holds of every data set that can be imported: one more importer is one more case here."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus
from napari_nunext.images.formats import image_stem
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.state.reviewed import ReviewedNucleus
from nunext_training.cli import main
from nunext_training.data.importers import IMPORTERS, importer_for
from nunext_training.data.importers.base import NO_CATEGORIES
from nunext_training.data.labelled import shared_patients
from nunext_training.data.sources import read_source
from tests.training.published import SETS, brca_m2c, labels, mat_set, pannuke_parquet, save_image

every_set = pytest.mark.parametrize("name", sorted(SETS))
MPP = {"folder": 0.5}
"""Of the data sets that say none."""


def options(name):
    return ("--mpp", str(MPP[name])) if name in MPP else ()


def read(name, folder, **more):
    return IMPORTERS[name].read(folder, MPP.get(name), **more)


def test_every_importer_has_a_data_set_here():
    assert SETS.keys() == IMPORTERS.keys()


@every_set
def test_a_layout_is_recognised_as_its_own(name, tmp_path):
    folder = SETS[name](tmp_path / "set")
    assert IMPORTERS[name].recognises(folder)
    # The tiles of the Data Science Bowl lie like any folder: they are read as their own by name.
    assert importer_for(folder) is IMPORTERS["folder" if name == "dsb2018" else name]


@every_set
def test_nothing_is_lost_on_the_way_and_what_has_no_category_is_counted(name, tmp_path, capsys):
    folder, out = SETS[name](tmp_path / "set"), tmp_path / "imported"
    images = read(name, folder)
    assert main(["import", name, str(folder), "--out", str(out), *options(name)]) == 0
    told = capsys.readouterr()
    back = read_source(out).images
    for a, b in zip(images, back, strict=True):
        np.testing.assert_array_equal(a.points_xy, b.points_xy)
        assert a.categories == b.categories
        assert a.masks == b.masks
        assert (a.mpp, a.mpp_source, a.split) == (b.mpp, b.mpp_source, b.split)
        assert (a.patient, a.tissue) == (b.patient, b.tissue)
        assert len(a.rejected) == len(b.rejected)
        np.testing.assert_array_equal(a.open().rgb, b.open().rgb)
    categories = [c for image in images for c in image.categories]
    without = categories.count(UNCATEGORISED)
    assert f"{len(categories) - without} nuclei have a category" in told.out
    assert f"; {without} have none" in told.out
    for kind in {kind for image in images for kind in image.unsorted}:
        assert repr(kind) in told.out
    if IMPORTERS[name].categories != NO_CATEGORIES:
        assert without < len(categories)
        assert sum(len(image.unsorted) for image in images) == without
    assert not shared_patients(images)
    assert "Left out" not in told.err


@every_set
def test_what_was_detected_in_the_original_files_is_found_by_name(name, tmp_path, capsys):
    """Import, then detect in the original files, then evaluate: nothing is renamed by hand."""
    folder, out, found = SETS[name](tmp_path / "set"), tmp_path / "imported", tmp_path / "found"
    assert main(["import", name, str(folder), "--out", str(out), *options(name)]) == 0
    found.mkdir()
    images = read(name, folder)
    for image in images:  # as `napari-nunext detect` names its files
        nuclei = [
            ReviewedNucleus(Nucleus(uuid4(), x, y, category), run_id="r")
            for (x, y), category in zip(image.points_xy, image.categories, strict=True)
        ]
        write_geojson(found / f"{image_stem(image.path)}.geojson", nuclei)
    report = tmp_path / "report.json"
    command = ["evaluate", "--predictions", str(found), "--data", str(out), "--split", "all"]
    assert main([*command, "--out", str(report)]) == 0
    scores = json.loads(report.read_text())
    assert scores["images_without_predictions"] == 0
    assert scores["overall"]["f1"] == 1.0
    capsys.readouterr()


@every_set
def test_public_names_are_kept_and_private_ones_are_not(name, tmp_path):
    folder, out = SETS[name](tmp_path / "set"), tmp_path / "imported"
    assert main(["import", name, str(folder), "--out", str(out), *options(name)]) == 0
    names = {image.name for image in read(name, folder)}
    kept = {path.stem for path in (out / "images").iterdir()}
    assert kept.isdisjoint(names) if name == "folder" else kept == names
    patients = {r["source"]["patient"] for r in _records(out)}
    assert all(re.fullmatch("[0-9a-f]{16}", patient) for patient in patients)


def _records(out):
    return [json.loads(line) for line in (out / "sft.jsonl").read_text().splitlines()]


def _labels_in(folder):
    """Files that hold labels, the last of which is damaged by the test."""
    suffixes = ("*.mat", "*.xml", "*.csv", "*.geojson", "*.txt")
    paths = [p for suffix in suffixes for p in sorted(folder.rglob(suffix))]
    of_images = re.compile(
        r"(train|val|test)\.txt|info\.csv|fold_1|patch_info|counts|ALL_FOV|_tissue"
    )
    paths = [p for p in paths if not of_images.search(p.name)]
    parts = ("GT_02", "label masks modify", "labels")
    return paths or [p for part in parts for p in sorted(folder.rglob(f"{part}/*.*"))]


@pytest.mark.parametrize("name", sorted(SETS.keys() - {"pannuke", "conic", "midog"}))
def test_a_damaged_member_is_named_and_counted_and_the_others_are_imported(name, tmp_path, caplog):
    """The three left out have one file for all: what is wrong in it stops, named."""
    folder, out = SETS[name](tmp_path / "set"), tmp_path / "imported"
    whole = read(name, folder)
    path = _labels_in(folder)[-1]
    path.write_bytes(b"\x00 this was a file")
    left_out: list[str] = []
    images = read(name, folder, left_out=left_out)
    assert len(images) == len(whole) - 1
    (problem,) = left_out
    assert path.name in problem
    with pytest.raises(RecordError, match=re.escape(path.name)):
        read(name, folder)
    command = ["import", name, str(folder), "--out", str(out), *options(name)]
    assert main([*command, "--strict"]) == 2
    assert not out.exists()
    assert main(command) == 0
    assert f"Left out: {problem}" in caplog.text
    assert f"Left out 1 of {len(whole)} images; {len(images)} are used." in caplog.text
    path.unlink()
    left_out.clear()
    assert len(read(name, folder, left_out=left_out)) >= len(whole) - 1


def test_a_set_of_which_most_is_damaged_is_not_imported_unless_that_is_allowed(tmp_path, capsys):
    folder, out = SETS["lizard"](tmp_path / "set"), tmp_path / "imported"
    for path in _labels_in(folder)[:2]:
        path.write_bytes(b"nothing")
    command = ["import", "lizard", str(folder), "--out", str(out)]
    assert main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "2 of 3 images would be left out. consep_1.mat cannot be read" in last
    assert "--allow-loss" in last
    assert not out.exists()
    assert main([*command, "--allow-loss"]) == 0
    assert len(read_source(out).images) == 1


@pytest.mark.parametrize("name", ["lizard", "conic", "consep", "monusac", "puma", "nucls"])
def test_kinds_that_are_all_lost_are_an_error(name, tmp_path):
    folder = tmp_path / "set"
    if name == "lizard":
        SETS[name](folder, ids=(11, 12, 13))
    elif name == "conic":
        SETS[name](folder, kinds=(0, 0, 0))
    elif name == "puma":
        SETS[name](folder, kinds=("tumour", "", "other"))
    else:
        SETS[name](folder)
    if name == "consep":
        shutil.rmtree(folder)
        mat_set(folder, {"Train": ["train_1"]}, ".png", kinds=(0, 0, 0))
    for path in folder.rglob("*.xml" if name == "monusac" else "*.csv"):
        if name in ("monusac", "nucls"):
            text = path.read_text()
            for kind in (
                "Epithelial",
                "Lymphocyte",
                "Neutrophil",
                "tumor_nonMitotic",
                "lymphocyte",
            ):
                text = text.replace(kind, "Strange")
            path.write_text(text)
    with pytest.raises(RecordError, match=r"not one of \d+ nuclei has a category; expected"):
        read(name, folder)


def test_the_register_is_what_help_and_documentation_show(capsys):
    with pytest.raises(SystemExit):
        main(["import", "--help"])
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "training" / "README.md").read_text("utf-8")
    for importer in IMPORTERS.values():
        assert re.search(rf"^  {importer.name} +{re.escape(importer.title)}$", shown, re.MULTILINE)
        (row,) = re.findall(rf"^\| `{importer.name}` \|.*$", page, re.MULTILINE)
        assert importer.licence in row
        assert importer.link in row
        assert importer.not_carried in row


def test_names_that_two_images_share_are_told_apart_by_content(tmp_path, capsys):
    folder = mat_set(tmp_path / "set", {"train": ["image_00"], "test": ["image_00"]}, ".png")
    assert main(["import", "cpm-17", str(folder), "--out", str(tmp_path / "out")]) == 0
    names = sorted(path.stem for path in (tmp_path / "out" / "images").iterdir())
    assert [name[:9] for name in names] == ["image_00-"] * 2
    assert len(set(names)) == 2


def test_pannuke_as_parquet_is_pannuke(tmp_path, capsys):
    folder = pannuke_parquet(tmp_path / "set")
    assert importer_for(folder) is IMPORTERS["pannuke"]
    images = {image.name: image for image in read("pannuke", folder)}
    assert [i.split for i in images.values()] == [*("train",) * 4, *("val",) * 2]
    first = images["fold1-0000"]
    assert first.categories == ("Neoplastic", "Epithelial", "Necrosis")
    assert first.tissue == "Adrenal"
    assert [mask.area_px for mask in first.masks] == [24, 24, 24]
    assert first.points_xy.tolist() == [[3.0, 2.0], [11.0, 7.0], [19.0, 12.0]]
    assert len(images["fold3-0001"].points_xy) == 0
    assert main(["import", "pannuke", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert len(read_source(tmp_path / "out").images) == 6


def test_parquet_that_does_not_hold_is_named(tmp_path):
    folder = pannuke_parquet(tmp_path / "set", empty=True)
    assert len(read("pannuke", folder)[0].points_xy) == 2
    assert "left out 1 masks without pixels" in read("pannuke", folder)[0].notes[0]
    bare = pannuke_parquet(tmp_path / "bare", metadata=False)
    with pytest.raises(RecordError, match="does not say what the numbers of categories mean"):
        read("pannuke", bare)
    (bare / "data" / "fold1-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"fold1-00000-of-00001\.parquet cannot be read"):
        read("pannuke", bare)


def test_outlines_of_brca_m2c_belong_to_the_points_in_them(tmp_path):
    folder = brca_m2c(tmp_path / "set", masks=(4, 0, 9, 12))
    image, other = read("brca-m2c", folder)
    assert [m and m.area_px for m in image.masks] == [24, None, 24]
    assert image.categories == ("Lymphocyte", "Tumour or epithelial", "Stromal")
    assert "1 nuclei have no outline" in image.notes[0]
    assert "left out 1 outlines without a nucleus" in image.notes[1]
    save_image(folder / "masks" / f"{other.name}.png", labels(1)[:20])
    with pytest.raises(RecordError, match=r"masks/.*has labels of shape"):
        read("brca-m2c", folder)
    old = brca_m2c(tmp_path / "old", prefix="", suffix="")
    assert [i.split for i in read("brca-m2c", old)] == ["train", "val"]


def test_lookalikes_are_kept_as_rejected_figures_and_boxes_are_read_either_way(tmp_path):
    images = read("midog", SETS["midog"](tmp_path / "a"))
    others = read("midog", SETS["midog"](tmp_path / "b", name="MIDOG.json", of_coco=True))
    for a, b in zip(images, others, strict=True):
        np.testing.assert_allclose(a.points_xy, b.points_xy)
        assert a.patient == b.patient  # the cases of both sets are the same
    assert images[0].points_xy.tolist() == [[3.0, 2.0], [11.0, 7.0]]
    assert [len(i.rejected) for i in images] == [1, 1]
    assert [i.tissue for i in images] == ["Canine lung cancer"] * 2
    assert others[0].tissue == "Human breast cancer"


def test_cases_of_2021_without_labels_are_passed_over(tmp_path):
    folder = SETS["midog"](tmp_path, name="MIDOG.json")
    data = json.loads((folder / "MIDOG.json").read_text())
    data["images"] += [{"id": 160, "file_name": "160.tiff"}, {"id": 9, "file_name": "009.tiff"}]
    (folder / "MIDOG.json").write_text(json.dumps(data))
    left_out: list[str] = []
    assert len(read("midog", folder, left_out=left_out)) == 2
    assert left_out == ["009.tiff is missing; the list of MIDOG names it."]


def test_boxes_of_nucls_are_points_and_outlines_are_masks(tmp_path):
    train, test = read("nucls", SETS["nucls"](tmp_path))
    assert (train.split, test.split) == ("train", "test")
    assert train.categories == ("Tumor", "Lymphocyte", UNCATEGORISED)
    assert train.unsorted == ("AMBIGUOUS",)
    assert [m and m.area_px for m in train.masks] == [24, None, None]
    assert train.points_xy.tolist() == [[3.0, 2.0], [11.0, 7.0], [19.0, 12.0]]


def test_monusac_keeps_its_kinds_and_monuseg_refuses_them(tmp_path):
    folder = SETS["monusac"](tmp_path / "set")
    test, train = read("monusac", folder)
    assert train.categories == ("Epithelial", "Epithelial", "Lymphocyte")
    assert test.categories == ("Neutrophil", UNCATEGORISED)
    assert test.unsorted == ("Plasma",)
    assert "left out 1 ambiguous regions" in test.notes[0]
    with pytest.raises(RecordError, match=r"has kinds of nuclei .*monusac"):
        IMPORTERS["monuseg"].read(folder / "MoNuSAC_images_and_annotations")


def test_kinds_in_a_set_that_has_none_are_those_of_another_set(tmp_path):
    folder = mat_set(tmp_path / "set", {"train": ["image_00"]}, ".png", kinds=(1, 2, 3))
    with pytest.raises(RecordError, match=r"image_00\.mat has kinds of nuclei"):
        read("cpm-17", folder)


def test_one_instance_without_a_kind_does_not_stop_a_set(tmp_path):
    folder = mat_set(tmp_path / "set", {"Train": ["train_1"]}, ".png", kinds=(4, 0, 7))
    (image,) = read("consep", folder)
    assert image.categories == ("Epithelial", UNCATEGORISED, "Spindle-shaped")
    assert image.unsorted == ("no kind",)


def test_patches_of_one_image_stay_together_and_patches_without_one_are_refused(tmp_path):
    folder = SETS["conic"](tmp_path / "set")
    a, b, c = read("conic", folder)
    assert a.patient == b.patient != c.patient
    assert a.split == b.split
    (folder / "patch_info.csv").unlink()
    with pytest.raises(RecordError, match=r"misses patch_info\.csv"):
        read("conic", folder)
