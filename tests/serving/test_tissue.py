"""A search that leaves out bare glass finds what a search of everything finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.images import read_window
from napari_nunext.models.whole_image.search import detect_image, plan_image
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.protocol import Done, Masks, Points, Resume, Started, WindowDone
from tests.serving.test_detection import Oracle, Squares, events_of, standing_xy

WIDTH, HEIGHT = 700, 520


class OnGlass(Oracle):
    """Nuclei on pieces of tissue that lie on glass; its windows are those of an oracle."""

    def __init__(self, seed: int, pieces: int = 1, jitter_px: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
        self.rgb = np.full((HEIGHT, WIDTH, 3), 241, dtype=np.uint8)
        self.rgb[..., 0] -= np.uint8(1)
        truth = [np.empty((0, 2))]
        for x, y in rng.uniform((0, 0), (WIDTH, HEIGHT), (pieces, 2)):
            self.rgb[np.hypot(columns - x, rows - y) < 50] = (220, 160, 190)
            truth.append(rng.normal((x, y), 16, (60, 2)))
        super().__init__(np.concatenate(truth), WIDTH, HEIGHT, jitter_px=jitter_px)

    def read_window(self, box, out_px):
        if box.width == self.info.window_px:
            return super().read_window(box, out_px)
        return read_window(self.rgb, box, out_px)


def masks_of(events):
    """Where the masks of a stream lie."""
    return sorted(m.offset for e in events if isinstance(e, Masks) for m in e.masks)


def numbers(events):
    """The windows that were searched."""
    return [event.window for event in events if isinstance(event, WindowDone)]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    pieces=st.integers(1, 2),
    near=st.none() | st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)),
    jitter_px=st.sampled_from([0.0, 1.5]),
    part=st.booleans(),
)
def test_no_nucleus_and_no_mask_is_lost(seed, pieces, near, jitter_px, part):
    def events(**asked):
        region = (30.0, 20.0, WIDTH - 200.0, HEIGHT - 10.0) if part else None
        oracle = OnGlass(seed, pieces, jitter_px)
        return events_of(oracle, Squares(), near=near, region=region, **asked)

    all_of_it, tissue = events(), events(tissue=True)
    np.testing.assert_array_equal(standing_xy(tissue), standing_xy(all_of_it))
    assert masks_of(tissue) == masks_of(all_of_it)
    assert tissue[-1].finish == "complete"
    began = tissue[0]
    assert began.windows_left_out > 0
    assert began.windows + began.windows_left_out == all_of_it[0].windows
    assert len(numbers(tissue)) == began.windows
    assert set(numbers(tissue)) < set(numbers(all_of_it))
    assert [e.done for e in tissue if isinstance(e, WindowDone)] == list(
        range(1, began.windows + 1)
    )
    assert {e.total for e in tissue if isinstance(e, WindowDone)} <= {began.windows}


def test_windows_keep_their_numbers():
    oracle = OnGlass(1)
    windows = plan_image(oracle, oracle.info, mpp=0.5)
    for event in events_of(oracle, tissue=True):
        if isinstance(event, WindowDone):
            assert event.box == windows[event.window].box.as_tuple()
        if isinstance(event, Points):
            xy = np.array([(p.x, p.y) for p in event.points])
            assert windows[event.window].speaks_for(2.0).contains(xy).all()


def test_masks_of_tissue_amid_glass_do_not_wait_for_glass():
    events = events_of(OnGlass(1), Squares(), tissue=True)
    last = max(i for i, event in enumerate(events) if isinstance(event, WindowDone))
    assert any(isinstance(event, Masks) for event in events[:last])


def test_offline_leaves_out_the_same():
    oracle = OnGlass(3)
    events = events_of(oracle, tissue=True)
    offline = detect_image(alone := OnGlass(3), alone, mpp=0.5, tissue=True)
    np.testing.assert_array_equal(np.array(sorted(offline.points_xy.tolist())), standing_xy(events))
    assert len(alone.boxes) == events[0].windows


def test_without_the_wish_everything_is_searched_and_nothing_else_is_read():
    oracle = OnGlass(2)
    began = events_of(oracle)[0]
    assert began.windows_left_out == 0
    assert began.windows == len(plan_image(oracle, oracle.info, mpp=0.5)) == len(oracle.boxes)


def test_the_plan_knows_what_is_left_out():
    plans = {tissue: events_of(OnGlass(2), tissue=tissue)[0].plan for tissue in (None, False, True)}
    assert plans[None] == plans[False] != plans[True]
    full = OnGlass(2)
    full.rgb[:] = (220, 160, 190)
    everything = events_of(full, tissue=True)[0]
    assert (everything.windows_left_out, everything.plan) == (0, plans[None])


def test_bare_glass_is_searched_nowhere():
    oracle = OnGlass(0, pieces=0)
    events = events_of(oracle, Squares(), tissue=True)
    found = Found()
    for event in events:
        found.take(event)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    assert (found.windows, found.count, found.finish) == (0, 0, "complete")
    assert not oracle.boxes


def test_a_window_that_is_left_out_cannot_have_been_done():
    began = events_of(OnGlass(2), tissue=True)[0]
    left_out = next(iter(set(range(100)) - set(numbers(events_of(OnGlass(2), tissue=True)))))
    resume = Resume(plan=began.plan, done=[left_out], sighted=[])
    with pytest.raises(InputError, match=f"has {began.windows} windows, and others are said"):
        events_of(OnGlass(2), tissue=True, resume=resume)
