"""Text: whether it can be shown and kept, and what of it is for people on other machines."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"(['\"])(?:[A-Za-z]:)?[\\/][^'\"]*[\\/]([^'\"\\/]*)[\\/]?\1")
_PLAIN = re.compile(
    r"(?<![\w/:.])(?:[A-Za-z]:)?[\\/](?:[^\s\\/'\"<>|:,;()]+[\\/])+(?=[^\s\\/'\"<>|:,;()]*)"
)


def is_text(text: str) -> bool:
    """Whether it can be written: file names and JSON may hold halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_folders(sentence: str) -> str:
    r"""A sentence whose absolute paths are cut to their last part.

    What an error says of a file tells where it lies, and so who keeps it; nobody on another machine
    can do anything with it. Addresses of the web and relative paths stay.

    >>> without_folders("[Errno 2] No such file or directory: '/home/ana/models/a/config.json'")
    "[Errno 2] No such file or directory: 'config.json'"
    """
    return _PLAIN.sub("", _QUOTED.sub(r"\1\2\1", sentence))


def counted(number: int, one: str, many: str = "") -> str:
    """``1 field``, ``2 fields``; `many` where more than one is not said with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``3 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def left(seconds: float | None) -> str:
    """``, 3 min left``, behind what is being done; nothing where nobody knows, or none is left."""
    return "" if seconds is None or seconds < 0.5 else f", {duration(seconds)} left"


def about(name: str, said: str) -> str:
    """A sentence about something by its name, which is put before it where it does not hold it."""
    return said if name in said else f"{name}: {said}"
