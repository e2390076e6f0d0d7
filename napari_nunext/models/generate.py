"""Decoding under the codec's grammar, one step at a time.

The prompt is read once and its keys and values are kept. At each step only the tokens that the
grammar allows at that position are scored: the rows of the output layer for them, a small part of
the vocabulary. All windows of a batch are at the same position, so the grammar is the same for all;
windows that end leave the batch.

After a y, when there are no categories, nearly every window goes on with a comma. It is read
together with the y in one forward pass, speculatively: where the model ends instead, the window
leaves and nothing is undone. That is two passes a point rather than three, with the same result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.models.families import unwrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import Cache, PreTrainedModel

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.families import Family
    from napari_nunext.models.processor import Inputs


@dataclass(frozen=True, eq=False, slots=True)
class DecodeStep:
    """What the model said at one position of the reply."""

    position: int
    rows: torch.Tensor
    """Shape (n,), int64, CPU: rows of the batch that were still going, ascending."""
    token_ids: torch.Tensor
    """Shape (n,), int64, CPU: the token that each chose."""
    allowed_ids: torch.Tensor
    """Shape (A,), int64, CPU: the tokens that the grammar allowed, ascending."""
    probabilities: torch.Tensor
    """Shape (n, A), float32, CPU: soft-max over the allowed tokens, at temperature 1."""


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


def last_position(codec: Codec, max_points: int) -> int:
    """Last position of a reply of `max_points` points: where it must end to be whole."""
    return TOKENS_PER_POINT * max_points - (0 if codec.has_categories else 1)


def end_by_majority(scores: torch.Tensor, is_end: torch.Tensor) -> torch.Tensor:
    """Scores in which the end wins where it is likelier than all that could follow together.

    The likeliest *token* is no fair judge of whether there is another nucleus: the coordinates
    share the probability of "yes" among K bins, the more evenly the less sure the model is of the
    place (and soft supervision, Eq. 7, teaches it to share), while the end has all of "no" to
    itself. **Ours**, for greedy decoding; where nothing is shared, as with a comma or the end, it
    changes nothing.

    Parameters
    ----------
    scores : Tensor, shape (n, A)
        Logits of the tokens that the grammar allows.
    is_end : Tensor of bool, shape (A,)
        Which of them ends the reply; none may.

    Returns
    -------
    Tensor, shape (n, A)
    """
    column = is_end.to(scores.device)
    ends = scores.softmax(dim=-1)[:, column] > 0.5
    return scores.masked_fill(column, -torch.inf).masked_fill(
        column & ends.any(dim=-1, keepdim=True), torch.inf
    )


def decode_batch(
    model: PreTrainedModel,
    inputs: Inputs,
    codec: Codec,
    family: Family,
    *,
    max_points: int,
    sampling: Sampling | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[DecodeStep]:
    """Decode replies to a batch of windows.

    Parameters
    ----------
    model : PreTrainedModel
        In evaluation mode.
    inputs : dict of Tensor
        As `WindowProcessor` makes them: prompts of one length, ending in the latent tokens.
    codec : Codec
    family : Family
    max_points : int
        A reply that has not ended after so many points is cut off.
    sampling : Sampling, optional
        Greedy when None, with `end_by_majority`; ties go to the smallest id.
    cancelled : callable
        Asked before every forward pass and every step; once True, nothing more is computed.

    Yields
    ------
    DecodeStep
        Positions 0, 1, ... A row ends with the codec's end token, or is cut off at
        `last_position`, where what it says instead of the end does not count.
    """
    decoder = _Decoder(unwrapped(model), codec, family, sampling)
    yield from decoder.run(inputs, last_position(codec, max_points), cancelled)


class _Decoder:
    """State of one batch: the cache and the hidden states not yet asked for a token.

    Gradients are off inside each method rather than around `run`: a generator that is waiting must
    not change the mode of whoever called it.
    """

    def __init__(
        self, model: PreTrainedModel, codec: Codec, family: Family, sampling: Sampling | None
    ) -> None:
        self._model = model
        self._codec = codec
        self._family = family
        self._sampling = sampling
        self._generators = [
            torch.Generator(model.device).manual_seed(seed)
            for seed in (() if sampling is None else sampling.seeds)
        ]
        self._cache: Cache | None = None
        self._pending: list[torch.Tensor] = []
        """Hidden states of the coming positions, each of shape (n, width)."""
        self._axes = 0
        self._next_index = 0
        """Rotary position of the next token, the same for every row and on every axis."""

    def run(self, inputs: Inputs, last: int, cancelled: Callable[[], bool]) -> Iterator[DecodeStep]:
        if cancelled():
            return
        self._read_prompt(inputs)
        rows = torch.arange(len(self._pending[0]))
        for position in range(last + 1):
            if cancelled():
                return
            allowed = torch.from_numpy(self._codec.allowed_at(position))
            scores = self._scores(self._pending.pop(0), allowed)
            tokens = allowed[self._choose(scores, allowed, rows).cpu()]
            yield DecodeStep(position, rows, tokens, allowed, scores.softmax(dim=-1).cpu())
            going = tokens != self._codec.end_id
            if not going.any() or position == last:
                return
            if not going.all():
                rows, tokens = rows[going], tokens[going]
                self._drop(going)
            if not self._pending:
                if cancelled():
                    return
                self._read(tokens, position)

    @torch.no_grad()
    def _read_prompt(self, inputs: Inputs) -> None:
        positions = self._family.position_ids(self._model, inputs)
        # Prompts are equally long and unpadded: without a mask, attention takes its causal path.
        prompt = {name: t for name, t in inputs.items() if name != "attention_mask"}
        output = self._model.base_model(**prompt, position_ids=positions, use_cache=True)
        self._cache = output.past_key_values
        self._axes, self._next_index = len(positions), int(positions.max()) + 1
        hidden = output.last_hidden_state[:, -1]
        if self._sampling is not None and self._sampling.rollouts > 1:
            self._cache.batch_repeat_interleave(self._sampling.rollouts)
            hidden = hidden.repeat_interleave(self._sampling.rollouts, dim=0)
        self._pending = [hidden]

    @torch.no_grad()
    def _read(self, tokens: torch.Tensor, position: int) -> None:
        """Feed the tokens chosen at `position`, and the comma where one is to be expected."""
        ids = tokens[:, None]
        if self._codec.phase_at(position) == "y" and not self._codec.has_categories:
            ids = torch.cat([ids, torch.full_like(ids, self._codec.separator_id)], dim=1)
        count = ids.shape[1]
        device = self._model.device
        index = torch.arange(self._next_index, self._next_index + count, device=device)
        output = self._model.base_model(
            input_ids=ids.to(device),
            position_ids=index.expand(self._axes, len(ids), count),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._next_index += count
        self._pending = list(output.last_hidden_state.unbind(dim=1))

    @torch.no_grad()
    def _scores(self, hidden: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        """Logits of the allowed tokens alone, shape (n, A), float32."""
        head = self._model.get_output_embeddings()
        ids = allowed.to(hidden.device)
        bias = getattr(head, "bias", None)  # a wrapper of PEFT has none at all
        bias = None if bias is None else bias[ids]
        return functional.linear(hidden, head.weight[ids], bias).float()

    @torch.no_grad()
    def _choose(
        self, scores: torch.Tensor, allowed: torch.Tensor, rows: torch.Tensor
    ) -> torch.Tensor:
        """Index into the allowed tokens for each row, shape (n,)."""
        if self._sampling is None:
            return end_by_majority(scores, (allowed == self._codec.end_id)).argmax(dim=-1)
        weights = (scores / self._sampling.temperature).softmax(dim=-1)
        windows, counts = (rows // self._sampling.rollouts).unique_consecutive(return_counts=True)
        drawn = [
            torch.multinomial(some, 1, generator=self._generators[window])
            for window, some in zip(windows.tolist(), weights.split(counts.tolist()), strict=True)
        ]
        return torch.cat(drawn)[:, 0]

    @torch.no_grad()
    def _drop(self, going: torch.Tensor) -> None:
        """Take the rows that have ended out of the cache and the pending states."""
        keep = going.nonzero()[:, 0].to(self._model.device)
        if self._cache is not None:
            self._cache.batch_select_indices(keep)
        self._pending = [hidden[keep] for hidden in self._pending]
