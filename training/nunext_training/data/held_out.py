"""Images to report figures of: nothing is learned from them, and nothing chosen by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from nunext_training.data.labelled import nuclei_count, select_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.data.labelled import LabelledImage


@dataclass(frozen=True, eq=False, slots=True)
class HeldOut:
    """Images that no run of an ablation sees: neither to learn nor to choose its weights."""

    images: tuple[LabelledImage, ...]
    patients: frozenset[str]
    """To be left out of training and validation."""
    what: str
    """For the report."""

    def at_most(self, count: int) -> HeldOut:
        """So many of the images, evenly spaced; all where `count` is 0."""
        total = len(self.images)
        if not 0 < count < total:
            return self
        some = tuple(self.images[i * total // count] for i in range(count))
        return replace(self, images=some, what=f"{count} of the {total} images of {self.what}")


def held_out(images: Sequence[LabelledImage], *, choose: bool) -> HeldOut:
    """The test split; where there is none, patients of the validation split.

    Parameters
    ----------
    images : sequence of LabelledImage
    choose : bool
        Whether weights are to be chosen by validation. Then, without a test split, about half of
        the validation split is held out: patients who are in the training split as well choose, the
        others go, those with most nuclei first, to the side that has fewer. Otherwise all that are
        not in the training split are reported, and none validates.

    Raises
    ------
    InputError
        If there are no patients to report, or none to choose by.
    """
    test = select_split(images, "test")
    val: dict[str, list[LabelledImage]] = {}
    for image in select_split(images, "val"):
        val.setdefault(image.patient, []).append(image)
    trained_on = {image.patient for image in select_split(images, "train")}
    if test:
        without = frozenset[str]() if choose else frozenset(val)
        return HeldOut(test, without, f"the test split; {_chosen('validation', choose)}")
    if not choose and val.keys() - trained_on:
        reported = [patient for patient in val if patient not in trained_on]
        return HeldOut(
            tuple(image for patient in reported for image in val[patient]),
            frozenset(val),
            f"{len(reported)} of the {len(val)} patients of the validation split, those who are "
            f"not in the training split; {_chosen('validation', choose)}",
        )
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
        f"{len(kept)} of the {len(val)} patients of the validation split; "
        f"{_chosen('the others', choose)}",
    )


def _chosen(by: str, choose: bool) -> str:
    return f"weights were chosen by {by}" if choose else "weights are the last ones, not chosen"
