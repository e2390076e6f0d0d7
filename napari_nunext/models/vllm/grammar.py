"""The codec's grammar over the logits of a batch in which every reply is somewhere else.

`napari_nunext.models.next_point.decoder` scores only the tokens that may come next; an engine that
knows nothing of points scores all of them. Here the others are struck out, and the rest is left
such that the engine's own sampler does what `generate` would have done.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_nunext.models.next_point.replies import end_by_majority, spread_bins2, sureness
from napari_nunext.models.next_point.sampling import tempered
from napari_nunext.models.vllm.names import SPREAD_AT

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
    spread_radius_bins: int = 0
    """See `napari_nunext.models.next_point.replies.spread_bins2`; 0 where nobody asks for it."""
    temperature: float = 1.0
    """What the engine divides logits by when it draws."""
    coordinate_temperature: float = 1.0
    """See `napari_nunext.models.next_point.sampling.tempered`, which is asked where this is not 1;
    not used where the choice is made here."""


class Grammar:
    """Changes logits in place.

    Where the engine draws, the logits of the tokens that may come next stay as they are, or, with a
    temperature for coordinates, become those that it draws from as `Draw` would. Where it
    does not, the choice is made here and one token is left, and its logit is the logarithm of how
    sure the model was: an engine that reports the logit of what it chose reports just that. Where
    somebody asks how widely a place spreads, another token is left whose logit says so, so far
    below that it is never chosen; the engine reports it as the second likeliest.

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
        groups: dict[tuple[str, Row], list[int]] = defaultdict(list)
        for index, row in rows.items():
            phase = self._codec.phase_at(row.position)
            groups[phase, replace(row, position=0)].append(index)
        for (_, row), indices in groups.items():
            self._restrict(logits, indices, rows[indices[0]].position, row)

    def _restrict(self, logits: torch.Tensor, indices: list[int], position: int, row: Row) -> None:
        """Restrict rows that agree in phase and in all else; `position` is that of one of them."""
        allowed = self._allowed_at(position)
        here = torch.tensor(indices, device=self._device)
        scores = logits[here[:, None], allowed]
        logits[here] = -torch.inf
        if not row.greedy and row.coordinate_temperature != 1:
            # The engine divides by the temperature afterwards.
            both = row.temperature, row.coordinate_temperature
            is_coordinate = torch.from_numpy(self._codec.coordinates_at(position))
            scores = row.temperature * tempered(scores, is_coordinate, *both)
        if not row.greedy:
            logits[here[:, None], allowed] = scores
            return
        chosen = allowed[end_by_majority(scores, allowed == self._codec.end_id).argmax(dim=-1)]
        said = scores.softmax(dim=-1), allowed, chosen, self._codec
        sure = sureness(*said, position, row.radius_bins)
        if row.spread_radius_bins and self._codec.phase_at(position) != "after":
            spread = spread_bins2(*said, row.spread_radius_bins)
            first = self._codec.coordinate_start_id
            logits[here, torch.where(chosen == first, first + 1, first)] = SPREAD_AT - spread
        logits[here, chosen] = sure.clamp(min=LEAST_SURENESS).log()

    def _allowed_at(self, position: int) -> torch.Tensor:
        phase = self._codec.phase_at(position)
        if phase not in self._allowed:
            ids = torch.from_numpy(self._codec.allowed_at(position))
            self._allowed[phase] = ids.to(self._device)
        return self._allowed[phase]
