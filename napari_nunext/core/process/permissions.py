"""Who may read what we write: whoever the user's own setting (umask) lets.

Temporary files and folders, and some libraries' files, are made for their owner alone. What is
finished in such a place is handed on as any other file: a checkpoint has to be read by a container
that runs as another user.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_up(path: Path) -> None:
    """Give a file, or a folder and all in it, the permissions that new ones get."""
    mask = _umask()
    inside = path.rglob("*") if path.is_dir() else ()
    for each in (path, *inside):
        if not each.is_symlink():
            each.chmod((0o777 if each.is_dir() else 0o666) & ~mask)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
