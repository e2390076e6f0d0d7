"""Whether what is on the screen is on the disk, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFrame

from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.widgets.controls import IconButton, StatusDot, Text, button, row

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.widgets.theme import Palette

SHOW_EVERY_S = 0.3
"""A stream of nuclei is saved ten times a second; to say so each time would only flicker."""


class StatusLine(QFrame):
    """Saved when; undo and redo; help."""

    def __init__(
        self, controller: ReviewController, palette: Palette, connections: Connections
    ) -> None:
        super().__init__()
        self._review = controller.model
        self._palette = palette
        self._dot = StatusDot()
        self._retry = button("Retry", tip="Try to save again, now")
        self._undo = IconButton("undo", "Undo")
        self._redo = IconButton("redo", "Redo")
        self._steps = Text(role="muted")
        self.help = IconButton("help", "Keys")
        # All the room that is left is the words': they need none made when they grow.
        layout = row(self._dot, self._retry, self._steps, stretch=0, gap_px=4)
        for made in (self._undo, self._redo, self.help):
            layout.addWidget(made)
        self.setLayout(layout)
        self._retry.clicked.connect(lambda: controller.session.writer.retry())
        self._undo.clicked.connect(controller.history.undo)
        self._redo.clicked.connect(controller.history.redo)
        self._pacer = Pacer(self._show_save, SHOW_EVERY_S)
        events = self._review.events
        connections.call(self._pacer.ask, events.save)
        connections.stop(self._pacer.stop)
        connections.call(self._show_history, events.undo_steps, events.undo_words, events.can_redo)
        connections.call(self._show_history, KEYS.changed)
        self._show_save()
        self._show_history()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        for made in (self._undo, self._redo, self.help):
            made.set_palette(palette)
        self._show_save()

    def words(self) -> str:
        """What it says about saving."""
        return self._dot.words()

    def _show_save(self) -> None:
        p, status = self._palette, self._review.save
        self._retry.setVisible(status.phase == "failed")
        self._dot.setToolTip(status.problem)
        match status.phase:
            case "nothing":
                self._dot.show_status(p.muted, "Nothing to save yet")
            case "saving":
                self._dot.show_status(p.warn, "Saving\N{HORIZONTAL ELLIPSIS}")
            case "saved":
                at = "" if status.at is None else f" {status.at:%H:%M:%S}"
                self._dot.show_status(p.good, f"Saved{at}")
            case "failed":
                self._dot.show_status(p.bad, "NOT saved")

    def _show_history(self) -> None:
        steps = self._review.undo_steps
        self._steps.setText(f"{steps} step{'' if steps == 1 else 's'} back" if steps else "")
        said = f": {self._review.undo_words}" if steps else ""
        self._undo.setToolTip(f"Undo{said}{KEYS.words('  ({undo})')}")
        self._redo.setToolTip(KEYS.words("Redo  ({redo})"))
        self.help.setToolTip(KEYS.words("Keys  ({keys})"))
        self._undo.setEnabled(bool(steps))
        self._redo.setEnabled(self._review.can_redo)
