"""Exports go through nuclei some thousand at a time, and say the same of them however they come."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest

from napari_nunext.core.nuclei import Category, Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import events
from napari_nunext.store.exports import rows as rows_module
from napari_nunext.store.exports.files import ImageNuclei, as_marked
from napari_nunext.store.exports.formats import export_formats
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.exports.rows import (
    categories_in,
    count_rejected,
    in_chunks,
    places_standing_in,
    standing_in,
)
from tests.store.conftest import IMAGE, WHOLE, entry, run_info

NAMES = ("Tumour", "Stroma é", 'a "b", c\nd')


@pytest.fixture
def values(project, rng):
    """Of a review of 60 nuclei in which people did a bit of everything."""

    def uid() -> UUID:
        return UUID(bytes=rng.bytes(16))

    nuclei = [
        Nucleus(
            uid(),
            *(rng.random(2) * (100, 80)).tolist(),
            NAMES[i % 3],
            None if i % 5 == 0 else float(rng.random()),
            Mask.from_array(rng.random((6, 5)) < 0.7, i, i) if i % 2 else None,
            None if i % 4 == 0 else float(rng.random()),
        )
        for i in range(60)
    ]
    run_id = project.start_run(IMAGE, run_info())
    project.add_predictions(run_id, nuclei)
    project.append([events.use_run(IMAGE, run_id, WHOLE)])
    project.append([events.reject(IMAGE, n.uid) for n in nuclei[3:12:3]])
    project.append([events.delete(IMAGE, n.uid) for n in nuclei[20:24]])
    project.append([events.relabel(IMAGE, nuclei[30].uid, "Mitosis")])
    project.append([events.flag_nucleus(IMAGE, nuclei[31].uid)])
    project.append([events.add(IMAGE, 5.5, 7.25, "Placed"), events.add(IMAGE, 6.5, 7.0, "Tumour")])
    return project.state(IMAGE).nuclei.values()


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK", 7)


@pytest.mark.usefixtures("small_chunks")
def test_columns_say_what_the_objects_say(values):
    marked = as_marked(values)
    chunks = list(in_chunks(values))
    assert max(map(len, chunks)) == 7
    got = [row for rows in chunks for row in rows]
    want = [
        (
            *(str(n.uid), n.x_px, n.y_px, n.category, n.confidence, n.position_error_um),
            *(n.mask, one.marks),
        )
        for one in marked
        for n in [one.nucleus]
    ]
    assert got == want
    assert [row for rows in in_chunks(tuple(values)) for row in rows] == want


def test_rejected_nuclei_are_counted_and_left_out_of_those_that_stand(values):
    standing = [uid for rows in standing_in(values) for uid in rows.uids]
    assert count_rejected(values) == count_rejected(tuple(values)) == 3
    assert standing == [str(n.uid) for n in values if n.status != "rejected"]
    points_xy, masks = places_standing_in(values)
    there = [n.nucleus for n in values if n.status != "rejected"]
    assert points_xy.tolist() == [[n.x_px, n.y_px] for n in there]
    assert list(masks) == [n.mask for n in there]


def test_categories_come_in_the_order_of_their_first_nucleus(values):
    want = tuple(dict.fromkeys(n.nucleus.category for n in values))
    assert "Mitosis" in want
    assert categories_in(values) == categories_in(tuple(values)) == want
    assert categories_in(()) == ()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["geojson", "csv", "coco", "coco-results"])
def test_a_file_is_the_same_byte_by_byte_from_columns_and_from_objects(tmp_path, values, name):
    (format_,) = [each for each in export_formats() if each.name == name]
    categories = [Category("Tumour", (1, 2, 3))]
    for file, nuclei in (("columns", values), ("objects", tuple(values))):
        format_.write(tmp_path / file, [ImageNuclei(entry(), nuclei)], categories)
    written = (tmp_path / "columns").read_bytes()
    assert len(written) > 1000
    assert (tmp_path / "objects").read_bytes() == written


@pytest.mark.usefixtures("small_chunks")
def test_geojson_is_spelt_as_json_spells_it(tmp_path, values):
    """Files are put together from texts; nobody who compares bytes may see that."""
    for how in ("detections", "multipoint annotations"):
        write_geojson(
            tmp_path / "a.geojson",
            [*values, Nucleus(UUID(int=1), np.float64(1e16), -0.0, "Tumour", np.float64(0.25))],
            points_as=how,
            masks=True,
            metadata={"model": 'é "quoted"'},
        )
        text = (tmp_path / "a.geojson").read_text(encoding="utf-8")
        assert json.dumps(json.loads(text), ensure_ascii=False) + "\n" == text


def test_a_chunk_without_anybody_leaves_no_comma_behind(tmp_path, values, monkeypatch):
    """Nuclei that were deleted may be all of a chunk."""
    monkeypatch.setattr(rows_module, "CHUNK", 1)
    write_geojson(tmp_path / "a.geojson", values, masks=True)
    features = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))["features"]
    assert [f["id"] for f in features] == [str(n.uid) for n in values]
