"""How many nuclei have which density, with the cut-offs; the mouse moves the one for positive."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QLineF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.telling import NEGATIVE, POSITIVE
from napari_nunext.review.stained.tint import COLORS
from napari_nunext.ui.widgets.theme import DARK

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_nunext.ui.widgets.theme import Palette

BINS = 75
HEIGHT_PX, AXIS_PX = 84, 14
MARGIN_PX = 6
"""On each side: half of the slider's handle, so that both stand one above the other."""
LEAST_OD, MOST_OD = 1.0, 2.5
"""Between these the axis ends, where the darkest nuclei want it."""
TIP = (
    "Nuclei by their optical density of DAB. Heights are square roots, so that few nuclei are seen "
    "beside many; the first and the last bar hold what lies beyond. Drag to move the cut-off."
)


class Histogram(QWidget):
    """Bars in the colours that nuclei have on the image."""

    moved = Signal(float)
    """The cut-off is being dragged: where it is."""
    dropped = Signal()
    """It was let go."""

    def __init__(self) -> None:
        super().__init__()
        self._palette: Palette = DARK
        self._counts: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self._cut_offs = CutOffs()
        self.most_od = LEAST_OD
        """Where the axis ends."""
        self.setFixedHeight(HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.SplitHCursor)
        self.setAccessibleName("Nuclei by their optical density of DAB")
        self.setToolTip(TIP)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self.update()

    def show_densities(self, od: NDArray[np.float64]) -> None:
        """Show these, shape (N,)."""
        darkest = math.ceil(float(od.max()) * 10) / 10 if len(od) else 0.0
        self.most_od = min(max(darkest, LEAST_OD), MOST_OD)
        inside = np.clip(od, 0, np.nextafter(self.most_od, 0))
        self._counts = np.histogram(inside, bins=BINS, range=(0, self.most_od))[0]
        self.update()

    def show_cut_offs(self, cut_offs: CutOffs) -> None:
        """Show where positive begins, and the grades."""
        self._cut_offs = cut_offs
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Move the cut-off there."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._drag(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move it on."""
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._drag(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Leave it there."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.dropped.emit()

    def _drag(self, event: QMouseEvent) -> None:
        part = (event.position().x() - MARGIN_PX) / max(1, self.width() - 2 * MARGIN_PX)
        self.moved.emit(round(min(max(part, 0.0), 1.0) * self.most_od, 2))

    def _x(self, od: float) -> float:
        wide = self.width() - 2 * MARGIN_PX
        return MARGIN_PX + wide * min(max(od / self.most_od, 0.0), 1.0)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw all of it."""
        painter, palette = QPainter(self), self._palette
        base = self.height() - AXIS_PX
        heights = np.sqrt(self._counts / max(1, int(self._counts.max()))) * (base - 3)
        rim = QPen(QColor(palette.muted), 0.5)
        colors = {name: QColor(*color) for name, color in COLORS.items()}
        cut_x = self._x(self._cut_offs.positive)
        for at, height in enumerate(heights.tolist()):
            if not height:
                continue
            left, right = (self._x(self.most_od * side / BINS) for side in (at, at + 1))
            bar = QRectF(left, base - max(height, 1.5), right - left, max(height, 1.5))
            painter.setPen(rim)
            # A bar that the cut-off goes through has both colours.
            painter.setBrush(colors[POSITIVE if left >= cut_x else NEGATIVE])
            painter.drawRect(bar)
            if left < cut_x < right:
                painter.setBrush(colors[POSITIVE])
                painter.drawRect(QRectF(cut_x, bar.top(), right - cut_x, bar.height()))
        painter.setPen(QPen(QColor(palette.line), 1))
        painter.drawLine(QLineF(MARGIN_PX, base, self.width() - MARGIN_PX, base))
        painter.setPen(QPen(QColor(palette.muted), 1, Qt.PenStyle.DotLine))
        for grade in self._cut_offs.grades:
            painter.drawLine(QLineF(self._x(grade), 2, self._x(grade), base))
        painter.setPen(QPen(QColor(palette.text), 2))
        painter.drawLine(QLineF(cut_x, 0, cut_x, base))
        self._paint_axis(painter, base)
        painter.end()

    def _paint_axis(self, painter: QPainter, base: int) -> None:
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(QColor(self._palette.muted))
        for tick in np.arange(0, self.most_od + 0.01, 0.5 if self.most_od > 1.5 else 0.25):
            words = f"{tick:g}"
            wide = painter.fontMetrics().horizontalAdvance(words)
            x = min(max(self._x(float(tick)) - wide / 2, 0.0), self.width() - wide)
            painter.drawText(QRectF(x, base + 1, wide + 1, AXIS_PX - 1), 0, words)
