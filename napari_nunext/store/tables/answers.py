"""Answers inside a transaction: a row each, written once."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Row, insert, select

from napari_nunext.core.errors import MALFORMED, InputError, StoreError
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.uids import UID_BYTES
from napari_nunext.store.answers import Answer, AnsweredBy, Asked, Evidence, Said
from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_NUMBER = np.dtype("<f8")


def add(connection: Connection, answer: Answer) -> None:
    """Record an answer that is over.

    Raises
    ------
    InputError
        If one with its id is there.
    """
    table = schema.answer
    same = select(table.c.position).where(table.c.answer_id == answer.answer_id)
    if connection.scalar(same) is not None:
        raise InputError(f"Answer {answer.answer_id} is recorded already; give each its own id.")
    assert answer.asked_utc is not None
    connection.execute(
        insert(table).values(
            answer_id=answer.answer_id,
            image_sha256=answer.image_sha256,
            asked_together=answer.asked_together,
            annotator=answer.annotator,
            asked_utc=answer.asked_utc.isoformat(),
            asked=_text(answer.asked.to_json()),
            answered_by=_text(answer.by.to_json()),
            said=_text(answer.said.to_json()),
            evidence_uids=answer.evidence.uids.tobytes(),
            evidence_xy=answer.evidence.places_xy.astype(_NUMBER).tobytes(),
            evidence_categories=_categories_text(answer.evidence.categories),
        )
    )


def read(connection: Connection, image_sha256: str | None = None) -> Iterator[Answer]:
    """The answers about an image, or all, in the order in which they were recorded.

    Raises
    ------
    StoreError
        Naming an answer that is damaged.
    """
    query = select(schema.answer).order_by(schema.answer.c.position)
    if image_sha256 is not None:
        query = query.where(schema.answer.c.image_sha256 == image_sha256)
    for row in connection.execute(query):
        try:
            yield _answer(row)
        except MALFORMED as error:
            raise StoreError(
                f"Answer {row.answer_id} of the project is damaged ({error}). Open a backup."
            ) from error


def _answer(row: Row[Any]) -> Answer:
    uids = np.frombuffer(row.evidence_uids, dtype=np.uint8).reshape(-1, UID_BYTES)
    places_xy = np.frombuffer(row.evidence_xy, dtype=_NUMBER).reshape(-1, 2)
    return Answer(
        answer_id=row.answer_id,
        image_sha256=row.image_sha256,
        asked=Asked.from_json(json.loads(row.asked)),
        by=AnsweredBy.from_json(json.loads(row.answered_by)),
        said=Said.from_json(json.loads(row.said)),
        evidence=Evidence(
            uids=uids,
            places_xy=as_points_xy(places_xy),
            categories=_categories(row.evidence_categories),
        ),
        asked_together=row.asked_together,
        annotator=row.annotator,
        asked_utc=datetime.fromisoformat(row.asked_utc),
    )


def _categories_text(categories: Sequence[str]) -> str | None:
    """Names, and of each nucleus the place of its name among them; None where none are kept."""
    names = list(dict.fromkeys(categories))
    place = {name: at for at, name in enumerate(names)}
    return _text([names, [place[each] for each in categories]]) if categories else None


def _categories(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names, places = json.loads(text)
    return tuple(str(names[place]) for place in places)


def _text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
