"""What comes back from another program is merged by uid, and nothing that people did is lost."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.marks import MarkedNucleus, Marks
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.nuclei_files import read_nuclei
from napari_nunext.store import events
from napari_nunext.store.exports.coco import write_coco
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.imports.outside import OutsideError, intake, take, using, usual_role
from tests.store.conftest import IMAGE, WHOLE, entry, run_info

DISC = np.add.outer(np.arange(-3, 4) ** 2, np.arange(-3, 4) ** 2) <= 9
PLACES = [(10.5, 10.5), (30.5, 10.5), (50.5, 10.5), (70.5, 10.5), (90.5, 10.5)]


def disc(x: float, y: float) -> Mask:
    return Mask.from_array(DISC, int(x) - 3, int(y) - 3)


@pytest.fixture
def reviewed(project):
    """Five predictions with outlines: the second rejected, the third deleted, the field accepted.

    The first was moved by a pixel inside its outline.
    """
    nuclei = [
        Nucleus(UUID(int=i + 1), *xy, "Tumour", 0.5, disc(*xy)) for i, xy in enumerate(PLACES)
    ]
    run = project.start_run(IMAGE, run_info())
    project.add_predictions(run, nuclei)
    project.finish_run(run, "complete")
    project.append(
        [
            events.use_run(IMAGE, run, WHOLE),
            events.move(IMAGE, UUID(int=1), 11.5, 10.5),
            events.reject(IMAGE, UUID(int=2)),
            events.delete(IMAGE, UUID(int=3)),
        ]
    )
    seen = project.state(IMAGE).seen_in(WHOLE)
    project.append([events.complete_region(IMAGE, WHOLE, seen)])
    return project


def exported(project, path):
    nuclei = tuple(project.state(IMAGE).nuclei.values())
    if path.suffix == ".geojson":
        write_geojson(path, nuclei, masks=True)
    elif path.suffix == ".csv":
        write_csv(path, nuclei, mpp=0.5, image="a.png")
    else:
        write_coco(path, [ImageNuclei(entry(), nuclei)])
    return path


def given(path, **more):
    (part,) = read_nuclei(path)
    options = {"source": "QuPath", "sha256": "f" * 64, "size_px": part.size_px, "name": path.name}
    return intake(part.nuclei, entry(), **(options | more))


def take_in(project, path, role="corrections", **more):
    taken = take(project.state(IMAGE), given(path), role, **more)
    gesture = taken.events
    if taken.info is not None:
        run = project.start_run(IMAGE, taken.info)
        project.add_predictions(run, taken.predictions)
        project.finish_run(run, "complete")
        gesture = using(given(path), run)
    project.append(gesture)
    return taken


def edited(path, edit):
    """A GeoJSON file after someone worked on its features, by uid."""
    data = json.loads(path.read_text())
    by_uid = {UUID(f["id"]).int: f for f in data["features"]}
    edit(by_uid, data["features"])
    path.write_text(json.dumps(data))


def shift(feature, dx, dy):
    rings = feature["geometry"]["coordinates"]
    feature["geometry"]["coordinates"] = [[[x + dx, y + dy] for x, y in ring] for ring in rings]


@pytest.mark.parametrize("name", ["a.geojson", "a.csv", "a.json"])
def test_what_nobody_changed_changes_nothing(reviewed, tmp_path, name):
    before = reviewed.state(IMAGE)
    taken = take_in(reviewed, exported(reviewed, tmp_path / name))
    assert taken.events == ()
    assert taken.words == "4 as they are here"
    assert reviewed.state(IMAGE) == before


@pytest.mark.parametrize("name", ["a.geojson", "a.csv", "a.json"])
def test_a_file_of_before_takes_nothing_back(reviewed, tmp_path, name):
    path = exported(reviewed, tmp_path / name)
    reviewed.append(
        [
            events.move(IMAGE, UUID(int=1), 12.5, 10.5),
            events.relabel(IMAGE, UUID(int=4), "Stroma"),
            events.edit_mask(IMAGE, UUID(int=4), disc(71, 11)),
            events.delete(IMAGE, UUID(int=5)),
            events.add(IMAGE, 40, 40, "Tumour"),
        ]
    )
    before = reviewed.state(IMAGE)
    taken = take_in(reviewed, path)
    assert taken.events == ()
    assert reviewed.state(IMAGE) == before
    assert "1 that you deleted or rejected stay so" in taken.words
    assert "1 of yours are not in the file and stay" in taken.words


def test_the_edits_of_qupath_come_back_once_and_export_again_as_they_were_made(reviewed, tmp_path):
    path = exported(reviewed, tmp_path / "a.geojson")
    new = str(uuid4())

    def edit(by_uid, features):
        shift(by_uid[1], 5, 0)  # moved with its outline
        by_uid[4]["properties"]["classification"]["name"] = "Immune"
        features.remove(by_uid[5])  # deleted
        square = [[40, 40], [46, 40], [46, 46], [40, 46], [40, 40]]
        features.append(
            {
                "type": "Feature",
                "id": new,
                "geometry": {"type": "Polygon", "coordinates": [square]},
                "properties": {"objectType": "annotation", "classification": {"name": "Immune"}},
            }
        )

    edited(path, edit)
    assert usual_role(reviewed.state(IMAGE), given(path)) == "corrections"
    taken = take_in(reviewed, path)
    assert taken.words == (
        "1 as they are here, 1 moved, 1 of another category, 1 new, "
        "1 of yours are not in the file and stay"
    )
    state = reviewed.state(IMAGE)
    assert (state.nuclei[UUID(int=1)].nucleus.x_px, state.nuclei[UUID(int=4)].nucleus.category) == (
        16.5,
        "Immune",
    )
    assert state.nuclei[UUID(int=1)].nucleus.mask == disc(15, 10)
    assert state.nuclei[UUID(int=2)].status == "rejected"
    assert state.nuclei[UUID(new)].nucleus.mask.area_px == 36
    assert UUID(int=5) in state.nuclei
    assert UUID(int=3) not in state.nuclei
    again = take_in(reviewed, path)
    assert again.events == ()
    taken = take_in(reviewed, path, absent_deleted=True)
    assert "1 of yours deleted there" in taken.words
    state = reviewed.state(IMAGE)
    assert UUID(int=5) not in state.nuclei
    assert UUID(int=2) in state.nuclei
    back = exported(reviewed, tmp_path / "b.geojson")
    want, have = ({n.nucleus.uid: n for n in read_nuclei(file)[0].nuclei} for file in (path, back))
    assert have.keys() == want.keys()
    assert all(have[uid].nucleus.mask == n.nucleus.mask for uid, n in want.items())
    assert all(have[uid].nucleus.category == n.nucleus.category for uid, n in want.items())


def test_an_import_is_seen_by_nobody_and_one_undo_takes_it_back(reviewed, tmp_path):
    path = exported(reviewed, tmp_path / "a.geojson")
    edited(path, lambda by_uid, _: by_uid[4]["properties"]["classification"].update(name="Immune"))
    before = reviewed.state(IMAGE)
    assert before.complete == (WHOLE,)
    taken = take_in(reviewed, path)
    state = reviewed.state(IMAGE)
    assert (state.complete, state.changed) == ((), (WHOLE,))
    assert before.apply(*taken.events).acceptances == state.acceptances
    group = state.next_undo("jd")
    assert state.undo_steps("jd") == before.undo_steps("jd") + 1
    undo = events.undo(IMAGE, group)
    reviewed.append([undo])
    undone = reviewed.state(IMAGE)
    assert undone.nuclei == before.nuclei
    assert undone.complete == (WHOLE,)
    assert state.apply(*reviewed.stamp([undo])).acceptances == undone.acceptances
    take_in(reviewed, path)  # what was taken back can be taken in again
    assert reviewed.state(IMAGE).nuclei[UUID(int=4)].nucleus.category == "Immune"


def test_an_import_that_leaves_the_truth_as_it_was_leaves_the_acceptance_whole(reviewed, tmp_path):
    path = exported(reviewed, tmp_path / "a.geojson")

    def accept(by_uid, _):
        by_uid[4]["properties"]["metadata"]["review"] = "accepted"

    edited(path, accept)
    assert "1 accepted, rejected or flagged there" in take_in(reviewed, path).words
    state = reviewed.state(IMAGE)
    assert state.nuclei[UUID(int=4)].status == "accepted"
    assert state.complete == (WHOLE,)  # the truth is as it was


def test_rejected_stays_rejected_and_deleted_stays_deleted(reviewed, tmp_path):
    nuclei = [
        MarkedNucleus(Nucleus(UUID(int=2), *PLACES[1], "Tumour"), Marks("accepted")),
        MarkedNucleus(Nucleus(UUID(int=3), *PLACES[2], "Tumour"), Marks("accepted")),
        MarkedNucleus(Nucleus(uuid4(), 30.0, 11.0, "Tumour")),  # in the place of the rejected one
    ]
    options = {"source": "x", "sha256": "0", "size_px": None, "name": "a"}
    taken = take(reviewed.state(IMAGE), intake(nuclei[:2], entry(), **options), "corrections")
    assert taken.events == ()
    taken = take(reviewed.state(IMAGE), intake(nuclei[2:], entry(), **options), "corrections")
    assert taken.events == ()


def test_files_without_uids_are_matched_by_place_and_read_twice_add_nothing(reviewed, tmp_path):
    labels = np.zeros((80, 100), np.uint16)
    for number, (x, y) in enumerate([(70, 10), (40, 60)], start=1):
        labels[y - 3 : y + 4, x - 3 : x + 4][DISC] = number
    path = tmp_path / "a.npy"
    np.save(path, labels)
    assert usual_role(reviewed.state(IMAGE), given(path)) == "predictions"
    taken = take_in(reviewed, path)
    assert taken.words == "1 as they are here, 1 new, 2 of yours are not in the file and stay"
    assert take_in(reviewed, path).events == ()
    with pytest.raises(RecordError, match="cannot say which were deleted"):
        take(reviewed.state(IMAGE), given(path), "corrections", absent_deleted=True)


def test_predictions_of_another_program_are_no_truth_and_come_once(reviewed, tmp_path):
    labels = np.zeros((80, 100), np.uint16)
    for number, (x, y) in enumerate([(12, 10), (30, 10), (50, 10), (40, 60)], start=1):
        labels[y - 3 : y + 4, x - 3 : x + 4][DISC] = number
    path = tmp_path / "a.npy"
    np.save(path, labels)
    taken = take_in(reviewed, path, "predictions")
    assert (
        taken.words
        == "4 nuclei of QuPath to be reviewed, in the place of 2 that nobody has touched"
    )
    state = reviewed.state(IMAGE)
    # The moved, the rejected and the deleted one are repeated by three of the four.
    assert sorted(n.nucleus.x_px for n in state.nuclei.values() if not n.touched) == [40.5]
    assert {UUID(int=1), UUID(int=2)} <= state.nuclei.keys()
    assert state.changed == (WHOLE,)
    assert state.runs[state.bases[-1].run_id].info.model.name == "QuPath"
    again = take_in(reviewed, path, "predictions")
    assert again.events == ()
    assert again.info is None
    assert "here already" in again.words
    group = state.next_undo("jd")
    reviewed.append([events.undo(IMAGE, group)])
    assert {UUID(int=4), UUID(int=5)} <= reviewed.state(IMAGE).nuclei.keys()
    redone = take_in(reviewed, path, "predictions")
    assert redone.info is None  # the run is there: it is used again
    assert len(reviewed.state(IMAGE).runs) == 2


def test_a_file_of_another_image_is_refused(tmp_path):
    options = {"source": "x", "sha256": "0", "name": "far.geojson"}
    far = [MarkedNucleus(Nucleus(uuid4(), 500, 40)), MarkedNucleus(Nucleus(uuid4(), 50, 40))]
    with pytest.raises(OutsideError, match=r"1 of the 2 nuclei .* outside a\.png") as caught:
        intake(far, entry(), size_px=None, **options)
    assert caught.value.some_inside
    kept = intake(far, entry(), size_px=None, leave_outside_out=True, **options)
    assert len(kept.nuclei) == 1
    assert kept.notes == ("left out 1 nucleus outside the image",)
    near = [MarkedNucleus(Nucleus(uuid4(), 101, 40))]  # cut by the edge
    assert intake(near, entry(), size_px=None, **options).nuclei == ()
    with pytest.raises(RecordError, match=r"of an image of 50 x 40 px, but a\.png has 100 x 80 px"):
        intake([], entry(), size_px=(50, 40), **options)
