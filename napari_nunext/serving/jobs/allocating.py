"""Letting an answerer choose how many image tokens a question deserves (arXiv 2505.15687)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.models.answerers.picture import draw

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.models.answerers.answerer import Allocator


@dataclass(frozen=True, slots=True)
class Allocated:
    """What is sent, and how that was chosen."""

    sent: SentPicture
    tokens: int | None = None
    """As chosen; None where nothing was."""
    look_tokens: int = 0
    """Of the thumbnail that it was chosen by."""


def allocated(
    allocator: Allocator, question: Question, image: ImageSource, sent: SentPicture, budget: int
) -> Generator[None, None, Allocated]:
    """Let an allocator choose.

    It looks at a thumbnail, and only where there is something to choose: a picture that costs no
    more than the least of its choices is sent as it is.

    Parameters
    ----------
    allocator : Allocator
    question : Question
    image : ImageSource
    sent : SentPicture
        What the whole budget would send.
    budget : int
        The most that may be chosen.
    """
    menu = allocator.allocation.within(budget)
    if len(menu) < 2 or sent.image_tokens <= menu[0]:
        return Allocated(sent)
    looked = SentPicture.of(sent.region, allocator.allocation.look_tokens, sent.patch_px)
    chosen = None
    for said in allocator.choose(
        draw(image, looked),
        question,
        menu,
        current_tokens=sent.image_tokens,
        most_tokens=budget,
    ):
        chosen = said
        if said is None:
            yield None
    tokens = budget if chosen is None else chosen
    picture = SentPicture.of(sent.region, tokens, sent.patch_px)
    return Allocated(picture, tokens, looked.image_tokens)
