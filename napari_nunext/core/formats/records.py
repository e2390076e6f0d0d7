"""Records: what an export holds and what training eats.

An export is a folder with ``manifest.json``, ``images/`` and JSON Lines: ``sft.jsonl``,
``rft.jsonl`` and ``preferences.jsonl``. Each line is one record; each record names its image by a
path relative to the folder. Coordinates are pixels of *that* image, corner origin; `region` says
which box of the original (level-0 px) it shows.

``messages`` / ``prompt`` / ``chosen`` / ``rejected`` are conversational, as TRL and its peers read
them; the truth for our own training stands beside them in numbers, so that no trainer has to read
coordinates back out of text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.geometry import Box, check_mpp, points_at
from napari_nunext.core.marks import UNMARKED, Marks
from napari_nunext.core.model_description import ModelDescription, model_and_run
from napari_nunext.core.shapes.masks import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.core.geometry import PointsXY

RECORD_SCHEMA = 1

MANIFEST_FILE = "manifest.json"
SFT_FILE = "sft.jsonl"
RFT_FILE = "rft.jsonl"
PREFERENCES_FILE = "preferences.jsonl"
IMAGES_FOLDER = "images"

Message: TypeAlias = dict[str, Any]
Split: TypeAlias = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Verdict: TypeAlias = Literal["tp", "fp"]


def user_message(instruction: str) -> Message:
    """The prompt: one image, then the instruction."""
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": instruction}]}


def assistant_message(text: str) -> Message:
    """A reply in words."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@dataclass(frozen=True, slots=True)
class RecordNucleus:
    """A true nucleus, in pixels of the record's image."""

    x: float
    y: float
    category: str
    uid: str | None = None
    """Identity in the review project it came from."""
    mask: Mask | None = None
    marks: Marks = UNMARKED
    """What the review says of it, where the source knows."""

    def to_json(self) -> dict[str, Any]:
        """Without what says nothing."""
        data: dict[str, Any] = {"x": self.x, "y": self.y, "category": self.category}
        if self.uid is not None:
            data["uid"] = self.uid
        if self.mask is not None:
            data["mask"] = self.mask.to_json()
        if self.marks != UNMARKED:
            data["review"] = self.marks.to_text()
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RecordNucleus:
        """Inverse of `to_json`."""
        mask = data.get("mask")
        return cls(
            x=float(data["x"]),
            y=float(data["y"]),
            category=str(data["category"]),
            uid=None if data.get("uid") is None else str(data["uid"]),
            mask=None if mask is None else Mask.from_json(mask),
            marks=Marks.from_text(data.get("review", {})),
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where a record comes from."""

    image_sha256: str
    """Content hash of the whole original image (`napari_nunext.core.identity`)."""
    region: Box
    """What of it the record's image shows, level-0 px."""
    mpp: float
    """Micrometres per pixel of the record's image."""
    mpp_source: str
    """``"file"``, ``"user"`` or ``"assumed"``."""
    split: Split
    patient: str
    """Key of the split: a pseudonym, never a name."""
    annotators: tuple[str, ...] = ()
    model: ModelDescription | None = None
    """Whose predictions people corrected."""
    run: dict[str, Any] = field(default_factory=dict)
    """How it made them: decoding, scale, codec version, segmenter."""
    tissue: str | None = None
    """Organ or tissue, where the data set says it: scores are averaged over tissues."""
    asked: tuple[str, ...] = ()
    """Categories that were searched for alone: of others the record says nothing. Empty: all."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; without the tissue where it is not known."""
        data: dict[str, Any] = {
            "image_sha256": self.image_sha256,
            "region": list(self.region.as_tuple()),
            "mpp": self.mpp,
            "mpp_source": self.mpp_source,
            "split": self.split,
            "patient": self.patient,
            "annotators": list(self.annotators),
            "model": {} if self.model is None else self.model.to_json(),
        }
        if self.run:
            data["run"] = self.run
        if self.tissue is not None:
            data["tissue"] = self.tissue
        if self.asked:
            data["asked"] = list(self.asked)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Source:
        """Inverse of `to_json`."""
        model, run = model_and_run(data)
        if data["split"] not in SPLITS:
            raise RecordError(f"Split {data['split']!r} is unknown; expected {', '.join(SPLITS)}.")
        return cls(
            image_sha256=str(data["image_sha256"]),
            region=Box.from_sequence(data["region"]),
            mpp=check_mpp(data["mpp"], "The record's image"),
            mpp_source=str(data["mpp_source"]),
            split=data["split"],
            patient=str(data["patient"]),
            annotators=tuple(str(a) for a in data["annotators"]),
            model=model,
            run=run,
            tissue=None if data.get("tissue") is None else str(data["tissue"]),
            asked=tuple(map(str, data.get("asked", ()))),
        )


@dataclass(frozen=True, slots=True)
class SftRecord:
    """A complete region and every nucleus in it: ground truth for supervised fine-tuning."""

    id: str
    images: tuple[str, ...]
    messages: tuple[Message, ...]
    nuclei: tuple[RecordNucleus, ...]
    source: Source
    rejected: tuple[RecordNucleus, ...] = ()
    """What people looked at and found to be no nucleus: kept for the review, no truth."""

    def to_json(self) -> dict[str, Any]:
        """One line of ``sft.jsonl``."""
        data = {
            "id": self.id,
            "images": list(self.images),
            "messages": list(self.messages),
            "nuclei": [n.to_json() for n in self.nuclei],
            "source": self.source.to_json(),
        }
        if self.rejected:
            data["rejected_nuclei"] = [n.to_json() for n in self.rejected]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SftRecord:
        """Inverse of `to_json`."""
        return cls(
            id=str(data["id"]),
            images=one_image(data),
            messages=tuple(data["messages"]),
            nuclei=_standing(RecordNucleus.from_json(n) for n in data["nuclei"]),
            source=Source.from_json(data["source"]),
            rejected=tuple(RecordNucleus.from_json(n) for n in data.get("rejected_nuclei", ())),
        )

    @property
    def points_xy(self) -> PointsXY:
        """True centroids, shape (N, 2), pixels of the record's image."""
        return points_at(self.nuclei)

    @property
    def categories(self) -> tuple[str, ...]:
        """Category of each nucleus."""
        return tuple(n.category for n in self.nuclei)


@dataclass(frozen=True, slots=True)
class JudgedPoint:
    """A point of a model's own output and what people made of it."""

    x: float
    y: float
    category: str
    confidence: float | None
    verdict: Verdict

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> JudgedPoint:
        """Inverse of ``dataclasses.asdict``."""
        if data["verdict"] not in ("tp", "fp"):
            raise RecordError(f"Verdict {data['verdict']!r} is unknown; expected 'tp' or 'fp'.")
        confidence = data["confidence"]
        return cls(
            x=float(data["x"]),
            y=float(data["y"]),
            category=str(data["category"]),
            confidence=None if confidence is None else float(confidence),
            verdict=data["verdict"],
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a model said of the record's image, judged point by point (the labels of Eq. 18)."""

    points: tuple[JudgedPoint, ...]
    missed: int
    """True nuclei that no point stands for: false negatives."""
    rating: float | None = None
    """A person's rating in [0, 1], where one was given."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "points": [asdict(p) for p in self.points],
            "missed": self.missed,
            "rating": self.rating,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Rollout:
        """Inverse of `to_json`."""
        rating = data["rating"]
        if rating is not None and not 0 <= float(rating) <= 1:
            raise RecordError(f"A rating is {rating}; expected 0 to 1.")
        return cls(
            points=tuple(JudgedPoint.from_json(p) for p in data["points"]),
            missed=int(data["missed"]),
            rating=None if rating is None else float(rating),
        )


@dataclass(frozen=True, slots=True)
class RftRecord:
    """A prompt and its verifiable solution: reinforcement fine-tuning."""

    id: str
    task: Literal["nuclei"]
    images: tuple[str, ...]
    prompt: tuple[Message, ...]
    solution: tuple[RecordNucleus, ...]
    source: Source
    rollout: Rollout | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of ``rft.jsonl``."""
        data = {
            "id": self.id,
            "task": self.task,
            "images": list(self.images),
            "prompt": list(self.prompt),
            "solution": {"nuclei": [n.to_json() for n in self.solution]},
            "source": self.source.to_json(),
        }
        if self.rollout is not None:
            data["rollout"] = self.rollout.to_json()
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RftRecord:
        """Inverse of `to_json`."""
        if data["task"] != "nuclei":
            raise RecordError(f"Task {data['task']!r} is unknown; expected 'nuclei'.")
        rollout = data.get("rollout")
        return cls(
            id=str(data["id"]),
            task="nuclei",
            images=one_image(data),
            prompt=tuple(data["prompt"]),
            solution=_standing(RecordNucleus.from_json(n) for n in data["solution"]["nuclei"]),
            source=Source.from_json(data["source"]),
            rollout=None if rollout is None else Rollout.from_json(rollout),
        )


@dataclass(frozen=True, slots=True)
class PreferenceRecord:
    """Two replies to one prompt, the better one first."""

    id: str
    images: tuple[str, ...]
    prompt: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    source: Source

    def to_json(self) -> dict[str, Any]:
        """One line of ``preferences.jsonl``."""
        return {
            "id": self.id,
            "images": list(self.images),
            "prompt": list(self.prompt),
            "chosen": list(self.chosen),
            "rejected": list(self.rejected),
            "source": self.source.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PreferenceRecord:
        """Inverse of `to_json`."""
        return cls(
            id=str(data["id"]),
            images=one_image(data),
            prompt=tuple(data["prompt"]),
            chosen=tuple(data["chosen"]),
            rejected=tuple(data["rejected"]),
            source=Source.from_json(data["source"]),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export folder holds."""

    created_utc: str
    software: str
    counts: dict[str, int]
    """Records in each JSON Lines file, nuclei, and images."""
    categories: tuple[dict[str, Any], ...]
    """``{"name": ..., "color": [r, g, b]}``, in the order of the project."""
    filters: dict[str, Any]
    split_seed: int
    files: dict[str, str]
    """SHA-256 of each file by its path relative to the folder."""
    schema: int = RECORD_SCHEMA

    def to_json(self) -> dict[str, Any]:
        """``manifest.json``."""
        return {**asdict(self), "categories": list(self.categories)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Manifest:
        """Inverse of `to_json`.

        Raises
        ------
        RecordError
            If the schema is foreign or a field is missing.
        """
        if data.get("schema") != RECORD_SCHEMA:
            raise RecordError(
                f"The export has schema {data.get('schema')}; this version reads "
                f"{RECORD_SCHEMA}. Export again with a matching version."
            )
        try:
            return cls(
                created_utc=str(data["created_utc"]),
                software=str(data["software"]),
                counts=dict(data["counts"]),
                categories=tuple(data["categories"]),
                filters=dict(data["filters"]),
                split_seed=int(data["split_seed"]),
                files=dict(data["files"]),
            )
        except MALFORMED as error:
            raise RecordError(f"{MANIFEST_FILE} is malformed ({error!r}). Export again.") from error


def _standing(nuclei: Iterable[RecordNucleus]) -> tuple[RecordNucleus, ...]:
    """Truth; refused where one of it is marked as no nucleus."""
    found = tuple(nuclei)
    if not all(n.marks.stands for n in found):
        raise RecordError("A rejected nucleus stands among the true ones. Export again.")
    return found


def one_image(data: dict[str, Any]) -> tuple[str, ...]:
    """The image that a record names; `RecordError` where it names none or several."""
    images = tuple(str(i) for i in data["images"])
    if len(images) != 1:
        raise RecordError(f"A record names {len(images)} images; expected exactly 1.")
    return images
