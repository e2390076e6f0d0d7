from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from napari_nunext.models.whole_image.masks import segmenter_windows
from napari_nunext.models.whole_image.search import detect_image, plan_image
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    Hidden,
    Masks,
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
        self.box = Box.of_image(width_px, height_px)
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
            rng = np.random.default_rng([int(box.x0), int(box.y0)])
            seen = self.truth_xy[box.contains(self.truth_xy)]
            seen = seen + rng.uniform(-1, 1, seen.shape) * self.jitter_px / np.sqrt(2)
            here = (seen - (box.x0, box.y0)) * window.shape[0] / box.width
            if self.read_before_first_point is None:
                self.read_before_first_point = len(self.boxes)
            sure = rng.uniform(0.1, 0.9, len(here))
            for i in range(len(here)):
                yield WindowPoints(index, here[i : i + 1], ("Nucleus",), (float(sure[i]),))
            yield WindowEnd(index, "end", tokens=2 * len(here))


SEGMENTER = ModelInfo(
    id="squares",
    name="Squares",
    kind="segmenter",
    family="fake",
    checkpoint_sha256=None,
    mpp=0.5,
    window_px=96,
)


class Squares:
    """A segmenter that draws a square around each click, and notes when it was asked for."""

    info = SegmenterInfo("Squares", "fake", mpp=0.5, window_px=96)

    def __init__(self):
        self.asked_for = 0
        self.windows = 0

    def take(self):
        self.asked_for += 1
        return self

    def segment(self, window, prompts, *, cancelled=lambda: False):
        self.windows += 1
        for prompt in prompts:
            x, y = np.floor(prompt.points_xy[0]).astype(int)
            yield ScoredMask(Mask.from_array(np.ones((2, 2), dtype=bool), int(x), int(y)), 1.0)


def events_of(oracle, squares=None, *, mpp=0.5, cancelled=lambda: False, **asked):
    request = DetectRequest(image=SHA, mpp=mpp, masks=squares is not None, **asked)
    return list(
        detect_events(
            oracle,
            request,
            oracle,
            squares and squares.take,
            run="r",
            model=MODEL,
            segmenter_model=squares and SEGMENTER,
            cancelled=cancelled,
            clock=partial(next, itertools.count()),  # every step takes a second
        )
    )


class Vague(Oracle):
    """An oracle that says of each point how far off it may be: ten times its confidence, in um."""

    def detect(self, windows, *, cancelled):
        for event in super().detect(windows, cancelled=cancelled):
            if isinstance(event, WindowPoints):
                event = replace(event, position_error_um=tuple(10 * s for s in event.confidence))
            yield event


def test_who_asks_is_told_how_far_off_points_may_be_and_a_client_of_before_is_not(rng):
    truth = rng.uniform(0, 150, (60, 2))

    def told(**asked):
        events = events_of(Vague(truth, 150, 150, jitter_px=1.0), **asked)
        return [json.loads(e.model_dump_json()) for e in events if isinstance(e, Points)]

    points = [point for event in told(position_error=True) for point in event["points"]]
    assert len(points) >= len(truth)
    for point in points:
        assert point["position_error_um"] == pytest.approx(10 * point["confidence"])
    plain = [point for event in told() for point in event["points"]]
    assert {frozenset(point) for point in plain} == {
        frozenset(("index", "x", "y", "category", "confidence"))  # clients refuse what is more
    }
    silent = events_of(Oracle(truth, 150, 150), position_error=True)
    assert "position_error_um" not in "".join(event.model_dump_json() for event in silent if event)


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


def test_a_segmenter_is_not_loaded_for_nothing():
    squares = Squares()
    *_, last = events_of(Oracle(np.empty((0, 2)), 128, 128), squares)
    assert last.finish == "complete"
    assert squares.asked_for == 0


def test_the_first_points_wait_for_no_segmenter():
    squares = Squares()
    oracle = Oracle(np.array([[20.0, 20.0], [90.0, 70.0]]), 128, 128)
    request = DetectRequest(image=SHA, mpp=0.5, masks=True)
    stream = detect_events(
        oracle, request, oracle, squares.take, run="r", model=MODEL, segmenter_model=SEGMENTER
    )
    next(event for event in stream if isinstance(event, Points))
    assert squares.asked_for == 0
    assert sum(len(event.masks) for event in stream if isinstance(event, Masks)) == 2
    assert squares.asked_for == 1


# Order


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    near=st.tuples(st.floats(-50, 400), st.floats(-50, 300)),
    jitter_px=st.sampled_from([0.0, 1.5, 4.0]),
)
def test_the_nuclei_are_the_same_wherever_the_search_begins(seed, near, jitter_px):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(20, 300, 2)
    truth = rng.uniform((0, 0), (width, height), (300, 2))

    def oracle():
        return Oracle(truth, width, height, jitter_px=jitter_px)

    row_by_row, nearest = oracle(), oracle()
    expected = standing_xy(events_of(row_by_row))
    events = events_of(nearest, near=near)
    np.testing.assert_array_equal(standing_xy(events), expected)
    offline = detect_image(alone := oracle(), alone, mpp=0.5)
    np.testing.assert_array_equal(np.array(sorted(offline.points_xy.tolist())), expected)


def test_what_lies_nearest_to_the_view_is_searched_first():
    oracle = Oracle(np.empty((0, 2)), 500, 400)
    events = events_of(oracle, near=(410.0, 120.0))
    windows = plan_image(oracle, oracle.info, mpp=0.5)
    told = [event.window for event in events if isinstance(event, WindowDone)]
    assert sorted(told) == list(range(len(windows)))

    def away(index):
        core = windows[index].core
        return np.hypot((core.x0 + core.x1) / 2 - 410, (core.y0 + core.y1) / 2 - 120)

    distances = [away(index) for index in told]
    assert distances == sorted(distances)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    near=st.none() | st.tuples(st.floats(0, 400), st.floats(0, 300)),
    jitter_px=st.sampled_from([0.0, 1.5, 4.0]),
    part=st.booleans(),
)
def test_masks_are_of_nuclei_that_stand_for_good_and_each_region_is_drawn_once(
    seed, near, jitter_px, part
):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(60, 400, 2)
    truth = rng.uniform((0, 0), (width, height), (300, 2))
    oracle, squares = Oracle(truth, width, height, jitter_px=jitter_px), Squares()
    region = (20.0, 10.0, width - 15.0, height - 20.0) if part else None
    events = events_of(oracle, squares, near=near, region=region)
    standing: set[int] = set()
    drawn: list[int] = []
    for event in events:
        if isinstance(event, Points):
            standing |= {p.index for p in event.points}
        elif isinstance(event, Hidden):
            standing -= set(event.indices)
        elif isinstance(event, Masks):
            drawn += [mask.index for mask in event.masks]
        assert standing.issuperset(drawn)
    assert sorted(drawn) == sorted(standing)
    points = {p.index: (p.x, p.y) for e in events if isinstance(e, Points) for p in e.points}
    grid = segmenter_windows(oracle, window_px=96, window_mpp=0.5, mpp=0.5)
    held = grid.holding(np.array([points[index] for index in drawn]).reshape(-1, 2))
    # Chains of sightings along a seam may settle later than the windows around them.
    assert len(set(held.tolist())) <= squares.windows <= len(set(held.tolist())) + 3


def test_masks_do_not_wait_for_the_last_window():
    truth = np.random.default_rng(5).uniform(0, 600, (400, 2))
    events = events_of(Oracle(truth, 600, 600), Squares(), near=(300.0, 300.0))
    kinds = [type(event) for event in events]
    windows = kinds.index(Masks), len(kinds) - kinds[::-1].index(WindowDone)
    before = kinds[: windows[0]].count(WindowDone)
    assert before < 30
    assert kinds[: windows[1]].count(Masks) > 10


def test_a_search_that_is_short_has_all_its_points_before_the_first_mask():
    truth = np.random.default_rng(5).uniform(0, 300, (200, 2))
    oracle, squares = Oracle(truth, 300, 300), Squares()
    request = DetectRequest(image=SHA, mpp=0.5, masks=True)
    ticks = itertools.count()
    kinds = [
        type(event)
        for event in detect_events(
            oracle,
            request,
            oracle,
            squares.take,
            run="r",
            model=MODEL,
            segmenter_model=SEGMENTER,
            clock=lambda: next(ticks) * 1e-6,
        )
    ]
    assert kinds.count(Masks) > 1
    assert kinds.index(Masks) > len(kinds) - 1 - kinds[::-1].index(WindowDone)


def test_drawing_gets_no_more_time_than_searching():
    truth = np.random.default_rng(5).uniform(0, 600, (400, 2))
    events = events_of(Oracle(truth, 600, 600), Squares(), near=(300.0, 300.0))
    last = max(i for i, event in enumerate(events) if isinstance(event, WindowDone))
    drawn = sum(isinstance(event, Masks) for event in events[:last])
    assert drawn <= last - drawn


def test_who_is_cancelled_keeps_the_masks_that_were_drawn():
    truth = np.random.default_rng(6).uniform(0, 400, (300, 2))
    asked = iter(range(10_000))
    squares = Squares()
    events = events_of(Oracle(truth, 400, 400), squares, cancelled=lambda: next(asked) > 60)
    assert events[-1].finish == "cancelled"
    assert sum(isinstance(e, WindowDone) for e in events) < events[0].windows
    assert squares.windows > 0
    assert any(isinstance(e, Masks) for e in events)
