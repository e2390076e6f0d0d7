"""Whether an answerer finds likelier what readers prefer, where nobody knows what is right.

A couple is two replies to one question: the one that was preferred or is the other one corrected,
and, of ratings, one that was found good and one that was found bad. The figure is the share of
couples whose better reply has the higher mean log-likelihood of a token, which no length decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nunext_training.evaluation.answering.answer_scores import Figure, figure_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_nunext.models.answerers.loaded import LoadedAnswerer

AGREES = "agrees_with_readers"


@dataclass(frozen=True, slots=True)
class Couples:
    """Replies of which readers find one better: picture, prompt and reply of each side."""

    sides: tuple[tuple[dict[str, Any], dict[str, Any]], ...]
    """The better one first."""

    @classmethod
    def of(cls, pairs: Sequence[dict[str, Any]], rated: Sequence[dict[str, Any]]) -> Couples:
        """Of rows of ``dpo`` and of ``kto`` (`nunext_training.data.answers.read_answers`)."""
        return cls((*_compared(pairs), *_rated(rated)))

    def __len__(self) -> int:
        return len(self.sides)

    def score(self, answerer: LoadedAnswerer) -> dict[str, Figure]:
        """``agrees_with_readers``, 0.5 where it likes both the same; nothing without couples."""
        if not self.sides:
            return {}
        values = []
        for better, worse in self.sides:
            gain = log_likelihood(answerer, better) - log_likelihood(answerer, worse)
            values.append((better["image_sha256"], (1 + float(np.sign(gain))) / 2))
        return {AGREES: figure_of(values)}


def log_likelihood(answerer: LoadedAnswerer, side: dict[str, Any]) -> float:
    """Mean log-likelihood of a reply's tokens, its end too, behind its picture and prompt."""
    said = {message["role"]: message["content"] for message in side["prompt"]}
    asked = np.asarray(side["images"][0].open()), said["user"], said.get("system", "")
    before = answerer.read(*asked)["input_ids"].shape[1]
    inputs = answerer.read(*asked, side["reply"])
    with torch.inference_mode():
        logits = answerer.model(**inputs).logits[0, before - 1 : -1].float()
    ids = inputs["input_ids"][0, before:, None]
    return float(logits.log_softmax(-1).gather(1, ids).mean())


def _compared(pairs: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for row in pairs:
        better, worse = (row | {"reply": row[which][-1]["content"]} for which in _SIDES)
        yield better, worse


def _rated(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every good reply beside every bad one to the same words, whatever the picture."""
    sides = [row | {"reply": row["completion"][-1]["content"]} for row in rows]
    for good in (each for each in sides if each["label"]):
        for bad in (each for each in sides if not each["label"]):
            if good["prompt"] == bad["prompt"]:
                yield good, bad


_SIDES = ("chosen", "rejected")
