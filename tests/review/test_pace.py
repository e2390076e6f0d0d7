from __future__ import annotations

import pytest

from napari_nunext.review.finding.pace import Pace


def test_the_time_left_follows_windows_and_then_outlines() -> None:
    now = 100.0
    pace = Pace(clock=lambda: now)
    pace.begin(windows=4)
    assert pace.seconds_left() is None
    now = 110.0
    pace.window_done(1, 4)
    assert pace.seconds_left() == pytest.approx(30)
    now = 140.0
    pace.window_done(4, 4)
    assert pace.searched
    assert pace.seconds_left() is None, "the outlines have yet to begin"
    pace.begin_outlines(200)
    assert pace.seconds_left() is None
    now = 145.0
    pace.outlines_done = 50
    assert pace.seconds_left() == pytest.approx(15)
    pace.outlines_done = 200
    assert pace.seconds_left() == 0
