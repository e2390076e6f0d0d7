from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.answers.opinions import Correction, Preference, Rating
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.store import Event, events
from napari_nunext.store.entries import Origin
from napari_nunext.store.event import KINDS, undoable_kinds

IMAGE = "ab" * 32
UID = uuid4()
BOX = Box(0, 0, 5, 5)
REGION = region("Core", "interest", rectangle(BOX), uid=UID)
MASK = Mask.from_array(np.ones((2, 2), dtype=bool), 3, 4)
NOW = datetime(2024, 1, 1, tzinfo=UTC)

ONE_OF_EACH = [
    events.add(IMAGE, 1, 2, "Tumour", mask=MASK),
    events.move(IMAGE, UID, np.float64(1), 2),
    events.delete(IMAGE, UID),
    events.relabel(IMAGE, UID, "Stroma"),
    events.accept(IMAGE, UID),
    events.reject(IMAGE, UID),
    events.flag_nucleus(IMAGE, UID),
    events.edit_mask(IMAGE, UID, MASK),
    events.comment(IMAGE, "look", UID),
    events.use_run(IMAGE, str(UID), BOX),
    events.complete_region(IMAGE, BOX),
    events.complete_region(IMAGE, BOX, {"count": 0, "sha256": "ab" * 32}),
    events.reopen_region(IMAGE, BOX),
    events.draw_region(IMAGE, REGION),
    events.reshape_region(IMAGE, UID, rectangle(BOX)),
    events.describe_region(IMAGE, UID, "Core 1", "leave_out"),
    events.delete_region(IMAGE, UID),
    events.flag_field(IMAGE),
    events.import_file(IMAGE, "QuPath", "ab" * 32),
    events.rate_answer(IMAGE, str(UID), Rating(3, ("wrong place",))),
    events.correct_answer(IMAGE, str(UID), Correction("No.", ())),
    events.compare_answers(IMAGE, Preference("a", "b", "tie", blind=True)),
    events.keep_options("WHO", ["A", "B"]),
    events.add_category(Category("Plasma cell", (1, 2, 3))),
    events.recolor_category("Plasma cell", (3, 2, 1)),
    events.rename_category("Plasma cell", "Plasma"),
    events.undo(IMAGE, UID),
    events.redo(IMAGE, UID),
    events.set_scale(IMAGE, 0.25, "user"),
    events.set_scale_of_all(0.25, over_files=True),
    events.set_cut_offs(CutOffs(0.3, (0.2, 0.4, 0.6))),
    events.set_origin(IMAGE, Origin("p-0123456789abcdef", "test", "Skin")),
    events.set_categories([Category("Tumour", (1, 2, 3))]),
    events.learn_categories([Category("Tumour", (1, 2, 3))]),
]


def test_there_is_a_constructor_for_every_kind():
    assert {e.kind for e in ONE_OF_EACH} == KINDS.keys()
    assert {e.kind for e in ONE_OF_EACH if e.is_edit} == undoable_kinds()


@pytest.mark.parametrize(
    "origin",
    [
        {"patient": "", "split": "test", "tissue": None},
        {"patient": "p", "split": "dev", "tissue": None},
        {"patient": "p", "split": "test"},
        {"patient": "p", "split": "test", "tissue": 3},
        None,
    ],
)
def test_an_origin_that_is_none_is_refused(origin):
    with pytest.raises(InputError, match="set_origin"):
        Event("set_origin", IMAGE, {"origin": origin})


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda e: e.kind)
def test_a_payload_survives_json(event):
    back = json.loads(event.payload_json())
    assert back == event.payload
    assert Event(event.kind, event.image_sha256, back, event.uid, event.group) == event


@pytest.mark.parametrize(
    ("kind", "image", "payload", "uid"),
    [
        ("fly", IMAGE, {}, UID),
        ("move", IMAGE, {"x_px": 1.0}, UID),
        ("move", IMAGE, {"x_px": 1.0, "y_px": 2.0, "z": 1}, UID),
        ("move", IMAGE, {"x_px": 1.0, "y_px": float("nan")}, UID),
        ("move", IMAGE, {"x_px": 1.0, "y_px": 2.0}, None),
        ("relabel", IMAGE, {"category": " "}, UID),
        ("accept", None, {}, UID),
        ("complete_region", IMAGE, {"region": [5, 5, 0, 0]}, None),
        ("complete_region", IMAGE, {"region": [0, 0, 5, 5]}, UID),
        ("complete_region", IMAGE, {"region": [0, 0, 5, 5], "seen": {"count": 1}}, None),
        ("reopen_region", IMAGE, {"region": [0, 0, 5, 5], "seen": None}, None),
        ("edit_mask", IMAGE, {"mask": {"size": [1, 1]}}, UID),
        ("undo", IMAGE, {"target": "last"}, None),
        ("set_scale", IMAGE, {"mpp": 900.0, "source": "user"}, None),
        ("set_scale", IMAGE, {"mpp": 0.5, "source": "guess"}, None),
        ("set_categories", IMAGE, {"categories": []}, None),
        ("set_categories", None, {"categories": [{"name": "a", "color": [1, 2, 300]}]}, None),
        ("comment", IMAGE, {"text": ""}, None),
        ("draw_region", IMAGE, REGION.to_json() | {"kind": "burn"}, None),
        ("draw_region", IMAGE, REGION.to_json() | {"polygon": [[0, 0], [1, 1], [2, 2]]}, None),
        ("reshape_region", IMAGE, {"id": str(UID), "polygon": [[0, 0], [1, 1], ["2", {}]]}, None),
        ("describe_region", IMAGE, {"id": str(UID), "name": " ", "kind": "search"}, None),
    ],
)
def test_an_event_that_is_not_its_kinds_is_refused(kind, image, payload, uid):
    with pytest.raises(InputError):
        Event(kind, image, payload, uid)


def test_grouped_events_share_one_group():
    one, two = events.grouped([events.accept(IMAGE, UID), events.delete(IMAGE, UID)])
    assert one.group == two.group
    assert events.accept(IMAGE, UID).group != one.group


def test_a_stamp_stays_and_nobody_signs_for_another():
    event = events.accept(IMAGE, UID).stamped("jd", NOW)
    assert (event.annotator, event.at_utc) == ("jd", NOW)
    assert event.stamped("jd", datetime(2025, 1, 1, tzinfo=UTC)) == event
    with pytest.raises(InputError, match="cannot be written by 'xy'"):
        event.stamped("xy", NOW)


def test_the_hash_covers_the_hash_before_and_every_field():
    event = Event("move", IMAGE, {"y_px": 2.0, "x_px": 1.0}, UID, UID, "jd", NOW, 7)
    body = (
        f'{{"annotator":"jd","at_utc":"2024-01-01T00:00:00+00:00","group":"{UID}",'
        f'"image_sha256":"{IMAGE}","kind":"move","payload":{{"x_px":1.0,"y_px":2.0}},"seq":7,'
        f'"uid":"{UID}"}}'
    )
    assert event.chained_hash("ff") == hashlib.sha256(f"ff\n{body}".encode()).hexdigest()
