"""The step to version 3: answers to questions have a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect

from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection


def keep_answers(connection: Connection) -> None:
    """Make the table; nobody has asked anything yet.

    The first projects of version 2 could not say that a hidden prediction stands again: in theirs,
    whatever is in that table is hidden.
    """
    hidden = schema.run_hidden.name
    if "stand" not in {column["name"] for column in inspect(connection).get_columns(hidden)}:
        connection.exec_driver_sql(
            f"ALTER TABLE {hidden} ADD COLUMN stand INTEGER NOT NULL DEFAULT 0"
        )
    schema.metadata.create_all(connection, tables=[schema.answer])
