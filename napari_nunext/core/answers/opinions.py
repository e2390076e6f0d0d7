"""What a person says of an answer: stars and reasons, another text or other boxes, which is better.

An opinion is a value that replaces the one before: it is kept, exported and learned from as it
stands, and cannot contradict itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from napari_nunext.core.answers.boxes import MOST_BOXES, AnswerBox
from napari_nunext.core.errors import InputError
from napari_nunext.core.sentences import is_text

if TYPE_CHECKING:
    from collections.abc import Mapping

STARS: Mapping[int, str] = {
    1: "wrong",
    2: "partly right",
    3: "right with errors",
    4: "right, could be better",
    5: "right and complete",
}
"""What each number of stars means."""
GOOD_STARS = 4
"""From here on an answer is right."""

Tag: TypeAlias = Literal[
    "wrong finding", "wrong place", "unsupported reasoning", "unsafe", "too vague"
]
"""Why an answer is not better."""

MOST_STARS: Mapping[Tag, int] = {
    "wrong finding": 3,
    "wrong place": 3,
    "unsupported reasoning": 4,
    "unsafe": 3,
    "too vague": 4,
}
"""The most stars that each reason goes with."""

Preferred: TypeAlias = Literal["left", "right", "tie", "both_bad", "skipped"]
"""A tie says that both are as good; both bad is no defeat of either; a person may also not say."""
PREFERRED: tuple[Preferred, ...] = get_args(Preferred)

MOST_CHARACTERS = 20_000
"""Of a comment, or a corrected answer."""


@dataclass(frozen=True, slots=True)
class Rating:
    """How good an answer is, and why it is not better.

    Raises
    ------
    InputError
        If it contradicts itself, or a comment is no text or too long.
    """

    stars: int | None = None
    """A key of `STARS`; None where nobody says."""
    tags: tuple[Tag, ...] = ()
    """In the order of `MOST_STARS`, each once."""
    comment: str = ""
    blind: bool = False
    """Whether who answered was hidden."""

    def __post_init__(self) -> None:
        if self.stars is not None and (type(self.stars) is not int or self.stars not in STARS):
            raise InputError(f"A rating has {self.stars!r} stars; expected 1 to 5, or none.")
        if list(self.tags) != [tag for tag in MOST_STARS if tag in self.tags]:
            raise InputError(
                f"A rating gives the reasons {self.tags!r}; expected some of "
                f"{', '.join(MOST_STARS)}, in this order."
            )
        if against := [tag for tag in self.tags if (self.stars or 0) > MOST_STARS[tag]]:
            raise InputError(
                f"A rating of {self.stars} stars says {against[0]!r}, which goes with "
                f"{MOST_STARS[against[0]]} at most. Take one of them back."
            )
        _check_text(self.comment)

    @property
    def says_nothing(self) -> bool:
        """Whether it is no opinion at all."""
        return self.stars is None and not self.tags and not self.comment

    def with_stars(self, stars: int) -> Rating:
        """Once a star was chosen; the same star again takes it back. Tags it contradicts go."""
        if stars == self.stars:
            return replace(self, stars=None)
        tags = tuple(tag for tag in self.tags if stars <= MOST_STARS[tag])
        return replace(self, stars=stars, tags=tags)

    def with_tag(self, tag: Tag) -> Rating:
        """Once a reason was chosen, or taken back; stars that it contradicts go."""
        chosen = set(self.tags) ^ {tag}
        tags = tuple(each for each in MOST_STARS if each in chosen)
        fits = tag not in chosen or (self.stars or 0) <= MOST_STARS[tag]
        return replace(self, tags=tags, stars=self.stars if fits else None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "stars": self.stars,
            "tags": list(self.tags),
            "comment": self.comment,
            "blind": self.blind,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rating:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is no rating."""
        return cls(data["stars"], tuple(data["tags"]), data["comment"], _flag(data["blind"]))


@dataclass(frozen=True, slots=True)
class Correction:
    """What an answer should have said.

    Raises
    ------
    InputError
        If the text is none, or too long, or there are too many boxes.
    """

    text: str | None = None
    """None: the text may stay as it was said."""
    boxes: tuple[AnswerBox, ...] | None = None
    """All of them, level-0 px; None: they may stay."""

    def __post_init__(self) -> None:
        if self.text is not None:
            _check_text(self.text)
        if self.boxes is not None and len(self.boxes) > MOST_BOXES:
            raise InputError(f"There are {len(self.boxes)} boxes; expected {MOST_BOXES} or fewer.")

    @property
    def says_nothing(self) -> bool:
        """Whether all may stay as it was said."""
        return self.text is None and self.boxes is None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        boxes = None if self.boxes is None else [box.to_json() for box in self.boxes]
        return {"text": self.text, "boxes": boxes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Correction:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        boxes = data["boxes"]
        return cls(data["text"], None if boxes is None else tuple(map(AnswerBox.from_json, boxes)))


@dataclass(frozen=True, slots=True)
class Preference:
    """Which of two answers is better.

    Raises
    ------
    InputError
        If they are one answer, or the preference is none of `PREFERRED`.
    """

    left_id: str
    """The answers' ids, by the side on which they were shown."""
    right_id: str
    preferred: Preferred
    blind: bool
    """Whether who answered was hidden. Only these votes rank models."""

    def __post_init__(self) -> None:
        if self.left_id == self.right_id:
            raise InputError("An answer cannot be compared with itself; choose two.")
        if self.preferred not in PREFERRED:
            raise InputError(
                f"{self.preferred!r} is no preference; expected one of {', '.join(PREFERRED)}."
            )

    @property
    def pair(self) -> tuple[str, str]:
        """Both ids, in an order that the sides do not change."""
        first, second = sorted((self.left_id, self.right_id))
        return first, second

    @property
    def better_id(self) -> str | None:
        """The answer that is better; None where neither is said to be."""
        return {"left": self.left_id, "right": self.right_id}.get(self.preferred)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "left_id": self.left_id,
            "right_id": self.right_id,
            "preferred": self.preferred,
            "blind": self.blind,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preference:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        return cls(
            str(data["left_id"]), str(data["right_id"]), data["preferred"], _flag(data["blind"])
        )


def _check_text(text: str) -> None:
    if not isinstance(text, str) or not is_text(text):
        raise InputError("The text holds halves of characters. Type it again.")
    if len(text) > MOST_CHARACTERS:
        raise InputError(
            f"The text has {len(text)} characters; expected {MOST_CHARACTERS} or fewer."
        )


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false.")
    return value
