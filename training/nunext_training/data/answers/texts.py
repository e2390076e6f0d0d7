"""What is read and written in exports of answers, as text: for a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nunext_training.data.answers.rows import read_answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ANY = 256
"""A budget and a side of tokens: words are the same whatever the picture's size."""


def training_texts(folders: Sequence[Path], *, strict: bool, allow_loss: bool) -> Iterator[str]:
    """Questions and right answers of the training split, with the figures of their nuclei.

    Errors are those of `read_answers`.
    """
    data = read_answers(
        folders, "sft", budget=_ANY, patch_px=_ANY, strict=strict, allow_loss=allow_loss
    )
    for row in data.train:
        yield row["prompt"][-1]["content"]
        yield row["completion"][-1]["content"]
