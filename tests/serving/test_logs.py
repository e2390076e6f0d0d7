from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

import pytest

from napari_nunext.serving.process.logs import KIND_LENGTH, MOST_KINDS, BoundedHandler

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def logger(clock: Clock, written: io.StringIO) -> Iterator[logging.Logger]:
    handler = BoundedHandler(most=3, period_s=10, clock=clock)
    handler.setStream(written)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_records_of_one_kind_are_counted_once_there_are_many(logger, clock, written):
    for number in range(315):
        logger.info("hung up on %d", number)
    logger.info("another kind")
    assert written.getvalue().splitlines() == [
        *(f"hung up on {n}" for n in range(3)),
        "another kind",
    ]
    clock.now_s = 11
    logger.info("hung up on %d", 400)
    assert written.getvalue().splitlines()[4:] == [
        "... and 312 more like it: hung up on 314",
        "hung up on 400",
    ]


def test_what_was_left_out_is_said_at_the_end(logger, written):
    for _ in range(5):
        logger.info("again")
    logger.handlers[0].close()
    assert written.getvalue().endswith("... and 2 more like it: again\n")


def test_messages_that_differ_in_numbers_are_of_one_kind_and_tracebacks_are_bounded(
    logger, written
):
    for number in range(1000):
        try:
            raise ValueError("x" * 100)
        except ValueError:
            logger.exception(f"socket <fd={number} at {number:#x}>")  # noqa: G004
    assert written.getvalue().count("Traceback") == 3


def test_persons_are_told_apart(logger, written):
    for user in ("a", "b"):
        for _ in range(4):
            logger.info("GET for %s", user, extra={"facts": {"user": user}})
    assert written.getvalue().split() == ["GET", "for", "a"] * 3 + ["GET", "for", "b"] * 3


def test_there_is_a_bound_whatever_is_said(logger, written):
    for number in range(10_000):
        word = "".join("abcdefghij"[int(digit)] for digit in str(number))
        logger.info(word.ljust(KIND_LENGTH, "y"))
    assert len(written.getvalue().splitlines()) <= MOST_KINDS + 3
