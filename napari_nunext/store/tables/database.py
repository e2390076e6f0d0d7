"""The SQLite file under a project: opening, locking, transactions, and what its errors mean.

Writers are serialised twice: between processes by a lock file beside the project, and inside one
by ``BEGIN IMMEDIATE``. The write-ahead log lets readers go on meanwhile, and ``synchronous=FULL``
makes a transaction durable when it returns. `Database.checkpoint` brings the log into the file.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sqlite3
import threading
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout
from sqlalchemy import Connection, delete, exc, insert

from napari_nunext.core.errors import (
    MALFORMED,
    ProjectLockedError,
    StorageError,
    StoreError,
)
from napari_nunext.places import check_is_there
from napari_nunext.store.tables import migrations, schema
from napari_nunext.store.tables.connections import (
    BUSY_TIMEOUT_S,
    connect,
    engine_in_memory,
    engine_of,
)
from napari_nunext.store.tables.wholeness import IN_LOG, WHOLE, copy_whole, lost_its_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from napari_nunext.store.tables.connections import Mode
    from napari_nunext.store.tables.migrations import Step

logger = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 0.5
"""Patience with a reader that looks whether anybody is writing (`Database.is_being_written`)."""

CHECKPOINT_TIMEOUT_S = 0.5
"""Patience with a reader while the log is brought into the file; there is always another time."""

_SQLITE_MAGIC = b"SQLite format 3\x00"


class Database:
    """An open project file.

    Parameters
    ----------
    path : Path
        The file. With mode ``"rw"`` and `create`, it is made where it is missing.
    annotator : str
        Who opens it; told to whoever tries to write at the same time.
    mode : {"rw", "r"}
        ``"r"`` takes no lock and writes nothing: an older project is carried up in memory.
    clock : callable
        Gives the time in UTC.
    steps : mapping
        Migrations by the version they lead to.

    Attributes
    ----------
    lost_log : bool
        Whether it was opened without changes that were once beside it.
    copy_of_before : Path or None
        Where an older project is kept as it was before it was brought to this version's schema.

    Raises
    ------
    ProjectLockedError
        If another window or process has it open for writing.
    StoreError
        If it is missing, unreadable, not a project, or of a newer schema.
    """

    def __init__(
        self,
        path: Path,
        *,
        annotator: str,
        mode: Mode,
        create: bool,
        clock: Callable[[], datetime],
        steps: Mapping[int, Step] = migrations.STEPS,
    ) -> None:
        self.path = path
        self.mode = mode
        self._turn = threading.RLock()
        self._whole = False
        self.copy_of_before: Path | None = None
        lost_log = lost_its_log(path)
        _check_file(path, may_create=mode == "rw" and create)
        self._lock = FileLock(
            path.with_name(path.name + ".lock"), timeout=LOCK_TIMEOUT_S, thread_local=False
        )
        if mode == "rw":
            self._take_lock()
        self.lost_log = lost_log and (mode == "rw" or not self.is_being_written())
        try:
            self.engine = engine_of(path, mode)
            with damage_told(path.name):
                self._prepare(steps, clock)
                if mode == "rw":
                    self._sign(annotator, clock())
        except BaseException:
            self.close(signed=False)
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A consistent view of the project, whatever is written meanwhile."""
        with damage_told(self.path.name), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: durable when the block ends, undone as a whole when it raises."""
        if self.mode == "r":
            raise StoreError(
                f"{self.path.name} is open for reading only. Close it where it is open for "
                "writing, then open it again here."
            )
        with self._turn, translated_errors(self.path.name):
            if self._whole:
                self._mark_as_logged()
            with self._transaction() as connection:
                yield connection

    def checkpoint(self) -> bool:
        """Bring everything into the one file; False where a reader stands in the way.

        Raises
        ------
        StorageError
            If the disk is full or the file cannot be written. Nothing is lost then.
        """
        with self._turn, translated_errors(self.path.name):
            if self.mode == "rw" and not self._whole:
                with self._transaction() as connection:
                    connection.exec_driver_sql(f"PRAGMA user_version = {WHOLE}")
                self._whole = self._empty_log("TRUNCATE")
            return self._whole

    def backup(self, target: Path) -> None:
        """Copy all of it, as it stands now, into one new file."""
        with translated_errors(target.name):
            copy_whole(lambda: connect(self.path, "r"), target, self.path.name)

    def is_being_written(self) -> bool:
        """Whether this or another process has the project open for writing."""
        if self._lock.is_locked:
            return True
        if not Path(self._lock.lock_file).exists():
            return False
        try:
            with FileLock(self._lock.lock_file, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:
            return False  # nobody can lock what we may not even open

    def close(self, *, signed: bool = True) -> None:
        """Let go of the file and of the lock. May be called twice."""
        try:
            if signed and self._lock.is_locked:
                with self.writing() as connection:
                    connection.execute(delete(schema.writer))
                self.checkpoint()
        except StoreError as error:
            # The lock is what counts; the sign is rewritten by whoever opens the project next.
            logger.warning("The project was closed without signing off: %s", error)
        finally:
            if hasattr(self, "engine"):
                self.engine.dispose()
            self._lock.release()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self.engine.execution_options(immediate=True).begin() as connection:
            yield connection

    def _mark_as_logged(self) -> None:
        """Say in the file itself that what comes now is beside it."""
        with self._transaction() as connection:
            connection.exec_driver_sql(f"PRAGMA user_version = {IN_LOG}")
        # Where a reader keeps the mark out of the file, the next write tries again.
        self._whole = not self._empty_log("PASSIVE")

    def _empty_log(self, how: Literal["TRUNCATE", "PASSIVE"]) -> bool:
        """Move what the log holds into the file; False where some of it could not be moved."""
        with closing(self.engine.raw_connection()) as pooled:
            connection = pooled.driver_connection
            assert connection is not None
            connection.execute(f"PRAGMA busy_timeout = {round(CHECKPOINT_TIMEOUT_S * 1000)}")
            try:
                busy, in_log, moved = connection.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(BUSY_TIMEOUT_S * 1000)}")
        return not busy and in_log == moved

    def _take_lock(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise ProjectLockedError(
                f"{self.path.name} is open for writing{_signed_by(self.path)}. Close it there, or "
                "open it for reading only."
            ) from error
        except OSError as error:
            raise StoreError(
                f"The folder of {self.path.name} cannot be written ({error.strerror}). Open the "
                "project for reading only, or copy it to a folder of your own."
            ) from error

    def _prepare(self, steps: Mapping[int, Step], clock: Callable[[], datetime]) -> None:
        """Create or migrate, so that the schema is this version's."""
        newest = max(steps, default=schema.SCHEMA_VERSION)
        with self.engine.begin() as connection:
            found = migrations.stored_version(connection)
            version = migrations.check_version(found, newest, self.path.name)
        if version == 0 and self.mode == "rw":
            with self.writing() as connection:
                migrations.create(connection, clock())
            version = schema.SCHEMA_VERSION
        missing = {step: steps[step] for step in range(version + 1, newest + 1)}
        if missing and self.mode == "r":
            self.engine.dispose()
            self.engine = engine_in_memory(self.path)
            migrations.carry_up(self._transaction, missing, clock)
        elif missing:
            with migrations.kept_beside(self.path, version, self.backup) as copy:
                migrations.carry_up(self.writing, missing, clock)
            self.copy_of_before = copy
            self._give_back_room()

    def _give_back_room(self) -> None:
        """Make the file as small as what is in it; where the disk is too full, it stays large."""
        with (
            suppress(StorageError),
            translated_errors(self.path.name),
            closing(self.engine.raw_connection()) as pooled,
        ):
            pooled.cursor().execute("VACUUM")

    def _sign(self, annotator: str, now: datetime) -> None:
        with self.writing() as connection:
            connection.execute(delete(schema.writer))
            connection.execute(
                insert(schema.writer).values(
                    annotator=annotator,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    since_utc=now.isoformat(timespec="seconds"),
                )
            )


@contextmanager
def translated_errors(name: str) -> Iterator[None]:
    """Turn the database's errors into sentences; nothing of the transaction is then kept."""
    try:
        yield
    except exc.DBAPIError as error:
        raise StorageError(_sentence(name, str(error.orig))) from error
    except sqlite3.Error as error:
        raise StorageError(_sentence(name, str(error))) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(_sentence(name, "disk is full")) from error


@contextmanager
def damage_told(name: str) -> Iterator[None]:
    """Also turn what reading runs into where a file holds what nobody wrote into a sentence."""
    try:
        with translated_errors(name):
            yield
    except StoreError:
        raise
    except (*MALFORMED, exc.SQLAlchemyError) as error:
        raise StoreError(_sentence(name, f"malformed: {' '.join(str(error).split())}")) from error


def _sentence(name: str, cause: str) -> str:
    if "disk is full" in cause:
        return (
            f"The disk of {name} is full; this change was not saved, everything before it is. "
            "Free some space and do it again."
        )
    if "not a database" in cause or "malformed" in cause:
        return f"{name} is damaged or not a review project ({cause}). Restore it from a copy."
    return f"{name} cannot be read or written ({cause}). Check its disk and your permissions."


def _check_file(path: Path, *, may_create: bool) -> None:
    """Refuse, before anything is touched, a path that cannot be a project."""
    if path.is_dir():
        raise StoreError(f"{path.name} is a folder; expected a project file.")
    if not path.exists():
        if not may_create:
            check_is_there(path, ", or create one")
        if not path.parent.is_dir():
            raise StoreError(f"The folder {path.parent} does not exist. Create it first.")
        return
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise StoreError(f"{path.name} cannot be read ({error.strerror}).") from error
    if head == b"" and may_create:
        return
    if head != _SQLITE_MAGIC:
        raise StoreError(f"{path.name} is not a review project. Choose another file.")
    _check_is_project(path)


def _check_is_project(path: Path) -> None:
    """Look without leaving a trace: switching a foreign database to WAL would change it."""
    with damage_told(path.name), closing(connect(path, "r")) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    tables = {name for (name,) in rows}
    migrations.check_version(1 if not tables or "migration" in tables else None, 1, path.name)


def _signed_by(path: Path) -> str:
    """Who has it open, and where, as the end of "is open for writing"."""
    try:
        with translated_errors(path.name), closing(connect(path, "r")) as connection:
            row = connection.execute(
                "SELECT annotator, host, pid, since_utc FROM writer"
            ).fetchone()
    except StoreError:
        row = None  # it is being created this moment
    if row is None:
        return " elsewhere"
    annotator, host, pid, since = row
    if (pid, host) == (os.getpid(), socket.gethostname()):
        return " in another window of this application"
    return f" by {annotator} on {host} (process {pid}, since {since})"
