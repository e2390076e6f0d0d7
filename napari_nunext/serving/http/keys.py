"""Who may use the server: one token for all, or a key for each person in a file.

The file holds a line for each person, a name and the SHA-256 of their key; lines that begin with
``#`` are comments. A key has 256 random bits, so that its plain hash tells nothing about it, and
need not be slow. The file is read again when it has changed: a new line lets somebody in, and a
line taken away keeps them out, without a restart.

Logs and metrics know a person by the first eight digits of that hash, never by name.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

ID_DIGITS = 8
_NAME = re.compile(r"[\w.@+-]{1,64}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    id: str
    """For logs: ``"token"``, or digits of the key's hash."""
    share: str
    """What the fair shares of the machine go to: a person, or with one token for all an address."""


class Keyring:
    """What callers may show.

    Parameters
    ----------
    token : str
        The token for all; empty for none.
    keys_file : Path, optional
        Keys of persons.

    Raises
    ------
    InputError
        If the file cannot be used.
    """

    def __init__(self, token: str = "", keys_file: Path | None = None) -> None:
        self._token = _hash(token.encode()) if token else None
        self._path = keys_file
        self._ids: tuple[tuple[str, str], ...] = ()
        self._signature: tuple[int, ...] | None = None
        if keys_file is not None:
            self._signature = _signature(keys_file)
            self._ids = _by_hash(read_keys(keys_file))

    def caller(self, authorization: bytes, address: str) -> Caller | None:
        """Who shows this header, or None for a stranger.

        Every hash is compared, each in constant time: how long it takes tells nothing.
        """
        self._reread()
        scheme, _, shown = authorization.partition(b" ")
        presented = _hash(shown)
        found = None
        for known, id_ in self._ids:
            if secrets.compare_digest(presented, known):
                found = Caller(id_, id_)
        if self._token is not None and secrets.compare_digest(presented, self._token):
            found = Caller("token", f"token {address}")
        return found if scheme.lower() == b"bearer" and shown else None

    def _reread(self) -> None:
        """Follow the file. One that cannot be used changes nothing, for it may be half written."""
        if self._path is None or (signature := _signature(self._path)) == self._signature:
            return
        self._signature = signature
        try:
            self._ids = _by_hash(read_keys(self._path))
        except InputError as error:
            logger.error("the keys stay as they were: %s", error)
            return
        logger.info("%d keys are in force", len(self._ids))


def read_keys(path: Path) -> dict[str, str]:
    """Hashes of the keys in a file, by name.

    Raises
    ------
    InputError
        If the file cannot be read, or a line is not a name and a hash. Names are not repeated in
        the message.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise InputError(
            f"The keys file {path.name} cannot be read ({reason}). "
            "Make one with `napari-nunext key NAME --keys FILE`."
        ) from error
    keys: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or line.startswith("#"):
            continue
        sound = len(fields) == 2 and _NAME.fullmatch(fields[0]) and _HASH.fullmatch(fields[1])
        if not sound or fields[0] in keys or fields[1] in keys.values():
            raise InputError(
                f"Line {number} of {path.name} is not a new name and the SHA-256 of a new key. "
                "Remove it, and make a key with `napari-nunext key NAME`."
            )
        keys[fields[0]] = fields[1]
    return keys


def add_key(path: Path, name: str) -> tuple[str, str]:
    """Make a key for a person and add it to the file, which only its owner may read.

    Returns
    -------
    tuple of str
        The key, which is kept nowhere, and the id by which logs know it.

    Raises
    ------
    InputError
        If the name is taken or cannot be one, or the file cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a key; expected up to 64 letters, digits and . @ + - _"
        )
    existing = read_keys(path) if path.exists() else {}
    if name in existing:
        raise InputError(
            f"{name} has a key already. Remove the line from {path.name} to give another."
        )
    key = secrets.token_urlsafe(32)
    hashed = _hash(key.encode())
    text = "" if path.exists() else "# name, SHA-256 of the key\n"
    if existing and not path.read_text(encoding="utf-8").endswith("\n"):
        text = "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(f"{text}{name} {hashed}\n")
    return key, hashed[:ID_DIGITS]


def _hash(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


def _by_hash(keys: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((hashed, hashed[:ID_DIGITS]) for hashed in keys.values())


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes when the file does; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
