"""The step to version 2: predictions were a row each, and are a window a row.

What a run said before has its uids, and is of no window.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import Column, Connection, Float, Integer, MetaData, String, Table, Text, select

from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.tables import schema
from napari_nunext.store.tables.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Iterator

_before = MetaData()

_prediction = Table(
    "prediction",
    _before,
    Column("run_id", String(36), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("uid", String(36)),
    Column("x_px", Float(53)),
    Column("y_px", Float(53)),
    Column("category", Text),
    Column("confidence", Float(53)),
)
_hidden = Table(
    "hidden_prediction",
    _before,
    Column("run_id", String(36), primary_key=True),
    Column("uid", String(36), primary_key=True),
)
_mask = Table(
    "prediction_mask",
    _before,
    Column("run_id", String(36), primary_key=True),
    Column("uid", String(36), primary_key=True),
    Column("mask", Text),
)


def keep_windows_as_arrays(connection: Connection) -> None:
    """Take every run's predictions, masks and hidden ones into the tables of today."""
    schema.metadata.create_all(
        connection, tables=[schema.run_window, schema.window_masks, schema.run_hidden]
    )
    for position, run_id in connection.execute(
        select(schema.run.c.position, schema.run.c.run_id).order_by(schema.run.c.position)
    ).all():
        windows = Windows(connection, run_id, position)
        windows.add_unplaced(Predictions.of(_nuclei(connection, run_id)))
        hidden = select(_hidden.c.uid).where(_hidden.c.run_id == run_id).order_by(_hidden.c.uid)
        windows.turn([UUID(uid) for uid in connection.scalars(hidden)], stand=False)
    _before.drop_all(connection)


def _nuclei(connection: Connection, run_id: str) -> Iterator[Nucleus]:
    p, m = _prediction.c, _mask.c
    query = (
        select(p.uid, p.x_px, p.y_px, p.category, p.confidence, m.mask)
        .outerjoin(_mask, (m.run_id == p.run_id) & (m.uid == p.uid))
        .where(p.run_id == run_id)
        .order_by(p.position)
    )
    for uid, x_px, y_px, category, sure, mask in connection.execute(query):
        yield Nucleus(
            UUID(uid),
            float(x_px),
            float(y_px),
            category,
            None if sure is None else float(sure),
            None if mask is None else Mask.from_json(json.loads(mask)),
        )
