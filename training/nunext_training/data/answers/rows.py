"""Judged answers of exports as rows that TRL's trainers read, each picture at the budget.

A performer is shown what it will be shown when it is asked: the region drawn to the image tokens
that are allowed (arXiv 2505.15687, Eq. 4-6). Boxes are in the pixels of that picture, in numbers
and in the words of replies.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.prompts import after_nuclei
from napari_nunext.core.answers.reading import read_answer
from napari_nunext.core.answers.reply import parse_reply, reply_text
from napari_nunext.core.answers.rewriting import in_pixels_of, with_boxes
from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.answer_records import (
    AnswerKtoRecord,
    AnswerPreferenceRecord,
    AnswerRecord,
    AnswerRftRecord,
    AnswerSftRecord,
)
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.formats.records import MANIFEST_FILE, SPLITS
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256
from nunext_training.data.answers.evidence import Evidence
from nunext_training.data.answers.views import View, draw_views
from nunext_training.data.sources import tell_left_out
from nunext_training.method.answer_rewards import SeenAnswer, Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_nunext.core.formats.records import Message
    from napari_nunext.models.answerers.about import TaughtThought

logger = logging.getLogger(__name__)

AnswerMethod: TypeAlias = Literal["sft", "dpo", "kto", "grpo"]

FILES: dict[AnswerMethod, str] = {
    "sft": "answers_sft",
    "dpo": "answers_preferences",
    "kto": "answers_kto",
    "grpo": "answers_rft",
}
"""What each way of training learns from, by the file's name in an export without suffix."""

COLUMNS = ("truth", "options", "boxes", "size_px")
"""What a row of ``grpo`` says of the truth; boxes in pixels of the picture that is shown."""


@dataclass(frozen=True, slots=True)
class ShownPicture:
    """A picture that is read when it is wanted: many questions share it, and there may be many."""

    path: Path
    sent: SentPicture
    """Its region is all that is shown of the file, px."""
    view: View | None = None
    """What is shown of the file; None for all."""

    def open(self) -> Image.Image:
        """Its pixels, at the size that is sent."""
        size = (self.sent.width_px, self.sent.height_px)
        with Image.open(self.path) as opened:
            picture = opened.convert("RGB") if self.view is None else self.view.of(opened)
        return picture.resize(size, Image.Resampling.BICUBIC)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        sent = self.sent
        return {
            "path": str(self.path),
            "region": list(sent.region.as_tuple()),
            "size_px": [sent.width_px, sent.height_px],
            "patch_px": sent.patch_px,
            "view": None if self.view is None else [*self.view.region, self.view.orientation],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ShownPicture:
        """Inverse of `to_json`."""
        width_px, height_px = data["size_px"]
        sent = SentPicture(Box(*data["region"]), width_px, height_px, data["patch_px"])
        view = data["view"]
        return cls(Path(data["path"]), sent, view and View(tuple(view[:4]), view[4]))


@dataclass(frozen=True, slots=True)
class _Shown:
    """A record that is used."""

    record: AnswerRecord
    path: Path
    evidence: Evidence
    view: View | None = None

    def viewed(self, count: int, seed: int) -> tuple[_Shown, ...]:
        """In so many views; as it is, where its answer may name a direction."""
        boxes = _boxes_of(self.record)
        if self.record.task != "lesions" or boxes is None:
            return (self,)
        digest = int(self.record.source.image_sha256[:16], 16)
        rng = np.random.default_rng((seed, digest))
        views = draw_views(self.evidence.region, boxes, count, rng)
        return tuple(replace(self, view=each) for each in views)


@dataclass(frozen=True, slots=True)
class AnswerData:
    """Rows of each split, and what they come from."""

    train: tuple[dict[str, Any], ...]
    val: tuple[dict[str, Any], ...]
    test: tuple[dict[str, Any], ...]
    origins: tuple[dict[str, Any], ...]
    at: Callable[[int], AnswerData]
    """The same rows, in the same order, at another budget."""


def read_answers(
    folders: Sequence[Path],
    method: AnswerMethod,
    *,
    budget: int,
    patch_px: int,
    strict: bool,
    thought: TaughtThought = "prose",
    allow_loss: bool = False,
    left_out: frozenset[str] = frozenset(),
    accepted: bool = False,
    shuffled: int | None = None,
    views: int = 0,
    seed: int = 0,
) -> AnswerData:
    """Read the judged answers of exports.

    Parameters
    ----------
    folders : sequence of Path
    method : {"sft", "dpo", "kto", "grpo"}
    budget : int
        Image tokens that a picture may cost.
    patch_px : int
        Side of one token.
    strict : bool
        Stop at a record that does not hold; otherwise it is left out, and logged.
    thought : {"none", "prose", "points"}
        What a right answer goes by: nothing that is written, the figures of its nuclei in its
        thought (those of the record where there are none), or its nuclei before the question. Of
        the last, records whose nuclei are not known are left out.
    allow_loss : bool
        Go on where more than half would be left out.
    left_out : frozenset of str
        Patients that are kept for something else.
    accepted : bool
        Of ``grpo``: take answers for the truth that all their readers accepted as they are, where
        nobody wrote what is right. To score by; replies in other words may be right as well.
    shuffled : int, optional
        A seed: each question is told the nuclei of another picture of its split. An answerer that
        goes by its nuclei then answers those.
    views : int
        Show each picture of the train split whose answer is boxes in so many views, a row each; 0:
        as it is.
    seed : int
        Of the views.

    Raises
    ------
    RecordError
        If a manifest does not hold or, in strict mode, a record.
    InputError
        If more than half would be left out and that is not allowed.
    """
    shown: dict[str, list[_Shown]] = {split: [] for split in SPLITS}
    problems: list[str] = []
    lost, origins, unknown = 0, [], 0
    name = FILES[method]
    for folder in folders:
        export = read_export(folder, strict=strict)
        problems += export.problems
        lost += export.left_out.get(f"{name}.jsonl", 0)
        categories = tuple(str(each["name"]) for each in export.manifest.categories)
        used: Counter[str] = Counter()
        right = export.answers_for_trainers["answers_sft"] if accepted else ()
        said = {each.id: each for each in right if isinstance(each, AnswerSftRecord)}
        for record in export.answers_for_trainers[name]:
            if record.source.patient in left_out:
                continue
            if isinstance(record, AnswerRftRecord) and record.id in said:
                record = _with_truth(record, said[record.id])
            if isinstance(record, AnswerRftRecord) and record.truth is None and not record.boxes:
                unknown += 1
                continue
            path = export.image_path(record)
            with Image.open(path) as opened:  # its size alone; pixels when they are wanted
                region = Box.of_image(*opened.size)
            evidence = Evidence.of(record, region, categories)
            if why := _untold(evidence, thought):
                problems.append(f"{record.id} of {folder.name}: {why}")
                lost += 1
                continue
            shown[record.source.split].append(_Shown(record, path, evidence))
            used[record.source.split] += 1
        origins.append(
            {
                "manifest_sha256": file_sha256(folder / MANIFEST_FILE),
                "imported_from": export.manifest.filters.get("imported_from"),
                "answers": dict(sorted(used.items())),
            }
        )
    if unknown:
        logger.warning(
            "%d answers are rated, but nobody said what is right: rewards of new replies need "
            "that. Train on them with kto.",
            unknown,
        )
    kept = sum(map(len, shown.values()))
    tell_left_out(problems, lost, lost + kept, what="answers", allow=allow_loss)
    every = {
        split: tuple(records if shuffled is None else _shuffled(records, shuffled))
        for split, records in shown.items()
    }
    if views and thought != "points":
        every["train"] = tuple(v for each in every["train"] for v in each.viewed(views, seed))
    return _at(every, tuple(origins), budget, patch_px, thought)


def _with_truth(record: AnswerRftRecord, right: AnswerSftRecord) -> AnswerRftRecord:
    """The record with what its readers accepted, where nobody wrote the truth."""
    if record.truth is not None or record.boxes:
        return record
    answer = parse_reply(right.completion[-1]["content"]).answer
    return replace(record, truth=answer, boxes=right.boxes)


def seen_reply(
    text: str,
    truth: str | None,
    options: list[str],
    boxes: list[list[float]] | None,
    size_px: list[int],
) -> SeenAnswer:
    """A reply as rewards look at it; boxes are in pixels of the picture that was shown."""
    width_px, height_px = size_px
    shown = SentPicture(Box.of_image(width_px, height_px), width_px, height_px)
    read = read_answer(text, shown)
    true_boxes = None if boxes is None else tuple(map(Box.from_sequence, boxes))
    said = tuple(each.box for each in read.boxes.boxes)
    return SeenAnswer(read.reply, Truth(truth, true_boxes), tuple(options), said)


def _at(
    shown: Mapping[str, tuple[_Shown, ...]],
    origins: tuple[dict[str, Any], ...],
    budget: int,
    patch_px: int,
    thought: TaughtThought,
) -> AnswerData:
    """Rows of records at a budget."""
    train, val, test = (
        tuple(_row(each, budget, patch_px, thought) for each in shown[split]) for split in SPLITS
    )
    at = partial(_at, shown, origins, patch_px=patch_px, thought=thought)
    return AnswerData(train, val, test, origins, at)


def _shuffled(shown: Sequence[_Shown], seed: int) -> list[_Shown]:
    """The same questions with the nuclei of another picture, the same for all of a picture."""
    nuclei = {each.path: each.evidence.nuclei for each in shown}
    paths = list(nuclei)
    np.random.default_rng(seed).shuffle(paths)
    # Each takes those of the next: none keeps its own where there are two.
    next_one = dict(zip(paths, [*paths[1:], *paths[:1]], strict=True))
    return [
        replace(each, evidence=each.evidence.telling(nuclei[next_one[each.path]])) for each in shown
    ]


def _untold(evidence: Evidence, thought: TaughtThought) -> str:
    """Why an answerer that reads nuclei cannot be told them; empty where it can."""
    if thought != "points":
        return ""
    region = evidence.region
    try:
        evidence.text(SentPicture(region, int(region.width), int(region.height)))
    except InputError as error:
        return str(error)
    return ""


def _row(shown: _Shown, budget: int, patch_px: int, thought: TaughtThought) -> dict[str, Any]:
    """A record as TRL reads it; its messages name boxes in pixels of the smaller picture."""
    record, evidence = shown.record, shown.evidence
    region = evidence.region
    whole = SentPicture(region, int(region.width), int(region.height))
    view = shown.view or View((0, 0, whole.width_px, whole.height_px))
    sent = SentPicture.of(view.extent, budget, patch_px)
    seen = _boxes_of(record) or []
    if shown.view is not None:
        seen = [part for part in map(view.seen, seen) if part.width and part.height]

    def told(messages: tuple[Message, ...]) -> list[Message]:
        texts = [m["content"] for m in messages]
        if shown.view is not None:
            texts = [with_boxes(whole, text, seen) for text in texts]
        return [
            {**m, "content": in_pixels_of(sent, text, whole, "pixels", view.place)}
            for m, text in zip(messages, texts, strict=True)
        ]

    prompt = list(record.prompt)
    if thought == "points":
        nuclei = evidence.text(sent)
        prompt = [
            {**m, "content": after_nuclei(nuclei, m["content"])} if m["role"] == "user" else m
            for m in prompt
        ]
    row: dict[str, Any] = {
        "images": [ShownPicture(shown.path, sent, shown.view)],
        "prompt": prompt,
        "evidence": evidence,
        "image_sha256": record.source.image_sha256,
    }
    if isinstance(record, AnswerSftRecord):
        row["completion"] = told(_thinking(record, evidence, thought))
    elif isinstance(record, AnswerPreferenceRecord):
        row |= {"chosen": told(record.chosen), "rejected": told(record.rejected)}
    elif isinstance(record, AnswerKtoRecord):
        row |= {"completion": told(record.completion), "label": record.label}
    elif isinstance(record, AnswerRftRecord):
        is_lesions = record.task == "lesions"
        corners_xy = np.array([view.place(box).as_tuple() for box in seen]).reshape(-1, 2)
        placed = sent.from_level0(corners_xy).reshape(-1, 4).tolist()
        row |= {
            "truth": None if is_lesions else record.truth,
            "options": list(record.options),
            "boxes": placed if is_lesions or placed else None,
            "size_px": [sent.width_px, sent.height_px],
            "id": record.id,
            "task": record.task,
            "image": record.source.image_sha256,
            "kind": record.kind,
            "subset": record.subset,
        }
    return row


def _boxes_of(record: AnswerRecord) -> list[Box] | None:
    """Those of the right answer; None where the record does not say which they are."""
    if isinstance(record, AnswerSftRecord | AnswerRftRecord):
        return [each.box for each in record.boxes]
    return None


def _thinking(
    record: AnswerSftRecord, evidence: Evidence, thought: TaughtThought
) -> tuple[Message, ...]:
    """The right answer with the thought that is to be learnt.

    Where nuclei do not say, or are not known, prose is what the record has.
    """
    figures = ""
    if thought == "prose":
        found = evidence.counts()
        if found is None:
            return record.completion
        figures = found.think
    return tuple(
        {**m, "content": reply_text(figures, parse_reply(m["content"]).answer)}
        for m in record.completion
    )
