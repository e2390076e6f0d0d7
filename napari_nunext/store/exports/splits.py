"""Training and held-out images: by patient, the same every time, without naming anyone."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from napari_nunext.core.formats.records import SPLITS
from napari_nunext.store.entries import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from napari_nunext.core.formats.records import Split
    from napari_nunext.store.entries import ImageEntry

SPLIT_SEED, HELD_OUT_FRACTION = 0, 0.2
"""How patients are dealt out where nobody says otherwise."""
_PSEUDONYM = re.compile(r"p-[0-9a-f]{16}")
_PSEUDONYM_OF_EXPORT = re.compile(r"(p-)?[0-9a-f]{16}")
"""That of a published data set, too. Not asked of what people say: 16 digits may be a number of a
hospital."""


def origins_of(
    project_uid: UUID,
    entries: Iterable[ImageEntry],
    known: Mapping[str, Origin],
    *,
    seed: int,
    val_fraction: float,
) -> dict[str, Origin]:
    """Patient, side and tissue of each image, by its hash, as an export says them.

    An image that came from an export keeps what is in `known` of it. A further image of such a
    patient joins it, on the training side where the patient stands on several; all others are
    dealt out (`split_of`).
    """
    patients = {e.sha256: pseudonym(project_uid, e, known.get(e.sha256)) for e in entries}
    sides: dict[str, Split] = {}
    for sha256, patient in patients.items():
        if sha256 in known:
            of_patient = (sides.get(patient, known[sha256].split), known[sha256].split)
            sides[patient] = min(of_patient, key=SPLITS.index)
    dealt = split_of(patients.values(), seed=seed, val_fraction=val_fraction, known=sides)
    return {
        sha256: Origin(patient, known[sha256].split, known[sha256].tissue)
        if sha256 in known
        else Origin(patient, dealt[patient])
        for sha256, patient in patients.items()
    }


def pseudonym(project_uid: UUID, entry: ImageEntry, origin: Origin | None = None) -> str:
    """The patient's pseudonym, or the image's where the patient is not known.

    Keyed with the project, so that a hospital number cannot be found by trying them all; the same
    person therefore has another pseudonym in another project. What is a pseudonym already, from an
    imported export, stays.
    """
    if origin is not None and _PSEUDONYM_OF_EXPORT.fullmatch(origin.patient):
        return origin.patient
    if entry.patient is not None and _PSEUDONYM.fullmatch(entry.patient):
        return entry.patient
    if entry.patient is None:
        text = f"image\n{entry.sha256}"
    else:
        text = f"patient\n{project_uid}\n{entry.patient}"
    return "p-" + hashlib.sha256(text.encode()).hexdigest()[:16]


def split_of(
    patients: Iterable[str],
    *,
    seed: int,
    val_fraction: float,
    known: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Assign each patient to training or validation; those in `known` stay where they are.

    A patient's own hash decides, so that more patients do not move the others. Where that leaves
    either side empty, the patient nearest to it goes there: with two patients or more, and a
    fraction above 0, neither is. One patient is for training.
    """
    known = known or {}
    everyone = set(patients)
    share = {patient: _share(patient, seed) for patient in everyone - known.keys()}
    held_out = {patient for patient, s in share.items() if s < val_fraction}
    sides = {known[patient] for patient in everyone & known.keys()}
    if len(everyone) < 2:
        held_out = set()
    elif val_fraction > 0 and not held_out and share and not sides - {"train"}:
        held_out = {min(share, key=lambda patient: share[patient])}
    elif share and len(held_out) == len(share) and "train" not in sides:
        held_out.remove(max(share, key=lambda patient: share[patient]))
    dealt: dict[str, Split] = {p: "val" if p in held_out else "train" for p in share}
    return dealt | {patient: known[patient] for patient in everyone & known.keys()}


def _share(patient: str, seed: int) -> float:
    """A number in [0, 1) that the patient and the seed alone decide."""
    digest = hashlib.sha256(f"split\n{seed}\n{patient}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
