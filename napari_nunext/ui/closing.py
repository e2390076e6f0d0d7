"""Knowing when a window closes, however it is closed.

napari may ask a question of its own while it handles the event that closes its window, and then
close it or not; a script may close the viewer; the application may quit with windows open, or be
told to end. Each of these ends in one call.
"""

from __future__ import annotations

import atexit
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class WindowWatch(QObject):
    """Asks before a window closes, and tells once when it has.

    Parameters
    ----------
    may_close : callable
        Asked when the window is about to close; False keeps it open.
    closed : callable
        Called once: when the window has closed, is destroyed, or the application ends. It may be
        called when Qt is gone.
    """

    def __init__(self, may_close: Callable[[], bool], closed: Callable[[], object]) -> None:
        super().__init__()
        self._may_close = may_close
        self._closed = closed
        self._window: QWidget | None = None
        self._closing = False
        self._open = True
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.finish)
        atexit.register(self.finish)

    def watch(self, window: QWidget) -> None:
        """Watch this window from now on."""
        if self._window is not window:
            if self._window is not None:
                self._window.removeEventFilter(self)
            self._window = window
            window.installEventFilter(self)

    @property
    def window(self) -> QWidget | None:
        """The window that is watched, while it is open."""
        return self._window

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the window's life."""
        if self._open and watched is self._window:
            kind = event.type()
            if kind == QEvent.Type.Close:
                if not self._may_close():
                    event.ignore()
                    return True
                # Whether it closes is for napari to say, which may ask first: then it is hidden.
                self._closing = True
                if not self._window.isVisible():
                    self.finish()
            elif kind == QEvent.Type.Show:
                self._closing = False
            elif kind == QEvent.Type.DeferredDelete or (
                kind == QEvent.Type.Hide and self._closing and not event.spontaneous()
            ):
                self.finish()
        return super().eventFilter(watched, event)

    def finish(self) -> None:
        """Tell that it is over, if that was not told yet."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.finish)
        self._window = None
        self._closed()


@contextmanager
def quitting_on_terminate() -> Iterator[None]:
    """While this lasts, a request to end (SIGTERM) quits the application as a person would."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def quit_application(*_: object) -> None:
        QApplication.quit()

    before = signal.signal(signal.SIGTERM, quit_application)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
