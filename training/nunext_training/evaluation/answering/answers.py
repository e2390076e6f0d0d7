"""Asking an answerer what exports know the answers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.models.answerers.answerer import Ended, Said
from napari_nunext.models.answerers.together import Told, answer_together, can_share
from nunext_training.data.answers import COLUMNS, seen_reply
from nunext_training.data.answers.packing import pictures_of
from nunext_training.evaluation.answering.answer_scores import Answered
from nunext_training.evaluation.answering.choosing import tokens_of
from nunext_training.evaluation.answering.following import follows, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from napari_nunext.core.answers.reply import Reply
    from napari_nunext.models.answerers.answerer import AnswerSampling
    from napari_nunext.models.answerers.loaded import LoadedAnswerer


def ask_all(
    answerer: LoadedAnswerer,
    rows: Sequence[dict[str, Any]],
    sampling: AnswerSampling,
    *,
    patch_px: int,
    tell: Callable[[int, int], None],
    told_nuclei: bool = False,
) -> list[Answered]:
    """Put every question of rows (`nunext_training.data.answers`), as it is put when serving.

    Questions about one picture share its prefill, where the model allows that.

    Parameters
    ----------
    answerer : LoadedAnswerer
    rows : sequence of dict
    sampling : AnswerSampling
    patch_px : int
        Side of one image token.
    tell : callable
        Told how many of how many are answered.
    told_nuclei : bool
        Whether prompts tell the nuclei: then it is looked at whether answers follow from them.
    """
    answered: dict[int, Answered] = {}
    for asked in pictures_of(rows):
        rgb = np.asarray(asked.picture.open())
        said = [{m["role"]: m["content"] for m in rows[i]["prompt"]} for i in asked.rows]
        prompts = [each["user"] for each in said]
        system = said[0].get("system", "")
        ask = answer_together if can_share(answerer) else answer_by_turns
        replies = ask(answerer, rgb, prompts, system, sampling)
        for i, reply in zip(asked.rows, replies, strict=True):
            answered[i] = _answered(rows[i], reply, patch_px, told_nuclei=told_nuclei)
            tell(len(answered), len(rows))
    return [answered[i] for i in range(len(rows))]


def answer_by_turns(
    answerer: LoadedAnswerer,
    rgb: NDArray[np.uint8],
    prompts: Sequence[str],
    system: str,
    sampling: AnswerSampling,
) -> list[Told]:
    """As `answer_together`, one question after the other."""
    found = []
    for prompt in prompts:
        text, ended = [], Ended("broken")
        for piece in answerer.answer(rgb, prompt, system, sampling, cancelled=lambda: False):
            if isinstance(piece, Said):
                text.append(piece.text)
            elif isinstance(piece, Ended):
                ended = piece
        found.append(Told("".join(text), ended.prompt_tokens or 0, ended.output_tokens or 0))
    return found


def _answered(row: Mapping[str, Any], reply: Told, patch_px: int, *, told_nuclei: bool) -> Answered:
    seen = seen_reply(reply.text, *(row[each] for each in COLUMNS))
    return Answered(
        row["image"],
        row["task"],
        seen,
        tokens_of(row, patch_px),
        reply.output_tokens,
        dict(_followed(row, seen.reply, told_nuclei=told_nuclei)),
        row.get("kind"),
        row.get("subset"),
    )


def _followed(
    row: Mapping[str, Any], reply: Reply, *, told_nuclei: bool
) -> Iterator[tuple[str, float]]:
    """Whether the answer follows from what it goes by, where that can be said."""
    evidence = row["evidence"]
    value = follows(reply, evidence) if told_nuclei else None
    if value is not None:
        yield "follows_its_evidence", value
    figures = written(reply, evidence)
    value = None if figures is None else follows(reply, figures)
    if value is not None:
        yield "follows_its_figures", value
