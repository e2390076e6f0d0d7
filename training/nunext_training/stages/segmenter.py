"""Fine-tune a SAM to draw a nucleus from one point on it, as PromptNucSeg does.

The image encoder and the mask decoder learn, the prompt encoder is frozen; the loss of a prompt is
``20 focal + dice + (predicted IoU - IoU)^2``, and a mask is where logits are positive.

    nunext-train segmenter --data masked --checkpoint sam --out sam-on-nuclei

Ours: a fixed number of prompts in a window, centroids moved towards other points of the nucleus;
weights chosen by the panoptic quality of validation images drawn from their true centroids.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from transformers import SamModel, TrainingArguments
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.models.checkpoints.description import read_segmenter_description
from napari_nunext.models.checkpoints.loading import (
    finish_checkpoint,
    load_weights,
    new_folder,
)
from napari_nunext.models.devices import choose_device
from napari_nunext.models.sam.segmenter import SamSegmenter
from nunext_training.data.painting import check_masks, paint_masks
from nunext_training.data.prompts import PromptedWindows
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_segmenter
from nunext_training.runs import processes
from nunext_training.stages.publishing import LAST, provenance_of
from nunext_training.stages.sft import decoded_images, training_options
from nunext_training.stages.stage import Job, identity_of, read_data, run_training
from nunext_training.trainers.masks import MaskValidation, SegmenterTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.models.checkpoints.description import SegmenterDescription
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import Best, RunFolder
    from nunext_training.runs.progress import Progress

FROZEN = ("prompt_encoder", "shared_image_embedding")
"""Parts of a SAM that do not learn."""


def run_segmenter(
    job: Job, progress: Progress, *, stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Train, and write the checkpoint.

    Parameters
    ----------
    job : Job
        `checkpoint` is a segmenter's, of family ``"sam"``; every nucleus of `data` has a mask.
    progress : Progress
    stop : callable
        Asked after every step; once it is True, the state is saved for ``resume``.

    Returns
    -------
    Path or None
        The checkpoint; None where training was stopped.

    Raises
    ------
    InputError
        If data, checkpoint, recipe or folders do not fit.
    TrainingError
        If the loss is no longer a number.
    """
    processes.join()
    parent = read_segmenter_description(job.checkpoint)
    parent = replace(parent, mpp=job.recipe.segmenter.mpp or parent.mpp)
    data = read_data(job)
    check_masks([*data.train, *data.val])
    model: Any = load_weights(SamModel, job.checkpoint, device=choose_device(), dtype=torch.float32)
    for part in FROZEN:
        model.get_submodule(part).requires_grad_(False)
    identity = identity_of(job, job.recipe, data)
    images = SamImageProcessorPil.from_pretrained(job.checkpoint, local_files_only=True)

    return run_training(
        job,
        job.recipe,
        identity,
        model,
        lambda run: _trainer(job, parent, model, images, data, run, progress, stop),
        lambda run, identity: _publish(run, parent, images, job.recipe, identity),
        progress,
    )


def _trainer(
    job: Job,
    parent: SegmenterDescription,
    model: SamModel,
    images: SamImageProcessorPil,
    data: TrainingData,
    run: RunFolder,
    progress: Progress,
    stop: Callable[[], bool],
) -> SegmenterTrainer:
    recipe = job.recipe
    options = training_options(recipe, validates=bool(data.val))
    args = TrainingArguments(output_dir=str(run.path), **options)
    spec = WindowSpec(parent.window_px, parent.mpp)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    windows = RandomWindows(
        data.train,
        spec,
        recipe.windows,
        length=recipe.optimiser.steps * per_step,
        seed=recipe.seed,
        painter=paint_masks,
    )
    return SegmenterTrainer(
        model,
        args,
        windows=_prompted(windows, recipe, clicks=recipe.segmenter.clicks),
        validation=_validation(parent, images, data.val, spec, recipe),
        images=images,
        options=recipe.segmenter,
        run=run,
        progress=progress,
        stop=stop,
    )


def _prompted(
    windows: RandomWindows | GridWindows, recipe: Recipe, *, clicks: int = 0
) -> PromptedWindows:
    options = recipe.segmenter
    return PromptedWindows(
        windows,
        prompts=options.prompts,
        jitter=options.jitter,
        seed=recipe.seed,
        clicks=clicks,
        batch=recipe.optimiser.batch_size,
    )


def _validation(
    parent: SegmenterDescription,
    images: SamImageProcessorPil,
    labelled: Sequence[LabelledImage],
    spec: WindowSpec,
    recipe: Recipe,
) -> MaskValidation | None:
    if not labelled:
        return None
    windows = _prompted(GridWindows(labelled, spec, paint_masks), recipe)
    drawn = decoded_images(labelled, recipe.validation)

    def pq(model: SamModel) -> float:
        segmenter = SamSegmenter.from_model(model, images, parent)
        shares = [
            report.pq * report.images
            for image in processes.my_share(drawn)
            if (report := evaluate_segmenter(segmenter, [image], data={}).instances) is not None
        ]
        total, count = processes.total([sum(shares), len(shares)])
        return total / count if count else 0.0

    return MaskValidation(windows, pq if drawn else None)


def _publish(
    run: RunFolder,
    parent: SegmenterDescription,
    images: SamImageProcessorPil,
    recipe: Recipe,
    identity: dict[str, Any],
) -> None:
    """Write the checkpoint of a run that is complete, and remove the run's folder."""
    best = run.best()
    model = load_weights(
        SamModel,
        run.best_weights or run.path / LAST,
        device=torch.device("cpu"),
        dtype=getattr(torch, recipe.segmenter.weights),
    )
    description = replace(
        parent,
        name=run.out.name,
        metrics=() if best is None else (_metrics(recipe, best, identity),),
        provenance=provenance_of(identity, recipe, best, method="segmenter"),
    )
    with new_folder(run.out) as folder:
        model.save_pretrained(folder)
        images.save_pretrained(folder)
        shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
        finish_checkpoint(folder, description)
    run.remove()


def _metrics(recipe: Recipe, best: Best, identity: dict[str, Any]) -> dict[str, Any]:
    """Reference figures for the checkpoint's description."""
    return {
        "split": "val",
        "data": identity["data"],
        "loss": best.loss,
        "pq": best.pq,
        "prompts": "true centroids",
        "images_drawn": recipe.validation.images,
    }
