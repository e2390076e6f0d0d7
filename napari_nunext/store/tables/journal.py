"""The append-only, hash-chained journal inside a transaction.

Each event's hash covers the hash before it, and the project row holds the last one: an event that
was changed, taken out, put in, or cut off the end is found by `verify`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, update

from napari_nunext.core.errors import MALFORMED, InputError, StoreError
from napari_nunext.store.event import GENESIS_HASH, KINDS, Event, chained_hash, undoable_kinds
from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Gesture: TypeAlias = tuple[str, str | None, UUID]
    """Kind of an event, its image, and the group that it belongs to or, undoing, names."""


def append(connection: Connection, events: Sequence[Event]) -> tuple[Event, ...]:
    """Write stamped events after the head and return them with their place in the journal."""
    # The lock on the head serialises writers on a database server; SQLite's transaction has it.
    head = connection.execute(
        select(schema.project.c.head_seq, schema.project.c.head_hash).with_for_update()
    ).one()
    seq, previous = head.head_seq, head.head_hash
    rows, written = [], []
    for event in events:
        seq += 1
        event = event.at(seq)
        chained = event.chained_hash(previous)
        rows.append(_row(event) | {"previous_hash": previous, "hash": chained})
        written.append(event)
        previous = chained
    connection.execute(insert(schema.event), rows)
    connection.execute(update(schema.project).values(head_seq=seq, head_hash=previous))
    return tuple(written)


def read(connection: Connection, image_sha256: str) -> tuple[Event, ...]:
    """The events about an image, in the order they were written."""
    query = (
        select(schema.event)
        .where(schema.event.c.image_sha256 == image_sha256)
        .order_by(schema.event.c.seq)
    )
    return tuple(_event(row) for row in connection.execute(query))


def named(connection: Connection, image_sha256: str) -> list[UUID]:
    """The nuclei of an image that events are about."""
    table = schema.event.c
    query = select(table.uid).distinct()
    found = connection.scalars(
        query.where(table.image_sha256 == image_sha256, table.uid.is_not(None))
    )
    return [UUID(uid) for uid in found]


def read_gestures(connection: Connection, annotator: str) -> list[Gesture]:
    """What one person did and took back, in the order it was written.

    An undo or a redo stands with the group that it names.
    """
    table = schema.event
    query = (
        select(table.c.kind, table.c.image_sha256, table.c.gesture, table.c.payload)
        .where(table.c.annotator == annotator)
        .where(table.c.kind.in_([*undoable_kinds(), "undo", "redo"]))
        .order_by(table.c.seq)
    )
    return [
        (
            kind,
            image_sha256,
            UUID(json.loads(payload)["target"] if kind in ("undo", "redo") else gesture),
        )
        for kind, image_sha256, gesture, payload in connection.execute(query)
    ]


def read_of_project(connection: Connection) -> tuple[Event, ...]:
    """The events about the project as a whole, in the order they were written."""
    query = (
        select(schema.event)
        .where(schema.event.c.image_sha256.is_(None))
        .order_by(schema.event.c.seq)
    )
    return tuple(_event(row) for row in connection.execute(query))


def read_of_kind(connection: Connection, kind: str) -> tuple[Event, ...]:
    """The events of a kind, in the order they were written."""
    query = select(schema.event).where(schema.event.c.kind == kind).order_by(schema.event.c.seq)
    return tuple(_event(row) for row in connection.execute(query))


def last_of_kind(connection: Connection, kind: str) -> Event | None:
    """The latest event of a kind; None where there is none."""
    query = (
        select(schema.event)
        .where(schema.event.c.kind == kind)
        .order_by(schema.event.c.seq.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else _event(row)


def verify(connection: Connection) -> int:
    """Check every link of the chain and return how many events there are.

    Raises
    ------
    StoreError
        Naming the first event that was not written as it stands.
    """
    previous, seq = GENESIS_HASH, 0
    for row in connection.execute(select(schema.event).order_by(schema.event.c.seq)):
        seq += 1
        if row.seq != seq or row.previous_hash != previous or _hash_of(row) != row.hash:
            raise StoreError(
                f"The journal does not verify at event {seq}: it was changed outside "
                "napari-nunext. Restore the project from a copy."
            )
        previous = row.hash
    head = connection.execute(select(schema.project.c.head_seq, schema.project.c.head_hash)).one()
    if (head.head_seq, head.head_hash) != (seq, previous):
        raise StoreError(
            f"The journal ends at event {seq}, but {head.head_seq} were written: it lost its end, "
            "or was changed outside napari-nunext. Restore the project from a copy."
        )
    return seq


def _hash_of(row: Row[tuple[object, ...]]) -> str | None:
    """The hash that this row should have, be its kind known or not; None where it is no event."""
    try:
        body = {
            "seq": row.seq,
            "kind": row.kind,
            "image_sha256": row.image_sha256,
            "uid": row.uid,
            "group": row.gesture,
            "payload": json.loads(row.payload),
            "annotator": row.annotator,
            "at_utc": row.at_utc,
        }
        return chained_hash(row.previous_hash, body)
    except MALFORMED:
        return None


def _row(event: Event) -> dict[str, object]:
    if event.annotator is None or event.at_utc is None:
        raise InputError(f"Event {event.kind!r} has no annotator or time; stamp it first.")
    return {
        "seq": event.seq,
        "kind": event.kind,
        "image_sha256": event.image_sha256,
        "uid": None if event.uid is None else str(event.uid),
        "gesture": str(event.group),
        "payload": event.payload_json(),
        "annotator": event.annotator,
        "at_utc": event.at_utc.isoformat(),
    }


def _event(row: Row[tuple[object, ...]]) -> Event:
    if row.kind not in KINDS and _hash_of(row) == row.hash:
        raise StoreError(
            f"Event {row.seq} of the journal is a {row.kind!r}, which this version of "
            "napari-nunext does not know: a newer version wrote it. Update napari-nunext to open "
            "the project."
        )
    try:
        return Event(
            kind=row.kind,
            image_sha256=row.image_sha256,
            payload=json.loads(row.payload),
            uid=None if row.uid is None else UUID(row.uid),
            group=UUID(row.gesture),
            annotator=row.annotator,
            at_utc=datetime.fromisoformat(row.at_utc),
            seq=row.seq,
        )
    except MALFORMED as error:
        raise StoreError(
            f"Event {row.seq} of the journal is damaged ({error}). Restore the project from a copy."
        ) from error
