"""From any thread to the main thread, in portions that leave it time to draw and to listen."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QTimer, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

PORTION_S = 0.008
"""After this long, what is still waiting waits for the next turn of the event loop."""


class MainThread(QObject):
    """Runs functions on the thread that made it, in the order they were posted."""

    _posted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._waiting: deque[Callable[[], None]] = deque()
        self._open = True
        # A timer, for what is posted while posted events are delivered is delivered with them.
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._run)
        self._posted.connect(self._timer.start, Qt.ConnectionType.QueuedConnection)

    def post(self, function: Callable[[], None]) -> None:
        """Run `function` later. Safe from any thread; nothing after `close`."""
        if self._open:
            self._waiting.append(function)
            self._posted.emit()

    @property
    def is_waiting(self) -> bool:
        """Whether something that was posted was not run yet."""
        return bool(self._waiting)

    def close(self) -> None:
        """Take nothing more, and forget what was not run yet."""
        self._open = False
        self._timer.stop()

    def _run(self) -> None:
        end = time.perf_counter() + PORTION_S
        try:
            while self._open and self._waiting and time.perf_counter() < end:
                self._waiting.popleft()()
        finally:  # one that breaks must not hold up the others
            if self._open and self._waiting:
                self._timer.start()


class Pacer(QObject):
    """Does one thing when asked, but not more often than every `interval_s`.

    However often it is asked in between, it is done once, a turn of the event loop later at the
    earliest.
    """

    def __init__(self, act: Callable[[], None], interval_s: float) -> None:
        super().__init__()
        self._act = act
        self._interval_s = interval_s
        self._last = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._run)

    def ask(self) -> None:
        """Do it soon."""
        self.ask_after(0.0)

    def ask_after(self, least_s: float) -> None:
        """Do it soon, but not before so long: something else is drawn first."""
        if not self._timer.isActive():
            wait_s = max(self._last + self._interval_s - time.perf_counter(), least_s)
            self._timer.start(round(wait_s * 1000))

    def go_on(self) -> None:
        """Do the next portion of what was just done, a turn of the event loop later."""
        self._timer.start(0)

    @property
    def is_waiting(self) -> bool:
        """Whether it was asked for and is not done yet."""
        return self._timer.isActive()

    def flush(self) -> None:
        """Do it now, if it was asked for."""
        if self._timer.isActive():
            self._timer.stop()
            self._run()

    def stop(self) -> None:
        """Forget that it was asked for."""
        self._timer.stop()

    def _run(self) -> None:
        self._last = time.perf_counter()
        self._act()
