"""How outlines are corrected: the line below the tools while that for outlines is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_nunext.ui.commands.chosen import KEYS
from napari_nunext.ui.widgets.controls import Segments, Text

if TYPE_CHECKING:
    from napari_nunext.review.connections import Connections
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.view import OutlineWay

WAYS: tuple[OutlineWay, ...] = ("click", "brush", "polygon")
TIPS = (
    "Click on what belongs to the nucleus; the model draws  (O)",
    "Paint the outline by hand  (B)",
    "Draw the outline corner by corner  (P)",
)


class OutlineWays(QWidget):
    """Click, Brush or Polygon, and what to do with the mouse."""

    def __init__(self, controller: ReviewController, connections: Connections) -> None:
        super().__init__()
        self._view = controller.view.model
        self._ways = Segments(["Click", "Brush", "Polygon"])
        for i, tip in enumerate(TIPS):
            self._ways.set_enabled(i, True, tip)
        self._words = Text(role="muted", wraps=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._ways)
        layout.addWidget(self._words)
        self._ways.chosen.connect(lambda i: controller.hand.take(WAYS[i]))
        events = self._view.events
        connections.call(self._show, events.tool, events.outline_way, events.brush_um)
        connections.call(self._show, KEYS.changed)
        self._show()

    def _show(self) -> None:
        way = self._view.outline_way
        self.setVisible(self._view.tool == "outline")
        self._ways.choose(WAYS.index(way))
        self._words.setText(words_for(way, self._view.brush_um))


def words_for(way: OutlineWay, brush_um: float) -> str:
    """What to do with the mouse."""
    if way == "brush":
        return (
            "Drag paints, Shift or the right button takes away. "
            f"Brush {brush_um:.1f} \N{MICRO SIGN}m: "
            + KEYS.words("{larger_brush} {smaller_brush} or Shift and wheel.")
        )
    if way == "polygon":
        return KEYS.words(
            "Click corner by corner; a double click or {accept} closes, {delete} takes one back, "
            "{rest} gives up."
        )
    return "Click on what belongs to the selected nucleus, Shift and click on what does not."
