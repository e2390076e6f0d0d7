"""The dock widget: header, tabs, panels, and what holds them together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDockWidget,
    QMessageBox,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_nunext.review.connections import Connections
from napari_nunext.ui.canvas.adopting import Adopter
from napari_nunext.ui.canvas.canvas import Canvas
from napari_nunext.ui.canvas.image.dropping import DropWatch
from napari_nunext.ui.checkup_sheet import CheckupSheet
from napari_nunext.ui.closing import WindowWatch
from napari_nunext.ui.commands.acts import Acts
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.commands.keys_editor import KeysEditor
from napari_nunext.ui.commands.lines import lines_of
from napari_nunext.ui.hints import keep_our_hints
from napari_nunext.ui.keys import Keys
from napari_nunext.ui.napari_versions import canvas_widget_of
from napari_nunext.ui.panels.activity import Activities
from napari_nunext.ui.panels.asking.answer_keys import GROUP as ON_ANSWERS
from napari_nunext.ui.panels.asking.ask_panel import AskPanel
from napari_nunext.ui.panels.choosing import Chooser
from napari_nunext.ui.panels.empty_panel import EmptyPanel
from napari_nunext.ui.panels.header_panel import HeaderPanel
from napari_nunext.ui.panels.import_card import ImportCard
from napari_nunext.ui.panels.improving.improve_panel import ImprovePanel
from napari_nunext.ui.panels.navigating.navigator import Navigator
from napari_nunext.ui.panels.review_panel import ReviewPanel
from napari_nunext.ui.panels.status_line import StatusLine
from napari_nunext.ui.sample_opener import SampleOpener
from napari_nunext.ui.shortcuts_sheet import ShortcutsSheet
from napari_nunext.ui.widgets.controls import Segments
from napari_nunext.ui.widgets.notice_bar import NoticeBar
from napari_nunext.ui.widgets.scrolling import fit_screen_soon, scrolling
from napari_nunext.ui.widgets.theme import DOCK_NAME, SPACE_PX, palette_for, style_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer
    from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.ui.bridge import MainThread
    from napari_nunext.ui.panels.asking.answer_keys import AnswerKeys

logger = logging.getLogger(__name__)

WIDTH_PX = 340
SAVE_TIMEOUT_S = 10.0
"""How long closing the window waits for what is being saved."""
REVIEW, ASK, IMPROVE = 0, 1, 2


class NunextDock(QWidget):
    """The window's right side.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the images are shown.
    controller : ReviewController
        What the panels show and ask.
    bridge : MainThread
        How the controller's results come back; closed with the dock.
    answer_keys : AnswerKeys
        Which keys judge answers.
    """

    def __init__(
        self,
        viewer: Viewer,
        controller: ReviewController,
        bridge: MainThread,
        answer_keys: AnswerKeys,
    ) -> None:
        super().__init__()
        self.setObjectName(DOCK_NAME)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setMinimumWidth(WIDTH_PX)
        # Otherwise napari gives half of the height to a stretch of its own.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        self.viewer = viewer
        self.controller = controller
        self.model = controller.model
        self._images = controller.images.model
        self._bridge = bridge
        self._shut = False
        self._watch = WindowWatch(self._saved_or_given_up, self.shut_down)
        self._after: list[Callable[[], None]] = []
        self.destroyed.connect(self._watch.finish)
        palette = palette_for(viewer.theme)
        self.canvas = Canvas(viewer, controller, self._may_draw)
        self._connections = Connections()
        self.choose = Chooser(self, controller)
        self.header = HeaderPanel(controller, self._connections)
        self.tabs = Segments(["Review", "Ask", "Improve"], role="tab")
        self.review = ReviewPanel(controller, palette, self._connections)
        self.ask = AskPanel(controller, palette, self._connections, answer_keys)
        self.improve = ImprovePanel(controller, palette, self._connections)
        self.empty = EmptyPanel()
        self.samples = SampleOpener(controller)
        self.notice = NoticeBar(self.model, self._connections)
        self.import_card = ImportCard(controller.imports.model, self._connections)
        self._drops = DropWatch(self.choose.open)
        self.status = StatusLine(controller, palette, self._connections)
        self._activities = Activities(controller, self._connections)
        self.navigator = Navigator(controller, self.canvas, self._connections, self)
        self.acts = Acts(self)
        self.keys = Keys(self.canvas, self.acts, KEYS, self._connections)
        self._answer_keys = answer_keys
        self._keys_editor: KeysEditor | None = None
        self._hinting: WeakSet[Any] = WeakSet()
        """Layers that show our hints."""
        self._lay_out()
        self._fill_menu()
        self._connect()
        self._follow_theme()
        self._show_field(self._images.open_field)
        self._adopter = Adopter(viewer, controller, self.canvas, self.choose.copy)

    # Layout

    def _lay_out(self) -> None:
        self._stack = QStackedWidget()
        self._stack.addWidget(self.review)
        self._stack.addWidget(self.ask)
        self._stack.addWidget(scrolling(self.improve))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_PX, SPACE_PX, SPACE_PX, 4)
        layout.setSpacing(SPACE_PX)
        layout.addWidget(self.header)
        layout.addWidget(self.empty, 1)
        layout.addWidget(self.tabs)
        layout.addWidget(self._stack, 1)
        # What decides never scrolls away, nor moves when a notice comes and goes.
        layout.addWidget(self.import_card)
        layout.addWidget(self.notice)
        layout.addWidget(self.review.decisions)
        layout.addWidget(self.status)

    def _fill_menu(self) -> None:
        menu = self.header.menu
        self.choose.fill(menu)
        menu.addSeparator()
        menu.addAction("Measure a stain (DAB)", self.show_stain)
        menu.addAction("Check the model server", self.show_checkup)
        menu.addAction("Keys", self.show_shortcuts)
        menu.addAction("Change keys\N{HORIZONTAL ELLIPSIS}", self.change_keys)

    def _connect(self) -> None:
        self.header.open_requested.connect(self.choose.files)
        self.empty.files_wanted.connect(self.choose.files)
        self.empty.folder_wanted.connect(self.choose.folder)
        self.empty.sample_wanted.connect(self.samples.open_first)
        self.tabs.chosen.connect(self.show_tab)
        self.review.finder.region_wanted.connect(self.canvas.draw_region)
        self.review.finder.checkup_wanted.connect(self.show_checkup)
        self.ask.region_wanted.connect(self.canvas.draw_region)
        self.ask.boxes_wanted.connect(self.canvas.correct_boxes)
        self.ask.box_to_delete.connect(self.canvas.delete_boxes)
        self.ask.editor_closed.connect(self.canvas.end_correcting_boxes)
        self.improve.export_wanted.connect(self.choose.export)
        self.status.help.clicked.connect(self.show_shortcuts)
        call, events = self._connections.call, self.model.events
        call(self.choose.folder_of_images, self.controller.locate.folder_wanted)
        call(self._show_field, self._images.events.open_field)
        call(self._show_project, events.project)
        call(self._hint_on_layers, self.canvas.layers_changed)
        call(self._hint_anew, KEYS.changed)
        call(self._follow_theme, self.viewer.events.theme)

    def _follow_theme(self) -> None:
        palette = palette_for(self.viewer.theme)
        self.setStyleSheet(style_sheet(palette))
        panels = (self.header, self.review, self.ask, self.improve, self.notice, self.status)
        for panel in (*panels, self.empty, self.navigator):
            panel.set_palette(palette)

    def come_forward(self) -> None:
        """Come into sight, and let the image have the keyboard."""
        frame = self.parentWidget()
        if isinstance(frame, QDockWidget):
            frame.show()
            frame.raise_()
        self.canvas.focus()
        self.setFocus()

    def show_tab(self, index: int) -> None:
        """Show one of the tabs."""
        self.tabs.choose(index)
        self._stack.setCurrentIndex(index)
        self._show_decisions()
        if index == IMPROVE:
            self._count_lessons()
        elif index == ASK:
            self.controller.ask.answerers.look_once()

    def _show_decisions(self) -> None:
        is_reviewing = self._stack.currentIndex() == REVIEW
        self.review.decisions.setVisible(is_reviewing and self._images.open_field is not None)

    def show_stain(self) -> None:
        """Open the section for a stain, and bring it into sight."""
        self.show_tab(REVIEW)
        self.review.show_stain()

    def show_shortcuts(self) -> None:
        """Show the cheat sheet over the image."""
        lines = {**lines_of(KEYS.by_command), ON_ANSWERS: self._answer_keys.sheet}
        sheet = ShortcutsSheet(self, lines, palette_for(self.viewer.theme))
        sheet.change_wanted.connect(self.change_keys)
        self._show_beside(sheet)

    def change_keys(self) -> None:
        """Let the user choose other keys."""
        if self._keys_editor is None:
            self._keys_editor = KeysEditor(self, palette_for(self.viewer.theme))
            self._keys_editor.finished.connect(self._forget_keys_editor)
        self._keys_editor.show()
        self._keys_editor.activateWindow()

    def _forget_keys_editor(self) -> None:
        self._keys_editor = None

    def show_checkup(self) -> None:
        """Check the way to the model, and show how it goes."""
        self.controller.find.check()
        self._show_beside(CheckupSheet(self, self.controller, palette_for(self.viewer.theme)))

    def _show_beside(self, sheet: QWidget) -> None:
        """Show a pop-up over the image."""
        sheet.adjustSize()
        corner = self.mapToGlobal(self.rect().topLeft())
        lowest = self.screen().availableGeometry().bottom() - sheet.height()
        y = max(0, min(corner.y() + SPACE_PX, lowest))
        sheet.move(corner.x() - sheet.width() - SPACE_PX, y)
        sheet.show()

    def _show_field(self, field: OpenField | None) -> None:
        is_open = field is not None
        if field is not None:
            self.samples.tell(field)
        self.empty.setVisible(not is_open)
        for made in (self.tabs, self._stack, self.status):
            made.setVisible(is_open)
        self._show_decisions()

    def _show_project(self, project: Path | None) -> None:
        """Count anew what another project gives to learn from, where that is in sight."""
        if project is not None and self._stack.currentIndex() == IMPROVE:
            self._count_lessons()

    def _count_lessons(self) -> None:
        self.controller.learn.refresh()
        self.controller.teach.refresh()

    def _hint_on_layers(self) -> None:
        for layer in self.canvas.layers():
            if layer not in self._hinting:
                self._hinting.add(layer)
                keep_our_hints(self.viewer, layer)

    def _hint_anew(self) -> None:
        """Show the keys as they are now in the hints of our layers."""
        for layer in self.canvas.layers():
            layer.help = ""  # what listens puts ours there

    # Dropping

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        self.choose.open(
            [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        )

    # Closing

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window that we are in, to save before it closes."""
        super().showEvent(event)
        if self.isWindow():
            return  # taken out of its frame: the window that is watched is still the one
        if self._watch.window is not self.window():
            self._watch.watch(self.window())
            self._join_canvas(self.window())
            fit_screen_soon(self.window())

    def _join_canvas(self, window: QWidget) -> None:
        """Leave the keyboard to the canvas when the dock is clicked, and take Tab there."""
        widget = canvas_widget_of(window)
        if widget is not None:
            self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
            self.setFocusProxy(widget)
            self.keys.watch(widget)
            self._drops.watch(widget)
            self.navigator.lie_over(widget)
            widget.setFocus()

    def on_shut_down(self, function: Callable[[], None]) -> None:
        """Call this when it is over."""
        self._after.append(function)

    def _may_draw(self) -> bool:
        """Whether the window is there; napari takes all layers away when it closes."""
        window = self._watch.window
        return not self._shut and window is not None and window.isVisible()

    def _saved_or_given_up(self) -> bool:
        writer = self.controller.session.writer
        while not writer.drain(SAVE_TIMEOUT_S):
            answer = QMessageBox.warning(
                self.window(),  # whose style it has: with the dock's it is black on black
                "Not saved",
                f"{writer.pending} changes are not saved yet. {self.model.save.problem}",
                QMessageBox.StandardButton.Retry
                | QMessageBox.StandardButton.Discard
                | QMessageBox.StandardButton.Cancel,
                QMessageBox.StandardButton.Retry,
            )
            if answer != QMessageBox.StandardButton.Retry:
                return answer == QMessageBox.StandardButton.Discard
        return True

    @property
    def is_open(self) -> bool:
        """Whether the review goes on; the window may have closed without our doing."""
        return not self._shut

    def shut_down(self) -> bool:
        """Save, stop the server, and let go of the viewer; False if not all was saved."""
        if self._shut:
            return True
        self._shut = True
        try:
            self._let_go()
        except RuntimeError as error:  # Qt's, where it deleted us before we knew of it
            logger.debug("The dock was destroyed before it was closed: %s", error)
        self._watch.finish()
        for function in self._after:
            function()
        return self.controller.close(SAVE_TIMEOUT_S)

    def _let_go(self) -> None:
        """Stop watching the viewer and the review."""
        if self._keys_editor is not None:
            self._keys_editor.close()
        self._bridge.close()
        self._connections.cut()
        self._adopter.disconnect()
        self._drops.stop()
        self.canvas.disconnect()
        if self.isWindow():
            self.deleteLater()  # in no frame of the window's, which would take it along
        self.navigator.let_go()  # last: napari's window, which it lies in, may be gone
