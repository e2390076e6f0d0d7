"""What people said of a nucleus is still said when it comes back from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import COLUMNS, read_csv
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.formats.geojson import read_geojson, read_marked_geojson
from napari_nunext.core.formats.records import SPLITS, RecordNucleus, SftRecord, Source
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.core.marks import STATUSES, MarkedNucleus, Marks
from napari_nunext.core.nuclei import Nucleus, default_categories, points_of
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import open_image
from napari_nunext.images.tile import image_from_pixels, tile_of_rgb
from napari_nunext.store import Project, ReviewedNucleus, events
from napari_nunext.store.entries import Origin
from napari_nunext.store.exports.coco import write_coco
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei, as_marked
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.exports.training import export_training
from napari_nunext.store.imports.export_folder import import_training
from nunext_training.data.importers.folder import FOLDER
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import LabelledImage
from nunext_training.data.sources import read_source
from nunext_training.evaluation.predictions import read_prediction
from tests.store.conftest import entry, run_info

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH_PX, HEIGHT_PX, MPP = 100, 80, 0.5
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8)
CATEGORIES = ("Tumour", "Stroma é", 'a, "b"; c', "=1+1")
DISC = np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2) <= 9

reviewed_nuclei = st.builds(
    lambda uid, x, y, category, outlined, confidence, status, flagged, who: ReviewedNucleus(
        Nucleus(
            uid,
            x + 0.5,
            y + 0.5,
            category,
            confidence,
            Mask.from_array(DISC, x - 3, y - 3) if outlined else None,
        ),
        run_id=None if confidence is None else "run",
        touched=who is not None,
        status=status,
        flagged=flagged,
        annotator=who,
    ),
    st.uuids(),
    st.integers(3, WIDTH_PX - 4),
    st.integers(3, HEIGHT_PX - 4),
    st.sampled_from(CATEGORIES),
    st.booleans(),
    st.none() | st.integers(0, 10_000).map(lambda n: n / 10_000),
    st.sampled_from(STATUSES),
    st.booleans(),
    st.sampled_from([None, "jd", "Müller, A."]),
)
reviews = st.lists(reviewed_nuclei, max_size=8, unique_by=lambda n: n.uid)

# A review is drawn anew into the same folder.
in_one_folder = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
through_a_project = settings(max_examples=12)


def placed(n: MarkedNucleus) -> MarkedNucleus:
    """With its place as exact as files have it."""
    x_px, y_px = round(n.nucleus.x_px, 2), round(n.nucleus.y_px, 2)
    return replace(n, nucleus=replace(n.nucleus, x_px=x_px, y_px=y_px))


def without_masks(nuclei: Sequence[MarkedNucleus]) -> list[MarkedNucleus]:
    return [replace(n, nucleus=replace(n.nucleus, mask=None)) for n in nuclei]


def standing(review: Sequence[ReviewedNucleus]) -> list[Nucleus]:
    return [n.nucleus for n in review if n.status != "rejected"]


@in_one_folder
@given(reviews)
def test_geojson_brings_everything_back(tmp_path, review):
    path = tmp_path / "a.geojson"
    write_geojson(path, review, masks=True)
    assert [placed(n) for n in read_marked_geojson(path, masks=True)] == as_marked(review)
    assert [n.uid for n in read_geojson(path)] == [n.uid for n in standing(review)]
    prediction = read_prediction(path)  # as evaluation reads it
    np.testing.assert_allclose(prediction.points_xy, points_of(standing(review)), atol=1e-9)
    assert len(prediction.instances or ()) == sum(n.mask is not None for n in standing(review))


@in_one_folder
@given(reviews)
def test_multipoints_hold_what_stands(tmp_path, review):
    path = tmp_path / "a.geojson"
    write_geojson(path, review, points_as="multipoint annotations")
    found = sorted((n.category, n.x_px, n.y_px) for n in read_geojson(path))
    assert found == sorted((n.category, n.x_px, n.y_px) for n in standing(review))


@in_one_folder
@given(reviews)
def test_csv_brings_everything_back_but_outlines(tmp_path, review):
    path = tmp_path / "a.csv"
    write_csv(path, review, mpp=MPP)
    assert read_csv(path) == without_masks(as_marked(review))


@in_one_folder
@given(reviews)
def test_coco_brings_everything_back_and_rejected_ones_are_no_annotations(tmp_path, review):
    path = tmp_path / "c.json"
    image = entry(width_px=WIDTH_PX, height_px=HEIGHT_PX)
    write_coco(path, [ImageNuclei(image, review)])
    data = json.loads(path.read_text(encoding="utf-8"))
    names = {c["id"]: c["name"] for c in data["categories"]}

    def back(annotation) -> MarkedNucleus:
        x, y, _ = annotation["keypoints"]
        category = names[annotation["category_id"]]
        nucleus = Nucleus(UUID(annotation["uid"]), x, y, category, annotation.get("score"))
        return MarkedNucleus(nucleus, Marks.from_text(annotation["attributes"]))

    everything = without_masks(as_marked(review))
    assert [back(a) for a in data["annotations"]] == [n for n in everything if n.marks.stands]
    assert [back(a) for a in data["rejected"]] == [n for n in everything if not n.marks.stands]


@pytest.mark.parametrize("suffix", ["csv", "geojson"])
@through_a_project
@given(review=reviews)
def test_a_review_that_is_imported_as_a_data_set_and_taken_into_a_project(
    tmp_path_factory, suffix, review
):
    """File, importer, export, reader of training, project: nobody makes a rejected one true."""
    folder = tmp_path_factory.mktemp("trip")
    for part in ("images", "labels"):
        (folder / "set" / part).mkdir(parents=True)
    Image.fromarray(PIXELS).save(folder / "set" / "images" / "a.png")
    labels = folder / "set" / "labels" / f"a.{suffix}"
    if suffix == "csv":
        write_csv(labels, review, mpp=MPP)
    else:
        write_geojson(labels, review, masks=True)
    images = FOLDER.read(folder / "set", MPP)
    known_categories = default_categories(CATEGORIES)
    write_export(images, folder / "export", categories=known_categories, origin="folder")
    (image,) = read_source(folder / "export", strict=True).images
    truth = standing(review)
    np.testing.assert_allclose(image.points_xy, points_of(truth), atol=1e-9)
    assert image.categories == tuple(n.category for n in truth)
    assert image.uids == tuple(str(n.uid) for n in truth)
    with Project.open(folder / "p.nunext", annotator="xy") as project:
        import_training(project, folder / "export")
        (known,) = project.images()
        found = project.state(known.sha256).nuclei
        assert {u: (n.status, n.flagged, n.nucleus.category) for u, n in found.items()} == {
            n.uid: (n.status, n.flagged, n.nucleus.category) for n in review
        }


@through_a_project
@given(review=reviews)
def test_a_training_export_that_is_taken_back(tmp_path_factory, review):
    folder = tmp_path_factory.mktemp("trip")
    sha = pixels_sha256(PIXELS)
    image = entry(sha, width_px=WIDTH_PX, height_px=HEIGHT_PX, mpp=MPP)
    whole = Box.of_image(WIDTH_PX, HEIGHT_PX)
    predictions = [n.nucleus for n in review if not n.is_human]
    with Project.open(folder / "one.nunext", annotator="jd") as one:
        one.add_image(image)
        run_id = one.start_run(sha, run_info(whole))
        one.add_predictions(run_id, predictions)
        one.finish_run(run_id, "complete")
        one.append([events.use_run(sha, run_id, whole)])
        said = [event for n in review for event in _events(sha, n)]
        one.append([*said, events.complete_region(sha, whole)])
        before = one.state(sha).nuclei
        export_training(one, folder / "export", images=lambda _: tile_of_rgb(PIXELS, "tile"))
    (record,) = read_export(folder / "export").sft
    true = {n.uid for n in review if n.status != "rejected"}
    assert {UUID(n.uid) for n in record.nuclei} == true
    (source,) = read_source(folder / "export").images
    assert {UUID(uid) for uid in source.uids} == true
    with Project.open(folder / "two.nunext", annotator="xy") as two:
        import_training(two, folder / "export")
        (known,) = two.images()
        after = two.state(known.sha256).nuclei
    assert after.keys() == before.keys()
    for uid, nucleus in before.items():
        assert (after[uid].status, after[uid].flagged) == (nucleus.status, nucleus.flagged)
        assert after[uid].nucleus.category == nucleus.nucleus.category
        assert after[uid].nucleus.mask == nucleus.nucleus.mask


def _events(sha: str, n: ReviewedNucleus):
    nucleus = n.nucleus
    if n.is_human:
        yield events.add(
            sha, nucleus.x_px, nucleus.y_px, nucleus.category, uid=n.uid, mask=nucleus.mask
        )
    if n.status == "accepted":
        yield events.accept(sha, n.uid)
    if n.status == "rejected":
        yield events.reject(sha, n.uid)
    if n.flagged:
        yield events.flag_nucleus(sha, n.uid)


# Splits, patients and tissue

GREY = [np.full((6, 7, 3), shade, dtype=np.uint8) for shade in range(8)]
"""Images that are told apart by their content."""

origins = st.builds(
    Origin,
    patient=st.sampled_from(["0123456789abcdef", "fedcba9876543210", "p-00112233445566aa"]),
    split=st.sampled_from(SPLITS),
    tissue=st.sampled_from([None, "Breast", "Bile Duct"]),
)


def published(index, origin, count):
    """An image of a data set, with nuclei on its diagonal; every other one of them has a uid."""
    rgb = GREY[index]
    return LabelledImage(
        name=f"tile {index}",
        path=Path(f"{index}.png"),
        mpp=MPP,
        mpp_source="user",
        points_xy=np.array([(i + 0.5, i + 0.5) for i in range(count)]).reshape(-1, 2),
        categories=tuple(CATEGORIES[i % 2] for i in range(count)),
        split=origin.split,
        patient=origin.patient,
        uids=tuple(str(UUID(int=100 * index + i)) if i % 2 else None for i in range(count)),
        marks=tuple(Marks("accepted" if i % 3 else "unreviewed", i == 1) for i in range(count)),
        tissue=origin.tissue,
        opener=lambda: image_from_pixels(Path(f"{index}.png"), 7, 6, rgb.copy),
    )


def told_by(export):
    """What an export says of each image, by the image's pixels."""
    return {
        pixels_sha256(np.asarray(Image.open(export.image_path(record)))): (
            record.source.split,
            record.source.patient,
            record.source.tissue,
            record.source.mpp,
            [(n.x, n.y, n.category, n.marks.status, n.marks.flagged) for n in record.nuclei],
        )
        for record in export.sft
    }


def uids_of(export):
    return {r.images[0]: [n.uid for n in r.nuclei] for r in export.sft}


def taken_back(folder, export, name):
    """The export of a new project that took an export in."""
    with Project.open(folder / f"{name}.nunext", annotator="xy") as project:
        import_training(project, export)
        out = folder / name
        export_training(project, out, images=lambda e: open_image(e.path))
    return out


@through_a_project
@given(st.lists(st.tuples(origins, st.integers(0, 5)), min_size=1, max_size=len(GREY)))
def test_an_export_of_an_import_of_an_export_is_the_same(tmp_path_factory, drawn):
    """Also where a published data set has one patient on both sides, and a test side."""
    folder = tmp_path_factory.mktemp("trip")
    images = [published(index, origin, n) for index, (origin, n) in enumerate(drawn)]
    write_export(
        images, folder / "published", categories=default_categories(CATEGORIES), origin="x"
    )
    first = read_export(folder / "published")
    assert [r.source.split for r in first.sft] == [origin.split for origin, _ in drawn]
    again = read_export(taken_back(folder, folder / "published", "again"))
    once_more = read_export(taken_back(folder, folder / "again", "once more"))
    assert told_by(first) == told_by(again) == told_by(once_more)
    assert first.manifest.categories == again.manifest.categories == once_more.manifest.categories
    assert uids_of(again) == uids_of(once_more)
    kept = {n.uid for r in first.sft for n in r.nuclei if n.uid is not None}
    assert kept <= {uid for uids in uids_of(again).values() for uid in uids}


def test_further_images_join_the_side_of_their_patient_and_are_dealt_out_else(tmp_path):
    patient = "0123456789abcdef"
    images = [
        published(0, Origin(patient, "val"), 1),
        published(1, Origin("fedcba9876543210", "test"), 1),
        published(2, Origin("p-00112233445566aa", "test"), 1),
        published(3, Origin("p-00112233445566aa", "train"), 1),
    ]
    write_export(images, tmp_path / "e", categories=default_categories(CATEGORIES), origin="x")
    tiles = {pixels_sha256(rgb): tile_of_rgb(rgb, "grey") for rgb in GREY}
    with Project.open(tmp_path / "p.nunext", annotator="xy") as project:
        import_training(project, tmp_path / "e")
        for index, whose in ((4, "p-00112233445566aa"), (5, "Doe, Jane"), (6, "Roe, Richard")):
            sha = pixels_sha256(GREY[index])
            project.add_image(entry(sha, width_px=7, height_px=6, mpp=MPP, patient=whose))
            project.append([events.complete_region(sha, Box(0, 0, 7, 6))])
        export_training(
            project,
            tmp_path / "again",
            images=lambda e: tiles[e.sha256],
            val_fraction=0,
        )
        origins = project.origins()
    sides = {r.source.image_sha256: r.source for r in read_export(tmp_path / "again").sft}
    assert [sides[pixels_sha256(GREY[i])].split for i in range(7)] == [
        *("val", "test", "test", "train"),
        *("train", "train", "train"),
    ]
    assert sides[pixels_sha256(GREY[4])].patient == "p-00112233445566aa"
    assert "Doe" not in (tmp_path / "again" / "sft.jsonl").read_text()
    assert origins[pixels_sha256(GREY[0])] == Origin(patient, "val")


def test_a_name_that_an_export_has_for_a_patient_is_not_written_again(tmp_path):
    image = published(0, Origin("Jane Doe", "test", "Skin"), 2)
    write_export([image], tmp_path / "e", categories=default_categories(CATEGORIES), origin="x")
    (record,) = read_export(taken_back(tmp_path, tmp_path / "e", "again")).sft
    assert (record.source.split, record.source.tissue) == ("test", "Skin")
    assert record.source.patient.startswith("p-")


def test_a_status_that_nobody_knows_is_no_truth_but_an_error_that_names_it(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("x,y,status\n1,2,accepted\n3,4,rejectd\n")
    with pytest.raises(RecordError, match=r"a\.csv line 3: status 'rejectd' is unknown; expected"):
        read_csv(table)
    feature = {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"metadata": {"review": "wrong"}},
    }
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature))
    with pytest.raises(RecordError, match=r"feature 1 is malformed: review 'wrong' is unknown"):
        read_geojson(path)


def test_a_table_from_elsewhere_needs_places_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeffx,y,confidence,uid,STATUS\n1,2,87 %,7,done\n3,4,0.5\n", "utf-8")
    one, two = read_csv(path)
    assert (one.nucleus.x_px, one.nucleus.y_px, one.nucleus.confidence) == (1, 2, None)
    assert (two.nucleus.confidence, two.marks) == (0.5, Marks())
    path.write_text("x_px,y_px,status,flagged\n1,2,Rejected,TRUE\n")  # as a spreadsheet saved it
    (n,) = read_csv(path)
    assert n.marks == Marks("rejected", flagged=True)


def test_truth_with_a_rejected_nucleus_in_it_is_refused():
    source = Source("ab" * 32, Box(0, 0, 9, 9), 0.5, "user", "train", "p")
    wrong = RecordNucleus(1, 1, "A", marks=Marks("rejected"))
    record = SftRecord("a", ("images/a.png",), (), (wrong,), source)
    with pytest.raises(RecordError, match="rejected nucleus stands among the true ones"):
        SftRecord.from_json(record.to_json())


def test_every_mark_has_a_column():
    marks = Marks("accepted", flagged=True, origin="person", annotator="jd")
    assert set(marks.to_text()) <= set(COLUMNS)
