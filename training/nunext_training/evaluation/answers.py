"""Asking an answerer what exports know the answers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.models.answerers.answerer import AnswerSampling, Ended, Said
from nunext_training.data.answers import COLUMNS, seen_reply
from nunext_training.evaluation.answer_scores import Answered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from napari_nunext.models.answerers.loaded import LoadedAnswerer


def ask_all(
    answerer: LoadedAnswerer,
    rows: Sequence[dict[str, Any]],
    sampling: AnswerSampling,
    *,
    patch_px: int,
    tell: Callable[[int, int], None],
) -> list[Answered]:
    """Put every question of rows (`nunext_training.data.answers`), as it is put when serving.

    Parameters
    ----------
    answerer : LoadedAnswerer
    rows : sequence of dict
    sampling : AnswerSampling
    patch_px : int
        Side of one image token.
    tell : callable
        Told how many of how many are answered.
    """
    answered = []
    for done, row in enumerate(rows, start=1):
        said = {message["role"]: message["content"] for message in row["prompt"]}
        text, ended = [], None
        for piece in answerer.answer(
            np.asarray(row["images"][0]),
            said["user"],
            said.get("system", ""),
            sampling,
            cancelled=lambda: False,
        ):
            if isinstance(piece, Said):
                text.append(piece.text)
            elif isinstance(piece, Ended):
                ended = piece
        width_px, height_px = row["size_px"]
        answered.append(
            Answered(
                row["image"],
                row["task"],
                seen_reply("".join(text), *(row[each] for each in COLUMNS)),
                (width_px // patch_px) * (height_px // patch_px),
                0 if ended is None or ended.output_tokens is None else ended.output_tokens,
            )
        )
        tell(done, len(rows))
    return answered
