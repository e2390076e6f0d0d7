from __future__ import annotations

import itertools
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import InputError
from napari_nunext.models.detector import Caller, SharedDetector, WindowEnd, WindowPoints
from napari_nunext.models.next_point.decoder import Decoder, decode_batch
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.detector import WindowEvent

Windows = "list[NDArray[np.uint8]]"


def go_on() -> bool:
    return False


def pool_of(checkpoint: LoadedCheckpoint, most_windows: int, most_read: int = 2) -> Pool:
    return Pool(checkpoint, most_windows=most_windows, most_read=most_read)


def drain(pool: Pool, *members: Any) -> list[list[WindowEvent]]:
    """Step until all have finished; what each heard."""
    heard: list[list[WindowEvent]] = [[] for _ in members]
    while not all(m.finished for m in members):
        pool.step()
        for own, member in zip(heard, members, strict=True):
            own += member.news()
    return heard


def said(events: list[WindowEvent]) -> dict[int, list[Any]]:
    """Bins, category and finish by window; confidences are compared elsewhere."""
    found: dict[int, list[Any]] = {}
    for e in events:
        told = (e.points_xy.tolist(), e.categories) if isinstance(e, WindowPoints) else e.finish
        found.setdefault(e.window, []).append(told)
    return found


def one_by_one(checkpoint: LoadedCheckpoint, windows: Windows) -> dict[int, list[Any]]:
    """Each window decoded alone."""
    alone: dict[int, list[Any]] = {}
    for i, window in enumerate(windows):
        pool = pool_of(checkpoint, 1)
        (events,) = drain(pool, pool.join([window], Caller()))
        alone[i] = said(events)[0]
    return alone


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, bytes], dict[int, list[Any]]]:
    """What `alone` found, by checkpoint and pixels: it decodes for as long as all else."""
    return {}


@pytest.fixture
def alone(
    checkpoint: LoadedCheckpoint,
    windows: Windows,
    request: pytest.FixtureRequest,
    known: dict[tuple[str, bytes], dict[int, list[Any]]],
) -> dict[int, list[Any]]:
    """What each window says when nothing is beside it. Do not write to it."""
    key = "-".join(request.node.callspec.params["checkpoint"]), np.stack(windows).tobytes()
    if key not in known:
        known[key] = one_by_one(checkpoint, windows)
    return known[key]


class Recorded(Decoder):
    """A decoder that writes down what is said and how many are under way."""

    replies: dict[int, list[int]]
    batches: list[int]
    ragged = False

    def choose(self) -> Any:
        step = super().choose()
        self.batches.append(len(step.rows))
        if len(step.positions.unique()) > 1:
            type(self).ragged = True
        for row, position, token in zip(
            step.rows.tolist(), step.positions.tolist(), step.token_ids.tolist(), strict=True
        ):
            reply = self.replies.setdefault(row, [])
            assert len(reply) == position
            reply.append(token)
        return step


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    recorded = type("RecordedHere", (Recorded,), {"replies": {}, "batches": []})
    monkeypatch.setattr("napari_nunext.models.next_point.pool.Decoder", recorded)
    return recorded


def test_windows_that_take_the_places_of_others_get_the_tokens_of_a_lock_step_batch(
    checkpoint: LoadedCheckpoint, windows: Windows, recorded: type[Recorded]
) -> None:
    many = [*windows, *(w[::-1].copy() for w in windows)]
    expected: dict[int, list[int]] = {}
    steps = decode_batch(
        checkpoint.model,
        checkpoint.windows(many),
        checkpoint.description.codec,
        max_points=checkpoint.description.max_points,
    )
    for step in steps:
        for row, token in zip(step.rows.tolist(), step.token_ids.tolist(), strict=True):
            expected.setdefault(row, []).append(token)
    pool = pool_of(checkpoint, 3)
    drain(pool, pool.join(many, Caller()))
    assert recorded.replies == expected
    assert recorded.ragged, "replies under way must have differed in length"


def test_a_place_is_taken_again_at_the_next_beginning_of_a_point(
    checkpoint: LoadedCheckpoint, windows: Windows, recorded: type[Recorded]
) -> None:
    pool = pool_of(checkpoint, 3, most_read=24)
    drain(pool, pool.join(windows * 2, Caller()))
    lengths = [len(recorded.replies[row]) for row in range(2 * len(windows))]
    waiting, under_way, expected = lengths.copy(), [], []
    while waiting or under_way:
        if all(position % 3 == 0 for position, _ in under_way):
            while waiting and len(under_way) < 3:
                under_way.append((0, waiting.pop(0)))
        expected.append(len(under_way))
        under_way = [(p + 1, length) for p, length in under_way if p + 1 < length]
    assert recorded.batches == expected


def test_a_window_says_the_same_whoever_is_beside_it(
    checkpoint: LoadedCheckpoint, windows: Windows, alone: dict[int, list[Any]]
) -> None:
    pool = pool_of(checkpoint, 4)
    first = pool.join(windows[:4], Caller("one"))
    pool.step()
    pool.step()
    heard = drain(pool, first, pool.join(windows[2:], Caller("another")))
    assert said(heard[0]) == {i: alone[i] for i in range(4)}
    assert said(heard[1]) == {i: alone[i + 2] for i in range(4)}


def test_places_are_shared_among_flows_and_in_a_flow_among_callers(
    built_pool: Pool, blank: NDArray[np.uint8]
) -> None:
    callers = [Caller("slide"), Caller("fields"), Caller("fields")]
    for caller in callers:
        built_pool.join([blank] * 50, caller)
    for _ in range(15):
        built_pool.step()
    places = Counter(row.member.caller for row in built_pool._rows.values())
    assert len(built_pool) == 8
    assert [places[caller] for caller in callers] == [4, 2, 2]


def test_who_comes_later_gets_the_next_place(built_pool: Pool, blank: NDArray[np.uint8]) -> None:
    slide = built_pool.join([blank] * 100, Caller("slide"))
    for _ in range(3):
        built_pool.step()
    field = built_pool.join([blank], Caller("field"))
    while not field.finished:
        built_pool.step()
    assert len(said(list(slide.news()))) < 40


def test_who_leaves_frees_the_places_before_the_next_step(
    built_pool: Pool, blank: NDArray[np.uint8]
) -> None:
    one, other = (built_pool.join([blank] * 20, Caller(name)) for name in "ab")
    for _ in range(9):
        built_pool.step()
    assert {row.member for row in built_pool._rows.values()} == {one, other}
    built_pool.leave(one)
    built_pool.step()
    assert {row.member for row in built_pool._rows.values()} == {other}
    built_pool.leave(other)
    assert len(built_pool) == 0


def test_time_is_put_down_to_those_whose_windows_were_decoded(
    built_pool: Pool, blank: NDArray[np.uint8]
) -> None:
    many, few = Caller("many"), Caller("few")
    slide = built_pool.join([blank] * 30, many)
    drain(built_pool, slide, built_pool.join([blank], few))
    assert many.spent_s > 5 * few.spent_s > 0


def test_a_window_that_cannot_be_read_ends_its_owner_alone(
    built_pool: Pool, blank: NDArray[np.uint8]
) -> None:
    good = built_pool.join([blank] * 3, Caller())
    bad = built_pool.join([blank, blank[:8], blank], Caller())
    while not (good.finished and bad.finished):
        built_pool.step()
    assert len(said(list(good.news()))) == 3
    with pytest.raises(InputError, match="expected uint8"):
        list(bad.news())
    assert not any(row.member is bad for row in built_pool._rows.values())


def test_windows_are_read_when_there_is_a_place_for_them(
    built_pool: Pool, blank: NDArray[np.uint8]
) -> None:
    read: list[int] = []

    class Lazy(list):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return blank

    built_pool.join(Lazy([None] * 1000), Caller())
    for _ in range(3):
        built_pool.step()
    assert read == sorted(set(read))
    assert len(read) < 40


@pytest.mark.parametrize("goes_well", [0, 2])
def test_running_out_of_memory_halves_what_is_under_way_and_neither_loses_nor_repeats_points(
    checkpoint: LoadedCheckpoint,
    windows: Windows,
    alone: dict[int, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    goes_well: int,
) -> None:
    choose, steps = Decoder.choose, itertools.count()

    def scarce(self: Decoder) -> Any:
        if len(self) > 4 and next(steps) >= goes_well:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")
        return choose(self)

    monkeypatch.setattr(Decoder, "choose", scarce)
    pool = pool_of(checkpoint, 6, most_read=48)
    with caplog.at_level(logging.WARNING):
        (events,) = drain(pool, pool.join(windows, Caller()))
    assert said(events) == alone
    assert pool.most_windows in (2, 3)
    assert f"going on with {pool.most_windows} windows" in caplog.text


def test_running_out_of_memory_with_one_window_is_an_error(
    built: Path, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scarce(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Decoder, "admit", scarce)
    with pytest.raises(torch.OutOfMemoryError):
        list(NextPointDetector(built, device="cpu").detect(windows[:4], cancelled=go_on))


def test_the_detector_is_shared_and_tells_each_caller_of_their_own_windows(
    built: Path, windows: Windows
) -> None:
    detector = NextPointDetector(built, device="cpu")
    assert isinstance(detector, SharedDetector)
    alone = said(list(detector.detect(windows, cancelled=go_on)))
    streams = [
        detector.detect_for(Caller(name), own, cancelled=go_on)
        for name, own in (("a", windows[:4]), ("b", windows[3:]))
    ]
    rounds = list(itertools.zip_longest(*streams))
    heard = [[e for e in events if e is not None] for events in zip(*rounds, strict=True)]
    assert said(heard[0]) == {i: alone[i] for i in range(4)}
    assert said(heard[1]) == {i: alone[i + 3] for i in range(3)}


def test_what_others_turns_brought_is_told_without_a_step(built: Path, windows: Windows) -> None:
    detector = NextPointDetector(built, device="cpu")
    mine, theirs = Caller("a"), Caller("b")
    my_stream = detector.detect_for(mine, windows[:1], cancelled=go_on)
    their_stream = detector.detect_for(theirs, windows, cancelled=go_on)
    while next(my_stream) is not None:  # until it waits between two steps
        pass
    while not mine.has_news:
        next(their_stream)
    (pool,) = detector._pools.values()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "step", None)  # a step would fail
        heard = [next(my_stream)]
        while mine.has_news and not isinstance(heard[-1], WindowEnd):
            heard.append(next(my_stream))
    assert heard[0] is not None


def test_lanes_are_decoded_apart(built: Path, windows: Windows) -> None:
    detector = NextPointDetector(built, device="cpu")
    callers = [Caller("a", "interactive"), Caller("a", "batch")]
    hurried, patient = (detector.detect_for(c, windows, cancelled=go_on) for c in callers)
    next(patient)
    list(hurried)
    assert callers[0].spent_s > 0
    assert not callers[1].has_news
    assert sum(isinstance(e, WindowEnd) for e in patient) == len(windows)


def test_closing_a_stream_frees_its_windows(built: Path, windows: Windows) -> None:
    detector = NextPointDetector(built, device="cpu")
    stream: Iterator[Any] = detector.detect_for(Caller(), windows, cancelled=go_on)
    next(stream)
    (pool,) = detector._pools.values()
    assert len(pool) > 0
    stream.close()  # type: ignore[attr-defined]
    assert len(pool) == 0


@pytest.fixture
def built_pool(built: Path) -> Pool:
    """A pool of eight places, four of which are filled at a time."""
    from napari_nunext.models.checkpoints.loading import load_checkpoint

    return pool_of(load_checkpoint(built, device="cpu"), 8, most_read=4)


@pytest.fixture
def blank() -> NDArray[np.uint8]:
    return np.full((32, 32, 3), 200, dtype=np.uint8)
