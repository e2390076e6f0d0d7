"""Threads that come late, or first: a plugin that `scripts/lottery.py` runs tests with.

Whoever hands work to another thread, or wakes one, now and then waits a moment, and so does the one
that was handed it. Each order that threads may take is right; a test that holds one of them alone
fails here sooner than on a busy machine, where most still come in the usual one.

    NUNEXT_UNSTEADY=7 python -m pytest -p tests.unsteady tests/review
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import concurrent.futures.thread
import os
import queue
import random
import threading
import time
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_S = 0.05
OFTEN = 0.3
"""How often somebody waits."""

_luck = random.Random(int(os.environ.get("NUNEXT_UNSTEADY", "0")))


def _wait() -> None:
    if _luck.random() < OFTEN:
        time.sleep(_luck.uniform(0, LONGEST_S))


def _late(owner: Any, name: str, *, before: bool = False) -> None:
    """Wait behind each call of a method, or before it."""
    method: Callable[..., Any] = getattr(owner, name)

    @wraps(method)
    def unsteady(*args: Any, **kwargs: Any) -> Any:
        if before:
            _wait()
        found = method(*args, **kwargs)
        if not before:
            _wait()
        return found

    setattr(owner, name, unsteady)


def pytest_configure() -> None:
    """Make this process unsteady until it ends."""
    _late(threading.Thread, "run", before=True)
    _late(threading.Thread, "start")
    _late(threading.Event, "set")
    _late(queue.Queue, "put")
    _late(concurrent.futures.Future, "set_result")
    _late(concurrent.futures.thread._WorkItem, "run", before=True)
    _late(asyncio.BaseEventLoop, "call_soon_threadsafe")
