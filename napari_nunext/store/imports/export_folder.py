"""Taking an export back into a project, so that exporting again gives the same nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category, nuclei_in_words
from napari_nunext.core.sentences import counted
from napari_nunext.store import events
from napari_nunext.store.imports.answers import import_answers
from napari_nunext.store.imports.exported_images import entry_of, origin_of
from napari_nunext.store.state.state import FieldState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.core.formats.export_folder import Export
    from napari_nunext.core.formats.records import RecordNucleus
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.events import Event
    from napari_nunext.store.project import Project


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought."""

    images: int
    nuclei: int
    skipped: int
    """Images that people had worked on in this project already: they were left alone."""
    answers: int = 0
    answers_known: int = 0
    """Answers that this project had already: they were left alone."""

    @property
    def words(self) -> str:
        """What it brought; a phrase."""
        found = [f"{counted(self.images, 'image')} with {nuclei_in_words(self.nuclei)}"]
        found += [counted(self.answers, "answer")] if self.answers else []
        left = [counted(self.skipped, "image")] if self.skipped else []
        left += [counted(self.answers_known, "answer")] if self.answers_known else []
        alone = f"; {' and '.join(left)} of it were here already and stay" if left else ""
        return f"{' and '.join(found)}{alone}"


def import_training(project: Project, folder: Path) -> Imported:
    """Add the images of an export with their nuclei, each as a complete region.

    An image of the export is an image of the project from then on, in its own pixels, with the
    pseudonym of its patient, its split and its tissue, which a later export keeps; one undo takes
    its nuclei back. Judged answers come with what each of their readers said, as theirs. Importing
    again changes nothing.

    Raises
    ------
    RecordError
        If the export does not hold together (it is read strictly), or an image cannot be read.
    StoreError
        If the project cannot be written. What was imported before stays.
    """
    export = read_export(folder, strict=True)
    _add_categories(project, export)
    images = nuclei = skipped = 0
    for record in export.sft:
        entry = project.add_image(entry_of(export, record))
        if any(event.is_edit for event in project.journal(entry.sha256)):
            skipped += 1
            continue
        gesture = _gesture(entry, (*record.nuclei, *record.rejected))
        project.append([events.set_origin(entry.sha256, origin_of(record)), *gesture])
        images += 1
        nuclei += len(record.nuclei)
    return Imported(images, nuclei, skipped, *import_answers(project, export))


def _add_categories(project: Project, export: Export) -> None:
    """Append the categories of the export that the project does not know."""
    names = {c.name for c in project.categories()}
    new = [c for c in map(_category, export.manifest.categories) if c.name not in names]
    if new:
        project.append([events.learn_categories(new)])


def _category(data: dict[str, Any]) -> Category:
    try:
        return Category.from_json(data)
    except MALFORMED as error:
        raise RecordError(
            f"Category {data} of the export is not a name and a colour. Export again."
        ) from error


def _gesture(entry: ImageEntry, nuclei: tuple[RecordNucleus, ...]) -> tuple[Event, ...]:
    added = [event for nucleus in nuclei for event in _events(entry.sha256, nucleus)]
    whole = Box.of_image(entry.width_px, entry.height_px)
    seen = FieldState.fold(events=added).seen_in(whole)
    return events.grouped([*added, events.complete_region(entry.sha256, whole, seen)])


def _events(sha256: str, n: RecordNucleus) -> Iterator[Event]:
    """The nucleus, and what people had said of it."""
    uid = _uid(n)
    yield events.add(sha256, n.x, n.y, n.category, uid=uid, mask=n.mask)
    if n.marks.status == "accepted":
        yield events.accept(sha256, uid)
    elif n.marks.status == "rejected":
        yield events.reject(sha256, uid)
    if n.marks.flagged:
        yield events.flag_nucleus(sha256, uid)


def _uid(nucleus: RecordNucleus) -> UUID:
    """The identity it had, or a new one where the export gives none."""
    if nucleus.uid is None:
        return uuid4()
    try:
        return UUID(nucleus.uid)
    except ValueError as error:
        raise RecordError(
            f"A nucleus has uid {nucleus.uid!r}; expected a UUID. Export again."
        ) from error
