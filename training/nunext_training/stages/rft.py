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

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from trl import GRPOConfig

from napari_nunext.core.errors import InputError
from napari_nunext.models.sam.segmenter import SamSegmenter
from nunext_training.method.rewards import REWARDS
from nunext_training.recipes.recipe import changed
from nunext_training.stages.arguments import activation_checkpointing, training_options
from nunext_training.stages.detectors import DetectorStage
from nunext_training.stages.stage import Job, run_stage
from nunext_training.tasks.points import RewardedPointsTask, decoded_images, true_painter
from nunext_training.tasks.prompted_masks import PromptedMasks
from nunext_training.trainers.grpo import NextPointGrpoTrainer
from nunext_training.trainers.vllm_rollouts import VllmServer, check_vllm

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.runs.context import RunContext
    from nunext_training.runs.folder import RunFolder


@dataclass(frozen=True, slots=True)
class RftJob(Job):
    """A job of reinforcement fine-tuning."""

    segmenter: Path | None = None
    """A SAM checkpoint, for the task-guided reward."""
    vllm: str | None = None
    """Address of a vLLM server that decodes the rollouts; None leaves it to the model itself."""


class RftStage(DetectorStage[RftJob]):
    """Let a detector write, and make what was worth more likelier.

    The loss that progress is told is minus the mean reward.

    Raises
    ------
    InputError
        As `Stage`; also if the task-guided reward lacks a segmenter or true masks, or no vLLM
        server answers.
    """

    method = "rft"

    def __init__(self, job: RftJob) -> None:
        super().__init__(job, stage_recipe(job.recipe))
        _check_margin(self.recipe, self.parent)
        self._data = self.read_data(self.parent.description.codec.category_names)
        self.taught_images = self._data.train
        self.held_out_images = tuple(decoded_images(self._data.val, self.recipe.validation))
        self._masks = self._prompted_masks()
        self._server = _server(job.vllm, self.parent)
        self.identity["segmenter_sha256"] = (
            None if self._masks is None else self._masks.checkpoint_sha256
        )
        if self._server is not None:
            self.identity["rollouts_from"] = "vllm"

    def _prompted_masks(self) -> PromptedMasks | None:
        """What rewards of masks draw with; None where the recipe has none."""
        job, parent, options = self.job, self.parent, self.recipe.rft
        asking = REWARDS.asking(options.reward_weights, "masks")
        if not asking:
            return None
        if job.segmenter is None:
            what, instead = (
                ("the task-guided reward", "set rft.task_guided to false")
                if options.task_guided
                else (f"rewards of masks ({', '.join(asking)})", "leave them out of rft.rewards")
            )
            raise InputError(
                f"Recipe {job.recipe.name!r} wants {what}, for which no segmenter is given. Name "
                f"one with --segmenter, or {instead}."
            )
        true_painter(self.recipe, self._data)  # complains before anything is loaded
        segmenter = SamSegmenter(job.segmenter, device=str(parent.device))
        return PromptedMasks(segmenter, parent.description.window_px, parent.description.mpp)

    def trainer(self, run: RunContext) -> NextPointGrpoTrainer:
        """See `nunext_training.stages.stage.Stage`."""
        self.prepare_model()
        task = RewardedPointsTask(self.parent, self.recipe, self._data, self._masks)
        return NextPointGrpoTrainer(
            self.parent,
            grpo_config(self.recipe, run.folder, validates=task.validation is not None),
            task,
            run,
            server=self._server,
            options=self.recipe.rft,
        )

    def close(self) -> None:
        """See `nunext_training.stages.stage.Stage`."""
        if self._server is not None:
            self._server.close()


run_rft = partial(run_stage, RftStage)
"""``run_rft(job, progress, stop=...)``: see `nunext_training.stages.stage.run_stage`."""


def _server(url: str | None, parent: LoadedCheckpoint) -> VllmServer | None:
    """The server that decodes the rollouts, where one is named."""
    if url is None:
        return None
    check_vllm()
    return VllmServer(url, parent)


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


def grpo_config(recipe: Recipe, run: RunFolder, *, validates: bool) -> GRPOConfig:
    """TRL's arguments for a recipe of this stage (see `stage_recipe`).

    Advantages come from us, so that TRL scales nothing; ``loss_type="grpo"`` is the per-sequence
    mean of Eq. 11, and ``beta=0`` leaves out the KL term, as the paper does.
    """
    rft = recipe.rft
    # The recipe turns it on, on the model; TRL would by default.
    options: dict[str, Any] = {**activation_checkpointing(GRPOConfig, on=False)}
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
