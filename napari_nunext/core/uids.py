"""The UUIDs of nuclei as bytes: of many at once, and of what a run finds in its windows."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Uids: TypeAlias = NDArray[np.uint8]
"""The 16 bytes of each UUID, shape (N, 16)."""

UID_BYTES = 16


def as_uids(uids: Iterable[UUID]) -> Uids:
    """The bytes of UUIDs, shape (N, 16)."""
    raw = b"".join(uid.bytes for uid in uids)
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, UID_BYTES)


def as_uuids(uids: Uids) -> list[UUID]:
    """Inverse of `as_uids`."""
    raw = uids.tobytes()
    return [UUID(bytes=raw[at : at + UID_BYTES]) for at in range(0, len(raw), UID_BYTES)]


class UidIndex:
    """Leads from the bytes of UUIDs to the rows in which they stand."""

    def __init__(self, uids: Uids) -> None:
        keys = _as_keys(uids)
        self._order = np.argsort(keys, kind="stable")
        self._ordered = keys[self._order]

    @property
    def has_twins(self) -> bool:
        """Whether a uid stands in two rows."""
        return bool((self._ordered[1:] == self._ordered[:-1]).any())

    def row_of(self, uid: UUID) -> int | None:
        """The row of one uid, the first where it stands in several; None where it is in none."""
        key = uid.bytes.rstrip(b"\0")  # as numpy gives it back
        at = int(self._ordered.searchsorted(key))
        found = at < len(self._ordered) and self._ordered[at] == key
        return int(self._order[at]) if found else None

    def rows_of(self, uids: Uids) -> NDArray[np.intp]:
        """The row of each uid, the first where it stands in several; -1 where it is in none."""
        wanted = _as_keys(uids)
        if not len(self._order):
            return np.full(len(wanted), -1, dtype=np.intp)
        at = np.minimum(np.searchsorted(self._ordered, wanted), len(self._order) - 1)
        return np.where(self._ordered[at] == wanted, self._order[at], -1)


def uids_in_windows(run_id: str, windows: Sequence[int], counts: Sequence[int]) -> Uids:
    """The uids of what a run finds in windows, `counts[i]` nuclei in the window `windows[i]`.

    They follow from run, window and place, the order in which the window gave them: nobody has to
    keep them, whoever searches a window again gives the same, and one leads to its row. They are
    UUIDs of RFC 9562's version 8, in which 60 bits tell the run, 32 the window and 30 the place.

    Raises
    ------
    InputError
        If a window's number, or a count, takes more bits than that.
    """
    if any(not 0 <= window < 2**32 for window in windows) or any(c > 2**30 for c in counts):
        raise InputError("A window's number is from 0 to 2^32 - 1, and it has at most 2^30 nuclei.")
    many = np.array(counts, dtype=np.int64)
    starts = np.repeat(np.cumsum(many) - many, many)
    places = (np.arange(len(starts)) - starts).astype(np.uint64)
    numbers = np.repeat(np.array(windows, dtype=np.uint64), many)
    halves = np.empty((len(places), 2), dtype=">u8")
    halves[:, 0] = _half_of_run(run_id)
    halves[:, 1] = np.uint64(2 << 62) | numbers << np.uint64(30) | places
    return halves.view(np.uint8)


def uid_in_window(run_id: str, window: int, place: int) -> UUID:
    """The uid of one nucleus; see `uids_in_windows`."""
    return UUID(int=_half_of_run(run_id) << 64 | 2 << 62 | window << 30 | place)


def place_in_window(run_id: str, uid: UUID) -> tuple[int, int] | None:
    """The window and place that a uid of a run stands for; None where it is none of them."""
    if uid.int >> 64 != _half_of_run(run_id) or uid.int >> 62 & 0b11 != 0b10:
        return None
    return uid.int >> 30 & 0xFFFFFFFF, uid.int & 0x3FFFFFFF


def windows_of(run_id: str, uids: Uids) -> NDArray[np.int64]:
    """The window that each uid of a run stands for, shape (N,); -1 where it stands for none."""
    halves = np.ascontiguousarray(uids).view(">u8").astype(np.uint64)
    ours = (halves[:, 0] == np.uint64(_half_of_run(run_id))) & (halves[:, 1] >> np.uint64(62) == 2)
    windows = halves[:, 1] >> np.uint64(30) & np.uint64(0xFFFFFFFF)
    return np.where(ours, windows.astype(np.int64), -1)


@lru_cache(maxsize=64)
def _half_of_run(run_id: str) -> int:
    """The first 64 bits of the uids of a run: 60 of its hash, and the version among them."""
    said = int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:8])
    return said & ~0xF000 | 0x8000


def _as_keys(uids: Uids) -> NDArray[np.bytes_]:
    """UUIDs as values that numpy sorts; of one length, they are equal where their bytes are."""
    return np.ascontiguousarray(uids).view(f"S{UID_BYTES}").reshape(-1)
