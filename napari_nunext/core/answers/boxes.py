"""Boxes that a model wrote, in the spellings that models use, as boxes of the slide."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_nunext.core.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_nunext.core.answers.budget import SentPicture

BoxConvention: TypeAlias = Literal["pixels", "thousand", "thousand_y_first", "unit"]


@dataclass(frozen=True, slots=True)
class _Convention:
    side: float | None
    """What the whole side of the picture counts as; None for its pixels."""
    y_first: bool = False


CONVENTIONS: Mapping[BoxConvention, _Convention] = {
    "pixels": _Convention(None),  # the paper; Qwen2.5-VL
    "thousand": _Convention(1000.0),  # Qwen3-VL
    "thousand_y_first": _Convention(1000.0, y_first=True),  # Gemini, MedGemma
    "unit": _Convention(1.0),
}
"""How models write coordinates: of the picture that they were sent, by its pixels or its sides."""

MOST_BOXES = 100
MOST_LOOKED_AT = 10_000

LeftOut: TypeAlias = Literal["not numbers", "outside", "no area", "too many"]

_ITEM = r"\s*([^\[\](){},]{1,40})\s*"
WRITTEN_BOX = re.compile(rf"[\[(]{_ITEM},{_ITEM},{_ITEM},{_ITEM}[\])]")
"""Four items in brackets, whatever they are."""
_LABEL = re.compile(r"\"label\"\s*:\s*(\"(?:[^\"\\]|\\.){0,200}\")")


@dataclass(frozen=True, slots=True)
class AnswerBox:
    """A box that an answer points to."""

    box: Box
    """Level-0 px."""
    label: str = ""

    def to_json(self) -> dict[str, Any]:
        """``{"box": [x0, y0, x1, y1], "label": ...}``."""
        return {"box": list(self.box.as_tuple()), "label": self.label}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AnswerBox:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is no box."""
        return cls(Box.from_sequence(data["box"]), str(data["label"]))


@dataclass(frozen=True, slots=True)
class ReadBoxes:
    """What was read, in the order written, and how many were not, by reason."""

    boxes: tuple[AnswerBox, ...]
    left_out: Mapping[LeftOut, int]


def boxes_of(text: str, sent: SentPicture, convention: BoxConvention = "pixels") -> ReadBoxes:
    """Read the boxes of an answer.

    A box is four items in brackets, alone, in a list, or in a JSON object with a label. Reversed
    corners are turned, and what reaches beyond the picture is cut at its edge. What is no number,
    lies outside altogether, covers nothing, or comes after `MOST_BOXES` is left out and counted.
    """
    boxes: list[AnswerBox] = []
    left_out: dict[LeftOut, int] = {}
    for match, read in boxes_in(text, sent, convention):
        if isinstance(read, Box) and len(boxes) == MOST_BOXES:
            read = "too many"
        if isinstance(read, Box):
            boxes.append(AnswerBox(read, _label(text, match)))
        else:
            left_out[read] = left_out.get(read, 0) + 1
    return ReadBoxes(tuple(boxes), left_out)


def boxes_in(
    text: str, sent: SentPicture, convention: BoxConvention
) -> Iterator[tuple[re.Match[str], Box | LeftOut]]:
    """Where a text writes boxes, and what each is: level-0 px, or why it is none."""
    for match in islice(WRITTEN_BOX.finditer(text), MOST_LOOKED_AT):
        yield match, _level0(match, sent, CONVENTIONS[convention])


def _level0(match: re.Match[str], sent: SentPicture, convention: _Convention) -> Box | LeftOut:
    try:
        values = [float(item) for item in match.groups()]
    except ValueError:
        return "not numbers"
    if not all(math.isfinite(value) for value in values):
        return "not numbers"
    corners = np.array(values).reshape(2, 2)
    if convention.y_first:
        corners = corners[:, ::-1]
    size = np.array((sent.width_px, sent.height_px), dtype=np.float64)
    if convention.side is not None:
        corners = corners / convention.side * size
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (low >= size).any() or (high <= 0).any():
        return "outside"
    (x0, y0), (x1, y1) = sent.to_level0(np.clip((low, high), 0, size)).tolist()
    return Box(x0, y0, x1, y1) if x1 > x0 and y1 > y0 else "no area"


def _label(text: str, match: re.Match[str]) -> str:
    """The label of the JSON object that the box stands in; else none."""
    start = text.rfind("{", 0, match.start())
    if start < 0 or text.find("}", start, match.start()) >= 0:
        return ""
    end = text.find("}", match.end())
    found = _LABEL.search(text, start, end if end >= 0 else len(text))
    if found is None:
        return ""
    try:
        return str(json.loads(found[1]))
    except ValueError:
        return ""
