"""Texts of answers whose boxes are those of another picture, or are corrected."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.answers.boxes import WRITTEN_BOX, boxes_in
from napari_nunext.core.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_nunext.core.answers.boxes import BoxConvention
    from napari_nunext.core.answers.budget import SentPicture

_CLOSING = {"[": "]", "{": "}", "(": ")"}


def in_pixels_of(
    shown: SentPicture,
    text: str,
    sent: SentPicture,
    convention: BoxConvention,
    moved: Callable[[Box], Box] = lambda box: box,
) -> str:
    """The same text with its boxes in whole pixels of another picture, x first.

    Parameters
    ----------
    shown : SentPicture
        The picture whose pixels count.
    text : str
        What was said of `sent`. What is no box of it stays as it is.
    sent : SentPicture
    convention : str
        How the text writes boxes, a key of `core.answers.boxes.CONVENTIONS`.
    moved : callable, optional
        Where a box of `sent` lies in `shown`, level-0 px; as it is, where that is the same region.
    """
    there = [(m, moved(box)) for m, box in boxes_in(text, sent, convention) if isinstance(box, Box)]
    return _replaced(text, [match for match, _ in there], [_written(shown, b) for _, b in there])


def with_boxes(shown: SentPicture, text: str, boxes: Sequence[Box]) -> str:
    """A text that names these boxes (level-0 px) instead of those that it names.

    As many boxes as it has take their places, in order. Otherwise what reaches from its first box
    to its last, with the brackets round them, becomes ``[[x_min, y_min, x_max, y_max], ...]``, as
    the paper's prompt asks; a text without boxes gets them at its end. All in whole pixels of
    `shown`.
    """
    written = [_written(shown, box) for box in boxes]
    listed = f"[{', '.join(written)}]"
    found = [m for m, box in boxes_in(text, shown, "pixels") if isinstance(box, Box)]
    if found and len(found) == len(written):
        return _replaced(text, found, written)
    if not found:
        return f"{text.rstrip()} {listed}".strip()
    start, end = _with_brackets(text, found)
    return f"{text[:start]}{listed}{text[end:]}"


def without_boxes(text: str) -> str:
    """What a text says besides the boxes that it writes: for readers who see them on the image.

    A list or a JSON object goes with the boxes in it; one that is still being written goes too.
    """
    kept, end = [], 0
    for start, stop in _lists_of_boxes(text):
        kept.append(text[end:start])
        end = stop
    said = re.sub(r"```\w*", " ", " ".join((*kept, text[end:]))) if end else text
    said = re.sub(r"\s+([.,;:!?])", r"\1", said)
    return said.strip() if any(map(str.isalnum, said)) else ""


def _lists_of_boxes(text: str) -> Iterator[tuple[int, int]]:
    """From where to where boxes stand, with the lists and objects around them."""
    boxes = iter([*WRITTEN_BOX.finditer(text)])
    box = next(boxes, None)
    depth = begun = 0
    at = -1
    for at, character in enumerate(text):
        if character in "[{":
            begun, depth = (at, 1) if depth == 0 else (begun, depth + 1)
        elif character in "]}" and depth:
            depth -= 1
            if depth == 0:
                inside = False
                while box is not None and box.start() <= at:
                    inside, box = inside or box.start() >= begun, next(boxes, None)
                if inside:
                    yield begun, at + 1
    if depth and re.match(r"[\[{\s]*(\d|\"\w*box)", text[begun:]):
        yield begun, at + 1


def _replaced(text: str, places: Sequence[re.Match[str]], written: Sequence[str]) -> str:
    said, end = [], 0
    for match, box in zip(places, written, strict=True):
        said += [text[end : match.start()], box]
        end = match.end()
    return "".join((*said, text[end:]))


def _with_brackets(text: str, boxes: Sequence[re.Match[str]]) -> tuple[int, int]:
    """Where the list that boxes stand in begins and ends."""
    start, end = boxes[0].start(), boxes[-1].end()
    opened: list[int] = []
    for at, character in enumerate(text[:start]):
        if character in _CLOSING:
            opened.append(at)
        elif opened and character == _CLOSING[text[opened[-1]]]:
            opened.pop()
    for at in reversed(opened):
        closing = text.find(_CLOSING[text[at]], end)
        if closing < 0:
            break
        start, end = at, closing + 1
    return start, end


def _written(shown: SentPicture, box: Box) -> str:
    """A box in whole pixels of a picture, none of which it leaves out; cut to it if it is in it."""
    # A hundredth of a pixel is what calculating loses, not where the box ends.
    corners = shown.from_level0(np.array([[box.x0, box.y0], [box.x1, box.y1]])).round(2)
    cut = np.clip(corners, 0, (shown.width_px, shown.height_px))
    (x0, y0), (x1, y1) = (cut if (cut[1] > cut[0]).all() else corners).tolist()
    return f"[{math.floor(x0)}, {math.floor(y0)}, {math.ceil(x1)}, {math.ceil(y1)}]"
