"""The section of a recipe that training of answerers reads."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from napari_nunext.core.answers.budget import BUDGET_TOKENS, MOST_TOKENS
from nunext_training.method.answer_rewards import ANSWER_REWARDS
from nunext_training.recipes.bounds import (
    CHECKED,
    Count,
    CountOrNone,
    Flag,
    NotNegative,
    Number,
    Positive,
    Text,
    Whole,
)


def _weights_of_rewards() -> str:
    return f"weights by name, of {', '.join(ANSWER_REWARDS.names())}"


@dataclass(frozen=True, slots=True, config=CHECKED)
class AskOptions:
    """A performer that answers questions (arXiv 2505.15687).

    Steps, batches and rates are those of `OptimiserOptions`, additions those of `LoraOptions`.
    """

    budget: Annotated[
        Whole, Field(ge=1, le=MOST_TOKENS, json_schema_extra={"expected": "image tokens"})
    ] = BUDGET_TOKENS
    """Image tokens that a picture may cost; the paper's number."""
    budgets: Annotated[
        tuple[Annotated[Whole, Field(ge=1, le=MOST_TOKENS)], ...],
        Field(json_schema_extra={"expected": "a list of image tokens"}),
    ] = ()
    """Budgets that training draws from by lot, so that one model serves all of them: of a step
    where questions are packed, else of each question once. None: `budget` alone. Ours."""
    thought: Literal["none", "prose", "points"] = "prose"
    """What a right answer goes by: nothing that is written, the figures of its nuclei in its
    thought, or its nuclei before the question. Ours."""
    packed: Flag = False
    """Put all questions of a picture, in SFT, and all replies to one, in GRPO, behind one prefill.
    Ours."""
    questions: CountOrNone = 8
    """Of packed SFT: questions of a picture in a step; 0: all. Ours."""
    views: CountOrNone = 0
    """Show each picture whose right answer is boxes in so many views, parts of it, turned; 0: as it
    is. Ours."""
    answer_weight: Positive = 1.0
    """Of packed SFT: weight of the answer's tokens beside those of tags and thought. Ours."""
    beta: Positive = 0.1
    """Of DPO and KTO: how far the model may go from where it began. Ours."""
    supervised: NotNegative = 0.5
    """Of DPO: weight of the preferred reply's own likelihood, so that it does not fall. Ours."""
    rollouts: Annotated[Whole, Field(ge=2)] = 8
    """Of GRPO: replies to each question."""
    max_tokens: Count = 512
    """Of GRPO: the longest reply. Ours."""
    temperature: Positive = 1.0
    """Of GRPO's sampling. Ours."""
    epsilon: Annotated[
        Number, Field(gt=0, lt=1, json_schema_extra={"expected": "between 0 and 1"})
    ] = 0.2
    """Of GRPO: clips the ratio of new to old policy."""
    kl: NotNegative = 0.001
    """Of GRPO: weight of the divergence from where it began."""
    rewards: Annotated[
        dict[Text, Number], Field(json_schema_extra={"expected": _weights_of_rewards})
    ] = field(default_factory=lambda: {"format": 1.0, "answer": 1.0, "boxes": 1.0})
    """Of GRPO: ``R = R_task + lambda R_format``. A reward that does not apply is left out."""

    @field_validator("rewards")
    @classmethod
    def _are_there(cls, rewards: dict[str, float]) -> dict[str, float]:
        if not rewards or not all(name in ANSWER_REWARDS for name in rewards):
            raise ValueError
        return rewards


@dataclass(frozen=True, slots=True, config=CHECKED)
class AllocatorOptions:
    """An allocator of image tokens (arXiv 2505.15687).

    Steps, batches (questions) and rates are those of `OptimiserOptions`, additions those of
    `LoraOptions`.
    """

    mu: NotNegative = 0.1
    """Of Eq. 10: what all of a picture's tokens are worth. The paper's 0.5 sells half of the reward
    and collapses to the least; 0.02 to 0.1 does not. Ours."""
    look_tokens: Annotated[
        Whole, Field(ge=1, le=MOST_TOKENS, json_schema_extra={"expected": "image tokens"})
    ] = 16
    """Of the thumbnail that it looks at. Ours."""
    rollouts: Annotated[Whole, Field(ge=2)] = 8
    """Choices that are drawn for each question."""
    entropy: NotNegative = 0.003
    """Weight of the policy's entropy, so that it does not settle at once. Ours."""
