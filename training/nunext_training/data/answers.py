"""Judged answers of exports as rows that TRL's trainers read, each picture at the budget.

A performer is shown what it will be shown when it is asked: the region drawn to the image tokens
that are allowed (arXiv 2505.15687, Eq. 4-6). Boxes are in the pixels of that picture, in numbers
and in the words of replies.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from PIL import Image

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.reading import read_answer
from napari_nunext.core.answers.reply import parse_reply
from napari_nunext.core.answers.rewriting import in_pixels_of
from napari_nunext.core.formats.answer_records import (
    AnswerKtoRecord,
    AnswerPreferenceRecord,
    AnswerRecord,
    AnswerRftRecord,
    AnswerSftRecord,
)
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.formats.records import MANIFEST_FILE
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256
from nunext_training.data.sources import tell_left_out
from nunext_training.method.answer_rewards import SeenAnswer, Truth

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.formats.records import Message

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
class AnswerData:
    """Rows of each split, and what they come from."""

    train: tuple[dict[str, Any], ...]
    val: tuple[dict[str, Any], ...]
    test: tuple[dict[str, Any], ...]
    origins: tuple[dict[str, Any], ...]


def read_answers(
    folders: Sequence[Path],
    method: AnswerMethod,
    *,
    budget: int,
    patch_px: int,
    strict: bool,
    allow_loss: bool = False,
    left_out: frozenset[str] = frozenset(),
    accepted: bool = False,
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
    allow_loss : bool
        Go on where more than half would be left out.
    left_out : frozenset of str
        Patients that are kept for something else.
    accepted : bool
        Of ``grpo``: take answers for the truth that all their readers accepted as they are, where
        nobody wrote what is right. To score by; replies in other words may be right as well.

    Raises
    ------
    RecordError
        If a manifest does not hold or, in strict mode, a record.
    InputError
        If more than half would be left out and that is not allowed.
    """
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "val": [], "test": []}
    problems: list[str] = []
    lost, origins, unknown = 0, [], 0
    name = FILES[method]
    for folder in folders:
        export = read_export(folder, strict=strict)
        problems += export.problems
        lost += export.left_out.get(f"{name}.jsonl", 0)
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
            rows[record.source.split].append(
                _row(record, export.image_path(record), budget, patch_px)
            )
            used[record.source.split] += 1
        origins.append(
            {
                "manifest_sha256": file_sha256(folder / MANIFEST_FILE),
                "answers": dict(sorted(used.items())),
            }
        )
    if unknown:
        logger.warning(
            "%d answers are rated, but nobody said what is right: rewards of new replies need "
            "that. Train on them with kto.",
            unknown,
        )
    kept = sum(map(len, rows.values()))
    tell_left_out(problems, lost, lost + kept, what="answers", allow=allow_loss)
    train, val, test = (tuple(rows[split]) for split in ("train", "val", "test"))
    return AnswerData(train, val, test, tuple(origins))


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


def _row(record: AnswerRecord, path: Path, budget: int, patch_px: int) -> dict[str, Any]:
    """A record as TRL reads it; its messages name boxes in pixels of the smaller picture."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    whole = SentPicture(Box.of_image(*picture.size), *picture.size)
    sent = SentPicture.of(whole.region, budget, patch_px)
    resized = picture.resize((sent.width_px, sent.height_px), Image.Resampling.BICUBIC)

    def told(messages: tuple[Message, ...]) -> list[Message]:
        return [
            {**m, "content": in_pixels_of(sent, m["content"], whole, "pixels")} for m in messages
        ]

    row: dict[str, Any] = {
        "images": [resized],
        "prompt": list(record.prompt),
        "image_sha256": record.source.image_sha256,
    }
    if isinstance(record, AnswerSftRecord):
        row["completion"] = told(record.completion)
    elif isinstance(record, AnswerPreferenceRecord):
        row |= {"chosen": told(record.chosen), "rejected": told(record.rejected)}
    elif isinstance(record, AnswerKtoRecord):
        row |= {"completion": told(record.completion), "label": record.label}
    elif isinstance(record, AnswerRftRecord):
        is_lesions = record.task == "lesions"
        corners_xy = np.array([b.box.as_tuple() for b in record.boxes]).reshape(-1, 2)
        boxes = sent.from_level0(corners_xy).reshape(-1, 4).tolist()
        row |= {
            "truth": None if is_lesions else record.truth,
            "options": list(record.options),
            "boxes": boxes if is_lesions or boxes else None,
            "size_px": [sent.width_px, sent.height_px],
            "task": record.task,
            "image": record.source.image_sha256,
            "kind": record.kind,
        }
    return row
