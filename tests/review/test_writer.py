from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_nunext.core.errors import StorageError, StoreError
from napari_nunext.review.writer import JournalWriter

if TYPE_CHECKING:
    from napari_nunext.review.model import SaveStatus


def wait_for(condition, timeout_s: float = 5.0) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.002)


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
    assert writer.close(5)
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
    assert writer.close(5)
    assert written == ["first", "second"]
    assert said[-1].phase == "saved"


def test_a_write_that_failed_is_tried_again_by_itself() -> None:
    attempts: list[float] = []

    def write() -> None:
        attempts.append(time.monotonic())
        if len(attempts) < 3:
            raise OSError(28, "No space left on device")

    writer = JournalWriter(lambda status: None, retry_after_s=0.01)
    writer.submit(write)
    wait_for(lambda: writer.pending == 0)
    assert len(attempts) == 3
    assert writer.close(1)


def test_closing_gives_up_in_time_and_says_that_something_is_not_saved() -> None:
    def never() -> None:
        raise StorageError("The disk is full.")

    said: list[SaveStatus] = []
    writer = JournalWriter(said.append, retry_after_s=60)
    writer.submit(never)
    began = time.monotonic()
    assert not writer.close(0.2)
    assert time.monotonic() - began < 3
    wait_for(lambda: said[-1].phase == "failed")


def test_a_write_that_breaks_is_never_reported_as_saved_later(caplog) -> None:
    said: list[SaveStatus] = []
    writer = JournalWriter(said.append)

    def broken() -> None:
        raise ZeroDivisionError("a mistake of ours")

    writer.submit(broken)
    writer.submit(lambda: None)
    assert writer.close(5)
    assert said[-1].phase == "failed"
    assert "a mistake of ours" in said[-1].problem
    assert "A write broke" in caplog.text


def test_a_call_waits_for_what_was_handed_in_before_and_returns_its_result() -> None:
    written: list[str] = []
    writer = JournalWriter(lambda status: None)
    writer.submit(lambda: written.append("before"))
    assert writer.call(lambda: tuple(written)) == ("before",)
    assert writer.close(1)


def test_a_write_that_can_never_succeed_is_not_tried_again() -> None:
    tried: list[int] = []
    statuses: list[SaveStatus] = []

    def write() -> None:
        tried.append(1)
        raise StoreError("Run 1 is cancelled; its predictions can no longer change.")

    writer = JournalWriter(statuses.append, retry_after_s=0.01)
    writer.submit(write)
    assert writer.drain(5)
    assert len(tried) == 1
    assert statuses[-1].phase == "failed"
    assert "cancelled" in statuses[-1].problem
    assert writer.close(5)


def test_it_rests_after_each_pause_and_not_while_something_is_written() -> None:
    rests: list[int] = []
    written: list[int] = []
    writer = JournalWriter(
        lambda status: None, on_rest=lambda: rests.append(len(written)), rest_after_s=0.05
    )
    gate = threading.Event()
    writer.submit(gate.wait)
    writer.submit(lambda: written.append(1))
    time.sleep(0.15)
    assert rests == []
    gate.set()
    wait_for(lambda: rests == [1])
    assert writer.call(lambda: len(written)) == 1
    wait_for(lambda: rests == [1, 1])
    writer.submit(lambda: written.append(2))
    assert writer.close(5)
    time.sleep(0.15)
    assert rests == [1, 1]
