"""The steps to versions 4 and 5: columns that tables of before lack.

In version 4 the nuclei that an answer rests on have the categories of that day, in version 5 nuclei
have how far off they may be. Of what was written before, neither is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from typing import Any

    from sqlalchemy import Column, Connection


def keep_categories_of_evidence(connection: Connection) -> None:
    """Make the column of version 4."""
    _add(connection, schema.answer.c.evidence_categories)


def keep_position_errors(connection: Connection) -> None:
    """Make the column of version 5."""
    _add(connection, schema.run_window.c.position_error_um)


def _add(connection: Connection, column: Column[Any]) -> None:
    """Add a column, empty; where an earlier step made the table as it is today, it is there."""
    table = column.table.name
    known = {each["name"] for each in inspect(connection).get_columns(table)}
    if column.name not in known:
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column.name} {kind}"))
