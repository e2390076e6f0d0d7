"""What a model wrote so far, read whole: its words, its choice, its boxes.

The same for an answer that is still being written, one that was broken off, and one that is over:
so what was shown while it came is what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.answers.boxes import boxes_of
from napari_nunext.core.answers.reply import choice_of, parse_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.boxes import BoxConvention, ReadBoxes
    from napari_nunext.core.answers.budget import SentPicture
    from napari_nunext.core.answers.reply import Reply, Thought


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says."""

    reply: Reply
    choice: int | None
    """Index of the option that it chooses."""
    boxes: ReadBoxes


def read_answer(
    raw: str,
    sent: SentPicture,
    *,
    options: Sequence[str] = (),
    reasoning: str = "",
    thought: Thought = "tags",
    boxes: BoxConvention = "pixels",
) -> Reading:
    """Read what a model wrote about a picture.

    Parameters
    ----------
    raw : str
        All of its text, or what there is of it yet.
    sent : SentPicture
        The picture that it saw, by which its boxes are brought to the slide.
    options : sequence of str
        What it could choose from.
    reasoning : str
        What its server sent apart, as its thought.
    thought, boxes : str
        How it marks its thought and writes boxes.
    """
    reply = parse_reply(raw, reasoning=reasoning, thought=thought)
    return Reading(reply, choice_of(reply.answer, options), boxes_of(reply.answer, sent, boxes))
