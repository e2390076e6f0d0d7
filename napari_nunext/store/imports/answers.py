"""Taking the answers of an export back into a project, with what each reader said of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from uuid import UUID

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.answer_records import ANSWERS_FILE
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.uids import as_uids
from napari_nunext.store import events
from napari_nunext.store.answers import Answer, AnsweredBy, Asked, Evidence, Said
from napari_nunext.store.imports.exported_images import entry_of, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.core.formats.answer_records import JudgedAnswerRecord
    from napari_nunext.core.formats.export_folder import Export
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.events import Event
    from napari_nunext.store.project import Project


def import_answers(project: Project, export: Export) -> tuple[int, int]:
    """Add the answers of an export, and what their readers said, as their readers.

    An answer that the project knows is left alone, with all that people here said of it. One undo
    takes back what is said about an image; the answers stay.

    Returns
    -------
    tuple of int
        Answers that were added, and answers that were known.

    Raises
    ------
    RecordError
        If an answer is none, or an image cannot be read. Nothing was added then.
    StoreError
        If the project cannot be written. What was imported before stays.
    """
    images: dict[str, ImageEntry] = {}
    read: list[tuple[JudgedAnswerRecord, Answer]] = []
    for record in export.answers:
        if record.images[0] not in images:
            images[record.images[0]] = entry_of(export, record)
        read.append((record, _answer(record, images[record.images[0]], export)))
    known = {answer.answer_id for answer in project.answers()}
    there = {entry.sha256 for entry in project.images()}
    new = [(record, answer) for record, answer in read if answer.answer_id not in known]
    said: dict[str, list[Event]] = defaultdict(list)
    for record, answer in new:
        entry = project.add_image(images[record.images[0]])
        if entry.sha256 not in there:
            project.append([events.set_origin(entry.sha256, origin_of(record))])
            there.add(entry.sha256)
        project.add_answer(answer)
        said[entry.sha256] += _said_of(record, entry)
    for opinions in said.values():
        project.append(events.grouped(opinions))
    return len(new), len(read) - len(new)


def _answer(record: JudgedAnswerRecord, entry: ImageEntry, export: Export) -> Answer:
    try:
        return Answer(
            answer_id=record.id,
            image_sha256=entry.sha256,
            asked=Asked.from_json(record.asked),
            by=AnsweredBy.from_json(record.by),
            said=Said.from_json(record.said),
            evidence=Evidence(
                uids=as_uids(UUID(each.uid) for each in record.evidence),
                places_xy=as_points_xy([(each.x, each.y) for each in record.evidence]),
                categories=tuple(e.category for e in record.evidence if e.category is not None),
            ),
            asked_together=record.asked_together,
        )
    except MALFORMED as error:
        line = export.lines[ANSWERS_FILE, record.id]
        raise RecordError(
            f"{ANSWERS_FILE} line {line} is no answer ({error}). Export again."
        ) from error


def _said_of(record: JudgedAnswerRecord, entry: ImageEntry) -> Iterator[Event]:
    sha256, answer_id = entry.sha256, record.id
    for each in record.opinions:
        if not each.rating.says_nothing:
            yield events.rate_answer(sha256, answer_id, each.rating, reader=each.reader)
        if not each.correction.says_nothing:
            yield events.correct_answer(sha256, answer_id, each.correction, reader=each.reader)
    for vote in record.votes:
        yield events.compare_answers(sha256, vote.preference, reader=vote.reader)
