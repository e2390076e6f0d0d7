"""A trained checkpoint made ready to be given to others: small, measured, with its model card.

The weights are stored in half the bytes, what only training needs stays behind, and the figures are
those of the stored weights.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from transformers import AutoModelForImageTextToText

from napari_nunext.core.errors import InputError
from napari_nunext.core.scores.calibration import fit_calibration
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from napari_nunext.core.scores.position_error import (
    AS_SPREAD,
    PositionCalibration,
    fit_positions,
)
from napari_nunext.models.checkpoints.description import CheckpointDescription, describe
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import (
    finish_checkpoint,
    load_weights,
    new_folder,
    without_progress_bars,
)
from napari_nunext.models.checkpoints.quantised import quantisation_of
from napari_nunext.models.classical.adapters import ClassicalDetector, ClassicalSegmenter
from napari_nunext.models.families import get_family
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.sam.trunk_sam import AnySam
from nunext_training.data.labelled import select_split
from nunext_training.evaluation.evaluate import evaluate_detector, evaluate_segmenter
from nunext_training.evaluation.placement import pooled as placements_pooled
from nunext_training.evaluation.reliability import pooled
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.release.cards import Measured, model_card, tables_of
from nunext_training.release.front_matter import split_card, with_front_matter
from nunext_training.runs.files import write_text
from nunext_training.runs.folder import METRICS_FILE
from nunext_training.trainers.centre_map import CentreMapHead
from nunext_training.trainers.covt import ThoughtHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.formats.records import Split
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.sources import DataSource

logger = logging.getLogger(__name__)

Precision: TypeAlias = Literal["float32", "float16", "bfloat16"]

CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class ReleaseJob:
    """What to release, and where to."""

    checkpoint: Path
    out: Path
    weights: Precision = "float16"
    """What they are stored in; they are computed with in what the device does best."""
    splits: tuple[Split, ...] = ("val",)
    segmenter: Path | None = None
    """Draws what a detector finds, for the figures of both together."""
    card: str | None = None
    """Text of the model card; see `nunext_training.release.cards.model_card`."""


def release(
    job: ReleaseJob,
    sources: Sequence[DataSource],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Measured, ...]:
    """Write the checkpoint that is given to others.

    Parameters
    ----------
    job : ReleaseJob
    sources : sequence of DataSource
        Measured on, each in those of the job's splits that it has.
    progress : callable
        Told images done and their number, for each evaluation.

    Returns
    -------
    tuple of Measured
        The figures, which the folder's card and description hold too.

    Raises
    ------
    InputError
        If the checkpoint is quantised, `out` is not empty, no source has any of the splits, or the
        card's text has no place for the figures or front matter that cannot be read.
    """
    if quantisation_of(job.checkpoint) is not None:
        raise InputError(f"{job.checkpoint} is quantised: its figures are in it. Copy it as it is.")
    if job.card is not None:
        split_card(model_card(job.card, ()))  # refused before hours of measuring, not after
    sets = _sets(job, sources)
    description = describe(job.checkpoint)
    detects = isinstance(description, CheckpointDescription)
    with new_folder(job.out, parent=job.checkpoint) as folder:
        if detects:
            get_family(description.family).register()
        model = load_weights(
            AutoModelForImageTextToText if detects else AnySam,
            job.checkpoint,
            device=torch.device("cpu"),
            dtype=getattr(torch, job.weights),
        )
        shutil.copytree(job.checkpoint, folder, dirs_exist_ok=True, ignore=_left_behind)
        with without_progress_bars():
            model.save_pretrained(folder)
        if isinstance(description, CheckpointDescription):
            # What is fitted is fitted to what the weights say themselves.
            description = replace(description, calibration=None, position_calibration=AS_SPREAD)
            finish_checkpoint(folder, description)
            measured = _measure_detector(job, folder, sets, progress)
            description, measured = _calibrated(description, measured)
            description, measured = _placed(description, measured)
        else:
            measured = _measure_segmenter(job, folder, sets, progress)
        description = replace(
            description,
            name=job.out.name,
            metrics=tuple(m.to_json() for m in measured),
            provenance=description.provenance
            | {"released_from_sha256": checkpoint_sha256(job.checkpoint), "weights": job.weights},
        )
        if job.card is not None:
            card = with_front_matter(model_card(job.card, measured), description)
            write_text(folder / CARD_FILE, card)
        finish_checkpoint(folder, description)
    return measured


def summary(measured: Sequence[Measured]) -> str:
    """The figures for people."""
    return "\n".join(table.to_markdown() for table in tables_of(measured))


@dataclass(frozen=True, slots=True)
class _Set:
    """Images to measure on, and what they are called."""

    name: str
    split: Split
    images: tuple[LabelledImage, ...]
    data: dict[str, Any]


def _sets(job: ReleaseJob, sources: Sequence[DataSource]) -> list[_Set]:
    found = []
    for source in sources:
        for split in job.splits:
            images = tuple(select_split(source.images, split))
            if images:
                name = str(source.origin.get("importer", "data"))
                found.append(_Set(name, split, images, source.origin | {"split": split}))
    if not found:
        raise InputError(
            f"The data have no images in their {' or '.join(job.splits)} split. Choose --splits."
        )
    return found


def _calibrated(
    description: CheckpointDescription, measured: tuple[Measured, ...]
) -> tuple[CheckpointDescription, tuple[Measured, ...]]:
    """What confidences mean, by the validation splits; as it was where these do not tell."""
    said = [m.model.reliability for m in measured if m.split == "val"]
    try:
        parts = pooled([part for part in said if part is not None])
        calibration = fit_calibration(parts.confidence, parts.is_right)
    except InputError as error:
        logger.warning("Confidences are left as they are: %s", error)
        return description, measured
    measured = tuple(replace(m, calibration=calibration) for m in measured)
    return replace(description, calibration=calibration), measured


def _placed(
    description: CheckpointDescription, measured: tuple[Measured, ...]
) -> tuple[CheckpointDescription, tuple[Measured, ...]]:
    """How far off points may be, by the validation splits; nothing where these do not tell."""
    said = [m.model.placement for m in measured if m.split == "val"]
    calibration: PositionCalibration | None = None
    try:
        parts = placements_pooled([part for part in said if part is not None])
        calibration = fit_positions(parts.said_um**2, parts.distance_um)
    except InputError as error:
        logger.warning("Points do not say how far off they may be: %s", error)
    measured = tuple(replace(m, position_calibration=calibration) for m in measured)
    return replace(description, position_calibration=calibration), measured


def _left_behind(folder: str, names: list[str]) -> set[str]:
    """What only training needs, and what is written anew."""
    heads = {Path(file).parts[0] for file in (ThoughtHead.file, CentreMapHead.file)}
    again = {name for name in names if name.startswith("model") and ".safetensors" in name}
    return again | ({*heads, METRICS_FILE, CARD_FILE} & set(names))


def _measure_detector(
    job: ReleaseJob,
    folder: Path,
    sets: Sequence[_Set],
    progress: Callable[[int, int], None],
) -> tuple[Measured, ...]:
    detector = NextPointDetector(folder)
    segmenter = None if job.segmenter is None else SamSegmenter(job.segmenter)
    floor: Segmenter | None = None if segmenter is None else ClassicalSegmenter()
    found = []
    for part in sets:
        options: dict[str, Any] = {
            "radius_um": MATCH_RADIUS_UM,
            "method": VALIDATION_MATCHING,
            "data": part.data,
            "progress": progress,
        }
        masks = any(image.complete_masks is not None for image in part.images)
        found.append(
            Measured(
                part.name,
                part.split,
                evaluate_detector(
                    detector, part.images, segmenter=segmenter if masks else None, **options
                ),
                evaluate_detector(
                    ClassicalDetector(), part.images, segmenter=floor if masks else None, **options
                ),
            )
        )
    return tuple(found)


def _measure_segmenter(
    job: ReleaseJob,
    folder: Path,
    sets: Sequence[_Set],
    progress: Callable[[int, int], None],
) -> tuple[Measured, ...]:
    segmenter = SamSegmenter(folder)
    return tuple(
        Measured(
            part.name,
            part.split,
            evaluate_segmenter(segmenter, part.images, data=part.data, progress=progress),
            evaluate_segmenter(
                ClassicalSegmenter(), part.images, data=part.data, progress=progress
            ),
        )
        for part in sets
    )
