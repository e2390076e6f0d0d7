"""Training and held-out images: by patient, the same every time, without naming anyone."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.core.records import Split
    from napari_nunext.store.entries import ImageEntry

_PSEUDONYM = re.compile(r"p-[0-9a-f]{16}")


def pseudonym(project_uid: UUID, entry: ImageEntry) -> str:
    """The patient's pseudonym, or the image's where the patient is not known.

    Keyed with the project, so that a hospital number cannot be found by trying them all; the same
    person therefore has another pseudonym in another project. What is a pseudonym already, from an
    imported export, stays.
    """
    if entry.patient is not None and _PSEUDONYM.fullmatch(entry.patient):
        return entry.patient
    if entry.patient is None:
        text = f"image\n{entry.sha256}"
    else:
        text = f"patient\n{project_uid}\n{entry.patient}"
    return "p-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def split_of(patients: Iterable[str], *, seed: int, val_fraction: float) -> dict[str, Split]:
    """Assign each patient to training or validation.

    A patient's own hash decides, so that more patients do not move the others. Where that leaves
    either side empty, the patient nearest to it goes there: with two patients or more, and a
    fraction above 0, neither is. One patient is for training.
    """
    share = {patient: _share(patient, seed) for patient in set(patients)}
    held_out = {patient for patient, s in share.items() if s < val_fraction}
    if len(share) < 2:
        held_out = set()
    elif val_fraction > 0 and not held_out:
        held_out = {min(share, key=lambda patient: share[patient])}
    elif len(held_out) == len(share):
        held_out.remove(max(share, key=lambda patient: share[patient]))
    return {patient: "val" if patient in held_out else "train" for patient in share}


def _share(patient: str, seed: int) -> float:
    """A number in [0, 1) that the patient and the seed alone decide."""
    digest = hashlib.sha256(f"split\n{seed}\n{patient}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
