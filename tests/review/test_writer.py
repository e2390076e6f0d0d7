from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from napari_nunext.core.errors import StorageError, StoreError
from napari_nunext.review import writer as writer_module
from napari_nunext.review.writer import JournalWriter
from tests.waiting import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.model import SaveStatus


def test_writes_happen_in_order_and_only_then_it_says_saved() -> None:
    said: list[SaveStatus] = []
    written: list[int] = []
    gate = threading.Event()
    writer = JournalWriter(said.append)
    writer.submit(gate.wait)
    for i in range(20):
        writer.submit(lambda i=i: written.append(i))
    assert {status.phase for status in said} == {"saving"}
    assert writer.pending == 21
    gate.set()
    assert writer.close(PATIENCE_S)
    assert written == list(range(20))
    assert said[-1].phase == "saved"
    assert said[-1].at is not None
    assert [status.phase for status in said].count("saved") == 1


def test_a_full_disk_keeps_every_edit_in_order_until_it_can_be_written() -> None:
    said: list[SaveStatus] = []
    written: list[str] = []
    full = True

    def first() -> None:
        if full:
            raise StorageError("The disk is full. Free some space, then press Retry.")
        written.append("first")

    writer = JournalWriter(said.append, retry_after_s=60)
    writer.submit(first)
    writer.submit(lambda: written.append("second"))
    wait_for(lambda: any(status.phase == "failed" for status in said))
    assert written == []
    assert writer.pending == 2
    assert "full" in next(status for status in said if status.phase == "failed").problem
    full = False
    writer.retry()
    assert writer.close(PATIENCE_S)
    assert written == ["first", "second"]
    assert said[-1].phase == "saved"


def test_a_write_that_failed_is_tried_again_by_itself() -> None:
    attempts: list[None] = []

    def write() -> None:
        attempts.append(None)
        if len(attempts) < 3:
            raise OSError(28, "No space left on device")

    writer = JournalWriter(lambda status: None, retry_after_s=0.01)
    writer.submit(write)
    wait_for(lambda: writer.pending == 0)
    assert len(attempts) == 3
    assert writer.close(PATIENCE_S)


def test_closing_gives_up_in_time_and_says_that_something_is_not_saved() -> None:
    def never() -> None:
        raise StorageError("The disk is full.")

    said: list[SaveStatus] = []
    writer = JournalWriter(said.append, retry_after_s=3600)
    writer.submit(never)
    assert not writer.close(0.2)
    wait_for(lambda: said[-1].phase == "failed")


def test_a_write_that_breaks_is_never_reported_as_saved_later(caplog) -> None:
    said: list[SaveStatus] = []
    writer = JournalWriter(said.append)

    def broken() -> None:
        raise ZeroDivisionError("a mistake of ours")

    writer.submit(broken)
    writer.submit(lambda: None)
    assert writer.close(PATIENCE_S)
    assert said[-1].phase == "failed"
    assert "a mistake of ours" in said[-1].problem
    assert "A write broke" in caplog.text


def test_a_call_waits_for_what_was_handed_in_before_and_returns_its_result() -> None:
    written: list[str] = []
    writer = JournalWriter(lambda status: None)
    writer.submit(lambda: written.append("before"))
    assert writer.call(lambda: tuple(written)) == ("before",)
    assert writer.close(PATIENCE_S)


def test_a_write_that_can_never_succeed_is_not_tried_again() -> None:
    tried: list[int] = []
    statuses: list[SaveStatus] = []

    def write() -> None:
        tried.append(1)
        raise StoreError("Run 1 is cancelled; its predictions can no longer change.")

    writer = JournalWriter(statuses.append, retry_after_s=0.01)
    writer.submit(write)
    assert writer.drain(PATIENCE_S)
    wait_for(lambda: statuses[-1].phase == "failed")  # what was drained is told a little later
    assert len(tried) == 1
    assert "cancelled" in statuses[-1].problem
    assert writer.close(PATIENCE_S)


class Timer:
    """One that fires when a test says so, even if that is too late to cancel it."""

    set_: ClassVar[list[Callable[[], None]]] = []

    def __init__(self, wait_s: float, fire: Callable[[], None]) -> None:
        self._fire = fire

    def start(self) -> None:
        Timer.set_.append(self._fire)

    def cancel(self) -> None:
        pass


def test_it_rests_after_each_pause_and_not_while_something_is_written(monkeypatch) -> None:
    monkeypatch.setattr(writer_module.threading, "Timer", Timer)
    monkeypatch.setattr(Timer, "set_", [])
    rests: list[int] = []
    written: list[int] = []
    writer = JournalWriter(
        lambda status: None, on_rest=lambda: rests.append(len(written)), rest_after_s=0.0
    )
    gate = threading.Event()
    assert writer.call(lambda: None) is None
    writer.submit(gate.wait)
    writer.submit(lambda: written.append(1))
    Timer.set_.pop()()
    assert Timer.set_ == []
    gate.set()
    wait_for(lambda: Timer.set_)
    assert rests == []
    Timer.set_.pop()()
    wait_for(lambda: rests == [1])
    assert writer.call(lambda: len(written)) == 1
    Timer.set_.pop()()
    wait_for(lambda: rests == [1, 1])
    writer.submit(lambda: written.append(2))
    assert writer.close(PATIENCE_S)
    for fire in Timer.set_:
        fire()
    assert rests == [1, 1]
