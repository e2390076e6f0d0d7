"""Images to report figures of: nothing is learned from them, and nothing chosen by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from nunext_training.datasets.labelled import nuclei_count, select_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.datasets.labelled import LabelledImage


@dataclass(frozen=True, eq=False, slots=True)
class HeldOut:
    """Images that no run of an ablation sees: neither to learn nor to choose its weights."""

    images: tuple[LabelledImage, ...]
    patients: frozenset[str]
    """To be left out of training and validation."""
    what: str
    """For the report."""


def held_out(images: Sequence[LabelledImage]) -> HeldOut:
    """The test split; where there is none, about half of the validation split, by patients.

    Patients who are in the training split as well stay on the side that weights are chosen by. The
    others go, those with most nuclei first, to the side that has fewer.

    Raises
    ------
    InputError
        If patients of the validation split cannot be put on two sides.
    """
    test = select_split(images, "test")
    if test:
        return HeldOut(test, frozenset(), "the test split")
    trained_on = {image.patient for image in select_split(images, "train")}
    val: dict[str, list[LabelledImage]] = {}
    for image in select_split(images, "val"):
        val.setdefault(image.patient, []).append(image)
    apart = [patient for patient in val if patient not in trained_on]
    kept: set[str] = set()
    balance = -sum(nuclei_count(val[patient]) for patient in val.keys() - apart)
    for patient in sorted(apart, key=lambda p: (-nuclei_count(val[p]), p)):
        count = nuclei_count(val[patient])
        if balance <= 0:
            kept.add(patient)
        balance += count if patient in kept else -count
    if not kept or len(kept) == len(val):
        raise InputError(
            f"The validation split has {len(val)} patients, {len(apart)} of them not in the "
            "training split; expected some to choose weights by and others to report. Add "
            "validation images, or a test split."
        )
    return HeldOut(
        tuple(image for patient in val for image in val[patient] if patient in kept),
        frozenset(kept),
        f"{len(kept)} of the {len(val)} patients of the validation split; weights were chosen by "
        "the others",
    )
