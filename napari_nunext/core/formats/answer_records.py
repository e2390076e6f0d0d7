"""Records of answers: what an export holds of them beside nuclei, and what trainers read.

``answers.jsonl`` has each judged answer whole, with what every reader said of it: imports read it.
The other files are made of it for trainers, in the columns that TRL documents: ``images`` (a list),
``prompt``, and ``completion``, ``chosen`` and ``rejected``, or ``label``. Messages are plain text;
trainers put the image in themselves. Boxes and places are pixels of the record's image, in numbers
and in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.opinions import MOST_STARS, Correction, Preference, Rating
from napari_nunext.core.answers.points import nuclei_text
from napari_nunext.core.answers.prompts import after_nuclei
from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.records import Message, Source, one_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from napari_nunext.core.answers.opinions import Tag

ANSWERS_FILE = "answers.jsonl"

Reason: TypeAlias = Literal["compared", "corrected"]
"""Why one reply is better: a reader preferred it, or it is the other one corrected."""
REASONS: tuple[Reason, ...] = get_args(Reason)
NamedPoint: TypeAlias = tuple[float, float, str]
"""x and y of a nucleus, pixels of the record's image, and its category."""


def message(role: Literal["system", "user", "assistant"], text: str) -> Message:
    """A message of plain text."""
    return {"role": role, "content": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """What all records for trainers have: a question about an image."""

    id: str
    task: str
    """``"question"``, ``"subtype"`` or ``"lesions"``."""
    images: tuple[str, ...]
    prompt: tuple[Message, ...]
    """The system's words and the user's; what is told of nuclei stands in `nuclei`."""
    options: tuple[str, ...] = ()
    budget: int | None = None
    """Image tokens that were allowed when it was asked."""
    sent_px: tuple[int, int] | None = None
    """Width and height of the picture that was answered; the record's image is the region at full
    resolution."""
    answerers: tuple[str, ...] = ()
    """Who answered, by name."""
    nuclei: tuple[NamedPoint, ...] | None = None
    """What an answerer that reads nuclei is told of them; None where nobody has looked."""
    kind: str | None = None
    """Which rule made a question that is derived from annotated nuclei; None where people asked."""
    subset: str | None = None
    """Part of a published set that the question belongs to; None where the set has no parts."""
    source: Source

    @property
    def boxes_px(self) -> tuple[AnswerBox, ...]:
        """Boxes that have to lie in the image."""
        return ()

    @property
    def told_prompt(self) -> tuple[Message, ...]:
        """The prompt with the nuclei in front of the user's words, pixels of the record's image.

        Raises
        ------
        InputError
            If there are more nuclei than a prompt can name.
        """
        if self.nuclei is None:
            return self.prompt
        places_xy = np.array([each[:2] for each in self.nuclei]).reshape(-1, 2)
        told = nuclei_text(places_xy, [category for _, _, category in self.nuclei])
        return tuple(
            message("user", after_nuclei(told, m["content"])) if m["role"] == "user" else m
            for m in self.prompt
        )

    def to_json(self) -> dict[str, Any]:
        """One line of its file."""
        nuclei = {} if self.nuclei is None else {"nuclei": [list(each) for each in self.nuclei]}
        kind = {} if self.kind is None else {"kind": self.kind}
        subset = {} if self.subset is None else {"subset": self.subset}
        return {
            "id": self.id,
            "task": self.task,
            "images": list(self.images),
            "prompt": list(self.prompt),
            "options": list(self.options),
            "budget": self.budget,
            "sent_px": None if self.sent_px is None else list(self.sent_px),
            "answerers": list(self.answerers),
            **self._own_json(),
            **nuclei,
            **kind,
            **subset,
            "source": self.source.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        sent = data["sent_px"]
        return cls(
            id=str(data["id"]),
            task=str(data["task"]),
            images=one_image(data),
            prompt=_messages(data["prompt"]),
            options=tuple(map(str, data["options"])),
            budget=None if data["budget"] is None else int(data["budget"]),
            sent_px=None if sent is None else (int(sent[0]), int(sent[1])),
            answerers=tuple(map(str, data["answerers"])),
            nuclei=_nuclei(data.get("nuclei")),
            kind=None if data.get("kind") is None else str(data["kind"]),
            subset=None if data.get("subset") is None else str(data["subset"]),
            source=Source.from_json(data["source"]),
            **cls._own(data),
        )

    def _own_json(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def _own(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSftRecord(AnswerRecord):
    """A right answer: as it was said, or as it was corrected."""

    completion: tuple[Message, ...]
    boxes: tuple[AnswerBox, ...] = ()
    corrected: bool = False

    @property
    def boxes_px(self) -> tuple[AnswerBox, ...]:
        """Those of the answer."""
        return self.boxes

    def _own_json(self) -> dict[str, Any]:
        return {
            "completion": list(self.completion),
            "boxes": [box.to_json() for box in self.boxes],
            "corrected": self.corrected,
        }

    @classmethod
    def _own(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "completion": _messages(data["completion"]),
            "boxes": _boxes(data["boxes"]),
            "corrected": bool(data["corrected"]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRftRecord(AnswerRecord):
    """A question whose answer is known, or an answer that was rated."""

    truth: str | None = None
    """What is right, without tags; of a closed question the option's words."""
    boxes: tuple[AnswerBox, ...] = ()
    """True boxes, where the truth has any."""
    said: tuple[Message, ...] = ()
    """The reply that was rated."""
    rating: float | None = None
    """0 to 1."""
    tags: tuple[Tag, ...] = ()
    """Why it is not better."""

    @property
    def boxes_px(self) -> tuple[AnswerBox, ...]:
        """The true ones."""
        return self.boxes

    def _own_json(self) -> dict[str, Any]:
        return {
            "truth": self.truth,
            "boxes": [box.to_json() for box in self.boxes],
            "said": list(self.said),
            "rating": self.rating,
            "tags": list(self.tags),
        }

    @classmethod
    def _own(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        truth, rating = data["truth"], data["rating"]
        if rating is not None and not 0 <= float(rating) <= 1:
            raise RecordError(f"A rating is {rating}; expected 0 to 1.")
        if truth is None and rating is None:
            raise RecordError("It has neither a truth nor a rating.")
        if unknown := set(data["tags"]) - MOST_STARS.keys():
            raise RecordError(f"Reason {sorted(unknown)[0]!r} is unknown.")
        return {
            "truth": None if truth is None else str(truth),
            "boxes": _boxes(data["boxes"]),
            "said": _messages(data["said"]),
            "rating": None if rating is None else float(rating),
            "tags": tuple(data["tags"]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPreferenceRecord(AnswerRecord):
    """Two replies to one question, the better one first."""

    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    reason: Reason
    blind: bool = False
    """Whether who answered was hidden from whoever compared; false of a correction."""

    def _own_json(self) -> dict[str, Any]:
        return {
            "chosen": list(self.chosen),
            "rejected": list(self.rejected),
            "reason": self.reason,
            "blind": self.blind,
        }

    @classmethod
    def _own(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        if data["reason"] not in REASONS:
            raise RecordError(
                f"A pair is there because of {data['reason']!r}; expected {' or '.join(REASONS)}."
            )
        return {
            "chosen": _messages(data["chosen"]),
            "rejected": _messages(data["rejected"]),
            "reason": data["reason"],
            "blind": bool(data["blind"]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerKtoRecord(AnswerRecord):
    """A reply, and whether it is good."""

    completion: tuple[Message, ...]
    label: bool

    def _own_json(self) -> dict[str, Any]:
        return {"completion": list(self.completion), "label": self.label}

    @classmethod
    def _own(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(data["label"], bool):
            raise RecordError(f"Its label is {data['label']!r}; expected true or false.")
        return {"completion": _messages(data["completion"]), "label": data["label"]}


@dataclass(frozen=True, slots=True)
class ReaderOpinion:
    """What one reader says of an answer."""

    reader: str
    rating: Rating
    correction: Correction


@dataclass(frozen=True, slots=True)
class ReaderVote:
    """What one reader says of a pair; it stands with the answer that was on the left."""

    reader: str
    preference: Preference


@dataclass(frozen=True, slots=True)
class EvidenceNucleus:
    """A nucleus that an answer rests on, as it was."""

    uid: str
    x: float
    y: float
    """Pixels of the record's image."""
    category: str | None = None
    """None where it was not kept: in what earlier versions wrote."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        category = {} if self.category is None else {"category": self.category}
        return {"uid": self.uid, "x": self.x, "y": self.y, **category}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        category = data.get("category")
        named = None if category is None else str(category)
        return cls(str(data["uid"]), float(data["x"]), float(data["y"]), named)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedAnswerRecord:
    """An answer with all that made it, and all that readers say of it."""

    id: str
    images: tuple[str, ...]
    asked: dict[str, Any]
    """How it was asked, by `napari_nunext.store.answers.Asked`."""
    by: dict[str, Any]
    """Who answered, by `AnsweredBy`; without the server's address."""
    said: dict[str, Any]
    """What, by `Said`: boxes in pixels of the record's image, words as they were written."""
    evidence: tuple[EvidenceNucleus, ...] = ()
    """The nuclei that it rests on: counted, or read."""
    asked_together: str | None = None
    opinions: tuple[ReaderOpinion, ...] = ()
    votes: tuple[ReaderVote, ...] = ()
    source: Source

    @property
    def boxes_px(self) -> tuple[AnswerBox, ...]:
        """None: a reader may have drawn beyond the image."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """One line of ``answers.jsonl``."""
        return {
            "id": self.id,
            "images": list(self.images),
            "asked": self.asked,
            "by": self.by,
            "said": self.said,
            "evidence": [each.to_json() for each in self.evidence],
            "asked_together": self.asked_together,
            "opinions": [
                {"reader": o.reader, **o.rating.to_json(), **o.correction.to_json()}
                for o in self.opinions
            ],
            "votes": [{"reader": v.reader, **v.preference.to_json()} for v in self.votes],
            "source": self.source.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JudgedAnswerRecord:
        """Inverse of `to_json`; raises one of `core.errors.MALFORMED` where it is none."""
        together = data["asked_together"]
        return cls(
            id=str(data["id"]),
            images=one_image(data),
            asked=dict(data["asked"]),
            by=dict(data["by"]),
            said=dict(data["said"]),
            evidence=tuple(map(EvidenceNucleus.from_json, data["evidence"])),
            asked_together=None if together is None else str(together),
            opinions=tuple(
                ReaderOpinion(str(o["reader"]), Rating.from_json(o), Correction.from_json(o))
                for o in data["opinions"]
            ),
            votes=tuple(
                ReaderVote(str(v["reader"]), Preference.from_json(v)) for v in data["votes"]
            ),
            source=Source.from_json(data["source"]),
        )


def _messages(data: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    return tuple({"role": str(m["role"]), "content": str(m["content"])} for m in data)


def _nuclei(data: Iterable[tuple[float, float, str]] | None) -> tuple[NamedPoint, ...] | None:
    if data is None:
        return None
    found = tuple((float(x), float(y), str(category)) for x, y, category in data)
    if not all(math.isfinite(x) and math.isfinite(y) for x, y, _ in found):
        raise RecordError("A nucleus has no place; expected two finite numbers.")
    return found


def _boxes(data: Iterable[Mapping[str, Any]]) -> tuple[AnswerBox, ...]:
    return tuple(map(AnswerBox.from_json, data))


FOR_TRAINERS: Mapping[str, type[AnswerRecord]] = {
    "answers_sft": AnswerSftRecord,
    "answers_rft": AnswerRftRecord,
    "answers_preferences": AnswerPreferenceRecord,
    "answers_kto": AnswerKtoRecord,
}
"""The files that trainers read, by name without suffix, and what each line of them is."""
