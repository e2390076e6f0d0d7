"""What leaves the review: the nuclei of an image for other programs, and training data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageMissingError
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.sentences import counted
from napari_nunext.images import ImageFinder
from napari_nunext.review.model import Notice
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import write_nuclei
from napari_nunext.store.exports.training import export_training

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Manifest
    from napari_nunext.review.session import Session
    from napari_nunext.store.exports.formats import ExportFormat

ALL_THE_SAME = "Export all the same"


class Exporter:
    """The part of the review that exports; of a journal that is not sound it asks first."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._model = session.model

    def nuclei(self, path: Path, format_: ExportFormat) -> None:
        """Write the nuclei of the open image for other programs; not where its file is another.

        They are put on the image by its name, and the file of that name may have been replaced.
        """
        field, state, categories = self._model.open_field, self._model.state, self._model.categories
        if field is None or state is None:
            return
        session = self._session
        image = ImageNuclei(field.entry, tuple(state.nuclei.values()))
        finder = ImageFinder(beside=session.project.path.parent)

        def write() -> str:
            try:
                finder.find(image.entry)
                unchecked = ""
            except ImageMissingError:
                unchecked = f" {image.entry.name} is not found any more, so it was not checked."
            left_out = write_nuclei(format_, path, [image], categories)
            return f"Exported to {path}{left_out and f'; {left_out}'}.{unchecked}"

        def export() -> None:
            session.background.run(write, lambda words: session.notify(Notice(words)))

        session.soundness.before(export, ALL_THE_SAME)

    def training(self, folder: Path) -> None:
        """Write what people completed as training data, and say where it is."""
        session = self._session
        if not session.has_project:
            return

        def export() -> None:
            session.background.run(
                lambda: self.write_training(folder),
                lambda manifest: session.notify(Notice(_exported(manifest, folder))),
            )

        session.soundness.before(export, ALL_THE_SAME)

    def write_training(self, folder: Path) -> Manifest:
        """The same in a background thread, after every write that is under way. Blocks."""
        project = self._session.project
        self._session.writer.call(lambda: None)
        finder = ImageFinder(beside=project.path.parent)
        return export_training(project, folder, images=finder.find)


def _exported(manifest: Manifest, folder: Path) -> str:
    """What an export holds, by its own count."""
    fields = counted(manifest.counts["images"], "field")
    return f"Exported {fields} with {nuclei_in_words(manifest.counts['nuclei'])} to {folder}."
