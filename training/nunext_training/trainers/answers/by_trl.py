"""Trainers of answerers: TRL's, with the folder of a run.

TRL puts the picture into the prompt, masks it, samples replies, and has the losses of the paper and
of preferences. Ours are the rewards, and what a run keeps, tells and resumes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from trl import DPOTrainer, GRPOTrainer, KTOTrainer, SFTTrainer

from napari_nunext.models.checkpoints.loading import without_renaming_warnings
from nunext_training.data.answers import COLUMNS, seen_reply
from nunext_training.method.answer_rewards import ANSWER_REWARDS
from nunext_training.runs.folder import Best
from nunext_training.trainers.run_keeping import RunKeeping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

    from nunext_training.data.answers import AnswerMethod
    from nunext_training.runs.context import RunContext


class AnswerTrainer(RunKeeping):
    """What all of them do: give up where a loss is no number, keep what validates best."""

    def __init__(self, *, run: RunContext, **options: Any) -> None:
        with without_renaming_warnings():
            super().__init__(run=run, **options)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As TRL's."""
        with without_renaming_warnings():
            return super().train(*args, **kwargs)

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As TRL's; raises `TrainingError` where it is no number."""
        found = super().compute_loss(model, inputs, *args, **kwargs)
        loss = found[0] if isinstance(found, tuple) else found
        if not torch.isfinite(loss).all():
            tensors = {k: v for k, v in inputs.items() if isinstance(v, torch.Tensor)}
            self._give_up(tensors, float(loss.detach().mean()))
        return found

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """As TRL's; keeps the weights if they are the best so far."""
        figures: dict[str, float] = super().evaluate(*args, **kwargs)
        if math.isfinite(loss := figures.get("eval_loss", math.nan)):
            self._keep_best(Best(self.state.global_step, loss))
        return figures

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: what is saved here is a state, not a model for others."""


class SftAnswerTrainer(AnswerTrainer, SFTTrainer):
    """Learn to say what was right."""


class DpoAnswerTrainer(AnswerTrainer, DPOTrainer):
    """Learn to prefer what people prefer."""


class KtoAnswerTrainer(AnswerTrainer, KTOTrainer):
    """Learn from replies that are good or bad, each by itself."""


class GrpoAnswerTrainer(AnswerTrainer, GRPOTrainer):
    """Learn from the rewards of one's own replies. The loss that is told is minus the reward."""

    figures = ("loss", "grad_norm", "learning_rate", "surrogate", "reward", "reward_std", "kl")

    def __init__(self, *, run: RunContext, **options: Any) -> None:
        super().__init__(run=run, **options)
        self._last_reward = 0.0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL's; the loss that is told is minus the reward."""
        if "loss" in logs:
            rewards = self._metrics["train"].get("reward")
            if rewards:
                self._last_reward = rewards[-1]
            logs["surrogate"] = logs["loss"]
            logs["loss"] = -self._last_reward
        super().log(logs, start_time)


TRAINERS: Mapping[AnswerMethod, Any] = {
    "sft": SftAnswerTrainer,
    "dpo": DpoAnswerTrainer,
    "kto": KtoAnswerTrainer,
    "grpo": GrpoAnswerTrainer,
}


def reward_function(name: str) -> Callable[..., list[float | None]]:
    """One of `ANSWER_REWARDS` as TRL calls it: None for a row that it can say nothing of."""
    reward = ANSWER_REWARDS.get(name)

    def of_rows(completions: list[Any], **columns: Any) -> list[float | None]:
        rows = zip(completions, *(columns[each] for each in COLUMNS), strict=True)
        values = [reward(seen_reply(_text(said), *of_row)) for said, *of_row in rows]
        return [None if math.isnan(value) else float(value) for value in values]

    of_rows.__name__ = name
    return of_rows


def _text(completion: Any) -> str:
    """What a rollout says: TRL gives messages where the prompt was messages."""
    return completion if isinstance(completion, str) else str(completion[-1]["content"])
