"""Files that are dropped on the canvas are opened as if they were dropped on the dock.

As far as all of them can be reviewed: others are napari's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject

from napari_nunext.images.nuclei_files import is_of_nuclei
from napari_nunext.ui.canvas.adopting import why_not_read

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qtpy.QtWidgets import QWidget


class DropWatch(QObject):
    """Takes files that are dropped on the canvas: those of nuclei, and images that can be reviewed.

    napari would not know the former, and would draw the latter twice: once as it likes, and then,
    when the review has them, as they are.

    Parameters
    ----------
    take : callable
        Given the files. Drops with anything else among them are left to napari.
    """

    def __init__(self, take: Callable[[Sequence[Path]], None]) -> None:
        super().__init__()
        self._take = take
        self._watched: QWidget | None = None

    def watch(self, canvas: QWidget) -> None:
        """Watch the widget around the canvas that takes drops."""
        widget: QWidget | None = canvas
        while widget is not None and not widget.acceptDrops():
            widget = widget.parentWidget()
        if widget is not None and widget is not self._watched:
            self.stop()
            self._watched = widget
            widget.installEventFilter(self)

    def stop(self) -> None:
        """Let go of it."""
        if self._watched is not None:
            self._watched.removeEventFilter(self)
            self._watched = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the drop in napari's place, where the review can take all of it."""
        if event.type() != QEvent.Type.Drop:
            return False
        urls = event.mimeData().urls()  # type: ignore[attr-defined]
        files = [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
        if not files or not all(map(_is_for_us, files)):
            return False
        event.acceptProposedAction()  # type: ignore[attr-defined]
        self._take(files)
        return True


def _is_for_us(path: Path) -> bool:
    """Whether a file is of nuclei, or an image whose header says that it can be reviewed."""
    return is_of_nuclei(path) or not why_not_read(path)
