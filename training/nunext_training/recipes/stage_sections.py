"""The sections of a recipe that one stage reads: segmenter, atomic, rft, ablation."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator
from pydantic.dataclasses import dataclass

from napari_nunext.core.scores.matching import Method
from nunext_training.method.choices import Foreground, Teacher
from nunext_training.method.rewards import REWARDS
from nunext_training.recipes.bounds import (
    CHECKED,
    Count,
    CountOrNone,
    Flag,
    NotNegative,
    Number,
    Positive,
    Share,
    Text,
    Whole,
)


def _weights_of_rewards() -> str:
    return f"weights by name, of {', '.join(REWARDS.names())}"


WeightsDtype: TypeAlias = Literal["float32", "float16"]


@dataclass(frozen=True, slots=True, config=CHECKED)
class SegmenterOptions:
    """A SAM fine-tuned on nuclei; the weights of the losses are PromptNucSeg's."""

    prompts: Count = 16
    """Nuclei asked for in each window, one point each."""
    jitter: Share = 1.0
    """How far a point is from the centroid at most, on the way to a random pixel of the nucleus."""
    clicks: CountOrNone = 0
    """Further clicks at most, on the nucleus or beside it, as people correct outlines by."""
    outlines: bool = False
    """Whether further clicks go where the drawn mask is wrong, and the model is told that mask."""
    focal_weight: NotNegative = 20.0
    """Of the focal loss of masks."""
    dice_weight: NotNegative = 1.0
    """Of the Dice loss of masks."""
    iou_weight: NotNegative = 1.0
    """Of the error of the IoU that SAM predicts for its mask."""
    mpp: NotNegative = 0.0
    """What the new checkpoint sees in a pixel of its windows, um; 0: what its parent sees."""
    weights: WeightsDtype = "float32"
    """How the checkpoint stores them; they are trained and served in float32."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class AtomicOptions:
    """A head that guesses the rest of a point. All of it is ours."""

    teacher: Teacher = "model"
    """What it is to guess: what the model would say, or the truth, softened as `loss` has it."""
    tolerance_um: NotNegative = 1.5
    """A guess that lies farther from what the model says is read again."""
    f1_loss: NotNegative = 0.005
    """The checkpoint decodes with its head where that costs no more F1 in validation."""


@dataclass(frozen=True, slots=True, config=CHECKED)
class RftOptions:
    """Reinforcement fine-tuning: how many rollouts, what they are worth, and how one learns.

    The rest of the optimiser is as in `OptimiserOptions`. All numbers but `epsilon` are ours.
    """

    steps: Count = 200
    """Of the whole run."""
    windows_per_step: Count = 4
    """Groups on each device in a step."""
    rollouts: Annotated[Whole, Field(ge=2)] = 8
    """G: replies to each window."""
    accumulation: Annotated[
        Whole,
        Field(json_schema_extra={"expected": "a divisor of windows_per_step times rollouts"}),
    ] = 1
    """A step's rollouts are learned from in so many passes."""
    iterations: Count = 1
    """Steps for each set of rollouts. With one, old and new policy are the same and nothing is
    clipped."""
    lr: Positive = 1e-5
    """Learning rate after the warm-up."""
    warmup_steps: CountOrNone = 5
    """Steps in which it rises from nothing."""
    validate_every: Annotated[
        Whole, Field(json_schema_extra={"expected": "a positive multiple of iterations"})
    ] = 50
    """Steps from one look to the next."""
    temperature: Positive = 1.0
    """Of sampling."""
    coordinate_temperature: Annotated[
        Number, Field(ge=0.05, le=1, json_schema_extra={"expected": "0.05 to 1"})
    ] = 1.0
    """Of coordinates among themselves, times `temperature`: whether there is another nucleus, and
    its category, is drawn as before. 1 is the paper's: one temperature for all."""
    epsilon: Annotated[
        Number, Field(gt=0, lt=1, json_schema_extra={"expected": "between 0 and 1"})
    ] = 0.2
    """Clips the ratio of new to old policy (Eq. 11)."""
    radius_um: Positive = 3.0
    """Largest distance of a true positive (Eq. 14)."""
    matching: Method = "hungarian"
    """``"hungarian"`` is the paper's (Eq. 13)."""
    margin_um: NotNegative = 0.0
    """What lies nearer to a window's edge counts for nothing in F1: where windows are small, it is
    the neighbours' business. The paper counts everything."""
    filter_groups: Flag = True
    """Low-variance group filtering."""
    min_std: NotNegative = 0.02
    """delta: groups whose rewards deviate less are left out."""
    shape_advantages: Flag = True
    """Fine-grained advantage shaping (Eq. 18)."""
    beta: Share = 0.5
    """What undeserving tokens keep of their rollout's advantage."""
    use_verdicts: Flag = True
    """What people judged joins the group of its window as one more rollout."""
    task_guided: Flag = False
    """Task-guided reward (Eq. 19): needs a segmenter."""
    gamma: NotNegative = 0.5
    """Weight of panoptic quality in the reward."""
    panoptic_truth: Foreground = "masks"
    """What panoptic quality is against: true masks, or discs of ``covt.radius_um``."""
    rewards: Annotated[
        dict[Text, Number], Field(json_schema_extra={"expected": _weights_of_rewards})
    ] = field(default_factory=dict)
    """Weights of further rewards by their names; ``f1`` weighs 1 unless it is named here."""

    @property
    def reward_weights(self) -> dict[str, float]:
        """Every reward that counts, with its weight: F1, panoptic quality if asked for, others."""
        return {"f1": 1.0} | ({"pq": self.gamma} if self.task_guided else {}) | self.rewards

    @field_validator("rewards")
    @classmethod
    def _are_there(cls, rewards: dict[str, float]) -> dict[str, float]:
        if not all(name in REWARDS for name in rewards):
            raise ValueError
        return rewards

    @field_validator("accumulation")
    @classmethod
    def _divides(cls, accumulation: int, info: ValidationInfo) -> int:
        if {"windows_per_step", "rollouts"} <= info.data.keys():
            rows = info.data["windows_per_step"] * info.data["rollouts"]
            if accumulation < 1 or rows % accumulation:
                raise ValueError
        return accumulation

    @field_validator("validate_every")
    @classmethod
    def _is_a_multiple(cls, steps: int, info: ValidationInfo) -> int:
        if steps < 1 or steps % info.data.get("iterations", 1):
            raise ValueError
        return steps


@dataclass(frozen=True, slots=True, config=CHECKED)
class AblationOptions:
    """The size of `nunext-train ablate`: what its runs take in place of the stages' own numbers."""

    seeds: Count = 3
    """Runs of each row."""
    preset: Text = "nano"
    """Of the start, where none is given: built, then taught naively."""
    window_px: Count = 32
    """Of the start."""
    mpp: Positive = 0.5
    """Of the start."""
    latents: CountOrNone = 8
    """Latent tokens of the start."""
    start_steps: Count = 2400
    """Steps in which the start is taught."""
    start_lr: Positive = 2e-3
    """Learning rate of the start."""
    sft_steps: Count = 200
    """Steps of each supervised row."""
    sft_lr: Positive = 5e-4
    """Learning rate of each supervised row."""
    rft_steps: Count = 100
    """Steps of each row that is tuned by rewards."""
    validations: CountOrNone = 4
    """How often each run is looked at, to choose its weights. 0: the last ones are taken."""
    images: CountOrNone = 0
    """At most so many of the images held out are reported, evenly spaced; 0: all."""
