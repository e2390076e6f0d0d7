"""What leaves the review: the nuclei of an image for other programs, and training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import FreeTextError, ImageMissingError
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.sentences import counted
from napari_nunext.images import ImageFinder
from napari_nunext.review.model import Notice
from napari_nunext.store.exports.formats import image_nuclei, write_nuclei
from napari_nunext.store.exports.snapshot import write_snapshot
from napari_nunext.store.exports.training import FREE_TEXT, export_training

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Manifest
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.session import Session
    from napari_nunext.review.soundness import Soundness
    from napari_nunext.store.exports.formats import ExportFormat
    from napari_nunext.store.exports.training import WhichAnswers

ALL_THE_SAME = "Export all the same"


class Exporter:
    """The part of the review that exports; of a journal that is not sound it asks first."""

    def __init__(self, session: Session, soundness: Soundness) -> None:
        self._session = session
        self._soundness = soundness

    def nuclei(self, path: Path, format_: ExportFormat) -> None:
        """Write the nuclei of the open image for other programs; not where its file is another.

        They are put on the image by its name, and the file of that name may have been replaced.
        """
        field, review = self._session.images.open_field, self._session.model
        state, categories = review.state, review.categories
        if field is None or state is None:
            return
        session = self._session
        cut_offs = format_.cut_offs(session.of_project)
        finder = ImageFinder(beside=session.project.path.parent)

        def write() -> str:
            try:
                finder.find(field.entry)
                unchecked = ""
            except ImageMissingError:
                unchecked = f" {field.entry.name} is not found any more, so it was not checked."
            image = image_nuclei(field.entry, state, field.source, cut_offs)
            left_out = write_nuclei(format_, path, [image], categories)
            return f"Exported to {path}{left_out and f'; {left_out}'}.{unchecked}"

        def export() -> None:
            session.background.run(write, lambda words: session.notify(Notice(words)))

        self._soundness.before(export, ALL_THE_SAME)

    def picture(self, path: Path, view: Box | None) -> None:
        """Write a view of the open image as a picture, with its nuclei and a scale bar.

        `view` is in level-0 px; None for all of the image.
        """
        field, review = self._session.images.open_field, self._session.model
        state, categories = review.state, review.categories
        if field is None or state is None:
            return
        image = image_nuclei(field.entry, state)

        def write() -> str:
            write_snapshot(path, field.source, image, categories, view=view)
            return f"Saved a picture to {path}."

        self._session.background.run(write, lambda words: self._session.notify(Notice(words)))

    def training(self, folder: Path) -> None:
        """Write what people completed and judged as training data, and say where it is.

        Asks first where the words of answers look as if they named somebody.
        """
        session = self._session
        if session.has_project:
            self._soundness.before(lambda: self._training(folder, "checked"), ALL_THE_SAME)

    def _training(self, folder: Path, answers: WhichAnswers) -> None:
        session = self._session

        def write() -> Notice:
            try:
                manifest = self.write_training(folder, answers)
            except FreeTextError as error:
                return Notice(
                    str(error),
                    "warning",
                    ALL_THE_SAME,
                    lambda: self._training(folder, "all"),
                    other_label="Export without answers",
                    other=lambda: self._training(folder, "none"),
                )
            return Notice(_exported(manifest, folder))

        session.background.run(write, session.notify)

    def write_training(
        self, folder: Path, answers: WhichAnswers = "none", *, regions: bool = True
    ) -> Manifest:
        """The same in a background thread, after every write that is under way. Blocks."""
        project = self._session.project
        self._session.writer.call(lambda: None)
        finder = ImageFinder(beside=project.path.parent)
        return export_training(
            project, folder, images=finder.find, answers=answers, regions=regions
        )


def _exported(manifest: Manifest, folder: Path) -> str:
    """What an export holds, by its own count."""
    counts = manifest.counts
    fields = f"{counted(counts['images'], 'field')} with {nuclei_in_words(counts['nuclei'])}"
    if not (answers := counts.get("answers")):
        return f"Exported {fields} to {folder}."
    held = [fields] if counts["images"] else []
    return f"Exported {' and '.join([*held, counted(answers, 'answer')])} to {folder}. {FREE_TEXT}"
