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
from napari_nunext.store.state.acceptance import is_truth, truth_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.state.folding import ReviewedNucleus

VERSION = 2
"""Of the digest in events; those of the first version, one hash of all nuclei, say none."""

_MODULUS = 2**256
_HEAD = struct.Struct("<16sddI")
"""Identity, x, y, and how many bytes the name of the category has."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What stands in a region: identity, place, category and mask of every nucleus."""

    count: int = 0
    total: int = 0
    """Sum of the digests of each, modulo 2 ** 256."""

    @classmethod
    def of(cls, nuclei: Iterable[ReviewedNucleus], region: Box) -> Seen:
        """Of those of these nuclei that stand in a region."""
        return cls().replaced(region, (), nuclei)

    def replaced(
        self, region: Box, gone: Iterable[ReviewedNucleus], come: Iterable[ReviewedNucleus]
    ) -> Seen:
        """What stands in the region once some nuclei are gone and others have come."""
        less, more = truth_in(gone, region), truth_in(come, region)
        total = self.total - sum(map(_digest, less)) + sum(map(_digest, more))
        return Seen(self.count - len(less) + len(more), total % _MODULUS)

    def to_json(self) -> dict[str, Any]:
        """As the event of an acceptance carries it."""
        return {"version": VERSION, "count": self.count, "sum": f"{self.total:064x}"}


class Tally:
    """What stands in some regions, while nuclei change.

    Changes are only noted, and counted in when it is asked for: what changes twice counts once, and
    what was taken back not at all.

    Parameters
    ----------
    other : Tally, optional
        What was known before; it stays as it is.
    """

    def __init__(self, other: Tally | None = None) -> None:
        # One assignment replaces both: it may be asked for in another thread than it is copied in.
        self._known: tuple[dict[Box, Seen], dict[UUID, ReviewedNucleus | None]] = ({}, {})
        """What stood in each region, and what has changed since, as it stood then."""
        if other is not None:
            seen, before = other._known
            self._known = (dict(seen), dict(before))

    @property
    def regions(self) -> tuple[Box, ...]:
        """Those that are kept up."""
        return tuple(self._known[0])

    def note(self, uid: UUID, before: ReviewedNucleus | None) -> None:
        """Know that a nucleus changes, which stood like this."""
        if self._known[0]:
            self._known[1].setdefault(uid, before)

    def note_all(self, before: Mapping[UUID, ReviewedNucleus | None]) -> None:
        """The same for many."""
        seen, known = self._known
        if seen:
            self._known = (seen, {**before, **known})

    def seen_in(self, region: Box, nuclei: Mapping[UUID, ReviewedNucleus]) -> Seen:
        """What stands in one region; it is kept up from now on.

        `nuclei` are all that stand anywhere now.
        """
        seen, before = self._known
        if before:
            seen = _kept_up(seen, before, nuclei)
        if region not in seen:
            seen = {**seen, region: Seen.of(nuclei.values(), region)}
        self._known = (seen, {})
        return seen[region]

    def is_as_said(
        self, said: Mapping[str, Any], region: Box, nuclei: Mapping[UUID, ReviewedNucleus]
    ) -> bool:
        """Whether what stands in a region is what an event says, in any version."""
        if "version" in said:
            return said == self.seen_in(region, nuclei).to_json()
        return said == _first_version(nuclei.values(), region)


def _kept_up(
    seen: Mapping[Box, Seen],
    before: Mapping[UUID, ReviewedNucleus | None],
    after: Mapping[UUID, ReviewedNucleus],
) -> dict[Box, Seen]:
    """What stands in each region after some nuclei, as they stood `before`, may have changed."""
    gone, come = [], []
    for uid, old in before.items():
        new = after.get(uid)
        if old is not None and new is not None and _are_alike(old, new):
            continue
        if old is not None:
            gone.append(old)
        if new is not None:
            come.append(new)
    return {region: each.replaced(region, gone, come) for region, each in seen.items()}


def _are_alike(one: ReviewedNucleus, other: ReviewedNucleus) -> bool:
    """Whether two say the same of what stands; a quick look that may miss it."""
    return one.nucleus is other.nucleus and is_truth(one) == is_truth(other)


def _digest(nucleus: Nucleus) -> int:
    category = nucleus.category.encode()
    # Adding 0.0 makes -0.0 into the 0.0 that SQLite gives back.
    x_px, y_px = nucleus.x_px + 0.0, nucleus.y_px + 0.0
    data = _HEAD.pack(nucleus.uid.bytes, x_px, y_px, len(category)) + category
    if nucleus.mask is not None:
        data += np.array(_numbers_of(nucleus.mask), dtype="<i8").tobytes()
    return int.from_bytes(hashlib.sha256(data).digest(), "big")


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
