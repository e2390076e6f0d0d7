"""Replies drawn by lot rather than the likeliest: each by a number of its own.

`tempered` is the one place that says which distribution they are drawn from: what draws, here or in
vLLM, and what learns from the log-probabilities of what was drawn ask it alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


def tempered(
    scores: torch.Tensor,
    is_coordinate: torch.Tensor | None,
    temperature: float,
    coordinate_temperature: float = 1.0,
) -> torch.Tensor:
    """Logits whose soft-max is the distribution that replies are drawn from.

    With T the temperature, c that of coordinates and C the coordinates among the tokens that the
    grammar allows, a token a with score s_a is drawn with probability::

        p(a) = softmax(s / T)_a                                  a not in C
        p(a) = sum of softmax(s / T) over C * softmax(s_C / (T c))_a    a in C

    So *whether* a coordinate comes, and not the end, has its own probability whatever c is; *which*
    one, if one comes, is drawn the more narrowly the smaller c. Dividing all scores by T c would
    make ends likelier: the end has its probability to itself, and coordinates share theirs.
    What is said after a point, a comma or a category, is no coordinate: it is drawn at T. **Ours**;
    with c = 1 it is the soft-max at T.

    The logits are ``s_a / T`` outside C and, inside, ``s_a / (T c)`` moved by one number for all of
    C, so that the sum of their exponentials stays. A log-soft-max of them is log p with all of its
    gradient, that of the sum over C included.

    Parameters
    ----------
    scores : Tensor, shape (..., A)
        Logits of the tokens that the grammar allows; minus infinity where a row may not say one
        that is no coordinate.
    is_coordinate : Tensor of bool, shape (A,), or None
        Which of them are coordinates; None where no token is.
    temperature, coordinate_temperature : float
        T and c, positive.

    Returns
    -------
    Tensor, shape (..., A)
    """
    whole = scores / temperature
    if coordinate_temperature == 1 or is_coordinate is None or not is_coordinate.any():
        return whole
    column = is_coordinate.to(scores.device)
    narrowed = whole / coordinate_temperature
    moved = _log_mass(whole, column) - _log_mass(narrowed, column)
    return torch.where(column, narrowed + moved, whole)


def _log_mass(logits: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
    """Log of the sum of exponentials over some columns, shape (..., 1)."""
    return logits[..., column].logsumexp(dim=-1, keepdim=True)


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
    coordinate_temperature : float
        Positive; of coordinates among themselves, times `temperature`: see `tempered`.
    """

    temperature: float
    seeds: Sequence[int]
    rollouts: int = 1
    coordinate_temperature: float = 1.0

    def __post_init__(self) -> None:
        temperatures = self.temperature, self.coordinate_temperature
        if not min(temperatures) > 0 or self.rollouts < 1:
            raise ValueError(
                f"Sampling needs positive temperatures and one rollout or more; got "
                f"{temperatures} and {self.rollouts}. Leave it out for greedy decoding."
            )


class Draw:
    """Draws tokens as `Sampling` says.

    Each reply has a number of its own at each of its positions, by which it is drawn from the
    cumulative distribution: so it matters neither who else is under way nor in which order.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._temperatures = sampling.temperature, sampling.coordinate_temperature
        self._rollouts = sampling.rollouts
        self._generators = [torch.Generator().manual_seed(seed) for seed in sampling.seeds]

    def __call__(
        self,
        scores: torch.Tensor,
        rows: torch.Tensor,
        is_coordinate: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Index into the allowed tokens for each row, shape (n,), on the CPU.

        Parameters
        ----------
        scores : Tensor, shape (n, A)
            Logits of the allowed tokens.
        rows : Tensor of int, shape (n,)
        is_coordinate : Tensor of bool, shape (A,), optional
            As `tempered`; None where a model writes words.

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
        logits = tempered(known.double(), is_coordinate, *self._temperatures)
        weights = logits.softmax(dim=-1).cumsum(dim=-1)
        if not torch.isfinite(weights[:, -1]).all():
            raise FloatingPointError("The probabilities of the next token are no numbers.")
        drawn = numbers.flatten()[rows].to(weights.device) * weights[:, -1]
        return torch.searchsorted(weights, drawn[:, None], right=True)[:, 0].cpu()
