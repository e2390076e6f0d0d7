"""What breaks or complains where it is only printed: in Qt slots, drawing, threads and logs."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import QtMsgType, qInstallMessageHandler

if TYPE_CHECKING:
    from types import TracebackType

    from napari.utils.notifications import Notification


class Watch(logging.Handler):
    """Collects it while it is entered.

    That is: exceptions that nobody caught, on any thread; those that Python could not raise; errors
    in the log, with their traceback; what Qt complains of; napari's errors and warnings.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._found: list[str] = []

    def __enter__(self) -> Watch:
        self._hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
        sys.excepthook = self._on_exception
        threading.excepthook = self._on_thread
        sys.unraisablehook = self._on_unraisable
        self._qt = qInstallMessageHandler(self._on_qt)
        notification_manager.notification_ready.connect(self._on_napari)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        notification_manager.notification_ready.disconnect(self._on_napari)
        qInstallMessageHandler(self._qt)
        sys.excepthook, threading.excepthook, sys.unraisablehook = self._hooks

    def taken(self) -> list[str]:
        """What was found since it was last asked."""
        found, self._found = self._found, []
        return found

    def emit(self, record: logging.LogRecord) -> None:
        """Take what is logged."""
        self._note("logged", record.getMessage(), record.exc_info and record.exc_info[1])

    def _on_exception(
        self, _: type[BaseException], error: BaseException, __: TracebackType | None
    ) -> None:
        self._note("raised in a callback", "", error)

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        self._note("raised in a thread", "", args.exc_value)

    def _on_unraisable(self, unraisable: Any) -> None:
        self._note("could not be raised", unraisable.err_msg or "", unraisable.exc_value)

    def _on_qt(self, kind: QtMsgType, _: object, words: str) -> None:
        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg):
            self._note("said by Qt", words)

    def _on_napari(self, notification: Notification) -> None:
        if notification.severity >= NotificationSeverity.WARNING:
            error = getattr(notification, "exception", None)
            self._note("said by napari", str(notification.message), error)

    def _note(self, how: str, words: str, error: BaseException | None = None) -> None:
        lines = [] if error is None else traceback.format_exception(error)
        self._found.append(" ".join((how, words, "".join(lines))).strip())
