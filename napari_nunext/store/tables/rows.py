"""Rows with arrays in them: written one after another, read as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import func, insert, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sqlalchemy import Connection, Table


def append_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> int:
    """Write rows after the last one of the project; the position of the first."""
    first = (connection.scalar(select(func.max(table.c.position))) or 0) + 1
    if rows:
        connection.execute(
            insert(table), [row | {"position": first + at} for at, row in enumerate(rows)]
        )
    return first


def as_array(data: bytes, kind: np.dtype[Any]) -> NDArray[Any]:
    """The values of a blob, in this machine's order of bytes."""
    return np.frombuffer(data, dtype=kind).astype(kind.newbyteorder("="), copy=False)
