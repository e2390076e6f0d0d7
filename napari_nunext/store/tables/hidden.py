"""Which predictions of a run do not stand, since a surer one does: the last word on each counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import insert, select

from napari_nunext.core.uids import UID_BYTES, as_uids, as_uuids
from napari_nunext.store.tables import schema
from napari_nunext.store.tables.window_form import uids_of

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import Connection

    from napari_nunext.core.uids import Uids


def turn(connection: Connection, run: int, uids: Uids, *, stand: bool) -> None:
    """Record that predictions of a run (its position) do not stand, or stand again."""
    if len(uids):
        row = {"run": run, "stand": int(stand), "uids": uids.tobytes()}
        connection.execute(insert(schema.run_hidden), row)


def read(connection: Connection, run: int) -> Uids:
    """Those that do not stand, shape (N, 16).

    Raises
    ------
    ValueError
        For bytes that nobody wrote.
    """
    table = schema.run_hidden.c
    query = select(table.stand, table.uids).where(table.run == run).order_by(table.position)
    rows = [(row.stand, uids_of([row.uids])) for row in connection.execute(query)]
    if any(stand not in (0, 1) for stand, _ in rows):
        raise ValueError("predictions neither stand nor are they hidden")
    if not any(stand for stand, _ in rows):
        return np.concatenate([np.empty((0, UID_BYTES), np.uint8), *(uids for _, uids in rows)])
    hidden: dict[UUID, None] = {}
    for stand, uids in rows:
        for uid in as_uuids(uids):
            if stand:
                hidden.pop(uid, None)
            else:
                hidden[uid] = None
    return as_uids(hidden)
