"""Reinforcement fine-tuning: from exports and a checkpoint to one that writes better replies.

NuNext, section 3.4: the model writes several replies to each window, each is rewarded by what it
found, and replies that did better than their group become likelier (GRPO, Eq. 11-12), with
low-variance group filtering, fine-grained advantage shaping (Eq. 18) and, where the recipe asks for
it, the task-guided reward of a segmenter (Eq. 19).

    nunext-train rft --data export --checkpoint trained --out tuned --recipe tiny

A validation before the first step is the checkpoint's own: what comes out is never worse there than
what went in.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from trl import GRPOConfig

from napari_nunext.core.errors import InputError
from napari_nunext.models.sam.segmenter import SamSegmenter
from nunext_training.data.windows import GridWindows, RandomWindows, WindowSpec
from nunext_training.recipes.recipe import changed
from nunext_training.runs import processes
from nunext_training.stages.sft import decoded_f1, decoded_images, training_options
from nunext_training.stages.stage import (
    Job,
    identity_of,
    load_parent,
    prepare_model,
    read_data,
    run_stage,
)
from nunext_training.trainers.covt import foreground_painter
from nunext_training.trainers.grpo import NextPointGrpoTrainer, RftValidation
from nunext_training.trainers.prompted_masks import PromptedMasks
from nunext_training.trainers.scoring import RolloutScorer
from nunext_training.trainers.vllm_rollouts import VllmServer, check_vllm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.painting import Painter
    from nunext_training.data.training_data import TrainingData
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.folder import RunFolder
    from nunext_training.runs.progress import Progress


@dataclass(frozen=True, slots=True)
class RftJob(Job):
    """A job of reinforcement fine-tuning."""

    segmenter: Path | None = None
    """A SAM checkpoint, for the task-guided reward."""
    vllm: str | None = None
    """Address of a vLLM server that decodes the rollouts; None leaves it to the model itself."""


def run_rft(
    job: RftJob, progress: Progress, *, stop: Callable[[], bool] = lambda: False
) -> Path | None:
    """Train, and write the checkpoint.

    Parameters
    ----------
    job : RftJob
    progress : Progress
        The loss it is told is minus the mean reward.
    stop : callable
        Asked after every step; once it is True, the state is saved for ``resume``.

    Returns
    -------
    Path or None
        The checkpoint; None where training was stopped.

    Raises
    ------
    InputError
        If data, checkpoint, recipe or folders do not fit, the task-guided reward lacks a segmenter
        or true masks, or no vLLM server answers.
    TrainingError
        If the loss is no longer a number.
    """
    processes.join()
    recipe = stage_recipe(job.recipe)
    parent = load_parent(job.checkpoint, recipe.optimiser)
    _check_margin(recipe, parent)
    data = read_data(job, parent.description.codec.category_names)
    masks = _masks(job, parent, data)
    with _server(job, parent) as server:
        identity = {
            **identity_of(job, recipe, data),
            "segmenter_sha256": None if masks is None else masks.checkpoint_sha256,
            **({} if server is None else {"rollouts_from": "vllm"}),
        }
        return run_stage(
            job,
            recipe,
            parent,
            identity,
            lambda run: _trainer(recipe, parent, data, masks, server, run, progress, stop),
            progress,
            method="rft",
        )


def _check_margin(recipe: Recipe, parent: LoadedCheckpoint) -> None:
    side_um = parent.description.window_px * parent.description.mpp
    if 2 * recipe.rft.margin_um >= side_um:
        raise InputError(
            f"Recipe {recipe.name!r}: rft.margin_um is {recipe.rft.margin_um:g}, which leaves "
            f"nothing of a window of {side_um:g} um; expected less than half of it."
        )


def stage_recipe(recipe: Recipe) -> Recipe:
    """A recipe with the optimiser and the pace of this stage in place."""
    rft = recipe.rft
    return changed(
        recipe,
        optimiser={
            "steps": rft.steps,
            "batch_size": rft.windows_per_step * rft.rollouts // rft.accumulation,
            "accumulation": rft.accumulation,
            "lr": rft.lr,
            "warmup_steps": rft.warmup_steps,
        },
        validation={"every_steps": rft.validate_every},
    )


@contextmanager
def _server(job: RftJob, parent: LoadedCheckpoint) -> Iterator[VllmServer | None]:
    """The server that decodes the rollouts, where one is named."""
    if job.vllm is None:
        yield None
        return
    check_vllm()
    server = VllmServer(job.vllm, parent)
    try:
        yield server
    finally:
        server.close()


def _masks(job: RftJob, parent: LoadedCheckpoint, data: TrainingData) -> PromptedMasks | None:
    """What the task-guided reward draws with; None where the recipe does without."""
    if not job.recipe.rft.task_guided:
        return None
    if job.segmenter is None:
        raise InputError(
            f"Recipe {job.recipe.name!r} wants the task-guided reward, for which no segmenter is "
            "given. Name one with --segmenter, or set rft.task_guided to false."
        )
    _true_painter(job.recipe, data)  # complains before anything is loaded
    segmenter = SamSegmenter(job.segmenter, device=str(parent.device))
    return PromptedMasks(segmenter, parent.description.window_px, parent.description.mpp)


def _true_painter(recipe: Recipe, data: TrainingData) -> Painter:
    """What panoptic quality is measured against; raises `RecordError` where it is missing."""
    return foreground_painter(
        [*data.train, *data.val], recipe.rft.panoptic_truth, recipe.covt.radius_um
    )


def _trainer(
    recipe: Recipe,
    parent: LoadedCheckpoint,
    data: TrainingData,
    masks: PromptedMasks | None,
    server: VllmServer | None,
    run: RunFolder,
    progress: Progress,
    stop: Callable[[], bool],
) -> NextPointGrpoTrainer:
    prepare_model(parent, recipe.optimiser)
    codec = parent.description.codec
    spec = WindowSpec(codec.window_px, parent.description.mpp, codec.category_names)
    painter = None if masks is None else _true_painter(recipe, data)
    decoded = decoded_images(data.val, recipe.validation)
    args = grpo_config(recipe, run, validates=bool(decoded))
    generations = -(-recipe.rft.steps // recipe.rft.iterations)
    windows = RandomWindows(
        data.train,
        spec,
        recipe.windows,
        length=generations * recipe.rft.windows_per_step * args.world_size,
        seed=recipe.seed,
        painter=painter,
        verdicts=recipe.rft.use_verdicts,
    )
    return NextPointGrpoTrainer(
        parent,
        args,
        windows=windows,
        validation=(
            RftValidation(
                GridWindows(decoded, spec, painter), decoded_f1(parent, decoded, recipe.validation)
            )
            if decoded
            else None
        ),
        scorer=RolloutScorer(parent, recipe.rft, masks),
        server=server,
        options=recipe.rft,
        run=run,
        progress=progress,
        stop=stop,
    )


def grpo_config(recipe: Recipe, run: RunFolder, *, validates: bool) -> GRPOConfig:
    """TRL's arguments for a recipe of this stage (see `stage_recipe`).

    Advantages come from us, so that TRL scales nothing; ``loss_type="grpo"`` is the per-sequence
    mean of Eq. 11, and ``beta=0`` leaves out the KL term, as the paper does.
    """
    rft = recipe.rft
    # The recipe turns it on, on the model; TRL would by default. Renamed within the versions that
    # we support.
    new_name, old_name = "activation_checkpointing", "gradient_checkpointing"
    known = {f.name for f in fields(GRPOConfig)}
    options: dict[str, Any] = {new_name if new_name in known else old_name: False}
    return GRPOConfig(
        output_dir=str(run.path),
        num_generations=rft.rollouts,
        num_iterations=rft.iterations,
        steps_per_generation=rft.accumulation,
        temperature=rft.temperature,
        epsilon=rft.epsilon,
        beta=0.0,
        loss_type="grpo",
        scale_rewards="none",
        shuffle_dataset=False,
        **training_options(recipe, validates=validates),
        **options,
    )
