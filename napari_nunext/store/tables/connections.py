"""Connections to a project's file, or to a copy of it in memory."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote
from uuid import uuid4

from sqlalchemy import Connection, QueuePool, create_engine, event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine

Mode: TypeAlias = Literal["rw", "r"]

BUSY_TIMEOUT_S = 30.0
"""How long a transaction waits for another process' (a copy, a virus scanner, a reader)."""


def engine_of(path: Path, mode: Mode) -> Engine:
    """Connections to the file."""
    return _engine(lambda: connect(path, mode), logged=mode == "rw")


def engine_in_memory(path: Path) -> Engine:
    """Connections to a copy of the file in memory, which lasts as long as the engine."""
    name = f"file:/{uuid4()}?vfs=memdb"
    engine = _engine(lambda: _connect(name), logged=False)
    with closing(connect(path, "r")) as source, closing(_connect(name)):
        source.execute("VACUUM INTO ?", [name])  # a plain copy would need a log, as files do
        engine.connect().close()  # which stays open in the pool, and the memory with it
    return engine


def connect(path: Path, mode: Mode) -> sqlite3.Connection:
    """A connection of one's own to the file; it is made where it is missing and may be written."""
    query = "mode=rwc" if mode == "rw" else "mode=ro"
    wal = path.with_name(path.name + "-wal")
    if mode == "r" and not wal.exists() and not os.access(path.parent, os.W_OK):
        query += "&immutable=1"  # in a read-only folder SQLite cannot make its shared memory file
    return _connect(f"file:{quote(str(path.resolve()))}?{query}")


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name,
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,  # transactions are begun by us, see _engine
        check_same_thread=False,  # the pool hands a connection to one thread at a time
    )


def _engine(connect: Callable[[], sqlite3.Connection], *, logged: bool) -> Engine:
    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        if logged:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine
