"""The digest of the nuclei that a person saw in a region, kept up from edit to edit.

It is a sum: each nucleus has a SHA-256 of its own, and they are added modulo 2 ** 256. So the
order does not matter, and a nucleus that comes, goes or changes costs one addition and one
subtraction, however many stand beside it.

A sum and no exclusive or: two equal nuclei must not cancel out. Two fields that differ by
accident have the same sum once in 2 ** 256 times. Somebody who may choose nuclei at will could find
two fields with one sum (Wagner, 2002) in far fewer tries than two equal hashes; but the digest
guards no one against people who write into the project: they could as well write another digest.
"""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.nuclei import points_of
from napari_nunext.store.state.acceptance import truth_in
from napari_nunext.store.state.changes import Part, changes
from napari_nunext.store.state.nucleus_map import NucleusMap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.state.reviewed import ReviewedNucleus

VERSION = 2
"""Of the digest in events; those of the first version, one hash of all nuclei, say none."""

_MODULUS = 2**256
_HEAD = struct.Struct("<16sddI")
"""Identity, x, y, and how many bytes the name of the category has, which comes next."""
_HEADS = np.dtype([("uid", "u1", 16), ("x", "<f8"), ("y", "<f8"), ("size", "<u4")])
"""The same of many."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in a region: identity, place, category and mask of every nucleus."""

    count: int = 0
    total: int = 0
    """Sum of the digests of each, modulo 2 ** 256."""

    @classmethod
    def of(cls, nuclei: Iterable[ReviewedNucleus], region: Box) -> Seen:
        """Of those of these nuclei that stand in a region."""
        if isinstance(nuclei, Part):
            digests = [*_digests_of_rows(nuclei, region), *_digests(nuclei.touched, region)]
        else:
            digests = _digests(nuclei, region)
        return cls(len(digests), sum(digests) % _MODULUS)

    def replaced(
        self, region: Box, gone: Iterable[ReviewedNucleus], come: Iterable[ReviewedNucleus]
    ) -> Seen:
        """What stands in the region once some nuclei are gone and others have come."""
        less, more = Seen.of(gone, region), Seen.of(come, region)
        total = self.total - less.total + more.total
        return Seen(self.count - less.count + more.count, total % _MODULUS)

    def to_json(self) -> dict[str, Any]:
        """As the event of an acceptance carries it."""
        return {"version": VERSION, "count": self.count, "sum": f"{self.total:064x}"}


class Tally:
    """What stands in some regions, from state to state of one image.

    It keeps the nuclei that it knew last, and counts in what differs when it is asked: what changed
    twice counts once, and what was taken back not at all.
    """

    def __init__(self) -> None:
        # One assignment replaces both: threads may ask at once.
        self._known: tuple[dict[Box, Seen], NucleusMap] = ({}, NucleusMap())
        """What stood in each region, and the nuclei then."""

    @property
    def regions(self) -> tuple[Box, ...]:
        """Those that are kept up."""
        return tuple(self._known[0])

    def seen_in(self, region: Box, nuclei: NucleusMap) -> Seen:
        """What stands in a region; it is kept up from now on."""
        seen, before = self._known
        if seen and nuclei is not before:
            gone, come = changes(before, nuclei)
            seen = {known: each.replaced(known, gone, come) for known, each in seen.items()}
        if region not in seen:
            seen = {**seen, region: Seen.of(Part.all_of(nuclei), region)}
        self._known = (seen, nuclei)
        return seen[region]

    def is_as_said(self, said: Mapping[str, Any], region: Box, nuclei: NucleusMap) -> bool:
        """Whether what stands in a region is what an event says, in any version."""
        if "version" in said:
            return said == self.seen_in(region, nuclei).to_json()
        return said == _first_version(nuclei.within(region), region)


def _digests(nuclei: Iterable[ReviewedNucleus], region: Box) -> list[int]:
    """Of each that is true and stands in a region."""
    return [
        _digest(_head(n), b"" if n.mask is None else n.mask.to_bytes())
        for n in truth_in(nuclei, region)
    ]


def _head(nucleus: Nucleus) -> bytes:
    category = nucleus.category.encode()
    # Adding 0.0 makes -0.0 into the 0.0 that SQLite gives back.
    x_px, y_px = nucleus.x_px + 0.0, nucleus.y_px + 0.0
    return _HEAD.pack(nucleus.uid.bytes, x_px, y_px, len(category)) + category


def _digests_of_rows(part: Part, region: Box) -> list[int]:
    """The same of what nobody touched; no nucleus is made."""
    said = part.ground.said
    rows = part.rows[region.contains(said.points_xy[part.rows])]
    names = [name.encode() for name in part.ground.called]
    heads = np.zeros(len(rows), dtype=_HEADS)
    heads["uid"] = said.uids[rows]
    heads["x"], heads["y"] = said.points_xy[rows].T + 0.0
    codes = said.category[rows]
    heads["size"] = np.array([len(name) for name in names], dtype="<u4")[codes]
    raw, step = heads.tobytes(), _HEADS.itemsize
    return [
        _digest(raw[at : at + step] + names[code], mask)
        for at, code, mask in zip(
            range(0, len(raw), step), codes.tolist(), said.masks.to_bytes(rows), strict=True
        )
    ]


def _digest(head: bytes, mask: bytes) -> int:
    return int.from_bytes(hashlib.sha256(head + mask).digest(), "big")


def _numbers_of(mask: Mask) -> tuple[int, ...]:
    return (mask.x0_px, mask.y0_px, mask.height_px, mask.width_px, *mask.counts)


def _first_version(nuclei: Iterable[ReviewedNucleus], region: Box) -> dict[str, Any]:
    """What the first version said: one SHA-256, column by column, in the order of identities.

    Projects hold it: it must stay as it is.
    """
    truth = sorted(truth_in(nuclei, region), key=lambda n: n.uid.int)
    digest = hashlib.sha256(b"".join([n.uid.bytes for n in truth]))
    digest.update((points_of(truth) + 0.0).astype("<f8").tobytes())
    names = sorted({n.category for n in truth})
    number = {name: i for i, name in enumerate(names)}
    digest.update(json.dumps(names).encode())
    digest.update(np.array([number[n.category] for n in truth], dtype="<i8").tobytes())
    digest.update(np.array(_mask_numbers(truth), dtype="<i8").tobytes())
    return {"count": len(truth), "sha256": digest.hexdigest()}


def _mask_numbers(nuclei: Sequence[Nucleus]) -> array[int]:
    """The numbers of each mask, after how many they are; 0 for no mask."""
    numbers = array("q")
    for n in nuclei:
        mask = () if n.mask is None else _numbers_of(n.mask)
        numbers.append(len(mask))
        numbers.extend(mask)
    return numbers
