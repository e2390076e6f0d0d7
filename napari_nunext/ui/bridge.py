"""From any thread to the main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable


class MainThread(QObject):
    """Runs functions on the thread that made it, in the order they were posted."""

    _posted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._open = True
        self._posted.connect(self._run, Qt.ConnectionType.QueuedConnection)

    def post(self, function: Callable[[], None]) -> None:
        """Run `function` later. Safe from any thread; nothing after `close`."""
        if self._open:
            self._posted.emit(function)

    def close(self) -> None:
        """Take nothing more, and forget what was not run yet."""
        self._open = False

    def _run(self, function: Callable[[], None]) -> None:
        if self._open:
            function()
