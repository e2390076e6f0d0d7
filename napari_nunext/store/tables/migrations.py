"""Bringing a project to the schema of this version.

A new project is created at the newest schema. An older one is carried up step by step; each step
runs in the transaction that records it, so a step is either wholly done or not begun. The project
is copied before. Whoever only reads an older project carries up a copy in memory.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

from sqlalchemy import Connection, func, insert, inspect, select

from napari_nunext import __version__
from napari_nunext.core.errors import StoreError
from napari_nunext.store.event import GENESIS_HASH
from napari_nunext.store.tables import schema
from napari_nunext.store.tables.added_columns import (
    keep_categories_of_evidence,
    keep_position_errors,
)
from napari_nunext.store.tables.version_2 import keep_windows_as_arrays
from napari_nunext.store.tables.version_3 import keep_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    Step: TypeAlias = Callable[[Connection], None]

SOFTWARE = f"napari-nunext {__version__}"

STEPS: Mapping[int, Step] = {
    2: keep_windows_as_arrays,
    3: keep_answers,
    4: keep_categories_of_evidence,
    5: keep_position_errors,
}
"""The step that leads to each version after the first."""


def stored_version(connection: Connection) -> int | None:
    """Schema of the project; 0 for an empty database, None for one that is not a project."""
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return 0
    if not {"migration", "project", "event"} <= tables:
        return None
    version: int | None = connection.scalar(select(func.max(schema.migration.c.version)))
    return version


def create(connection: Connection, now: datetime) -> None:
    """Make an empty database a project. The caller's transaction makes it whole or nothing."""
    schema.metadata.create_all(connection)
    connection.execute(
        insert(schema.project).values(
            uid=str(uuid4()),
            created_utc=now.isoformat(),
            head_seq=0,
            head_hash=GENESIS_HASH,
        )
    )
    _record(connection, schema.SCHEMA_VERSION, now)


def carry_up(
    transaction: Callable[[], AbstractContextManager[Connection]],
    steps: Mapping[int, Step],
    clock: Callable[[], datetime],
) -> None:
    """Take steps and record them, each in a transaction of its own."""
    for version, step in steps.items():
        with transaction() as connection:
            step(connection)
            _record(connection, version, clock())


@contextmanager
def kept_beside(path: Path, version: int, back_up: Callable[[Path], None]) -> Iterator[Path]:
    """Copy a project's file before it is carried up; the copy goes where that fails.

    Its name does not end as those of projects: whoever opens the folder means the other one.
    """
    first = path.with_name(f"{path.name}.version-{version}")
    more = (first.with_name(f"{first.name}-{number}") for number in count(2))
    copy = next(free for free in chain([first], more) if not free.exists())
    back_up(copy)
    try:
        yield copy
    except BaseException:
        copy.unlink()
        raise


def check_version(version: int | None, newest: int, name: str) -> int:
    """Return `version` if this software can read it, as it is or after migration.

    Raises
    ------
    StoreError
        If the database is not a project, or a newer version wrote it.
    """
    if version is None:
        raise StoreError(
            f"{name} is a database, but not a review project. Choose another file, or a new name."
        )
    if version > newest:
        raise StoreError(
            f"{name} was written by a newer version of napari-nunext (schema {version}; this "
            f"version reads up to {newest}). Update napari-nunext to open it."
        )
    return version


def copied_words(path: Path, copy: Path) -> str:
    """What to tell a person about the copy."""
    return (
        f"{path.name} was written by an earlier version of napari-nunext, and is now in the form "
        f"of this one. As it was, it is kept beside it: {copy.name}."
    )


def _record(connection: Connection, version: int, now: datetime) -> None:
    connection.execute(
        insert(schema.migration).values(
            version=version, applied_utc=now.isoformat(), software=SOFTWARE
        )
    )
