"""What a run is trained and validated on, from any number of exports."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from napari_nunext.core.sentences import counted
from napari_nunext.core.spelling import alike_words, one_spelling
from nunext_training.data.labelled import (
    known_categories_only,
    known_whole,
    rename_as_asked,
    select_split,
    shared_patients,
)
from nunext_training.data.sources import read_sources, tell_left_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nunext_training.data.labelled import LabelledImage

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The images of each split, in the checkpoint's categories, and what they come from."""

    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    origins: tuple[dict[str, Any], ...]


def read_training_data(
    folders: Sequence[Path],
    category_names: Sequence[str],
    *,
    renames: Mapping[str, str],
    strict: bool,
    allow_loss: bool = False,
    left_out: frozenset[str] = frozenset(),
) -> TrainingData:
    """Read exports to train a checkpoint on.

    Parameters
    ----------
    folders : sequence of Path
    category_names : sequence of str
        What the checkpoint knows; empty for points alone.
    renames : mapping
        New names of categories, before they are compared with the checkpoint's.
    strict : bool
        Stop at what does not hold or is not known; otherwise it is left out, and logged with file,
        line and counts.
    allow_loss : bool
        Go on where more than half of the regions would be left out.
    left_out : frozenset of str
        Patients whose images are kept for something else; the origins name them.

    Raises
    ------
    RecordError
        If a manifest does not hold, or, in strict mode, a record, or a category is unknown to the
        checkpoint.
    InputError
        If nothing is left to train on, or more than half would be left out and that is not allowed,
        or a category to rename is not there.
    """
    sources = read_sources(folders, strict=strict)
    renamed = rename_as_asked([i for source in sources for i in source.images], renames)
    images = [image for image in renamed if image.patient not in left_out]
    used = [name for image in images for name in image.categories]
    if category_names and (alike := alike_words(one_spelling(used, category_names), used)):
        logger.warning("%s", alike)
    known, skipped = known_categories_only(images, category_names, strict=strict)
    left_out_before = sum(source.left_out for source in sources)
    tell_left_out(
        [*(p for source in sources for p in source.problems), *skipped.problems],
        left_out_before + skipped.images,
        left_out_before + len(images),
        why=skipped.why,
        allow=allow_loss,
    )
    shared = shared_patients(known)
    if shared:
        logger.warning("%s patients are in more than one split: validation flatters", len(shared))
    train = select_split(known, "train")
    if not train:
        raise InputError(
            f"None of the {len(images)} exported regions can be trained on: the training split is "
            "empty. Mark more regions complete and export again."
        )
    without = {"left_out_patients": sorted(left_out)} if left_out else {}
    val = select_split(known, "val")
    if partly := len(val) - len(known_whole(val)):
        logger.warning(
            "%s of the val split were searched for some categories alone, and measure nothing",
            counted(partly, "image"),
        )
    return TrainingData(train, known_whole(val), tuple(s.origin | without for s in sources))
