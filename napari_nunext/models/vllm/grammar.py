"""The codec's grammar over the logits of a batch in which every reply is somewhere else.

`napari_nunext.models.next_point.decoder` scores only the tokens that may come next; an engine that
knows nothing of points scores all of them. Here the others are struck out, and the rest is left
such that the engine's own sampler does what `generate` would have done.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_nunext.models.next_point.replies import end_by_majority, sureness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.codec import Codec

LEAST_SURENESS = 1e-30
"""What is not sure at all still needs a finite logarithm, or no token would be left."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is to be done with the logits of one reply."""

    position: int
    """Of the token that comes next."""
    greedy: bool
    """Choose here, by `end_by_majority`; otherwise the engine draws."""
    radius_bins: int
    """See `napari_nunext.models.next_point.replies.sureness`; not used where the engine draws."""


class Grammar:
    """Changes logits in place.

    Where the engine draws, the logits of the tokens that may come next stay as they are. Where it
    does not, the choice is made here and one token is left, and its logit is the logarithm of how
    sure the model was: an engine that reports the logit of what it chose reports just that.

    Parameters
    ----------
    codec : Codec
    device : torch.device
        Where logits are.
    """

    def __init__(self, codec: Codec, device: torch.device) -> None:
        self._codec = codec
        self._device = device
        self._allowed: dict[str, torch.Tensor] = {}

    def apply(self, logits: torch.Tensor, rows: Mapping[int, Row]) -> None:
        """Restrict the logits of `rows`, and leave all others alone.

        Parameters
        ----------
        logits : Tensor, shape (N, V), float32
        rows : mapping of int to Row
        """
        groups: dict[tuple[str, bool, int], list[int]] = defaultdict(list)
        for index, row in rows.items():
            phase = self._codec.phase_at(row.position)
            groups[phase, row.greedy, row.radius_bins].append(index)
        for (_, greedy, radius_bins), indices in groups.items():
            self._restrict(logits, indices, rows[indices[0]].position, greedy, radius_bins)

    def _restrict(
        self,
        logits: torch.Tensor,
        indices: list[int],
        position: int,
        greedy: bool,
        radius_bins: int,
    ) -> None:
        """Restrict rows that agree in phase, of which `position` is one."""
        allowed = self._allowed_at(position)
        here = torch.tensor(indices, device=self._device)
        scores = logits[here[:, None], allowed]
        logits[here] = -torch.inf
        if not greedy:
            logits[here[:, None], allowed] = scores
            return
        chosen = allowed[end_by_majority(scores, allowed == self._codec.end_id).argmax(dim=-1)]
        sure = sureness(scores.softmax(dim=-1), allowed, chosen, self._codec, position, radius_bins)
        logits[here, chosen] = sure.clamp(min=LEAST_SURENESS).log()

    def _allowed_at(self, position: int) -> torch.Tensor:
        phase = self._codec.phase_at(position)
        if phase not in self._allowed:
            ids = torch.from_numpy(self._codec.allowed_at(position))
            self._allowed[phase] = ids.to(self._device)
        return self._allowed[phase]
