"""Where am I, at what scale, and how far: the queue of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QMenu, QToolButton, QVBoxLayout, QWidget

from napari_nunext.core.geometry import MPP_RANGE
from napari_nunext.review.names import shown_names
from napari_nunext.review.opening.projects import shown_project
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.panels.image_list import ImageList
from napari_nunext.ui.samples import states_scale
from napari_nunext.ui.widgets.controls import (
    Card,
    ElidedText,
    EntryNumber,
    IconButton,
    NameButton,
    Text,
    button,
    give_keyboard_back,
    row,
    set_property,
)
from napari_nunext.ui.widgets.progress import ThinBar
from napari_nunext.ui.widgets.theme import DARK

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField, Queue
    from napari_nunext.ui.widgets.theme import Palette

NAME_ROOM = 34
"""Characters of an image's name that fit on a line."""
ALL_TIP = "Click for all images  ({jump})"
SOURCE_WORDS = {"file": "from file", "user": "set by you", "assumed": "assumed"}


class HeaderPanel(Card):
    """Name, scale and place in the queue of the open image."""

    open_requested = Signal()
    """The user wants to choose files or a folder."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._controller = controller
        self._review = controller.model
        self._images = controller.images.model
        self._palette = DARK
        self.menu = QMenu(self)
        self._project = ElidedText(role="muted")
        self._name = NameButton()
        self._place = Text(role="muted")
        self._scale = button("", role="chip", tip="Micrometres per pixel. Click to change.")
        self._size = Text(role="muted")
        self._more = IconButton("more", "Open, export, help")
        self._more.setMenu(self.menu)
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._previous = IconButton("previous", "Previous field")
        self._next = IconButton("next", "Next field")
        self._bar = ThinBar()
        self._done = Text(role="muted")
        self._editor = self._make_scale_editor()
        self._queue_row = QWidget()
        self._queue_row.setLayout(
            row(self._previous, self._bar, self._done, self._next, stretch=1, gap_px=6)
        )
        self.body.setSpacing(4)
        self.body.setContentsMargins(10, 5, 10, 10)
        self.body.addLayout(row(self._project, self._more, stretch=0, gap_px=6))
        self.body.addLayout(row(self._name, self._place, stretch=0, gap_px=6))
        scale_row = row(self._scale, self._size)
        scale_row.addStretch(1)
        self.body.addLayout(scale_row)
        self.body.addWidget(self._editor)
        self.body.addWidget(self._queue_row)
        self._name.clicked.connect(self.list_images)
        self._scale.clicked.connect(self._edit_scale)
        self._previous.clicked.connect(controller.images.previous)
        self._next.clicked.connect(controller.images.next)
        connections.call(self._show_project, self._review.events.project)
        connections.call(self._show_queue, self._images.events.queue)
        connections.call(self._show_field, self._images.events.open_field)
        connections.call(self._show_loading, self._images.events.loading)
        connections.call(self._show_keys, KEYS.changed)
        self._show_keys()
        self._show_project(self._review.project)
        self._show_queue(self._images.queue)
        self._show_field(self._images.open_field)

    def list_images(self) -> None:
        """Show all images, to jump to one."""
        if not self._images.queue.items:
            return
        images = ImageList(self, self._images.queue, self._palette, self._controller.images.go_to)
        corner = self.mapToGlobal(self._name.geometry().bottomLeft())
        screen = self.screen().availableGeometry()
        images.move(min(corner.x(), screen.right() - images.width()), corner.y() + 4)
        images.show()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        for made in (self._more, self._previous, self._next, self._bar):
            made.set_palette(palette)

    def _make_scale_editor(self) -> QWidget:
        self._spin = EntryNumber()
        self._spin.setDecimals(4)
        self._spin.setRange(*MPP_RANGE)
        self._spin.setSingleStep(0.05)
        self._spin.setSuffix(" \N{MICRO SIGN}m/px")
        keep = button("Set", tip="Use this scale for this image")
        keep.clicked.connect(self._set_scale)
        self._spin.setAccessibleName("Micrometres per pixel")
        self._spin.entered.connect(self._set_scale)
        self._spin.given_up.connect(self._close_editor)
        editor = QWidget()
        layout = QVBoxLayout(editor)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(4)
        hint = Text("Typical: 0.50 at 20x, 0.25 at 40x", role="muted")
        self._for_all = QCheckBox()
        self._for_all.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        layout.addLayout(row(self._spin, keep, stretch=0))
        layout.addWidget(hint)
        layout.addWidget(self._for_all)
        editor.hide()
        return editor

    def _edit_scale(self) -> None:
        field = self._images.open_field
        if field is not None:
            self._spin.setValue(field.entry.mpp)
            self._offer_all(field)
        if self._editor.isVisible():
            self._close_editor()
        else:
            self._editor.show()
            self._spin.setFocus()
            self._spin.selectAll()

    def _offer_all(self, field: OpenField) -> None:
        count = len(self._images.queue.items)
        self._for_all.setText(f"for all {count} images")
        self._for_all.setToolTip(
            "Whatever their files say"
            if field.entry.mpp_source == "file"
            else "Images whose file says its scale keep that"
        )
        self._for_all.setChecked(False)
        self._for_all.setVisible(count > 1)

    def _close_editor(self) -> None:
        self._editor.hide()
        give_keyboard_back(self._editor)

    def _set_scale(self) -> None:
        self._close_editor()
        self._controller.scale.set(self._spin.value(), for_all=self._for_all.isChecked())

    def _show_keys(self) -> None:
        self._previous.setToolTip(KEYS.words("Previous field  ({previous})"))
        self._next.setToolTip(KEYS.words("Next field  ({next})"))
        self._show_field(self._images.open_field)

    def _show_project(self, project: Path | None) -> None:
        if project is None:
            self._close_editor()
            self._project.set_text("")
            self._project.setToolTip("")
            return
        self._project.set_text(shown_project(project))
        self._project.setToolTip(f"Review project, in {project.parent}")

    def _show_queue(self, queue: Queue) -> None:
        total = len(queue.items)
        self.setVisible(total > 0)
        self._queue_row.setVisible(total > 1)
        self._place.setToolTip("")
        self._place.setText(
            "" if queue.index is None or total < 2 else f"{queue.index + 1} of {total}"
        )
        self._bar.show_progress(queue.done, max(total, 1))
        self._done.setText(f"{queue.done} done")
        self._previous.setEnabled(queue.neighbour(-1) is not None)
        self._next.setEnabled(queue.neighbour(1) is not None)

    def _show_field(self, field: OpenField | None) -> None:
        self._scale.setVisible(field is not None)
        self._size.setVisible(field is not None)
        if field is None:
            self._name.set_text("", tip="")
            return
        entry = field.entry
        self._show_name(Path(entry.path), entry.name)
        words = SOURCE_WORDS[entry.mpp_source]
        if entry.mpp_source == "file" and states_scale(Path(entry.path)):
            words = "stated by the sample"
        self._scale.setText(f"{entry.mpp:.3g} \N{MICRO SIGN}m/px \N{MIDDLE DOT} {words}")
        set_property(self._scale, "level", "warning" if entry.mpp_source == "assumed" else "")
        width_um, height_um = entry.width_px * entry.mpp, entry.height_px * entry.mpp
        self._size.setText(
            f"{width_um:.0f} \N{MULTIPLICATION SIGN} {height_um:.0f} \N{MICRO SIGN}m"
        )
        self._size.setToolTip(f"{entry.width_px} x {entry.height_px} pixels")

    def _show_name(self, path: Path, name: str) -> None:
        """The open image's name, told apart from all others of the queue."""
        paths = tuple(item.path for item in self._images.queue.items)
        shown = dict(zip(paths, shown_names(paths, NAME_ROOM), strict=True))
        self._name.set_text(shown.get(path, name), tip=f"{path}\n{KEYS.words(ALL_TIP)}")

    def _show_loading(self, name: str) -> None:
        """Say that an image is on its way; the name stays that of the image that is shown."""
        if not name:
            self._show_queue(self._images.queue)
            self._show_field(self._images.open_field)
            return
        self._place.setText("opening\N{HORIZONTAL ELLIPSIS}")
        self._place.setToolTip(f"Opening {name}")
        if self._images.open_field is None:
            self._name.set_text(name, tip=name)
