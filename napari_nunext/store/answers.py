"""What was asked of an image, by whom it was answered, and what they said; none of it ever changes.

What people think of an answer is in the journal (`store.kinds.answers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID

import numpy as np

from napari_nunext.core.answers.boxes import CONVENTIONS, AnswerBox
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, as_points_xy, check_mpp
from napari_nunext.core.uids import Uids, as_uids, as_uuids

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from napari_nunext.core.answers.boxes import BoxConvention
    from napari_nunext.core.geometry import PointsXY

BEYOND_PX = 2**31
"""Wider and higher than any image."""

AnswererKind: TypeAlias = Literal["counts", "model"]
AnswerFinish: TypeAlias = Literal["stop", "length", "broken", "cancelled"]
"""By itself, at the most tokens, by a server that broke off, or by a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question as it was put: all that made the answer, besides who gave it."""

    question: Question
    region: Box
    """What it was asked of, level-0 px."""
    mpp: float
    """Micrometres per level-0 pixel."""
    prompt: str = ""
    """The words that a model was sent."""
    system: str = ""
    sent_px: tuple[int, int] | None = None
    """Width and height of the picture that was sent; None where none was. Boxes are read by it."""
    budget: int | None = None
    """Image tokens that were allowed."""
    image_tokens: int | None = None
    """What the picture cost."""
    region_tokens: int | None = None
    """What it would have cost without a budget."""
    allocated: int | None = None
    """Image tokens that the allocator chose; None where it was not asked."""
    look_tokens: int | None = None
    """What it looked at to choose, not among `image_tokens`; 0 where there was nothing to choose
    from, None where it was not to choose."""
    temperature: float | None = None
    seed: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        check_mpp(self.mpp, "The question")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        q = self.question
        said["question"] = {
            "task": q.task,
            "text": q.text,
            "options": list(q.options),
            "organ": q.organ,
        }
        said["region"] = list(self.region.as_tuple())
        said["sent_px"] = None if self.sent_px is None else list(self.sent_px)
        return said

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asked:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        q, sent = data["question"], data["sent_px"]
        return cls(
            **{
                **data,
                "question": Question(q["task"], q["text"], tuple(q["options"]), q["organ"]),
                "region": Box.from_sequence(data["region"]),
                "sent_px": None if sent is None else (int(sent[0]), int(sent[1])),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBy:
    """Who answered, and what is to be known of it for ever."""

    name: str
    """What people chose it by; of the rule that counts, ``"counts"``."""
    kind: AnswererKind = "model"
    model: str = ""
    """As its own server names it."""
    host: str = ""
    """Where the picture went; empty where it went nowhere."""
    may_train: bool = False
    """Whether its answers may be learned from."""
    boxes: BoxConvention = "pixels"
    """How it writes boxes, a key of `core.answers.boxes.CONVENTIONS`."""
    thought: str = "tags"
    """How it marks its thought, a key of `core.answers.reply.THOUGHTS`."""
    patch_px: int | None = None
    """Side of one image token."""
    reads_nuclei: bool = False
    """Whether it is told the nuclei of the region."""
    sha256: str | None = None
    """Hash of its weights, where they are ours to know."""

    def __post_init__(self) -> None:
        if self.boxes not in CONVENTIONS:
            raise InputError(
                f"{self.name} writes boxes as {self.boxes!r}; expected one of "
                f"{', '.join(CONVENTIONS)}."
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AnsweredBy:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        return cls(**data)


COUNTS = AnsweredBy(name="counts", kind="counts", may_train=True)
"""The rule that answers from nuclei. What it says follows from people's own nuclei."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Nuclei that an answer rests on, as they were: counted, or read. N may be 0."""

    uids: Uids = field(default_factory=lambda: as_uids(()))
    """Shape (N, 16)."""
    places_xy: PointsXY = field(default_factory=lambda: as_points_xy(()))
    """Centroids, level-0 px, shape (N, 2)."""
    categories: tuple[str, ...] = ()
    """One for each; empty where they were not kept, as in projects of earlier versions."""

    def __post_init__(self) -> None:
        if len(self.categories) not in (0, len(self.uids)):
            raise InputError(
                f"{len(self.uids)} nuclei have {len(self.categories)} categories; expected one "
                "each, or none at all."
            )
        if len(self.uids) != len(self.places_xy):
            raise InputError(
                f"{len(self.uids)} nuclei have {len(self.places_xy)} places; expected one each."
            )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Evidence)
            and np.array_equal(self.uids, other.uids)
            and np.array_equal(self.places_xy, other.places_xy)
            and self.categories == other.categories
        )

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.uids)

    def named(self) -> tuple[tuple[float, float, str], ...]:
        """Place and category of each, as answerers are told them."""
        places = self.places_xy.tolist()
        return tuple((x, y, name) for (x, y), name in zip(places, self.categories, strict=True))

    def uuids(self) -> list[UUID]:
        """The nuclei's identities."""
        return as_uuids(self.uids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What an answerer said, and how it was read."""

    answer: str
    think: str = ""
    raw: str = ""
    """All of the text."""
    reasoning: str = ""
    """What its server sent apart, as its thought."""
    failure: str | None = None
    """Why it is not exactly a thought and an answer, of `core.answers.reply`; None where it is."""
    choice: int | None = None
    """Index of the option that it chooses."""
    boxes: tuple[AnswerBox, ...] = ()
    boxes_left_out: Mapping[str, int] = field(default_factory=dict)
    """How many boxes could not be read, by reason."""
    finish: AnswerFinish = "stop"
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    notes: tuple[str, ...] = ()
    """What a reader should know of it, a sentence each."""
    answered: bool = True
    """False where it says that it cannot answer."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        said = {f.name: getattr(self, f.name) for f in fields(self)}
        said["boxes"] = [box.to_json() for box in self.boxes]
        said["boxes_left_out"] = dict(self.boxes_left_out)
        said["notes"] = list(self.notes)
        return said

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Said:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        boxes = tuple(map(AnswerBox.from_json, data["boxes"]))
        return cls(**{**data, "boxes": boxes, "notes": tuple(data["notes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question to an image, and an answer to it."""

    answer_id: str
    """A UUID."""
    image_sha256: str
    asked: Asked
    by: AnsweredBy
    said: Said
    evidence: Evidence = field(default_factory=Evidence)
    asked_together: str | None = None
    """A UUID that answers to one question share, where it was put several times at once."""
    annotator: str = ""
    """Who asked; the project stamps it."""
    asked_utc: datetime | None = None
    """When it was over; the project stamps it."""

    def __post_init__(self) -> None:
        UUID(self.answer_id)

    @property
    def read_by(self) -> tuple[SentPicture, BoxConvention]:
        """The picture whose boxes its words name, and how they name them."""
        sent_px = self.asked.sent_px
        if sent_px is None:  # the counting rule is sent none, and speaks of level-0 pixels
            return SentPicture(Box(0, 0, BEYOND_PX, BEYOND_PX), BEYOND_PX, BEYOND_PX), "pixels"
        return SentPicture(self.asked.region, *sent_px), self.by.boxes

    @property
    def rests_on_nuclei(self) -> bool:
        """Whether it counted nuclei, or was told them."""
        return self.by.kind == "counts" or self.by.reads_nuclei

    def stamped(self, annotator: str, at_utc: datetime) -> Answer:
        """The same with who and when; what is stamped already stays."""
        if self.asked_utc is not None and self.annotator == annotator:
            return self
        return replace(self, annotator=annotator, asked_utc=at_utc)
