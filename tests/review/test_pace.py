"""The pace of a search, by events with the seconds at which they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest

from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.finding.pace import Pace
from napari_nunext.serving import protocol
from napari_nunext.serving.client.found import Found
from tests.review.fakes import model_info, points, started, window_done

if TYPE_CHECKING:
    from collections.abc import Iterator

Recorded: TypeAlias = "list[tuple[float, protocol.DetectEvent]]"


def follow(recorded: Recorded) -> Iterator[tuple[float, Found, Pace]]:
    """Take the events at their times, and stop after each of them."""
    now = 0.0
    found = Found()
    pace = Pace(found, clock=lambda: now)
    for now, event in recorded:
        found.take(event)
        pace.take(event)
        yield now, found, pace


def with_outlines(windows: int) -> protocol.Started:
    segmenter = model_info(id="sam", kind="segmenter")
    return started(windows).model_copy(update={"segmenter": segmenter})


def masks(*indices: int) -> protocol.Masks:
    square = Mask.from_array(np.ones((2, 2), dtype=bool), 1, 1)
    return protocol.Masks(masks=[protocol.MaskOut.of(i, square, 0.9) for i in indices])


def a_search(
    *, windows: int, nuclei: int, window_s: float, outline_s: float, load_s: float, region: int
) -> Recorded:
    """A search that draws the outlines of `region` windows as soon as those are searched."""
    at_s, recorded = 30.0, [(30.0, with_outlines(windows))]  # it waited long for its turn
    drawn = 0
    for window in range(windows):
        at_s += window_s
        first = window * nuclei
        recorded.append((at_s, points(*((1.0, 1.0),) * nuclei, first=first)))
        recorded.append((at_s, window_done(window + 1, windows)))
        if (window + 1) % region == 0 or window + 1 == windows:
            indices = range(drawn, first + nuclei)
            at_s += outline_s * len(indices) + (load_s if drawn == 0 else 0)
            recorded.append((at_s, masks(*indices)))
            drawn = first + nuclei
    return recorded


def test_the_time_left_follows_the_windows() -> None:
    recorded: Recorded = [
        (100.0, started(windows=4)),
        (104.0, points((1, 1))),
        (110.0, window_done(1, 4)),
        (140.0, window_done(4, 4)),
    ]
    told = [(pace.seconds_left(), pace.progress) for *_, pace in follow(recorded)]
    assert told == [(None, 0.0), (None, 0.0), (pytest.approx(30), 0.25), (0.0, 1.0)]


def test_outlines_after_the_last_window_are_counted_from_the_beginning() -> None:
    recorded: Recorded = [
        (0.0, with_outlines(2)),
        (1.0, points(*((1, 1),) * 100)),
        (1.0, window_done(1, 2)),
        (2.0, points(*((1, 1),) * 100, first=100)),
        (2.0, window_done(2, 2)),
        (12.0, masks(*range(50))),
        (22.0, masks(*range(50, 100))),
        (42.0, masks(*range(100, 200))),
    ]
    told = [(pace.seconds_left(), pace.outlines) for *_, pace in follow(recorded)]
    assert told[:5] == [(None, 0)] * 4 + [(None, 200)], "how fast outlines are, nobody knows yet"
    assert told[5:] == [(pytest.approx(30), 200), (pytest.approx(20), 200), (0.0, 200)]
    assert [pace.progress for *_, pace in follow(recorded)][2:] == [
        0.25,
        0.25,
        0.5,
        *(0.625, 0.75, 1.0),
    ]


@pytest.mark.parametrize("region", [1, 4, 9, 40])
@pytest.mark.parametrize("outline_s", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("window_s", [0.1, 2.0])
def test_what_is_left_is_never_far_from_what_comes(
    region: int, outline_s: float, window_s: float
) -> None:
    recorded = a_search(
        windows=40, nuclei=25, window_s=window_s, outline_s=outline_s, load_s=3.0, region=region
    )
    end_s = recorded[-1][0]
    said = [
        (end_s - now, left_s)
        for now, found, pace in follow(recorded)
        if (left_s := pace.seconds_left()) is not None and found.outlined > 25 * region
    ]
    assert said or region == 40
    for truly_s, left_s in said:
        assert truly_s / 2 <= left_s + 0.5, "a second left that takes much longer"
        assert left_s <= 2 * truly_s + 3.0
    parts = [pace.progress or 0.0 for *_, pace in follow(recorded)]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0


def test_a_seam_that_takes_nuclei_back_does_not_lead_beyond_the_end() -> None:
    recorded: Recorded = [
        (0.0, with_outlines(1)),
        (1.0, points(*((1, 1),) * 3)),
        (2.0, protocol.Hidden(indices=[2])),
        (2.0, window_done(1, 1)),
        (4.0, masks(0, 1)),
    ]
    *_, (_, _, pace) = follow(recorded)
    assert (pace.progress, pace.seconds_left(), pace.outlines) == (1.0, 0.0, 2)
