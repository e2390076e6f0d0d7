"""All of the image, small, with a frame around what the canvas shows; the mouse moves the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QMouseEvent, QPaintEvent

    from napari_nunext.core.geometry import Box

LONG_PX, SHORT_PX = 168, 24
"""Sides of the picture: the longer one, and the shorter one at least."""
LEAST_FRAME_PX = 5
"""A frame that is smaller than this is drawn as a cross, or nobody would find it."""
FRAME = QColor(11, 127, 118)


class Overview(QWidget):
    """Says where it was clicked, or dragged to."""

    place_chosen = Signal(float, float)
    """x, y, level-0 px."""

    def __init__(self) -> None:
        super().__init__()
        self._image: Box | None = None
        self._shown: Box | None = None
        self._pixmap = QPixmap()
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Overview of the image")
        self.setToolTip("Click or drag to move the view")

    def show_image(self, image: Box, rgb: NDArray[np.uint8]) -> None:
        """Show an image by a small picture of it, shape (H, W, 3)."""
        self._image = image
        scale = LONG_PX / max(image.width, image.height)
        width, height = (max(round(side * scale), SHORT_PX) for side in (image.width, image.height))
        self.setFixedSize(width, height)
        pixels = np.ascontiguousarray(rgb)
        (rows, columns, _), form = pixels.shape, QImage.Format.Format_RGB888
        picture = QImage(pixels.data, columns, rows, pixels.strides[0], form)
        ratio = self.devicePixelRatioF()
        self._pixmap = QPixmap.fromImage(picture).scaled(
            round(width * ratio),
            round(height * ratio),
            Qt.AspectRatioMode.IgnoreAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        self.update()

    def show_place(self, shown: Box) -> None:
        """Draw the frame around this."""
        self._shown = shown
        self.update()

    def frame(self) -> QRectF | None:
        """Where the frame is drawn, as far as it lies on the picture."""
        if self._image is None or self._shown is None:
            return None
        seen = self._shown.clipped_to(self._image)
        across, down = self.width() / self._image.width, self.height() / self._image.height
        return QRectF(seen.x0 * across, seen.y0 * down, seen.width * across, seen.height * down)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw."""
        painter = QPainter(self)
        painter.drawPixmap(self.rect(), self._pixmap)
        frame = self.frame()
        if frame is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for color, width in ((QColor(255, 255, 255), 3.5), (FRAME, 1.75)):
                painter.setPen(QPen(color, width))
                if max(frame.width(), frame.height()) >= LEAST_FRAME_PX:
                    painter.drawRect(frame)
                    continue
                middle, arm = frame.center(), LEAST_FRAME_PX
                painter.drawLine(middle - QPointF(arm, 0), middle + QPointF(arm, 0))
                painter.drawLine(middle - QPointF(0, arm), middle + QPointF(0, arm))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Go there."""
        self._follow(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the frame along."""
        self._follow(event)

    def _follow(self, event: QMouseEvent) -> None:
        event.accept()  # the canvas below has its own idea of a drag
        if self._image is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        place = event.position()
        x = min(max(place.x() / self.width(), 0.0), 1.0) * self._image.width
        y = min(max(place.y() / self.height(), 0.0), 1.0) * self._image.height
        self.place_chosen.emit(x, y)
