"""Runs and their predictions inside a transaction."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.entries import FINAL_STATUSES, Run, RunInfo, check_prediction
from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from napari_nunext.store.entries import RunStatus


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


def finish(
    connection: Connection, status: RunStatus, now: datetime, run_id: str | None = None
) -> None:
    """Close a run, or all that are open."""
    table = schema.run
    change = update(table).where(table.c.status == "running")
    if run_id is not None:
        change = change.where(table.c.run_id == run_id)
    connection.execute(change.values(status=status, finished_utc=now.isoformat()))


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


def check_is_running(connection: Connection, run_id: str) -> None:
    """Raise `StoreError` unless the run is there and not finished."""
    status = connection.scalar(select(schema.run.c.status).where(schema.run.c.run_id == run_id))
    if status is None:
        raise StoreError(f"There is no run {run_id} in this project.")
    if status != "running":
        raise StoreError(f"Run {run_id} is {status}; its predictions can no longer change.")


def add_predictions(connection: Connection, run_id: str, nuclei: Sequence[Nucleus]) -> None:
    """Append predictions, and their masks where they bring one."""
    if not nuclei:
        return
    table = schema.prediction
    count = connection.scalar(select(func.count()).where(table.c.run_id == run_id)) or 0
    rows: list[dict[str, Any]] = []
    for position, nucleus in enumerate(nuclei, start=count):
        check_prediction(nucleus)
        rows.append(
            {
                "run_id": run_id,
                "position": position,
                "uid": str(nucleus.uid),
                "x_px": float(nucleus.x_px),
                "y_px": float(nucleus.y_px),
                "category": nucleus.category,
                "confidence": nucleus.confidence,
            }
        )
    connection.execute(insert(table), rows)
    add_masks(connection, run_id, {n.uid: n.mask for n in nuclei if n.mask is not None})


def hide(connection: Connection, run_id: str, uids: Collection[UUID]) -> None:
    """Record that the server took predictions back; doing it twice is doing it once."""
    table = schema.hidden_prediction
    known = set(connection.scalars(select(table.c.uid).where(table.c.run_id == run_id)))
    rows = [{"run_id": run_id, "uid": u} for u in sorted({str(u) for u in uids} - known)]
    if rows:
        connection.execute(insert(table), rows)


def add_masks(connection: Connection, run_id: str, masks: Mapping[UUID, Mask]) -> None:
    """Record masks of predictions, each of which gets at most one.

    Raises
    ------
    StoreError
        If a uid is not a prediction of the run, or has a mask already.
    """
    if not masks:
        return
    p, m = schema.prediction, schema.prediction_mask
    new = {str(uid): mask for uid, mask in masks.items()}
    unknown = new.keys() - set(connection.scalars(select(p.c.uid).where(p.c.run_id == run_id)))
    masked = new.keys() & set(connection.scalars(select(m.c.uid).where(m.c.run_id == run_id)))
    if unknown or masked:
        raise StoreError(
            f"Masks of run {run_id}: {len(unknown)} are of nuclei it did not predict and "
            f"{len(masked)} of nuclei that have one. Use edit_mask to correct a mask."
        )
    connection.execute(
        insert(m),
        [
            {"run_id": run_id, "uid": uid, "mask": json.dumps(mask.to_json())}
            for uid, mask in new.items()
        ],
    )


def read(connection: Connection, image_sha256: str) -> tuple[Run, ...]:
    """The runs over an image with all their predictions, in the order they were started."""
    query = (
        select(schema.run)
        .where(schema.run.c.image_sha256 == image_sha256)
        .order_by(schema.run.c.position)
    )
    nuclei = _nuclei_by_run(connection, image_sha256)
    hidden = _hidden_by_run(connection, image_sha256)
    return tuple(
        Run(
            run_id=row.run_id,
            image_sha256=row.image_sha256,
            info=RunInfo.from_json(json.loads(row.info)),
            status=row.status,
            annotator=row.annotator,
            started_utc=datetime.fromisoformat(row.started_utc),
            nuclei=Predictions.of(nuclei[row.run_id]),
            hidden=frozenset(hidden[row.run_id]),
        )
        for row in connection.execute(query)
    )


def _nuclei_by_run(connection: Connection, image_sha256: str) -> dict[str, list[Nucleus]]:
    p, m = schema.prediction, schema.prediction_mask
    query = (
        select(p, m.c.mask)
        .join(schema.run, schema.run.c.run_id == p.c.run_id)
        .outerjoin(m, (m.c.run_id == p.c.run_id) & (m.c.uid == p.c.uid))
        .where(schema.run.c.image_sha256 == image_sha256)
        .order_by(p.c.run_id, p.c.position)
    )
    nuclei: dict[str, list[Nucleus]] = defaultdict(list)
    for row in connection.execute(query):
        sure = None if row.confidence is None else float(row.confidence)
        nucleus = Nucleus(UUID(row.uid), float(row.x_px), float(row.y_px), row.category, sure)
        check_prediction(nucleus)
        if row.mask is not None:
            nucleus = replace(nucleus, mask=Mask.from_json(json.loads(row.mask)))
        nuclei[row.run_id].append(nucleus)
    return nuclei


def _hidden_by_run(connection: Connection, image_sha256: str) -> dict[str, set[UUID]]:
    h = schema.hidden_prediction
    query = (
        select(h.c.run_id, h.c.uid)
        .join(schema.run, schema.run.c.run_id == h.c.run_id)
        .where(schema.run.c.image_sha256 == image_sha256)
    )
    hidden: dict[str, set[UUID]] = defaultdict(set)
    for run_id, uid in connection.execute(query):
        hidden[run_id].add(UUID(uid))
    return hidden
