"""Several questions about one picture, answered together: what they share is read once.

Questions of a picture begin with the same words, picture and nuclei. That prefix is computed once
and its cache repeated, each question's own words stand behind it, and all replies are written side
by side. The words are those of `LoadedAnswerer.answer`, up to rounding.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from napari_nunext.models.families.pictures import first_tokens, places_of, texts_can_share
from napari_nunext.models.next_point.sampling import Draw, Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.models.answerers.answerer import AnswerSampling
    from napari_nunext.models.answerers.loaded import LoadedAnswerer

AT_MOST = 16
"""Replies that are written side by side: each has its cache."""


@dataclass(frozen=True, slots=True)
class Told:
    """A whole reply."""

    text: str
    prompt_tokens: int
    output_tokens: int


def can_share(answerer: LoadedAnswerer) -> bool:
    """Whether its model says places of tokens in a way that lets several texts follow one."""
    return texts_can_share(answerer.model)


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, the last of each left out: it foretells the reply."""
    shared = min(map(len, prompts)) - 1
    for other in prompts[1:]:
        pairs = zip(prompts[0][:shared], other[:shared], strict=True)
        shared = next((i for i, (one, two) in enumerate(pairs) if one != two), shared)
    return shared


def read_shared(
    answerer: LoadedAnswerer, inputs: Any, length: int, *, copies: int
) -> tuple[DynamicCache, torch.Tensor]:
    """Compute what texts about a picture begin with, once.

    Parameters
    ----------
    answerer : LoadedAnswerer
        One that `can_share`.
    inputs : BatchFeature
        Of one of the texts.
    length : int
        How many tokens are shared, the picture's among them.
    copies : int
        How many texts there are.

    Returns
    -------
    DynamicCache
        With a row for each text.
    Tensor of int, shape (1, 1)
        By how much places differ from numbers of tokens behind it.
    """
    model: Any = answerer.model
    shared = first_tokens(inputs, length)
    cache = DynamicCache(config=model.config.get_text_config())
    model(**shared, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(copies)
    return cache, places_of(model, shared)[1]


@torch.inference_mode()
def answer_together(
    answerer: LoadedAnswerer,
    rgb: NDArray[np.uint8],
    prompts: Sequence[str],
    system: str,
    sampling: AnswerSampling,
) -> list[Told]:
    """Answer questions about one picture.

    Parameters
    ----------
    answerer : LoadedAnswerer
        One that `can_share`.
    rgb : ndarray of uint8, shape (H, W, 3)
    prompts : sequence of str
    system : str
    sampling : AnswerSampling
        Of each reply, as if it were asked alone.

    Raises
    ------
    InputError
        If picture and words leave the model no room to answer.
    """
    found: list[Told] = []
    for first in range(0, len(prompts), AT_MOST):
        inputs = [answerer.read(rgb, each, system) for each in prompts[first : first + AT_MOST]]
        found += _Together(answerer, inputs, sampling).replies()
    return found


class _Together:
    """Replies under way."""

    def __init__(
        self, answerer: LoadedAnswerer, inputs: Sequence[Any], sampling: AnswerSampling
    ) -> None:
        self._answerer = answerer
        self._model: Any = answerer.model
        self._ids = [each["input_ids"][0].tolist() for each in inputs]
        self._shared = shared_length(self._ids)
        self._most = min(sampling.max_tokens, answerer.room(max(len(each) for each in self._ids)))
        seed = secrets.randbits(31) if sampling.seed is None else sampling.seed
        self._draw = (
            Draw(Sampling(sampling.temperature, [seed] * len(inputs)))
            if sampling.temperature > 0
            else None
        )
        self._cache, self._delta = read_shared(
            answerer, inputs[0], self._shared, copies=len(self._ids)
        )

    def replies(self) -> list[Told]:
        """All of them, to the end or the most tokens."""
        device = self._model.device
        rest = [each[self._shared :] for each in self._ids]
        longest = max(map(len, rest))
        padding = [longest - len(each) for each in rest]
        pad = self._answerer.ends[0] if self._answerer.ends else 0
        ids = torch.tensor(
            [[pad] * n + each for n, each in zip(padding, rest, strict=True)], device=device
        )
        missing = torch.tensor(padding, device=device)[:, None]
        own = torch.arange(longest, device=device)[None] - missing
        mask = torch.cat([torch.ones_like(ids[:, :1]).expand(-1, self._shared), own >= 0], dim=1)
        places = self._shared + own.clamp(min=0) + self._delta
        said: list[list[int]] = [[] for _ in rest]
        going = set(range(len(rest)))
        for _ in range(self._most):
            tokens = self._next(ids, mask, places)
            for row in sorted(going):
                said[row].append(int(tokens[row]))
                if said[row][-1] in self._answerer.ends:
                    going.remove(row)
            if not going:
                break
            ids, places = tokens[:, None], places[:, -1:] + 1
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        return [
            Told(self._answerer.text(tokens), len(each), len(tokens))
            for tokens, each in zip(said, self._ids, strict=True)
        ]

    def _next(self, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The token after each of `ids`."""
        logits = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places[None].expand(3, -1, -1),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        if self._draw is None:
            chosen: torch.Tensor = logits.argmax(dim=-1)
            return chosen
        return self._draw(logits, torch.arange(len(ids))).to(ids.device)
