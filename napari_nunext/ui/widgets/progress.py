"""How far a job is: a thin bar, and a small live curve of the training loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QPaintEvent

    from napari_nunext.ui.widgets.theme import Palette

HEIGHT_PX = 96
MARGIN_PX = 6


class ThinBar(QWidget):
    """A thin progress bar; empty to full, or full and pale while the end is not known.

    Qt's own repaints the whole window at once with every value, canvas included.
    """

    def __init__(self) -> None:
        super().__init__()
        self._part: float | None = 0.0
        self._colors = ("#888888", "#444444")
        self.setFixedHeight(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._colors = (palette.accent_hover, palette.control)
        self.update()

    def show_progress(self, done: float, total: float) -> None:
        """So many of so many; a total of 0 says that the end is not known."""
        self._part = min(done / total, 1.0) if total else None
        self.update()

    def part(self) -> float | None:
        """How far it is, in [0, 1]; None when the end is not known."""
        return self._part

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        full = QRectF(self.rect())
        painter.setBrush(QColor(self._colors[1]))
        painter.drawRoundedRect(full, 2, 2)
        painter.setOpacity(0.4 if self._part is None else 1.0)
        painter.setBrush(QColor(self._colors[0]))
        full.setWidth(full.width() * (1.0 if self._part is None else self._part))
        painter.drawRoundedRect(full, 2, 2)
        painter.end()


class LossPlot(QWidget):
    """Loss against steps: the curve, its first and its last value."""

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._losses: Sequence[float] = ()
        self.setFixedHeight(HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Training loss")

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self.update()

    def show_losses(self, losses: Sequence[float]) -> None:
        """Draw these, oldest first."""
        self._losses = losses
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        p = self._palette
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QColor(p.line))
        painter.setBrush(QColor(p.control))
        painter.drawRoundedRect(frame, 5, 5)
        if len(self._losses) >= 2:
            self._draw_curve(painter, frame)
        painter.end()

    def _draw_curve(self, painter: QPainter, frame: QRectF) -> None:
        losses = np.asarray(self._losses, dtype=float)
        low, high = min(float(losses.min()), 0.0), float(losses.max())
        area = frame.adjusted(MARGIN_PX, MARGIN_PX + 12, -MARGIN_PX, -MARGIN_PX)
        x = area.left() + area.width() * np.linspace(0, 1, len(losses))
        y = area.bottom() - area.height() * (losses - low) / max(high - low, 1e-9)
        painter.setPen(QPen(QColor(self._palette.accent_hover), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawPolyline(QPolygonF([QPointF(a, b) for a, b in zip(x, y, strict=True)]))
        painter.setPen(QColor(self._palette.muted))
        words = frame.adjusted(MARGIN_PX, 3, -MARGIN_PX, 0)
        top = Qt.AlignmentFlag.AlignTop
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft | top, f"loss {losses[0]:.2f}")
        painter.drawText(words, Qt.AlignmentFlag.AlignRight | top, f"now {losses[-1]:.2f}")
