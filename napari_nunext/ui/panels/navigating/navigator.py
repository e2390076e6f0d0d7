"""The card over the canvas's corner: the overview, magnifications, and a line for a place.

It comes by itself where an image is large; a key shows it, or takes it away, on any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_nunext.core.errors import InputError
from napari_nunext.core.image.navigation import (
    MAGNIFICATIONS,
    magnification_in_words,
    place_of,
    steps_of,
)
from napari_nunext.review.model import Notice
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.panels.navigating.overview import Overview
from napari_nunext.ui.widgets.controls import Card, EntryLine, Text, button
from napari_nunext.ui.widgets.theme import DOCK_NAME, SPACE_PX, style_sheet

if TYPE_CHECKING:
    from napari_nunext.core.image.navigation import Step
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.ui.canvas.canvas import Canvas
    from napari_nunext.ui.widgets.theme import Palette

LARGE_PX = 1 << 24
"""An image of more pixels is hardly seen at once and judged."""
FOLLOW_EVERY_S = 0.03
PLACE = "Go to x, y in px, um or mm"


class Navigator(QWidget):
    """Shows where the canvas looks, and moves it.

    Parameters
    ----------
    controller : ReviewController
    canvas : Canvas
    connections : Connections
    parent : QWidget
        Keeps it until there is a canvas to lie over.
    """

    def __init__(
        self,
        controller: ReviewController,
        canvas: Canvas,
        connections: Connections,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setObjectName(DOCK_NAME)  # for its style
        self._controller = controller
        self._view = controller.view.model
        self._images = controller.images.model
        self._canvas = canvas
        self._over: QWidget | None = None
        self._wanted: bool | None = None
        """Whether a person wants it; None before one has said."""
        self._steps: tuple[Step, ...] = ()
        self.overview = Overview()
        self._buttons: list[QPushButton] = []
        self._step_row = QHBoxLayout()
        self._step_row.setSpacing(3)
        self._where = Text(role="muted")
        self.line = EntryLine(PLACE)
        self._lay_out()
        self._pacer = Pacer(self._follow, FOLLOW_EVERY_S)
        self._settler = Pacer(self._settle, 0.0)
        for pacer in (self._pacer, self._settler):
            connections.stop(pacer.stop)
        self.line.installEventFilter(self)
        self.overview.place_chosen.connect(canvas.sight.move_to)
        self.line.entered.connect(self._go_to)
        connections.call(self._pacer.ask, self._view.events.view_box)
        connections.call(self._show_field, self._images.events.open_field)
        connections.call(self._show_overview, canvas.overview_changed)
        connections.call(self._show_keys, KEYS.changed)
        self.hide()

    def _lay_out(self) -> None:
        card = Card()
        card.body.setContentsMargins(6, 6, 6, 6)
        card.body.setSpacing(5)
        card.body.addWidget(self.overview, 0, Qt.AlignmentFlag.AlignHCenter)
        card.body.addLayout(self._step_row)
        card.body.addWidget(self._where)
        card.body.addWidget(self.line)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSizeConstraint(QVBoxLayout.SizeConstraint.SetFixedSize)
        outer.addWidget(card)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.setStyleSheet(style_sheet(palette))

    # Over the canvas

    def lie_over(self, canvas_widget: QWidget) -> None:
        """Lie over the corner of the widget that draws the canvas, and give it the keyboard back.

        Beside it in its parent, not within it: what a line of text leaves of a key would count as
        pressed on the canvas.
        """
        if self._over is not None:
            self._over.removeEventFilter(self)
        self._over = canvas_widget
        self.setParent(canvas_widget.parentWidget())
        self.setFocusProxy(canvas_widget)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        canvas_widget.installEventFilter(self)
        self._settle()

    def let_go(self) -> None:
        """Leave the canvas."""
        if self._over is not None:
            self._over.removeEventFilter(self)
            self._over = None
        self.hide()
        self.deleteLater()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the corner, and go with the line where it came for that alone."""
        if watched is self.line:
            if event.type() == QEvent.Type.Hide:
                self._settler.ask()
        elif event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            self._place()
        return False

    def resizeEvent(self, event: object) -> None:
        """Stay in the corner."""
        self._place()

    def _place(self) -> None:
        if self._over is not None:
            room = self._over.geometry()
            self.move(room.right() - self.width() - SPACE_PX, room.top() + SPACE_PX)
            self.raise_()

    def _settle(self) -> None:
        """Come or go."""
        is_wanted = self._is_large if self._wanted is None else self._wanted
        field = self._images.open_field
        here = self._over is not None and field is not None
        self.setVisible(here and (is_wanted or self.line.isVisibleTo(self)))
        if self.isVisible():
            self._place()
            self._pacer.ask()

    @property
    def _is_large(self) -> bool:
        field = self._images.open_field
        return field is not None and field.box.width * field.box.height > LARGE_PX

    # What people want

    def toggle(self) -> None:
        """Come, or go."""
        self._wanted = not self.isVisible()
        self._settle()

    def ask_place(self) -> None:
        """Let the user type where to go."""
        if self._images.open_field is not None:
            self.line.show()
            self._settle()
            self.line.ask()

    def choose_step(self, number: int) -> None:
        """Take one of the magnifications, 0 for the smallest; nothing where there is no such."""
        if number < len(self._steps):
            self._canvas.sight.zoom_to(self._steps[number].screen_px_per_px)

    def _go_to(self, words: str) -> None:
        field = self._images.open_field
        if field is None:
            return
        try:
            place = place_of(words, field.box, _known_mpp(field))
        except InputError as error:
            self._controller.session.notify(Notice(str(error), "warning"))
        else:
            self._canvas.sight.look_at(*place)

    # What is shown

    def _show_field(self) -> None:
        field = self._images.open_field
        if field is not None:
            self._show_steps(steps_of(_known_mpp(field)))
        self._settle()

    def _show_keys(self) -> None:
        steps, self._steps = self._steps, ()
        self._show_steps(steps)

    def _show_steps(self, steps: tuple[Step, ...]) -> None:
        if steps == self._steps:
            return
        self._steps = steps
        for old in self._buttons:
            self._step_row.removeWidget(old)
            old.deleteLater()
        self._buttons = [self._step(number) for number in range(len(steps))]
        for made in self._buttons:
            self._step_row.addWidget(made, 1)

    def _step(self, number: int) -> QPushButton:
        words = self._steps[number].words
        key = KEYS.words(f"  ({{magnify_{MAGNIFICATIONS[number]}}})")
        made = button(words, role="chip", tip=f"Show it at {words}{key}")
        made.setAccessibleName(f"Magnification {words}")
        made.clicked.connect(lambda: self.choose_step(number))
        return made

    def _show_overview(self) -> None:
        field, picture = self._images.open_field, self._canvas.picture
        if field is not None and picture is not None:
            self.overview.show_image(field.box, picture.overview())

    def _follow(self) -> None:
        """Show where the canvas looks now."""
        field, shown = self._images.open_field, self._view.view_box
        zoom = self._canvas.sight.screen_px_per_px
        if field is None or shown is None or zoom is None or not self.isVisible():
            return
        self.overview.show_place(shown)
        x, y = (shown.x0 + shown.x1) / 2, (shown.y0 + shown.y1) / 2
        times = magnification_in_words(zoom, _known_mpp(field))
        self._where.setText(f"{times}    x {x:,.0f}   y {y:,.0f} px")


def _known_mpp(field: OpenField) -> float | None:
    """The scale, unless it is only assumed."""
    return None if field.entry.mpp_source == "assumed" else field.entry.mpp
