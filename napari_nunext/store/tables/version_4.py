"""The step to version 4: nuclei that an answer rests on have the categories of that day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection


def keep_categories_of_evidence(connection: Connection) -> None:
    """Make the column; of what was answered before, categories are not known."""
    column = schema.answer.c.evidence_categories
    known = {each["name"] for each in inspect(connection).get_columns(schema.answer.name)}
    if column.name not in known:  # from before version 3 it comes with the table
        kind = column.type.compile(connection.dialect)
        connection.execute(
            text(f"ALTER TABLE {schema.answer.name} ADD COLUMN {column.name} {kind}")
        )
