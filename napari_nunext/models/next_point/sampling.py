"""Replies drawn by lot rather than the likeliest: each by a number of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False, slots=True)
class Sampling:
    """Draw tokens rather than take the likeliest.

    Parameters
    ----------
    temperature : float
        Positive; logits are divided by it.
    seeds : sequence of int
        One for each window, whose replies depend on no other: they are the same whatever else is
        decoded beside it, up to the rounding of the model.
    rollouts : int
        Replies for each window. Row ``window * rollouts + k`` is the k-th; the prompt of a window
        is read once for all of them.
    """

    temperature: float
    seeds: Sequence[int]
    rollouts: int = 1

    def __post_init__(self) -> None:
        if not self.temperature > 0 or self.rollouts < 1:
            raise ValueError(
                f"Sampling needs a positive temperature and one rollout or more; got "
                f"{self.temperature} and {self.rollouts}. Leave it out for greedy decoding."
            )


class Draw:
    """Draws tokens as `Sampling` says.

    Each reply has a number of its own at each of its positions, by which it is drawn from the
    cumulative distribution: so it matters neither who else is under way nor in which order.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._temperature = sampling.temperature
        self._rollouts = sampling.rollouts
        self._generators = [torch.Generator().manual_seed(seed) for seed in sampling.seeds]

    def __call__(self, scores: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Index into the allowed tokens for each row, shape (n,), on the CPU.

        Raises
        ------
        FloatingPointError
            If there is no distribution to draw from.
        """
        numbers = torch.zeros(len(self._generators), self._rollouts, dtype=torch.float64)
        for window in (rows // self._rollouts).unique().tolist():
            numbers[window].uniform_(generator=self._generators[window])
        # Not every device knows float64; where one does, whole vocabularies need not leave it.
        known = scores if scores.device.type in ("cpu", "cuda") else scores.cpu()
        weights = (known.double() / self._temperature).softmax(dim=-1).cumsum(dim=-1)
        if not torch.isfinite(weights[:, -1]).all():
            raise FloatingPointError("The probabilities of the next token are no numbers.")
        drawn = numbers.flatten()[rows].to(weights.device) * weights[:, -1]
        return torch.searchsorted(weights, drawn[:, None], right=True)[:, 0].cpu()
