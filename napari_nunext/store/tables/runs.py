"""Runs inside a transaction; what they said is in `windows`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.uids import as_uids, as_uuids
from napari_nunext.store.entries import FINAL_STATUSES, Run, RunInfo
from napari_nunext.store.tables import journal, schema
from napari_nunext.store.tables.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.predictions import Predictions
    from napari_nunext.core.uids import Uids
    from napari_nunext.store.entries import RunStatus, WindowFinish

_STATUS = select(schema.run.c.position, schema.run.c.status).where(
    schema.run.c.run_id == bindparam("run_id")
)
"""Of a run; made once, as it is asked before each write."""


def start(connection: Connection, run: Run) -> None:
    """Record a run that begins."""
    connection.execute(
        insert(schema.run).values(
            run_id=run.run_id,
            image_sha256=run.image_sha256,
            info=json.dumps(run.info.to_json(), ensure_ascii=False, allow_nan=False),
            status=run.status,
            annotator=run.annotator,
            started_utc=run.started_utc.isoformat(),
        )
    )


def finish(connection: Connection, run_id: str, status: RunStatus, now: datetime) -> None:
    """Close a run; one that was broken off may still be given up.

    Raises
    ------
    StoreError
        If there is no such run, or it is finished.
    """
    if status == "cancelled":
        _with_status(connection, run_id, "running", "interrupted")
    else:
        while_running(connection, run_id)
    table = schema.run
    ended = update(table).where(table.c.run_id == run_id)
    connection.execute(ended.values(status=status, finished_utc=now.isoformat()))


def interrupt_all(connection: Connection, now: datetime) -> None:
    """Close the runs that are open, as broken off."""
    table = schema.run
    change = update(table).where(table.c.status == "running")
    connection.execute(change.values(status="interrupted", finished_utc=now.isoformat()))


def interrupted(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The same runs, where nobody writes any more: those that are open were broken off."""
    return tuple(
        replace(run, status="interrupted") if run.status == "running" else run for run in runs
    )


def check_is_final(status: str) -> None:
    """Raise `InputError` unless a run can end like this."""
    if status not in FINAL_STATUSES:
        raise InputError(
            f"A run cannot finish as {status!r}; expected {', '.join(FINAL_STATUSES)}."
        )


def while_running(connection: Connection, run_id: str) -> Windows:
    """What the run said so far, to be added to.

    Raises
    ------
    StoreError
        If there is no such run, or it is finished.
    """
    return _with_status(connection, run_id, "running")


def keep(connection: Connection, run_id: str, nuclei: Predictions) -> None:
    """Record what was found in windows that are not done, while the run is."""
    position, status = _found(connection, run_id)
    if status == "running":
        Windows(connection, run_id, position).keep(nuclei)


def _with_status(connection: Connection, run_id: str, *expected: RunStatus) -> Windows:
    position, status = _found(connection, run_id)
    if status not in expected:
        can = "change" if "running" in expected else "go on"
        raise StoreError(f"Run {run_id} is {status}; its predictions can no longer {can}.")
    return Windows(connection, run_id, position)


def go_on(connection: Connection, run_id: str) -> Uids:
    """Open a run again that was broken off, without what it found in windows that are not done.

    Returns
    -------
    ndarray, shape (N, 16)
        The uids of what it found in them and keeps: people said something of it.

    Raises
    ------
    StoreError
        If there is no such run, or it ended otherwise.
    """
    windows, table = _with_status(connection, run_id, "interrupted"), schema.run
    image_sha256 = connection.scalar(select(table.c.image_sha256).where(table.c.run_id == run_id))
    assert image_sha256 is not None
    kept = windows.drop_unfinished(as_uids(journal.named(connection, image_sha256)))
    connection.execute(
        update(table).where(table.c.run_id == run_id).values(status="running", finished_utc=None)
    )
    return kept


def windows_done(connection: Connection, run_id: str) -> dict[int, WindowFinish]:
    """The windows that a run is done with, by number, and how each ended."""
    position, _ = _found(connection, run_id)
    return Windows(connection, run_id, position).done()


def _found(connection: Connection, run_id: str) -> tuple[int, RunStatus]:
    found = connection.execute(_STATUS, {"run_id": run_id}).first()
    if found is None:
        raise StoreError(f"There is no run {run_id} in this project.")
    return found.position, found.status


def read(connection: Connection, image_sha256: str, *, no_nuclei: bool = False) -> tuple[Run, ...]:
    """The runs over an image with all their predictions, in the order they were started."""
    query = (
        select(schema.run)
        .where(schema.run.c.image_sha256 == image_sha256)
        .order_by(schema.run.c.position)
    )
    return tuple(
        _run(row, None if no_nuclei else Windows(connection, row.run_id, row.position))
        for row in connection.execute(query).all()
    )


def _run(row: Row[Any], windows: Windows | None) -> Run:
    run = Run(
        run_id=row.run_id,
        image_sha256=row.image_sha256,
        info=RunInfo.from_json(json.loads(row.info)),
        status=row.status,
        annotator=row.annotator,
        started_utc=datetime.fromisoformat(row.started_utc),
    )
    if windows is None:
        return run
    nuclei, hidden = windows.predictions(), frozenset(as_uuids(windows.hidden()))
    return replace(run, nuclei=nuclei, hidden=hidden)
