"""A head for atomic points: a checkpoint learns to say a point in one forward pass.

Beyond the paper. The checkpoint's model is frozen, and its files are copied as they are: without
the head it says what it always said. The head is taught to guess, from the state before a point and
the image, the y and the category that the model itself would say
(`napari_nunext.models.checkpoints.atomic_points`).

    nunext-train atomic --data export --checkpoint trained --out trained-atomic

At the end images are decoded with the head and without, and the checkpoint uses its head only where
that costs no F1 to speak of.

What was tried, and why the head looks at the image: docs/decisions/atomic-points.md.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from transformers import TrainingArguments, set_seed

from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE, AtomicPoints
from napari_nunext.models.checkpoints.loading import finish_checkpoint, load_checkpoint, new_folder
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.data.batches import Collator
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.runs import processes
from nunext_training.stages.publishing import LAST, provenance_of
from nunext_training.stages.sft import decoded_images, training_options
from nunext_training.stages.stage import Job, identity_of, read_data, run_training
from nunext_training.trainers.atomic import AtomicTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress


def run_atomic(
    job: Job, progress: Progress, *, stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Train a head, and write the checkpoint with it.

    Parameters
    ----------
    job : Job
        `checkpoint` is a detector's; it may be quantised, and a head that it has is left behind.
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
    parent = load_checkpoint(job.checkpoint)
    data = read_data(job, parent.description.codec.category_names)
    identity = identity_of(job, job.recipe, data)
    identity["recipe"]["atomic"] = asdict(job.recipe.atomic)
    set_seed(job.recipe.seed)  # every run of this recipe begins with the same head
    head = AtomicHead.beginning(parent.model, parent.description.codec)
    return run_training(
        job,
        job.recipe,
        identity,
        head,
        lambda run: _trainer(job, parent, head, data, run, progress, stop),
        lambda run, identity: _publish(run, parent, data.val, job.recipe, identity),
        progress,
    )


def _trainer(
    job: Job,
    parent: LoadedCheckpoint,
    head: AtomicHead,
    data: TrainingData,
    run: RunFolder,
    progress: Progress,
    stop: Callable[[], bool],
) -> AtomicTrainer:
    recipe, codec = job.recipe, parent.description.codec
    args = TrainingArguments(
        output_dir=str(run.path), **training_options(recipe, validates=bool(data.val))
    )
    spec = WindowSpec(codec.window_px, parent.description.mpp, codec.category_names)
    per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    windows = RandomWindows(
        data.train,
        spec,
        recipe.windows,
        length=recipe.optimiser.steps * per_step,
        seed=recipe.seed,
    )
    return AtomicTrainer(
        head,
        args,
        parent=parent,
        windows=windows,
        validation=GridWindows(data.val, spec) if data.val else None,
        collator=Collator(codec, parent.windows, parent.windows.processor.tokenizer.pad_token_id),
        options=recipe.atomic,
        loss=recipe.loss,
        run=run,
        progress=progress,
        stop=stop,
    )


def _publish(
    run: RunFolder,
    parent: LoadedCheckpoint,
    images: Sequence[LabelledImage],
    recipe: Recipe,
    identity: dict[str, Any],
) -> None:
    """Write the checkpoint of a run that is complete, and remove the run's folder."""
    weights = run.best_weights or run.path / LAST
    head = AtomicHead.load(weights, parent.model, parent.description.codec)
    atomic = AtomicPoints(used=True, tolerance_um=recipe.atomic.tolerance_um)
    with_head = replace(
        parent, description=replace(parent.description, atomic=atomic), atomic_head=head
    )
    measured = _measured(parent, with_head, decoded_images(images, recipe.validation), recipe)
    if measured is None or measured["f1_autoregressive"] - measured["f1"] > recipe.atomic.f1_loss:
        atomic = replace(atomic, used=False)
    provenance = provenance_of(identity, recipe, run.best(), method="atomic")
    description = replace(
        _without_head(parent.description),
        name=run.out.name,
        atomic=atomic,
        provenance=parent.description.provenance | {"atomic": provenance | {"measured": measured}},
    )
    with new_folder(run.out) as folder:
        shutil.copytree(
            parent.folder, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*")
        )
        (folder / HEAD_FILE).parent.mkdir(exist_ok=True)
        shutil.copyfile(weights / HEAD_FILE, folder / HEAD_FILE)
        shutil.copyfile(run.metrics_path, folder / run.metrics_path.name)
        finish_checkpoint(folder, description)
    run.remove()


def _without_head(description: CheckpointDescription) -> CheckpointDescription:
    """A checkpoint's description, less what it says of a head that it had before."""
    kept = {key: value for key, value in description.provenance.items() if key != "atomic"}
    return replace(description, atomic=None, provenance=kept)


def _measured(
    parent: LoadedCheckpoint,
    with_head: LoadedCheckpoint,
    images: Sequence[LabelledImage],
    recipe: Recipe,
) -> dict[str, Any] | None:
    """F1 of decoded images with the head and without; None where there are none."""
    if not images:
        return None
    alone = replace(parent, description=replace(parent.description, atomic=None), atomic_head=None)
    radius_um = recipe.validation.radius_um

    def f1(checkpoint: LoadedCheckpoint) -> float:
        detector = NextPointDetector.from_loaded(checkpoint)
        evaluation = evaluate_detector(
            detector, images, radius_um=radius_um, method=VALIDATION_MATCHING, data={}
        )
        return evaluation.report.overall.f1

    return {
        "f1": f1(with_head),
        "f1_autoregressive": f1(alone),
        "images_decoded": len(images),
        "radius_um": radius_um,
        "matching": VALIDATION_MATCHING,
    }
