"""Whether a project's one file holds all of it, and copies that do.

While somebody works, SQLite keeps the newest changes in a file beside the project (``-wal``). At
every pause and at closing they are brought into the one file, which can then be copied alone. In
between, a mark in the file's header says that they are not in it: a copy without its ``-wal`` is
known by that. The mark is SQLite's ``user_version``, which belongs to the transaction it is set in.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

WHOLE, IN_LOG = 0, 1
"""Marks: everything is in the one file; something may be beside it."""

_HEADER_BYTES = 100
_LOGGED_AT, _PAGE_AT, _MARK_AT = 18, 16, 60
"""Offsets in SQLite's header: file format, page size, user version."""
_LOGGED_FORMAT = 2


def lost_its_log(path: Path) -> bool:
    """Whether changes were beside the file when it was copied or moved, and are not there now.

    To be asked before the file is opened, and while nobody has it open for writing.
    """
    log = path.parent / f"{path.name}-wal"  # a folder like / has no name
    try:
        if log.exists() and log.stat().st_size:
            return False
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        size_bytes = path.stat().st_size
    except OSError:
        return False
    if len(header) < _HEADER_BYTES:
        return False
    (mark,) = struct.unpack_from(">I", header, _MARK_AT)
    (page_bytes,) = struct.unpack_from(">H", header, _PAGE_AT)
    only_a_header = header[_LOGGED_AT] == _LOGGED_FORMAT and size_bytes <= page_bytes
    return mark == IN_LOG or only_a_header


def lost_log_words(name: str) -> str:
    """What to tell a person about such a file."""
    return (
        f"{name} was opened without its log's end: it was copied or moved while it was open, and "
        f"{name}-wal is not beside it. The newest changes may be missing. Close it where it came "
        "from, then copy it again."
    )


def copy_whole(connect: Callable[[], sqlite3.Connection], target: Path, name: str) -> None:
    """Copy an open database into one file, as it stands at one moment; whole or not at all.

    Raises
    ------
    StoreError
        If `target` exists or its folder does not.
    """
    if target.exists():
        raise StoreError(f"{target} exists already; nothing was written. Choose a new name.")
    if not target.parent.is_dir():
        raise StoreError(f"The folder {target.parent} does not exist. Create it first.")
    handle, made = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=target.parent)
    os.close(handle)
    building = Path(made)
    try:
        with closing(connect()) as source, closing(sqlite3.connect(building)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("DELETE FROM writer")
            copy.execute(f"PRAGMA user_version = {WHOLE}")
            copy.commit()
        _flush(building)
        building.chmod(0o644)  # mkstemp makes files for their owner alone
        building.rename(target)
    finally:
        building.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
