"""Files and folders that a person chooses, or drops, and what they are for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.images.formats import image_suffixes
from napari_nunext.images.nuclei_files import SUFFIXES as NUCLEI_SUFFIXES
from napari_nunext.places import PROJECT_SUFFIX
from napari_nunext.store.exports.formats import export_formats
from napari_nunext.ui.widgets.asking import (
    ask_for_file,
    ask_for_files,
    ask_for_folder,
    ask_where,
    kinds_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QMenu, QWidget

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.store.exports.formats import ExportFormat


class Chooser:
    """Asks for them over a widget, and hands them to the review."""

    def __init__(self, over: QWidget, controller: ReviewController) -> None:
        self._over = over
        self._controller = controller

    def fill(self, menu: QMenu) -> None:
        """Put what can be opened and written into a menu."""
        menu.addAction("Open images\N{HORIZONTAL ELLIPSIS}", self.files)
        menu.addAction("Open a folder\N{HORIZONTAL ELLIPSIS}", self.folder)
        menu.addAction("Open another project\N{HORIZONTAL ELLIPSIS}", self.project)
        menu.addAction("Import nuclei\N{HORIZONTAL ELLIPSIS}", self.nuclei)
        menu.addSeparator()
        exports = menu.addMenu("Export nuclei of this image")
        for each in export_formats():
            exports.addAction(
                f"{each.words}\N{HORIZONTAL ELLIPSIS}", partial(self.nuclei_export, each)
            )
        menu.addAction("Save a picture of this view\N{HORIZONTAL ELLIPSIS}", self.picture)
        menu.addAction("Export training data\N{HORIZONTAL ELLIPSIS}", self.export)

    def files(self) -> None:
        """Ask for images."""
        kinds = kinds_of("Images", image_suffixes())
        self.open(ask_for_files(self._over, "Open images", kinds))

    def folder(self) -> None:
        """Ask for a folder of images."""
        folder = ask_for_folder(self._over, "Open a folder of images")
        self.open([] if folder is None else [folder])

    def project(self) -> None:
        """Ask for a project to open in the place of the present one."""
        kinds = kinds_of("Review projects", [PROJECT_SUFFIX])
        path = ask_for_file(self._over, "Open a review project", kinds)
        if path is not None:
            self._controller.open.project(path)

    def folder_of_images(self) -> None:
        """Ask where the project's images lie that are not found."""
        folder = ask_for_folder(self._over, "Where the images of this project lie now")
        if folder is not None:
            self._controller.locate.find_images(folder)

    def nuclei(self) -> None:
        """Ask for files of nuclei."""
        kinds = kinds_of("Nuclei: GeoJSON, JSON, CSV, ROIs, label images", NUCLEI_SUFFIXES)
        paths = ask_for_files(self._over, "Import nuclei", kinds)
        if paths:
            self._controller.imports.take(paths)

    def nuclei_export(self, format_: ExportFormat) -> None:
        """Ask where to write the open image's nuclei."""
        field = self._controller.images.model.open_field
        if field is None:
            return
        path = ask_where(
            self._over,
            f"Export nuclei: {format_.words}",
            suggested=str(Path(field.entry.path).with_suffix(format_.suffix)),
            kinds=f"{format_.words} (*{format_.suffix})",
        )
        if path is not None:
            self._controller.export.nuclei(path, format_)

    def picture(self) -> None:
        """Ask where to save what is in view."""
        field = self._controller.images.model.open_field
        if field is None:
            return
        path = ask_where(
            self._over,
            "Save a picture of this view",
            suggested=str(Path(field.entry.path).with_suffix(".snapshot.png")),
            kinds="Pictures (*.png)",
        )
        if path is not None:
            self._controller.export.picture(path, self._controller.view.model.view_box)

    def export(self) -> None:
        """Ask where to write the training data."""
        folder = ask_where(self._over, "Export training data to a new folder")
        if folder is not None:
            self._controller.export.training(folder)

    def copy(self, name: str) -> Path | None:
        """Ask where to save a copy of an image that is no file."""
        session = self._controller.session
        folder = session.project.path.parent if session.has_project else Path.home()
        title, kinds = "Save as a file and review it", "TIFF (*.tif *.tiff)"
        return ask_where(self._over, title, suggested=str(folder / name), kinds=kinds)

    def open(self, paths: Sequence[Path]) -> None:
        """Open these, if there are any."""
        if paths:
            self._controller.open.paths(paths)
