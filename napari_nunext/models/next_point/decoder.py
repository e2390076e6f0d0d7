"""Decoding under the codec's grammar: replies that come and go, one step at a time.

A prompt is read once, and its keys and values are kept (`row_cache`). At each step only the tokens
that the grammar allows are scored: the rows of the output layer for them, a small part of the
vocabulary.

Replies may differ in length, but all are in the same *phase*: at an x, at a y, or after a point.
For new ones are admitted only where a point begins. So one grammar holds for all of them at every
step, and tokens can be read ahead for all of them alike, before they are said: after a y, when
there are no categories, nearly every reply goes on with a comma, which is read together with the y
in one forward pass. Where the model ends instead, the reply leaves and nothing is undone. That is
two passes a point rather than three, with the same result.

With the drafts of a head (`drafts`) all of a point is read ahead in one pass. Replies that say
something else, or something too far from it, read the point again from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.models.families import unwrapped
from napari_nunext.models.next_point.replies import end_by_majority
from napari_nunext.models.next_point.row_cache import RowCache, attending
from napari_nunext.models.next_point.sampling import Draw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.families.prompt import Prompt
    from napari_nunext.models.next_point.drafts import Drafts
    from napari_nunext.models.next_point.sampling import Sampling


@dataclass(frozen=True, eq=False, slots=True)
class DecodeStep:
    """What the model said at one step: a token for each reply under way."""

    rows: torch.Tensor
    """Shape (n,), int64, CPU: which replies, by the numbers that they were admitted under; in no
    particular order."""
    positions: torch.Tensor
    """Shape (n,), int64, CPU: where in its reply each token stands; all in the same phase."""
    token_ids: torch.Tensor
    """Shape (n,), int64, CPU: the token that each chose."""
    allowed_ids: torch.Tensor
    """Shape (A,), int64, CPU: tokens that the grammar allows one of them at least, ascending."""
    scores: torch.Tensor
    """Shape (n, A), float32, on the model's device: logits, minus infinity where the grammar of a
    reply's position forbids the token."""
    seen: torch.Tensor
    """Shape (n, 2 * width), on the model's device: the state that each token was scored from, and
    behind it the mean state of the window's image tokens."""

    @property
    def probabilities(self) -> torch.Tensor:
        """Soft-max over the tokens that the grammar allows, at temperature 1, shape (n, A)."""
        return self.scores.softmax(dim=-1)


def choosing_among(step: DecodeStep, codec: Codec, among: Sequence[Sequence[str]]) -> DecodeStep:
    """The same step, in which no reply says a category that it may not.

    Parameters
    ----------
    step : DecodeStep
        Of a greedy decoder.
    codec : Codec
    among : sequence of sequence of str
        Of each reply; none for all categories.
    """
    writes = codec.has_categories and codec.phase_at(int(step.positions[0])) == "after"
    if not (writes and any(among)):
        return step
    names = dict(zip(codec.category_ids, codec.category_names, strict=True))
    said = [names[token] for token in step.allowed_ids.tolist()]
    forbidden = torch.tensor([[bool(kept) and name not in kept for name in said] for kept in among])
    scores = step.scores.masked_fill(forbidden.to(step.scores.device), -torch.inf)
    return replace(step, token_ids=step.allowed_ids[scores.argmax(dim=-1).cpu()], scores=scores)


def last_position(codec: Codec, max_points: int) -> int:
    """Last position of a reply of `max_points` points: where it must end to be whole."""
    return TOKENS_PER_POINT * max_points - (0 if codec.has_categories else 1)


def decode_batch(
    model: PreTrainedModel,
    prompt: Prompt,
    codec: Codec,
    *,
    max_points: int,
    sampling: Sampling | None = None,
    drafts: Drafts | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[DecodeStep]:
    """Decode replies to a batch of windows, from the first token to the last.

    Parameters
    ----------
    model : PreTrainedModel
        In evaluation mode.
    prompt : Prompt
        As `WindowProcessor` makes it, ending in the latent tokens.
    codec : Codec
    max_points : int
        A reply that has not ended after so many points is cut off.
    sampling : Sampling, optional
        Greedy when None, with `end_by_majority`; ties go to the smallest id.
    drafts : Drafts, optional
        New ones, of a head for atomic points.
    cancelled : callable
        Asked before every forward pass and every step; once True, nothing more is computed.

    Yields
    ------
    DecodeStep
        Positions 0, 1, ... A row ends with the codec's end token, or is cut off at
        `last_position`, where what it says instead of the end does not count.
    """
    if cancelled():
        return
    copies = 1 if sampling is None else sampling.rollouts
    decoder = Decoder(model, codec, sampling, drafts)
    decoder.admit(prompt, range(len(prompt.ids) * copies))
    last = last_position(codec, max_points)
    while len(decoder) and not cancelled():
        step = decoder.choose()
        yield step
        going = (step.token_ids != codec.end_id) & (step.positions < last)
        decoder.advance(step.token_ids, going)


class Decoder:
    """Replies under way: what was read of each, and the states that the next tokens come from.

    Gradients are off inside each method rather than around its users, of which some are
    generators: one that is waiting must not change the mode of whoever called it.

    A forward pass that fails, for want of memory for example, changes nothing: `choose` can be
    called again, with fewer replies.

    Parameters
    ----------
    model : PreTrainedModel
        In evaluation mode; its weights stay as they are while replies are under way.
    codec : Codec
    sampling : Sampling, optional
        Greedy when None, with `end_by_majority`; ties go to the smallest id.
    drafts : Drafts, optional
        New ones, this decoder's alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        codec: Codec,
        sampling: Sampling | None = None,
        drafts: Drafts | None = None,
    ) -> None:
        self._model = unwrapped(model)
        self._language_model = self._model.get_decoder()
        self._codec = codec
        self._draw = None if sampling is None else Draw(sampling)
        self._copies = 1 if sampling is None else sampling.rollouts
        self._drafts = drafts
        self._cache = RowCache(self._language_model)
        self._rows = torch.empty(0, dtype=torch.long)
        self._positions = torch.empty(0, dtype=torch.long)
        self._states: list[torch.Tensor] = []
        """Hidden states of the coming positions as far as they are known, each (n, width)."""
        self._unread: list[torch.Tensor] = []
        """Tokens that were chosen and have yet to be read, each of shape (n,)."""
        self._ahead: list[torch.Tensor] = []
        """Tokens that were read at the coming positions before they were chosen, each (n,)."""
        self._amiss: tuple[torch.Tensor, torch.Tensor] | None = None
        """Which replies chose something else than was read, and what all chose, each (n,)."""
        self._images: torch.Tensor | None = None
        """Mean states of the windows' image tokens, shape (n, width)."""
        self._heads: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
        """Weights and biases of the output layer for the tokens of each phase."""
        self._axes = 0
        self._shift = 0
        """Rotary position of a token less its index: an image takes fewer positions than tokens."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> torch.Tensor:
        """Numbers of the replies under way, shape (n,), int64, CPU."""
        return self._rows

    @property
    def at_a_point(self) -> bool:
        """Whether a point begins next, so that replies may be admitted."""
        return len(self) == 0 or int(self._positions[0]) % TOKENS_PER_POINT == 0

    @torch.no_grad()
    def admit(self, prompt: Prompt, rows: Sequence[int]) -> None:
        """Read the prompts of new replies.

        Parameters
        ----------
        prompt : Prompt
            As `WindowProcessor` makes it, always of one checkpoint.
        rows : sequence of int
            Numbers by which to know the replies; where there are rollouts, those of a window
            follow one another.
        """
        assert self.at_a_point
        self._catch_up()
        # One layout for all windows, and what finds it works window by window.
        positions = prompt.family.position_ids(self._model, prompt.rows(slice(1)))
        windows, length = prompt.ids.shape
        # Prompts are equally long and unpadded: without a mask, attention takes its causal path.
        output = self._model.base_model(
            **{name: t for name, t in prompt.items() if name != "attention_mask"},
            position_ids=positions.expand(-1, windows, -1),
            use_cache=True,
        )
        hidden = output.last_hidden_state
        state = hidden[:, -1].repeat_interleave(self._copies, dim=0)
        states = [torch.cat([*self._states, state])]
        images = hidden[:, prompt.image_places].mean(dim=1).repeat_interleave(self._copies, dim=0)
        if self._drafts is not None:
            seen = self._drafts.look(hidden[:, prompt.image_places], self._copies)
        self._cache.append(output.past_key_values, self._copies)
        self._states = states
        self._images = images if self._images is None else torch.cat([self._images, images])
        if self._drafts is not None:
            self._drafts.arrive(seen)
        self._axes, self._shift = len(positions), int(positions.max()) + 1 - length
        self._rows = torch.cat([self._rows, torch.as_tensor(rows, dtype=torch.long)])
        self._positions = torch.cat([self._positions, self._positions.new_zeros(len(state))])

    @torch.no_grad()
    def choose(self) -> DecodeStep:
        """Choose the next token of every reply; `advance` makes it count."""
        self._catch_up()
        earliest, latest = int(self._positions.min()), int(self._positions.max())
        allowed = torch.from_numpy(self._codec.allowed_at(earliest))
        scores = self._scores(self._states[0], allowed, self._codec.phase_at(earliest))
        if earliest == 0 < latest:
            # A reply may be empty; but after a comma there is a point.
            only_first = ~torch.isin(allowed, torch.from_numpy(self._codec.allowed_at(latest)))
            forbidden = (self._positions > 0)[:, None] & only_first
            scores = scores.masked_fill(forbidden.to(scores.device), -torch.inf)
        if self._draw is None:
            chosen = end_by_majority(scores, allowed == self._codec.end_id).argmax(dim=-1)
        else:
            is_coordinate = torch.from_numpy(self._codec.coordinates_at(earliest))
            chosen = self._draw(scores, self._rows, is_coordinate)
        assert self._images is not None
        seen = torch.cat([self._states[0], self._images], dim=1)
        return DecodeStep(self._rows, self._positions, allowed[chosen.cpu()], allowed, scores, seen)

    def advance(self, token_ids: torch.Tensor, going: torch.Tensor) -> None:
        """Go on to the next position.

        Parameters
        ----------
        token_ids : Tensor of int, shape (n,)
            What each reply says at this position: what `choose` chose, or what it is to repeat.
        going : Tensor of bool, shape (n,)
            Which replies go on; the others leave.
        """
        state = self._states.pop(0)
        if self._states:
            read = self._ahead.pop(0)
            differs = self._drafts.amiss if self._drafts is not None else torch.ne
            self._amiss = (differs(read, token_ids), token_ids)
        else:
            self._unread.append(token_ids)
            if self._drafts is not None:
                self._drafts.begin(state, token_ids)
        self.keep(going)
        self._positions = self._positions + 1

    @torch.no_grad()
    def keep(self, kept: torch.Tensor) -> None:
        """Let the replies go that `kept`, of bool and shape (n,), does not name."""
        if kept.all():
            return
        order = self._cache.keep(kept)
        if len(order) == 0:
            self._states, self._unread, self._ahead, self._amiss = [], [], [], None
        self._rows, self._positions = self._rows[order], self._positions[order]
        self._unread = [tokens[order] for tokens in self._unread]
        self._ahead = [tokens[order] for tokens in self._ahead]
        if self._amiss is not None:
            amiss, chosen = self._amiss
            self._amiss = amiss[order], chosen[order]
        if self._drafts is not None:
            self._drafts.keep(order)
        there = order.to(self._model.device)
        self._states = [state[there] for state in self._states]
        if self._images is not None:
            self._images = self._images[there]

    def _catch_up(self) -> None:
        """Read what was chosen, and what is to be expected after it, in one pass."""
        if self._amiss is not None:
            self._read_again(*self._amiss)
            self._amiss = None
        if self._states or not self._unread:
            return
        ahead = self._expected()
        ids = torch.stack([*self._unread, *ahead], dim=1)
        self._states = list(self._read(ids)[:, -1 - len(ahead) :].unbind(dim=1))
        self._unread, self._ahead = [], ahead

    def _expected(self) -> list[torch.Tensor]:
        """Tokens that likely stand at the coming positions, each of shape (n,)."""
        if self._drafts is not None:
            return self._drafts.rest()
        after_y = self._codec.phase_at(int(self._positions[0])) == "after"
        if after_y and not self._codec.has_categories:
            return [torch.full_like(self._unread[-1], self._codec.separator_id)]
        return []

    def _read_again(self, amiss: torch.Tensor, chosen: torch.Tensor) -> None:
        """Put the chosen token in the place of the one that was read, where that was amiss."""
        rows = amiss.nonzero()[:, 0]
        if len(rows) == 0:
            return
        ids = chosen[rows]
        after = [] if self._drafts is None or not self._ahead else [self._drafts.after(ids, rows)]
        states = self._read(torch.stack([ids, *after], dim=1), rows)
        there = rows.to(states.device)
        self._states = [
            state.index_copy(0, there, new)
            for state, new in zip(self._states, states.unbind(dim=1), strict=True)
        ]
        self._ahead = [
            read.index_copy(0, rows, new) for read, new in zip(self._ahead, after, strict=True)
        ]

    def _read(self, ids: torch.Tensor, again: torch.Tensor | None = None) -> torch.Tensor:
        """Hidden states after each of some tokens, shape (m, count) to (m, count, width).

        Of all replies, or `again`, in the place of their last tokens, of those that it names.
        """
        device = self._model.device
        mask = self._cache.begin(ids.shape[1], again)
        index = self._cache.places + self._shift
        with attending(self._language_model):
            output = self._model.base_model(
                input_ids=ids.to(device),
                attention_mask=mask,
                position_ids=index.to(device).expand(self._axes, -1, -1),
                past_key_values=self._cache,
                use_cache=True,
            )
        self._cache.commit()
        states: torch.Tensor = output.last_hidden_state
        return states

    def _scores(self, state: torch.Tensor, allowed: torch.Tensor, phase: str) -> torch.Tensor:
        """Logits of the tokens allowed in a phase, shape (n, A), float32."""
        if phase not in self._heads:
            head = self._model.get_output_embeddings()
            ids = allowed.to(state.device)
            bias = getattr(head, "bias", None)  # a wrapper of PEFT has none at all
            self._heads[phase] = head.weight[ids], None if bias is None else bias[ids]
        return functional.linear(state, *self._heads[phase]).float()
