from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.masks import Mask
from napari_nunext.core.nuclei import Category
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    Hidden,
    ModelInfo,
    Points,
    Started,
    Usage,
    WindowDone,
)

SHA = "0" * 64
MODEL = ModelInfo(
    id="oracle", name="Oracle", kind="detector", family="fake", checkpoint_sha256=None
)


class Oracle:
    """An image, and a detector that knows its nuclei but places them a little off in each window.

    A window carries its number in its first pixel, by which the detector knows what it looks at.
    """

    def __init__(self, truth_xy, width_px, height_px, *, window_px=64, mpp=0.5, jitter_px=0.0):
        self.truth_xy = truth_xy
        self.width_px, self.height_px = width_px, height_px
        self.info = DetectorInfo(
            "Oracle",
            "fake",
            (Category("Nucleus", (0, 0, 0)),),
            mpp=mpp,
            window_px=window_px,
            halo_um=4.0,
            image_tokens=16,
        )
        self.jitter_px = jitter_px
        self.boxes: list[Box] = []
        self.read_before_first_point: int | None = None

    def read_window(self, box: Box, out_px: int):
        self.boxes.append(box)
        pixels = np.zeros((out_px, out_px, 3), dtype=np.uint8)
        pixels[0, 0, :2] = divmod(len(self.boxes) - 1, 256)
        return pixels

    def detect(self, windows, *, cancelled):
        for index, window in enumerate(windows):
            if cancelled():
                return
            high, low, _ = (int(v) for v in window[0, 0])
            box = self.boxes[256 * high + low]
            rng = np.random.default_rng(256 * high + low)
            seen = self.truth_xy[box.contains(self.truth_xy)]
            seen = seen + rng.uniform(-1, 1, seen.shape) * self.jitter_px / np.sqrt(2)
            here = (seen - (box.x0, box.y0)) * window.shape[0] / box.width
            if self.read_before_first_point is None:
                self.read_before_first_point = len(self.boxes)
            sure = rng.uniform(0.1, 0.9, len(here))
            for i in range(len(here)):
                yield WindowPoints(index, here[i : i + 1], ("Nucleus",), (float(sure[i]),))
            yield WindowEnd(index, "end", tokens=2 * len(here))


class Discs:
    """A segmenter that draws nothing, and notes when it was asked for."""

    info = SegmenterInfo("Discs", "fake", mpp=0.5, window_px=64)

    def __init__(self):
        self.asked_for = 0

    def take(self):
        self.asked_for += 1
        return self

    def segment(self, window, prompts, *, cancelled=lambda: False):
        for _ in prompts:
            yield ScoredMask(Mask.from_array(np.zeros(window.shape[:2], dtype=bool)), 0.0)


def events_of(oracle, *, mpp=0.5, region=None, cancelled=lambda: False):
    request = DetectRequest(image=SHA, mpp=mpp, region=region)
    return list(detect_events(oracle, request, oracle, run="r", model=MODEL, cancelled=cancelled))


def standing_xy(events):
    """What a caller who follows the protocol ends up with, shape (N, 2), sorted."""
    points = {}
    for event in events:
        if isinstance(event, Points):
            points |= {p.index: (p.x, p.y) for p in event.points}
        elif isinstance(event, Hidden):
            for index in event.indices:
                del points[index]
    assert events[-1].points == len(points)
    return np.array(sorted(points.values())).reshape(-1, 2)


def spaced_points(rng, width, height, distance, tries=400):
    points: list[np.ndarray] = []
    for candidate in rng.uniform((1, 1), (width - 1, height - 1), (tries, 2)):
        if all(np.hypot(*(candidate - p)) > distance for p in points):
            points.append(candidate)
    return np.array(points)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    shift=st.tuples(st.integers(0, 90), st.integers(0, 90)),
    mpp=st.sampled_from([0.5, 0.25, 0.37, 1.0]),
    jitter_um=st.sampled_from([0.0, 0.4]),
)
def test_moving_an_image_under_the_grid_changes_nothing_but_what_the_model_says(
    seed, shift, mpp, jitter_um
):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(20, 260, 2)
    truth = spaced_points(rng, width, height, (2.0 + 2 * jitter_um) / mpp + 1e-6)
    oracle = Oracle(truth + shift, width + shift[0], height + shift[1], jitter_px=jitter_um / mpp)
    found = standing_xy(events_of(oracle, mpp=mpp)) - shift
    distance = np.hypot(*(found[:, None] - truth[None]).transpose(2, 0, 1))
    # One to one: each nucleus once, within what the model is off (or cut at the image's edge).
    inside = (
        (truth > jitter_um / mpp) & (truth < (width, height) - np.array(jitter_um / mpp))
    ).all(1)
    hits = distance <= jitter_um / mpp + 1e-9
    assert (hits.sum(axis=1) == 1).all()
    assert (hits.sum(axis=0) <= 1).all()
    assert (hits.sum(axis=0)[inside] == 1).all()


def test_events_come_in_the_order_of_the_protocol():
    truth = np.random.default_rng(1).uniform(0, 200, (60, 2))
    events = events_of(Oracle(truth, 200, 200))
    assert isinstance(events[0], Started)
    assert [type(e) for e in events[-2:]] == [Usage, Done]
    ends = [e for e in events if isinstance(e, WindowDone)]
    assert [e.done for e in ends] == list(range(1, events[0].windows + 1))
    assert {e.total for e in ends} == {events[0].windows}
    assert events[-2].image_tokens == 16 * events[0].windows
    shown: set[int] = set()
    for event in events:
        if isinstance(event, Points):
            assert not shown & {p.index for p in event.points}
            shown |= {p.index for p in event.points}
        elif isinstance(event, Hidden):
            assert shown.issuperset(event.indices)
            shown -= set(event.indices)


def test_only_nuclei_of_the_region_are_reported_with_the_image_around_it_as_context():
    truth = np.random.default_rng(2).uniform(0, 300, (200, 2))
    oracle = Oracle(truth, 300, 300)
    region = (100.5, 90.0, 210.0, 200.25)
    found = standing_xy(events_of(oracle, region=region))
    inside = truth[Box(*region).contains(truth)]
    distance = np.hypot(*(inside[:, None] - inside[None]).transpose(2, 0, 1))
    np.fill_diagonal(distance, np.inf)
    alone = inside[distance.min(axis=1) > 4]
    assert Box(*region).contains(found).all()
    for point in alone:
        assert np.hypot(*(found - point).T).min() < 1e-9
    assert min(b.x0 for b in oracle.boxes) <= region[0] - 8


def test_the_first_points_come_before_all_windows_are_read():
    oracle = Oracle(np.random.default_rng(3).uniform(0, 600, (500, 2)), 600, 600)
    events = events_of(oracle)
    assert events[0].windows > 64
    assert oracle.read_before_first_point == 1


def test_a_cancelled_search_keeps_what_it_found():
    truth = np.random.default_rng(4).uniform(0, 300, (200, 2))
    asked = iter(range(1000))
    events = events_of(Oracle(truth, 300, 300), cancelled=lambda: next(asked) > 6)
    assert isinstance(events[-1], Done)
    assert events[-1].finish == "cancelled"
    ends = sum(isinstance(e, WindowDone) for e in events)
    assert 0 < ends < events[0].windows
    assert len(standing_xy(events)) > 0


def test_an_image_without_nuclei_is_complete_with_none():
    events = events_of(Oracle(np.empty((0, 2)), 100, 100))
    assert (events[-1].points, events[-1].finish) == (0, "complete")


def test_a_region_outside_the_image_is_refused():
    with pytest.raises(InputError, match="outside the image of 100 x 100"):
        events_of(Oracle(np.empty((0, 2)), 100, 100), region=(100.0, 0.0, 120.0, 50.0))


def test_points_wait_for_no_segmenter():
    oracle, discs = Oracle(np.array([[20.0, 20.0], [90.0, 70.0]]), 128, 128), Discs()
    request = DetectRequest(image=SHA, mpp=0.5, masks=True)
    told = 0
    for event in detect_events(oracle, request, oracle, discs.take, run="r", model=MODEL):
        if isinstance(event, Points):
            told += len(event.points)
            assert discs.asked_for == 0
    assert told == 2
    assert discs.asked_for == 1


def test_a_segmenter_is_not_loaded_for_nothing():
    oracle, discs = Oracle(np.empty((0, 2)), 128, 128), Discs()
    request = DetectRequest(image=SHA, mpp=0.5, masks=True)
    *_, last = detect_events(oracle, request, oracle, discs.take, run="r", model=MODEL)
    assert last.finish == "complete"
    assert discs.asked_for == 0
