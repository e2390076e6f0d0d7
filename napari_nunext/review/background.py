"""Slow work off the main thread, and its results back on it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from napari_nunext.core.errors import NunextError
from napari_nunext.review.model import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from concurrent.futures import Executor, Future

logger = logging.getLogger(__name__)

T = TypeVar("T")

OnMain: TypeAlias = "Callable[[Callable[[], None]], None]"
"""Runs a function on the main thread, later, in the order of the calls. Safe from any thread."""


def in_words(error: BaseException) -> Notice:
    """What to tell the user about an error: one sentence, never a traceback."""
    if isinstance(error, (NunextError, OSError)):
        return Notice(str(error), level="error")
    return Notice(
        "Something in NuNext went wrong; your review is kept. The log says more.",
        level="error",
        details=f"{type(error).__name__}: {error}",
    )


class Background:
    """Run functions in an executor and hand their results to the main thread.

    Closed, it hands on nothing more: what was begun for a project that was left says nothing about
    the one that is open now. Work is handed in on the main thread.

    Parameters
    ----------
    executor : Executor
        Where the work is done.
    on_main : OnMain
        How results come back.
    notify : callable
        Told on the main thread about an error that nobody else took.
    """

    def __init__(
        self, executor: Executor, on_main: OnMain, notify: Callable[[Notice], None]
    ) -> None:
        self._executor = executor
        self._notify = notify
        self._on_main = on_main
        self._closed = False
        self._running: set[Future[Any]] = set()
        """Work whose result has not reached the main thread; changed there alone."""

    @property
    def is_idle(self) -> bool:
        """Whether all results have reached the main thread."""
        return not self._running

    def running(self) -> Collection[Future[Any]]:
        """What is under way, to wait for elsewhere."""
        return tuple(self._running)

    def close(self) -> None:
        """Hand on nothing more."""
        self._closed = True

    def on_main(self, function: Callable[[], None]) -> None:
        """Run a function on the main thread, unless it is closed by then. Safe from any thread."""
        self._on_main(lambda: None if self._closed else function())

    def run(
        self,
        work: Callable[[], T],
        then: Callable[[T], None] | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Do `work` elsewhere, then `then(result)` or `failed(error)` on the main thread."""

        def finish(future: Future[T]) -> None:
            self.on_main(lambda: self._conclude(future, then, failed))

        future = self._executor.submit(work)
        self._running.add(future)
        future.add_done_callback(finish)

    def _conclude(
        self,
        future: Future[T],
        then: Callable[[T], None] | None,
        failed: Callable[[BaseException], None] | None,
    ) -> None:
        self._running.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            if then is not None:
                then(future.result())
            return
        if not isinstance(error, (NunextError, OSError)):
            logger.error("Work in the background broke", exc_info=error)
        if failed is not None:
            failed(error)
        else:
            self._notify(in_words(error))
