"""Files that are away for a while, as those of a network drive are when it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_away(path: Path) -> bool:
    """Whether a file may be there again without anybody's doing.

    A drive that is away takes the folder with it, leaves an empty one where it was mounted, or
    fails. A file that is missing where others are was moved or deleted.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        try:
            return not path.parent.is_dir() or next(path.parent.iterdir(), None) is None
        except OSError:
            return True
    except PermissionError:
        return False
    except OSError:
        return True
    return False
