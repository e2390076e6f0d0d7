"""Who learns from which patient: performer, allocator, and what is reported.

A performer trains on ``train``, an allocator on ``val``, and ``test`` is what is reported: an
allocator that learns where the performer has learnt thinks that more tokens always help.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.labelled import LabelledImage

_HELD_OUT_MOST: tuple[Split, ...] = ("test", "val", "train")


def kept_whole(images: Sequence[LabelledImage]) -> tuple[LabelledImage, ...]:
    """The splits that the images have; a patient that they divide is on the side most held out."""
    sides: dict[str, set[Split]] = {}
    for image in images:
        sides.setdefault(image.patient, set()).add(image.split)
    return tuple(
        replace(i, split=next(s for s in _HELD_OUT_MOST if s in sides[i.patient])) for i in images
    )


def dealt_out(
    images: Sequence[LabelledImage], shares: tuple[float, float, float], seed: int
) -> tuple[LabelledImage, ...]:
    """Splits by patient, of about these shares of the images.

    Patients of whom the images hold anything out are reported: what was trained before has not seen
    those. The others follow in an order that the seed decides, to the report until it has its
    share, then to the allocator, then to the performer.

    Parameters
    ----------
    images : sequence of LabelledImage
    shares : tuple of float
        Of train, val and test; their sum is 1.
    seed : int

    Raises
    ------
    InputError
        If the shares are none, or there are fewer patients than splits that have a share.
    """
    check_shares(shares)
    held_out = {image.patient for image in images if image.split != "train"}
    others = sorted({image.patient for image in images} - held_out, key=partial(_hash_of, seed))
    n_of = Counter(image.patient for image in images)
    side: dict[str, Split] = dict.fromkeys(held_out, "test")
    for split, share in (("test", shares[2]), ("val", shares[1])):
        have = sum(n_of[patient] for patient, of in side.items() if of == split)
        while others and have < share * len(images) - 1e-9:
            patient = others.pop(0)
            side[patient] = "test" if split == "test" else "val"
            have += n_of[patient]
    side |= dict.fromkeys(others, "train")
    wanted = dict(zip(("train", "val", "test"), shares, strict=True))
    empty = [split for split, share in wanted.items() if share and split not in side.values()]
    if images and empty:
        raise InputError(
            f"The {len(side)} patients leave nothing for {', '.join(empty)}. Give other --splits, "
            "or data of more patients."
        )
    return tuple(replace(image, split=side[image.patient]) for image in images)


def check_shares(shares: Sequence[float]) -> None:
    """Raise `InputError` unless these are three shares whose sum is 1."""
    if len(shares) != 3 or not all(s >= 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"The splits are {'/'.join(f'{s:g}' for s in shares)}; expected three shares whose sum "
            "is 1, as 0.7/0.15/0.15: train, val, test."
        )


def _hash_of(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed}/{patient}".encode()).hexdigest()
