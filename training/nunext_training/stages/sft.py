"""Supervised fine-tuning: from exports and a checkpoint to a better checkpoint.

NuNext, section 3.3: the model reads a window and the instruction, and is taught to write the
window's nuclei in raster order as coordinate tokens, with the naive next-token loss (Eq. 2) or
spatial-aware soft supervision (Eq. 7-8). Latent tokens, where a checkpoint has them, stand in the
prompt as they do at inference; with a SAM to judge them they are taught to think of the nuclei's
masks (`nunext_training.trainers.covt`, Eq. 9-10).

    nunext-train build --preset tiny --out start
    nunext-train sft --data export --checkpoint start --out trained --recipe tiny

Ours, because the paper does not say: every number of the recipes; windows at random places, turned,
mirrored, scaled and stained anew; a checkpoint chosen by the F1 of decoded validation images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from transformers import TrainingArguments

from napari_nunext.core.errors import InputError
from napari_nunext.core.metrics import DetectionScore
from napari_nunext.models.families import submodule
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.data.batches import Collator
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.runs import processes
from nunext_training.runs.sharding import launched_sharded
from nunext_training.stages.stage import (
    Job,
    identity_of,
    load_parent,
    prepare_model,
    read_data,
    run_stage,
)
from nunext_training.trainers.centre_map import CentreMapHead
from nunext_training.trainers.covt import (
    FrozenSam,
    ThoughtCollator,
    ThoughtTrainer,
    check_latents,
    foreground_painter,
    new_head,
)
from nunext_training.trainers.last_output import LastOutput
from nunext_training.trainers.lora import add_lora, merged
from nunext_training.trainers.next_point import CentreMap, NextPointTrainer, Validation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from transformers import PreTrainedModel

    from napari_nunext.core.precision import Precision
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.recipes.sections import CentreMapOptions, ValidationOptions
    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress


Keep: TypeAlias = Literal["best", "last"]


@dataclass(frozen=True, slots=True)
class SftJob(Job):
    """A job of supervised fine-tuning."""

    covt: Path | None = None
    """A SAM that judges the chain of visual thought; None trains without."""
    workers: int = 0
    """Processes that cut windows; 0 cuts them in this one. The windows are the same."""
    keep: Keep = "best"
    """The weights that validate best, or the last ones: then nothing is validated, and the val
    split stays unseen, for figures that no choice has flattered."""


def run_sft(
    job: SftJob, progress: Progress, *, stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Train, and write the checkpoint.

    Parameters
    ----------
    job : SftJob
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
    parent = load_parent(job.checkpoint, job.recipe.optimiser)
    sam = _sam(job.covt, parent)
    data = read_data(job, parent.description.codec.category_names)
    identity = identity_of(job, job.recipe, data)
    if job.keep == "last":
        data = replace(data, val=())
        identity["kept"] = "last"
    if sam is not None:
        identity["covt_sam_sha256"] = sam.sha256
    return run_stage(
        job,
        job.recipe,
        parent,
        identity,
        lambda run: _trainer(job, parent, sam, data, run, progress, stop),
        progress,
    )


def _sam(folder: Path | None, parent: LoadedCheckpoint) -> FrozenSam | None:
    if folder is None:
        return None
    check_latents(parent.description.codec.latent_ids, parent.description.name)
    if launched_sharded():
        raise InputError(
            "--covt needs whole weights on each device, but they are spread (FSDP or ZeRO-3). "
            "Launch with multi_gpu.yaml or zero2.yaml."
        )
    description = parent.description
    return FrozenSam(folder, parent.device, window_px=description.window_px, mpp=description.mpp)


def _trainer(
    job: SftJob,
    parent: LoadedCheckpoint,
    sam: FrozenSam | None,
    data: TrainingData,
    run: RunFolder,
    progress: Progress,
    stop: Callable[[], bool],
) -> NextPointTrainer:
    prepare_model(parent, job.recipe.optimiser)
    model = parent.model if job.recipe.lora.rank == 0 else add_lora(parent, job.recipe.lora)
    args = training_arguments(job, run, validates=bool(data.val))
    codec = parent.description.codec
    spec = WindowSpec(codec.window_px, parent.description.mpp, codec.category_names)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    covt = job.recipe.covt
    windows = RandomWindows(
        data.train,
        spec,
        job.recipe.windows,
        length=job.recipe.optimiser.steps * per_step,
        seed=job.recipe.seed,
        painter=(
            None if sam is None else foreground_painter(data.train, covt.target, covt.radius_um)
        ),
    )
    collator = Collator(codec, parent.windows, parent.windows.processor.tokenizer.pad_token_id)
    options: dict[str, Any] = {
        "windows": windows,
        "validation": _validation(parent, data.val, spec, job.recipe.validation),
        "codec": codec,
        "loss": job.recipe.loss,
        "run": run,
        "progress": progress,
        "stop": stop,
    }
    options |= _centre_map(parent, job.recipe.centre_map)
    if sam is None:
        return NextPointTrainer(model, args, collator=collator, **options)
    return ThoughtTrainer(
        model,
        args,
        collator=ThoughtCollator(collator, sam),
        sam=sam,
        head=new_head(parent.model, sam, parent.folder),
        alpha=covt.alpha,
        **options,
    )


def _centre_map(parent: LoadedCheckpoint, options: CentreMapOptions) -> dict[str, Any]:
    """The trainer's options for the map of centres; none where the recipe does without."""
    if options.weight == 0:
        return {}
    codec = parent.description.codec
    tower = submodule(parent.model, parent.family.vision_path)
    token_px = codec.window_px // math.isqrt(parent.description.image_tokens)
    # An image token has the width of the language model that reads it.
    embeddings: Any = parent.model.get_input_embeddings()
    head = CentreMapHead(embeddings.weight.shape[1], token_px).to(parent.device)
    head.load_if_there(parent.folder)
    tokens = LastOutput(tower, "pooler_output")
    return {
        "heads": {"centre_map_head": head},
        "centre_map": CentreMap(tokens, head, options.weight, options.sigma_px),
    }


def _validation(
    parent: LoadedCheckpoint,
    images: Sequence[LabelledImage],
    spec: WindowSpec,
    options: ValidationOptions,
) -> Validation | None:
    if not images:
        return None
    chosen = decoded_images(images, options)
    f1 = decoded_f1(parent, chosen, options) if chosen else None
    return Validation(GridWindows(images, spec), f1)


def decoded_images(
    images: Sequence[LabelledImage], options: ValidationOptions
) -> list[LabelledImage]:
    """The images of the validation split that are decoded, evenly spaced."""
    n = min(options.images, len(images))
    return [images[i * len(images) // n] for i in range(n)]


def decoded_f1(
    parent: LoadedCheckpoint, images: Sequence[LabelledImage], options: ValidationOptions
) -> Callable[[PreTrainedModel], float]:
    """F1 of a model in training, on images that are decoded whole, each by one of the processes."""

    def f1(model: PreTrainedModel) -> float:
        with merged(model):
            evaluation = evaluate_detector(
                NextPointDetector.from_loaded(replace(parent, model=model)),
                processes.my_share(images),
                radius_um=options.radius_um,
                method=VALIDATION_MATCHING,
                data={},
            )
        score = evaluation.report.overall
        tp, fp, fn = processes.total([score.tp, score.fp, score.fn])
        return DetectionScore(round(tp), round(fp), round(fn)).f1

    return f1


def training_arguments(job: SftJob, run: RunFolder, *, validates: bool) -> TrainingArguments:
    """The Trainer's arguments for a job."""
    return TrainingArguments(
        output_dir=str(run.path),
        dataloader_num_workers=job.workers,
        **training_options(job.recipe, validates=validates),
    )


def training_options(recipe: Recipe, *, validates: bool) -> dict[str, Any]:
    """Arguments that every stage's Trainer takes from the recipe."""
    optimiser, validation = recipe.optimiser, recipe.validation
    cuda = torch.cuda.is_available()
    return {
        "max_steps": optimiser.steps,
        "per_device_train_batch_size": optimiser.batch_size,
        "per_device_eval_batch_size": optimiser.batch_size,
        "gradient_accumulation_steps": optimiser.accumulation,
        "learning_rate": optimiser.lr,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr_rate": optimiser.min_lr_ratio},
        "warmup_steps": optimiser.warmup_steps,
        "weight_decay": optimiser.weight_decay,
        "adam_beta2": optimiser.beta2,
        "max_grad_norm": optimiser.max_grad_norm,
        "seed": recipe.seed,
        "use_cpu": not cuda,
        "bf16": _computes_in_bfloat16(optimiser.precision),
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": [],
        "eval_strategy": "steps" if validates else "no",
        "eval_steps": validation.every_steps,
        "prediction_loss_only": True,
        "label_names": ["labels"],
        "save_strategy": "steps",
        "save_steps": validation.every_steps,
        "save_total_limit": 1,
        "remove_unused_columns": False,  # examples are not columns
        "dataloader_pin_memory": cuda,
        "average_tokens_across_devices": False,  # the loss is a mean of sequences
        "ddp_find_unused_parameters": False,  # every weight takes part in every step
    }


def _computes_in_bfloat16(precision: Precision) -> bool:
    if precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return precision == "bfloat16"
