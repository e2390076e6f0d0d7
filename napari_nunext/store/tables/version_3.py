"""The step to version 3: answers to questions have a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.store.tables import schema

if TYPE_CHECKING:
    from sqlalchemy import Connection


def keep_answers(connection: Connection) -> None:
    """Make the table; nobody has asked anything yet."""
    schema.metadata.create_all(connection, tables=[schema.answer])
