"""Each importer reads a small data set that was written as its documentation says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.io import savemat

from napari_nunext.core.errors import CalibrationError, RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.shapes.masks import label_image
from nunext_training.cli import main
from nunext_training.data.importers import IMPORTERS, importer_for
from nunext_training.data.labelled import nuclei_count, shared_patients
from nunext_training.data.sources import read_source
from tests.training.published import SETS

HEIGHT, WIDTH = 40, 48


@pytest.fixture
def pixels(rng):
    return lambda: rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def labels(*values):
    """A 4 x 6 px nucleus for each value, from left to right; the first in the corner."""
    image = np.zeros((HEIGHT, WIDTH), dtype=np.uint16)
    for i, value in enumerate(values):
        image[5 * i : 5 * i + 4, 8 * i : 8 * i + 6] = value
    return image


def centroid(i):
    return [8 * i + 3.0, 5 * i + 2.0]


def imported(name, folder, tmp_path, *options):
    """Images read from the folder; its import is checked to be the same on the way."""
    out = tmp_path / "imported"
    assert main(["import", name, str(folder), "--out", str(out), *options]) == 0
    images = IMPORTERS[name].read(folder, *(float(o) for o in options[1:]))
    for a, b in zip(images, read_source(out).images, strict=True):
        np.testing.assert_array_equal(a.points_xy, b.points_xy)
        assert (a.categories, a.masks, a.mpp, a.split, a.patient, a.tissue) == (
            b.categories,
            b.masks,
            b.mpp,
            b.split,
            b.patient,
            b.tissue,
        )
        np.testing.assert_array_equal(a.open().rgb, b.open().rgb)
    return {image.name: image for image in images}


def one_line(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


# PanNuke


@pytest.fixture
def pannuke(tmp_path, rng):
    """Three folds as the archives unpack: two images, one, and one without nuclei."""
    folder = tmp_path / "pannuke"
    for fold, tissues in ((1, ["Adrenal_gland", "Breast"]), (2, ["HeadNeck"]), (3, ["Bile-duct"])):
        images = folder / f"Fold {fold}" / "images" / f"fold{fold}"
        masks = folder / f"Fold {fold}" / "masks" / f"fold{fold}"
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        n = len(tissues)
        channels = np.zeros((n, HEIGHT, WIDTH, 6))
        if fold < 3:
            channels[0, ..., 0] = labels(7, 0, 0)
            channels[0, ..., 4] = labels(0, 3, 9)
        channels[..., 5] = channels[..., :5].sum(axis=-1) == 0
        rgb = rng.integers(0, 255, (n, HEIGHT, WIDTH, 3))
        np.save(images / "images.npy", rgb.astype(np.float64))
        np.save(images / "types.npy", np.array(tissues))
        np.save(masks / "masks.npy", channels)
    return folder


def test_pannuke(pannuke, tmp_path):
    assert importer_for(pannuke) is IMPORTERS["pannuke"]
    images = imported("pannuke", pannuke, tmp_path)
    first = images["fold1-0000"]
    assert first.points_xy.tolist() == [centroid(0), centroid(1), centroid(2)]
    assert first.categories == ("Neoplastic", "Epithelial", "Epithelial")
    assert (label_image(list(first.masks), HEIGHT, WIDTH) == labels(1, 2, 3)).all()
    assert [i.tissue for i in images.values()] == ["Adrenal", "Breast", "Head & Neck", "Bile Duct"]
    assert [i.split for i in images.values()] == ["train", "train", "train", "val"]
    assert first.mpp == 0.25
    assert len(images["fold3-0000"].points_xy) == 0
    manifest = json.loads((tmp_path / "imported" / "manifest.json").read_text())
    assert [c["name"] for c in manifest["categories"]] == [
        "Neoplastic",
        "Epithelial",
        "Inflammatory",
        "Connective",
        "Necrosis",
    ]


def test_a_fold_that_does_not_hold_together_is_named(pannuke, tmp_path, capsys):
    types = next(pannuke.glob("Fold 2/**/types.npy"))
    np.save(types, np.array(["Breast", "Colon"]))
    assert main(["import", "pannuke", str(pannuke), "--out", str(tmp_path / "o")]) == 2
    assert "Fold 2 has images (1, 40, 48, 3)" in one_line(capsys)
    types.unlink()
    assert main(["import", "pannuke", str(pannuke), "--out", str(tmp_path / "o")]) == 2
    assert "Fold 2 misses types.npy" in one_line(capsys)
    assert not (tmp_path / "o").exists()


# HoVer-Net's layout


def write_mat_set(folder, parts, suffix, pixels, kinds=None):
    for part, names in parts.items():
        (folder / part / "Images").mkdir(parents=True)
        (folder / part / "Labels").mkdir(parents=True)
        for name in names:
            path = folder / part / "Images" / f"{name}{suffix}"
            tifffile.imwrite(path, pixels()) if suffix == ".tif" else Image.fromarray(
                pixels()
            ).save(path)
            arrays = {"inst_map": labels(2, 5, 6).astype(np.float64)}
            if kinds is not None:
                arrays |= {
                    "type_map": labels(*kinds).astype(np.float64),
                    "inst_type": np.array(kinds)[:, None],
                    "inst_centroid": np.zeros((3, 2)),
                }
            savemat(folder / part / "Labels" / f"{name}.mat", arrays)
    return folder


def test_consep(tmp_path, pixels):
    parts = {"Train": ["train_1", "train_2"], "Test": ["test_1"]}
    folder = write_mat_set(tmp_path / "CoNSeP", parts, ".png", pixels, kinds=(4, 2, 7))
    assert importer_for(folder) is IMPORTERS["consep"]
    images = imported("consep", folder, tmp_path)
    assert images["train_1"].points_xy.tolist() == [centroid(0), centroid(1), centroid(2)]
    assert images["train_1"].categories == ("Epithelial", "Inflammatory", "Spindle-shaped")
    assert [i.split for i in images.values()] == ["train", "train", "test"]
    assert len({i.patient for i in images.values()}) == 3
    assert all(mask.area_px == 24 for mask in images["test_1"].masks)


def test_glysac(tmp_path, pixels):
    parts = {"Train": ["AGC1_1"], "Test": ["EGC1_2"]}
    folder = write_mat_set(tmp_path / "GLySAC", parts, ".tif", pixels, kinds=(9, 4, 8))
    assert importer_for(folder) is IMPORTERS["glysac"]
    images = imported("glysac", folder, tmp_path)
    assert images["AGC1_1"].categories == ("Miscellaneous", "Lymphocyte", "Epithelial")
    assert images["EGC1_2"].split == "test"


def test_kumar_and_cpm_17_have_no_kinds(tmp_path, pixels):
    parts = {"train": ["TCGA-18-5592-01Z-00-DX1"], "test_same": ["TCGA-21-5784-01Z-00-DX1"]}
    kumar = write_mat_set(tmp_path / "kumar", parts, ".tif", pixels)
    assert importer_for(kumar) is IMPORTERS["kumar"]
    images = imported("kumar", kumar, tmp_path)
    assert [i.split for i in images.values()] == ["train", "test"]
    assert images["TCGA-18-5592-01Z-00-DX1"].categories == (UNCATEGORISED,) * 3
    cpm = write_mat_set(
        tmp_path / "cpm17", {"train": ["image_00"], "test": ["image_00"]}, ".png", pixels
    )
    assert importer_for(cpm) is IMPORTERS["cpm-17"]
    train, test = IMPORTERS["cpm-17"].read(cpm)
    assert (train.split, test.split, train.mpp_source) == ("train", "test", "assumed")
    assert train.patient != test.patient  # one name, two images


def test_the_scale_of_cpm_15_is_that_of_its_number(tmp_path, pixels, capsys):
    folder = write_mat_set(tmp_path / "cpm15", {".": ["image07", "image08"]}, ".png", pixels)
    assert importer_for(folder) is IMPORTERS["cpm-15"]
    images = imported("cpm-15", folder, tmp_path)
    assert [i.mpp for i in images.values()] == [0.5, 0.25]
    write_mat_set(tmp_path / "other", {".": ["tile_x"]}, ".png", pixels)
    capsys.readouterr()
    options = ["import", "cpm-15", str(tmp_path / "other"), "--out", str(tmp_path / "o")]
    assert main(options) == 2
    assert "Give the scale of all images with --mpp" in one_line(capsys)
    assert main([*options, "--mpp", "0.4"]) == 0
    assert read_source(tmp_path / "o").images[0].mpp == 0.4


def test_the_cpm_sets_are_read_as_their_challenges_gave_them(tmp_path, pixels):
    folder = tmp_path / "cpm15"
    folder.mkdir()
    Image.fromarray(pixels()).save(folder / "image01.png")
    text = "\n".join(map(str, [WIDTH, HEIGHT, *labels(3, 8).ravel().tolist()]))
    (folder / "image01_mask.txt").write_text(text)
    assert importer_for(folder) is IMPORTERS["cpm-15"]
    image = imported("cpm-15", folder, tmp_path)["image01"]
    assert image.points_xy.tolist() == [centroid(0), centroid(1)]
    assert image.mpp == 0.5
    (folder / "image01_mask.txt").write_text(text[:-4])
    with pytest.raises(
        RecordError, match=r"image01_mask\.txt begins with \[48, 40\] and holds 1918"
    ):
        IMPORTERS["cpm-15"].read(folder)
    (folder / "image01_mask.txt").write_text("48 40 one")
    with pytest.raises(RecordError, match="not a mask of whole numbers"):
        IMPORTERS["cpm-15"].read(folder)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inst_map": labels(1)}, "train_1.mat has no type_map"),
        ({"inst_map": labels(1), "type_map": labels(12)}, "instance 1 is of kind 12"),
        ({"inst_map": labels(1), "type_map": labels(1)[:9]}, "expected one shape"),
        ({"inst_map": labels(1)[:9], "type_map": labels(1)[:9]}, r"labels of shape \(9, 48\)"),
        ({"inst_map": labels(1) + 0.5, "type_map": labels(1)}, "not whole numbers"),
    ],
)
def test_a_label_file_that_does_not_fit_is_named(tmp_path, pixels, arrays, message):
    folder = write_mat_set(tmp_path / "c", {"Train": ["train_1"]}, ".png", pixels, kinds=(1, 1, 1))
    savemat(folder / "Train" / "Labels" / "train_1.mat", arrays)
    with pytest.raises(RecordError, match=message):
        IMPORTERS["consep"].read(folder)
    (folder / "Train" / "Labels" / "train_1.mat").write_bytes(b"MATLAB 7.3 or no MATLAB at all")
    with pytest.raises(RecordError, match=r"train_1\.mat cannot be read"):
        IMPORTERS["consep"].read(folder)


# TNBC, CryoNuSeg


def test_tnbc(tmp_path, pixels):
    folder = tmp_path / "TNBC_NucleiSegmentation"
    for slide in ("01", "02"):
        (folder / f"Slide_{slide}").mkdir(parents=True)
        (folder / f"GT_{slide}").mkdir()
        Image.fromarray(pixels()).save(folder / f"Slide_{slide}" / f"{slide}_1.png")
        mask = (labels(1, 1, 1) > 0).astype(np.uint8) * 255
        Image.fromarray(mask).save(folder / f"GT_{slide}" / f"{slide}_1.png")
    assert importer_for(folder) is IMPORTERS["tnbc"]
    images = imported("tnbc", folder, tmp_path)
    assert images["01_1"].points_xy.tolist() == [centroid(0), centroid(1), centroid(2)]
    assert images["01_1"].patient != images["02_1"].patient
    assert images["01_1"].split == "test"
    (folder / "GT_02" / "02_1.png").unlink()
    with pytest.raises(RecordError, match=r"GT_02/02_1\.png cannot be read"):
        IMPORTERS["tnbc"].read(folder)


def test_endonuke_tells_brown_nuclei_from_blue_ones(tmp_path):
    folder = SETS["endonuke"](tmp_path / "set")
    images = imported("endonuke", folder, tmp_path)
    one, two, three = (images[name] for name in ("364a2bf_0", "d4cb2de_0", "d4cb2de_3"))
    assert one.points_xy.tolist() == [[16.0, 16.0], [48.0, 16.0]]
    assert one.categories == ("Positive", "Negative")
    assert (one.mpp, one.split, two.split) == (0.44, "val", "train")
    assert two.patient == three.patient != one.patient
    for rows in ("16,16,0.44\n48,16,0.29\n", "16,16,\n", "16,16,half\n"):
        (folder / "points" / "d4cb2de_3.csv").write_text("x,y,mpp\n" + rows)
        with pytest.raises(RecordError, match=r"d4cb2de_3\.csv says . scales"):
            IMPORTERS["endonuke"].read(folder)


def test_cryonuseg_reads_the_first_annotation_that_is_there(tmp_path, pixels):
    folder = tmp_path / "cryo"
    second = "Annotator 1 (biologist second round of manual marks up)"
    (folder / "tissue images").mkdir(parents=True)
    name = "Human_AdrenalGland_01"
    tifffile.imwrite(folder / "tissue images" / f"{name}.tif", pixels())
    for annotator, values in ((f"{second}/{second}", (1, 2)), ("Annotator 1 (biologist)", (4,))):
        target = folder / annotator / "label masks modify"
        target.mkdir(parents=True)
        tifffile.imwrite(target / f"{name}.tif", labels(*values))
        assert importer_for(folder) is IMPORTERS["cryonuseg"]
        image = IMPORTERS["cryonuseg"].read(folder)[0]
        assert len(image.points_xy) == len(values)
    image = imported("cryonuseg", folder, tmp_path)[name]
    assert (image.tissue, image.mpp) == ("Adrenal Gland", 0.25)


# MoNuSeg


def xml_of(rings):
    regions = "".join(
        "<Region><Vertices>"
        + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
        + "</Vertices></Region>"
        for ring in rings
    )
    return (
        '<Annotations MicronsPerPixel="0.252"><Annotation Id="1"><Attributes/>'
        f"<Regions><RegionAttributeHeaders/>{regions}</Regions></Annotation></Annotations>"
    )


def test_monuseg(tmp_path, pixels):
    folder = tmp_path / "monuseg"
    train, test = folder / "MoNuSeg 2018 Training Data", folder / "MoNuSegTestData"
    (train / "Tissue Images").mkdir(parents=True)
    (train / "Annotations").mkdir()
    test.mkdir()
    name, other = "TCGA-A7-A13E-01Z-00-DX1", "TCGA-2Z-A9J9-01A-01-TS1"
    tifffile.imwrite(train / "Tissue Images" / f"{name}.tif", pixels())
    tifffile.imwrite(test / f"{other}.tif", pixels())
    square = [(2, 3), (8, 3), (8, 7), (2, 7)]
    over_the_edge = [(44, 36), (52, 36), (52, 44), (44, 44)]
    speck = [(20.1, 20.1), (20.2, 20.1), (20.2, 20.2)]
    (train / "Annotations" / f"{name}.xml").write_text(xml_of([square, over_the_edge, speck]))
    (test / f"{other}.xml").write_text(xml_of([]))
    assert importer_for(folder) is IMPORTERS["monuseg"]
    images = imported("monuseg", folder, tmp_path)
    assert images[name].points_xy.tolist() == [[5.0, 5.0], [46.0, 38.0]]
    assert [mask.area_px for mask in images[name].masks] == [24, 16]
    assert [images[n].split for n in (name, other)] == ["train", "test"]
    assert "left out 1 regions without pixels" in images[name].notes[0]
    (test / f"{other}.xml").write_text("<Annotations>")
    with pytest.raises(RecordError, match=r"TS1\.xml is not an annotation"):
        IMPORTERS["monuseg"].read(folder)
    (test / f"{other}.tif").unlink()
    with pytest.raises(RecordError, match=r"TS1\.xml has no image"):
        IMPORTERS["monuseg"].read(folder)


# Any folder


@pytest.fixture
def folder(tmp_path, pixels):
    """One image of each kind of label."""
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name in ("array", "drawn", "listed", "painted"):
        Image.fromarray(pixels()).save(folder / "images" / f"{name}.png")
    np.save(folder / "labels" / "array.npy", labels(1, 2).astype(np.int32))
    square = [[2, 3], [8, 3], [8, 7], [2, 7], [2, 3]]
    features = [
        {
            "geometry": {"type": "Polygon", "coordinates": [square]},
            "properties": {"classification": {"name": "Tumour"}},
        },
        {"geometry": {"type": "Point", "coordinates": [20, 20]}},
    ]
    (folder / "labels" / "drawn.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": features})
    )
    (folder / "labels" / "listed.csv").write_text("x_px,y_px,category\n1.5,2.5,Stroma\n9,9,\n")
    Image.fromarray(labels(300)).save(folder / "labels" / "painted.png")
    return folder


def test_any_folder(folder, tmp_path):
    assert importer_for(folder) is IMPORTERS["folder"]
    images = imported("folder", folder, tmp_path, "--mpp", "0.5")
    assert images["array"].points_xy.tolist() == [centroid(0), centroid(1)]
    assert images["drawn"].categories == ("Tumour", UNCATEGORISED)
    assert images["drawn"].points_xy.tolist() == [[5.0, 5.0], [20.0, 20.0]]
    assert [m and m.area_px for m in images["drawn"].masks] == [24, None]
    assert images["listed"].points_xy.tolist() == [[1.5, 2.5], [9.0, 9.0]]
    assert images["listed"].categories == ("Stroma", UNCATEGORISED)
    assert images["listed"].masks == ()
    assert images["painted"].masks[0].area_px == 24
    manifest = json.loads((tmp_path / "imported" / "manifest.json").read_text())
    assert [c["name"] for c in manifest["categories"]] == [UNCATEGORISED, "Stroma", "Tumour"]


def test_a_list_tells_patients_tissues_and_splits(folder):
    (folder / "images.csv").write_text(
        "image,patient,tissue,split\narray.png,Ann,Colon,test\ndrawn,Ann,,val\nlisted.png,,,\n"
    )
    images = {i.name: i for i in IMPORTERS["folder"].read(folder, 0.5)}
    assert images["array"].patient == images["drawn"].patient != images["listed"].patient
    assert (images["array"].split, images["drawn"].split) == ("test", "val")
    assert (images["array"].tissue, images["drawn"].tissue) == ("Colon", None)
    assert "Ann" not in images["array"].patient
    assert len(shared_patients(list(images.values()))) == 1
    for text, message in (
        ("image,split\narray,dev\n", "line 2: split 'dev' is unknown"),
        ("image\nnonesuch.png\n", "names 'nonesuch'"),
        ("file\narray.png\n", "no column image"),
    ):
        (folder / "images.csv").write_text(text)
        with pytest.raises(RecordError, match=message):
            IMPORTERS["folder"].read(folder, 0.5)


def test_a_list_tells_the_scale_of_each_image_but_for_whoever_says_it_for_all(folder):
    (folder / "images.csv").write_text(
        "image,mpp\narray.png,0.29\ndrawn,0.44\nlisted,0.25\npainted,1\n"
    )
    scales = {i.name: i.mpp for i in IMPORTERS["folder"].read(folder)}
    assert scales == {"array": 0.29, "drawn": 0.44, "listed": 0.25, "painted": 1.0}
    assert {i.mpp for i in IMPORTERS["folder"].read(folder, 0.5)} == {0.5}
    for wrong in ("half", "0", "-0.5", "nan", "500"):
        (folder / "images.csv").write_text(f"image,mpp\narray.png,{wrong}\n")
        with pytest.raises(CalibrationError, match=r"array\.png, by images\.csv, has a scale of"):
            IMPORTERS["folder"].read(folder)


def test_folders_of_a_split_prevail_and_hashes_deal_out_the_rest(tmp_path, pixels):
    for split in ("train", "val"):
        (tmp_path / split / "images").mkdir(parents=True)
        (tmp_path / split / "labels").mkdir()
        Image.fromarray(pixels()).save(tmp_path / split / "images" / "a.png")
        (tmp_path / split / "labels" / "a.csv").write_text("x,y\n")
    assert [i.split for i in IMPORTERS["folder"].read(tmp_path, 0.5)] == ["train", "val"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("array.csv", b"x,y\n", r"array\.csv and array\.npy"),
        ("listed.csv", b"x,y\n1,one\n", r"listed\.csv line 2 has no point"),
        ("listed.csv", b"row,column\n1,2\n", r"expected a header with the columns x and y"),
        ("painted.png", b"no image", r"painted\.png cannot be read"),
        ("drawn.geojson", b"{}", r"drawn\.geojson is JSON but not GeoJSON"),
    ],
)
def test_bad_labels_are_named(folder, name, content, message):
    (folder / "labels" / name).write_bytes(content)
    with pytest.raises(RecordError, match=message):
        IMPORTERS["folder"].read(folder, 0.5)


def test_labels_of_another_size_and_colours_are_refused(folder, pixels):
    Image.fromarray(labels(1)[:20]).save(folder / "labels" / "painted.png")
    with pytest.raises(RecordError, match=r"shape \(20, 48\), but its image is 48 x 40 px"):
        IMPORTERS["folder"].read(folder, 0.5)
    Image.fromarray(pixels()).save(folder / "labels" / "painted.png")
    with pytest.raises(RecordError, match=r"uint8 of shape \(40, 48, 3\)"):
        IMPORTERS["folder"].read(folder, 0.5)
    (folder / "labels" / "painted.png").unlink()
    with pytest.raises(RecordError, match="there is nothing in labels"):
        IMPORTERS["folder"].read(folder, 0.5)


def test_a_scale_that_nobody_says_is_asked_for(folder):
    with pytest.raises(CalibrationError, match=r"--mpp 0\.5"):
        IMPORTERS["folder"].read(folder)


@pytest.mark.parametrize("name", sorted(IMPORTERS))
def test_an_empty_folder_is_refused_by_all_with_what_is_expected(name, tmp_path, capsys):
    assert main(["import", name, str(tmp_path), "--out", str(tmp_path / "o")]) == 2
    assert IMPORTERS[name].title in one_line(capsys)
    with pytest.raises(RecordError, match="expected"):
        IMPORTERS[name].read(tmp_path)


def test_the_stained_tiles_of_dsb2018_import_whole(data_root, tmp_path):
    folder = data_root / "dsb2018_stained"
    if not folder.is_dir():
        pytest.skip("dsb2018_stained is not in the data folder")
    images = IMPORTERS["folder"].read(folder, 0.5)
    assert len(images) == 83
    assert nuclei_count(images) == 3684
    assert all(image.complete_masks is not None for image in images)


def test_an_import_says_what_it_left_out(folder, tmp_path, capsys):
    region = {
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[0, 0], [30, 0], [30, 30], [0, 30], [0, 0]]],
        },
        "properties": {"objectType": "annotation"},
    }
    point = {
        "geometry": {"type": "Point", "coordinates": [9, 9]},
        "properties": {"objectType": "detection"},
    }
    (folder / "labels" / "drawn.geojson").write_text(json.dumps([region, point]))
    images = imported("folder", folder, tmp_path, "--mpp", "0.5")
    assert images["drawn"].points_xy.tolist() == [[9, 9]]
    assert "drawn.geojson: left out 1 outlines of regions round nuclei." in capsys.readouterr().err
