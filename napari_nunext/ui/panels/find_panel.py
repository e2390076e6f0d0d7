"""Which model, where, and the one primary button: find nuclei, or pause, go on, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_nunext.core.process.asked import Search
from napari_nunext.core.process.parameters import label_of
from napari_nunext.core.sentences import left
from napari_nunext.review.names import shown_names
from napari_nunext.ui.panels.only_menu import OnlyMenu
from napari_nunext.ui.widgets.controls import (
    Card,
    Segments,
    StatusDot,
    Text,
    breakable,
    button,
    row,
)
from napari_nunext.ui.widgets.model_chooser import ModelChooser
from napari_nunext.ui.widgets.model_tip import model_tip
from napari_nunext.ui.widgets.progress import ThinBar

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.batch.all_images import AllImages
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.shown.all_images import AllImagesStatus
    from napari_nunext.review.shown.find import RunStatus, ServerStatus
    from napari_nunext.ui.widgets.theme import Palette

FIELD, VIEW, REGION, REGIONS, ALL = range(5)
WHERE_TIPS = (
    "All of the image, but for regions that are left out",
    "What the canvas shows now",
    "A rectangle for this search alone",
    "The regions of the kind Search here",
    "All images of the list, one after another, while you review",
)
NAME_ROOM = 34
"""Characters of an image's name that fit on a line."""


class FindPanel(Card):
    """Choose a model and search."""

    region_wanted = Signal()
    """The user wants to draw the region to search."""
    checkup_wanted = Signal()
    """The user wants to know how the model server is."""

    def __init__(
        self, controller: ReviewController, palette: Palette, connections: Connections
    ) -> None:
        super().__init__()
        self._controller = controller
        self._model = controller.find.model
        self._all = controller.find_all.model
        self._view = controller.view.model
        self._images = controller.images.model
        self._regions = controller.regions.model
        self._palette = palette
        self._models = ModelChooser()
        self._dot = StatusDot("How the model server is. Click to check.")
        self._where = Segments(["Field", "View", "Drawn", "Regions", "All"])
        for i, tip in enumerate(WHERE_TIPS):
            self._where.set_enabled(i, True, tip)
        self._tissue = QCheckBox(label_of(Search, "tissue"))
        self._tissue.setToolTip("Quicker on slides: only windows with tissue are searched")
        self._pen = QCheckBox(label_of(Search, "pen"))
        self._pen.setToolTip("Green, blue and black ink; not for blue or green stains")
        self._only = OnlyMenu(controller, connections)
        self._hint = Text(role="muted", wraps=True)
        self._find = button("Find nuclei", role="primary")
        self._progress = self._make_progress()
        self.body.addLayout(row(Text("Model"), self._models, self._dot, stretch=1))
        self.body.addWidget(self._where)
        self.body.addWidget(self._hint)
        self.body.addWidget(self._only)
        self.body.addWidget(self._tissue)
        self.body.addWidget(self._pen)
        self.body.addWidget(self._find)
        self.body.addWidget(self._progress)
        self._models.activated.connect(self._choose)
        self._dot.clicked.connect(self.checkup_wanted.emit)
        self._where.chosen.connect(self._choose_where)
        self._tissue.toggled.connect(controller.find.leave_out_glass)
        self._pen.toggled.connect(controller.find.leave_out_pen)
        self._find.clicked.connect(self.search)
        events = self._model.events
        connections.call(self._show_models, events.models, events.model_id)
        connections.call(self._show_server, events.server)
        connections.call(self._show_run, events.run, events.paused_search)
        connections.call(self._show_run, self._all.events.status)
        connections.call(self._show_region, self._view.events.region)
        connections.call(self._show_tissue, events.tissue, events.pen)
        connections.call(self._show_ready, self._regions.events.figures)
        connections.call(self._show_ready, self._images.events.open_field)
        self._show_models()
        self._show_server(self._model.server)
        self._show_run()
        self._show_region()
        self._show_tissue()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self._bar.set_palette(palette)
        self._show_server(self._model.server)

    def search(self) -> None:
        """Search where the user chose."""
        where, find = self._where.index(), self._controller.find
        if where == FIELD:
            find.search()
        elif where == ALL:
            self._controller.find_all.search()
        elif where == REGIONS:
            find.search(in_regions=True)
        else:
            region = self._view.region if where == REGION else self._view.view_box
            if region is not None:
                find.search(region)

    def search_in(self, region: Box | None) -> None:
        """Search this rectangle, or all of the open image; that is what is chosen then."""
        self._where.choose(FIELD)
        self._controller.view.set_region(region)
        self.search()

    def _make_progress(self) -> QWidget:
        self._bar = ThinBar()
        self._image = Text(role="muted", wraps=True)
        self._words = Text(wraps=True)
        self._pause = button("Pause", tip="Stop for now; Go on takes it up again, in days too")
        self._pause.clicked.connect(lambda: self.running_part().pause())
        self._go_on = button("Go on", role="primary", tip="Search the windows that are left")
        self._go_on.clicked.connect(lambda: self.running_part().go_on())
        self._stop = button("Stop", tip="Stop for good; what was found stays")
        self._stop.clicked.connect(lambda: self.running_part().stop())
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self._image)
        layout.addLayout(row(self._words, self._pause, self._go_on, self._stop, stretch=0))
        layout.addWidget(self._bar)
        return made

    def _name_of(self, image: Path) -> str:
        paths = tuple(item.path for item in self._images.queue.items)
        names = dict(zip(paths, shown_names(paths, NAME_ROOM), strict=True))
        return breakable(f"Searching {names.get(image, image.name)}")

    def _choose(self, index: int) -> None:
        self._controller.learn.choose(self._models.itemData(index))
        self._show_models()  # what is asked first is not chosen yet

    def _choose_where(self, where: int) -> None:
        if where == REGION:
            self.region_wanted.emit()
        else:
            self._controller.view.set_region(None)
        self._show_region()
        self._show_run()

    def _show_models(self) -> None:
        self._models.clear()
        for model in self._model.models:
            self._models.addItem(model.name, model.id)
            index = self._models.count() - 1
            self._models.setItemData(index, model_tip(model), Qt.ItemDataRole.ToolTipRole)
            self._models.setItemData(
                index, None if model.problem is None else 0, Qt.ItemDataRole.UserRole - 1
            )
            if model.id == self._model.model_id:
                self._models.setCurrentIndex(index)
                self._models.setToolTip(model_tip(model))
        if not self._model.models:
            self._models.addItem("waiting for the server", "")
        self._show_ready()

    def _show_server(self, status: ServerStatus) -> None:
        p = self._palette
        color = {"ready": p.good, "starting": p.warn, "off": p.muted, "failed": p.bad}
        self._dot.show_status(color[status.phase], status.words)
        self._dot.setToolTip(status.details or "How the model server is. Click to check.")
        self._show_ready()

    def _show_region(self) -> None:
        wants_region = self._where.index() == REGION
        if wants_region and self._view.region is None:
            self._hint.setText("Drag a rectangle on the image.")
        self._hint.setVisible(wants_region and self._view.region is None)
        if not wants_region and self._view.region is not None:
            self._where.choose(REGION)
        self._show_ready()

    def _show_tissue(self) -> None:
        self._tissue.setChecked(self._model.tissue)
        self._pen.setChecked(self._model.pen)
        self._pen.setVisible(not self._tissue.isHidden() and self._model.tissue)

    def _show_ready(self) -> None:
        waits_for = self._waits_for()
        self._find.setEnabled(not waits_for)
        every = self._where.index() == ALL
        self._find.setText(waits_for or ("Find nuclei in all images" if every else "Find nuclei"))

    def why_not_search(self, where: int | None = None) -> str:
        """Why no search can begin now, in a sentence; empty where one can.

        Parameters
        ----------
        where : int, optional
            What would be searched; what is chosen, by default.
        """
        if self._model.run.busy or self._all.status.busy:
            return "A search is running already."
        if self._images.open_field is None:
            return "No image is open. Open one first."
        if not self._find.isVisibleTo(self):
            return "A search is paused. Go on with it, or stop it, first."
        words = self._waits_for(where)
        return words and f"{words.removesuffix(chr(0x2026))}."

    def _waits_for(self, where: int | None = None) -> str:
        """What has to happen before a search can begin, as the button says it; empty if nothing."""
        if not self._model.model_id and self._model.server.phase == "failed":
            return "The model server is not running"
        if not self._model.model_id:
            return "Starting the model server\N{HORIZONTAL ELLIPSIS}"
        if self._images.open_field is None:
            return "Opening the image\N{HORIZONTAL ELLIPSIS}"
        where = self._where.index() if where is None else where
        if where == REGION and self._view.region is None:
            return "Draw a region first"
        if where == VIEW and self._view.view_box is None:
            return "Open the canvas first"
        if where == REGIONS and not self._regions.searchable:
            return "Draw a region to search first"
        return ""

    def running_part(self) -> Finder | AllImages:
        """What pause, go on and stop are about."""
        controller = self._controller
        return controller.find if self._all.status.phase == "idle" else controller.find_all

    def _show_run(self) -> None:
        run, every = self._model.run, self._all.status
        busy, all_paused = run.busy or every.busy, every.phase == "paused"
        paused = None if busy or all_paused else self._model.paused_search
        is_free = not busy and not all_paused and (paused is None or self._where.index() == ALL)
        self._find.setVisible(is_free)
        self._progress.setVisible(busy or all_paused or paused is not None)
        self._where.setEnabled(not busy and not all_paused)
        for option in (self._only, self._tissue):
            option.setVisible(is_free)
        self._show_tissue()
        self._models.setEnabled(not busy and not all_paused and paused is None)
        self._pause.setVisible(busy)
        self._go_on.setVisible(all_paused or paused is not None)
        for end in (self._pause, self._stop):
            ends = ("pausing", "stopping")
            end.setEnabled(run.phase not in ends and every.phase not in ends)
        lines = [all_words(every)] if every.phase not in ("idle", "paused") else []
        if run.image is not None:
            lines.append(self._name_of(run.image))
        self._image.setVisible(bool(lines))
        self._image.setText("\n".join(lines))
        if all_paused or (busy and not run.busy):
            self._bar.show_progress(every.ended, every.images)
            self._words.setText(
                f"Paused: {every.ended} of {every.images} images are done" if all_paused else ""
            )
        elif paused is not None:
            self._bar.show_progress(paused.windows_done, paused.windows)
            self._words.setText(f"Paused at {paused.windows_done} of {paused.windows} windows")
        else:
            self._bar.show_progress(run.progress or 0.0, 0 if run.progress is None else 1)
            self._words.setText(run_words(run))


def all_words(every: AllImagesStatus) -> str:
    """How the search of all images is going, in words."""
    if every.waiting:
        return every.waiting
    words = f"Image {min(every.ended + 1, every.images)} of {every.images}"
    if every.failed:
        words += f", {every.failed} could not be searched"
    if every.phase in ("pausing", "stopping"):
        return f"{words}, {every.phase}\N{HORIZONTAL ELLIPSIS}"
    return words + left(every.seconds_left)


def run_words(run: RunStatus) -> str:
    """How the search is going, in words."""
    if run.phase == "starting":
        return run.waiting or "Starting\N{HORIZONTAL ELLIPSIS}"
    words = f"{run.found} {'nucleus' if run.found == 1 else 'nuclei'}"
    if run.phase in ("pausing", "stopping"):
        return f"{words}, {run.phase}\N{HORIZONTAL ELLIPSIS}"
    if run.seconds_left is None and run.windows_done < run.windows:
        words += f", {run.windows_done} of {run.windows} windows"
    if run.windows_left_out:
        words += f", {run.windows_left_out} windows of glass left out"
    if run.outlines:
        words += f", outlines {run.outlines_done} of {run.outlines}"
    return words + left(run.seconds_left)
