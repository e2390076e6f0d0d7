"""Logs as JSON, one object a line, for those who collect them.

What the server logs holds no pixels, names or hashes of images; persons appear by the id of their
key. Facts about a request are fields of the record (``extra={"facts": {...}}``).
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

KIND_LENGTH = 200
"""Characters of a message by which records are told apart."""
MOST_KINDS = 256
"""More kinds than this at a time count as one: some loggers put what they hear into messages."""
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9]+")

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, logger and message; then the record's facts, then its traceback."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class BoundedHandler(logging.StreamHandler[TextIO]):
    """Writes records to standard error, but of each kind only so many within a time.

    Those beyond are counted, and said in one line when the time is over and anything is logged: so
    nobody fills a disk by asking. Two records are of one kind if they differ in their arguments,
    in numbers, or in a traceback; what different persons do is of different kinds.

    Parameters
    ----------
    most : int
        Records of one kind that are written within `period_s`.
    period_s : float
    clock : callable
        Seconds, from any beginning.
    """

    def __init__(
        self,
        most: int = 100,
        period_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._most = most
        self._period_s = period_s
        self._clock = clock
        self._periods: dict[tuple[object, ...], _Period] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it. Called with the handler's lock held."""
        self._say_left_out(before_s=self._clock() - self._period_s)
        kind = self._kind(record)
        period = self._periods.get(kind)
        if period is None:
            period = self._periods[kind] = _Period(self._clock())
        period.count += 1
        if period.count <= self._most:
            super().emit(record)
        else:
            # Without its traceback, which holds on to everything that was in memory.
            period.last = copy(record)
            period.last.exc_info = period.last.exc_text = period.last.stack_info = None

    def close(self) -> None:
        """Say what was left out until now."""
        self._say_left_out(before_s=math.inf)
        super().close()

    def _kind(self, record: logging.LogRecord) -> tuple[object, ...]:
        text = _VARYING.sub("#", str(record.msg)[:KIND_LENGTH])
        kind = (record.name, record.levelno, text, getattr(record, "facts", {}).get("user"))
        return kind if kind in self._periods or len(self._periods) < MOST_KINDS else ()

    def _say_left_out(self, before_s: float) -> None:
        for kind, period in list(self._periods.items()):
            if period.began_s <= before_s:
                del self._periods[kind]
                more = period.count - self._most
                if period.last is not None:
                    said = period.last.getMessage()[:KIND_LENGTH]
                    period.last.msg, period.last.args = "... and %d more like it: %s", (more, said)
                    super().emit(period.last)


@dataclass
class _Period:
    """Records of one kind, since a time."""

    began_s: float
    count: int = 0
    last: logging.LogRecord | None = None
    """Of those that were not written."""


def start_logging(*, as_json: bool) -> None:
    """Log to standard error, from INFO."""
    handler = BoundedHandler()
    handler.setFormatter(JsonLines() if as_json else logging.Formatter(PLAIN))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
