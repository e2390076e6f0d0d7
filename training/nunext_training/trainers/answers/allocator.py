"""GRPO of an allocator of image tokens, its rewards looked up.

"Bilateral pathology reasoning" (arXiv 2505.15687), Eq. 10:
``R = (r(n') - r(n)) - mu (n' - n) / n``, r the reward of the frozen performer. Its choices are few
and known, so the policy is the likelihood of each choice's reply among them (ours), a group is
drawn from it, and each step is the policy's own: nothing to clip.

Advantages are not divided by their group's deviation (ours): where all sizes answer alike, the
smallest saving of tokens would count as a whole advantage, whatever mu is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nunext_training.runs import processes
from nunext_training.trainers.answers.packed import packed_losses
from nunext_training.trainers.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nunext_training.recipes.ask_sections import AllocatorOptions


class AllocatorTrainer(TaskTrainer):
    """Learn how many image tokens questions deserve. The loss that is told is minus the reward.

    Parameters
    ----------
    options : AllocatorOptions
    **given
        As `TaskTrainer`; its task is `nunext_training.tasks.allocation.Allocations`.
    """

    figures = ("loss", "grad_norm", "learning_rate", "surrogate", "tokens")

    def __init__(self, *, options: AllocatorOptions, **given: Any) -> None:
        super().__init__(**given)
        self._options = options
        self._noted: list[tuple[float, float]] = []

    def batch_loss(self, model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """The surrogate of the questions' groups."""
        policy = choice_log_policy(model, inputs)
        tokens, worth = inputs["choice_tokens"].float(), inputs["worth"].to(policy.dtype)
        drawn = drawn_choices(policy.detach(), inputs["lots"])
        earned = worth.gather(1, drawn)
        advantages = earned - earned.mean(dim=1, keepdim=True)
        surrogate = -(advantages * policy.gather(1, drawn)).mean()
        entropy = -(policy.exp() * policy).sum(dim=1).mean()
        self._noted.append((float(earned.mean()), float(tokens.gather(1, drawn).mean())))
        return surrogate - self._options.entropy * entropy, ()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As the Trainer's; the loss that is told is minus the reward."""
        if "loss" in logs:
            logs["surrogate"] = logs["loss"]
            count = len(self._noted) * processes.count()
            reward, tokens = processes.total(
                [sum(each) / count for each in zip(*self._noted, strict=True)]
            )
            self._noted.clear()
            logs |= {"loss": -reward, "tokens": tokens}
        super().log(logs, start_time)


def drawn_choices(log_policy: Tensor, lots: Tensor) -> Tensor:
    """The choice that each lot falls on.

    Parameters
    ----------
    log_policy : Tensor, shape (questions, choices)
    lots : Tensor, shape (questions, rollouts)
        In [0, 1).

    Returns
    -------
    Tensor of int, shape (questions, rollouts)
    """
    upto = log_policy.double().exp().cumsum(dim=1)
    return torch.searchsorted(upto, lots * upto[:, -1:], right=True)


def choice_log_policy(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    """How likely the allocator finds each choice among all, as a logarithm.

    Parameters
    ----------
    model : nn.Module
    inputs : dict of Tensor
        As `nunext_training.tasks.allocation` encodes them.

    Returns
    -------
    Tensor, shape (questions, choices)
    """
    losses, _ = packed_losses(model, inputs)
    questions, choices = inputs["worth"].shape
    owners = inputs["owners"][:, 1:].clamp(min=0)  # 0: the prefix, or padding, whose loss is 0
    summed = losses.new_zeros(questions, choices + 1).scatter_add(1, owners, losses)
    return (-summed[:, 1:]).log_softmax(dim=-1)
