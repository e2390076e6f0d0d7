"""A search that is paused and killed, however often, ends where an undisturbed one ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import InputError
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.uids import uid_in_window
from napari_nunext.models.whole_image.search import plan_image
from napari_nunext.review.finding.earlier import can_go_on, earlier_of, plan_in_extra
from napari_nunext.serving.client.found import Earlier, Found
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import DetectRequest, Masks, Resume, Started, WindowDone
from napari_nunext.store import Run, RunInfo
from tests.serving.test_detection import MODEL, SEGMENTER, SHA, Oracle, Squares
from tests.serving.test_tissue import HEIGHT, WIDTH, OnGlass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.serving.client.found import Finish, FoundChange
    from napari_nunext.serving.protocol import DetectEvent

RUN = "0b7e5a1c-run"


class Kept:
    """What a project keeps of a run: windows that are done, and what changed in them."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.windows: dict[int, Finish] = {}
        self.nuclei: dict[UUID, Nucleus] = {}
        self.hidden: set[UUID] = set()
        self.masks: dict[UUID, Mask] = {}

    def take(self, event: DetectEvent, change: FoundChange) -> None:
        if isinstance(event, Started):
            self.started = event
        if change.window is not None:
            assert change.window.number not in self.windows, "a window is searched once"
            self.windows[change.window.number] = change.window.finish
            self.nuclei |= {nucleus.uid: nucleus for nucleus in change.window.nuclei}
            self.hidden |= set(change.window.hidden)
        self.hidden |= set(change.hidden) & self.nuclei.keys()
        self.hidden -= set(change.back)
        assert not change.masks.keys() & self.masks.keys(), "a nucleus is outlined once"
        assert change.masks.keys() <= self.nuclei.keys() - self.hidden
        self.masks |= change.masks

    def earlier(self, image: Box) -> Earlier | None:
        if self.started is None:
            return None
        started = self.started
        info = RunInfo(
            model=started.model.brief(),
            decoding=started.decoding,
            mpp=MPP,
            codec_version=started.codec_version,
            region=image,
            segmenter=started.segmenter and started.segmenter.brief(),
            extra=plan_in_extra(started),
        )
        nuclei = [replace(n, mask=self.masks.get(uid)) for uid, n in self.nuclei.items()]
        run = Run(
            RUN,
            SHA,
            info,
            "interrupted",
            "ab",
            datetime.now(UTC),
            nuclei=Predictions.of(nuclei),
            hidden=frozenset(self.hidden),
        )
        assert can_go_on(run)
        return earlier_of(run, image, self.windows)

    def standing(self) -> list[Any]:
        return sorted(
            (n.x_px, n.y_px, n.category, n.confidence, str(self.masks.get(uid)))
            for uid, n in self.nuclei.items()
            if uid not in self.hidden
        )


MPP = 0.5


def search(
    oracle: Oracle,
    kept: Kept,
    *,
    squares: Squares | None,
    near: tuple[float, float] | None,
    asks: int = 10**9,
    tissue: bool | None = None,
) -> Iterator[tuple[DetectEvent, FoundChange]]:
    """Search, or go on, and pause once the search has asked so often whether it may go on."""
    earlier = kept.earlier(oracle.box)
    found = Found(lambda window, place: uid_in_window(RUN, window, place), earlier)
    asked = iter(range(10**9))
    request = DetectRequest(
        image=SHA,
        mpp=MPP,
        masks=squares is not None,
        near=near,
        tissue=tissue,
        resume=None if earlier is None else earlier.asked(),
    )
    for event in detect_events(
        oracle,
        DetectRequest.model_validate_json(request.model_dump_json()),
        oracle,
        squares and squares.take,
        run="r",
        model=MODEL,
        segmenter_model=squares and SEGMENTER,
        cancelled=lambda: next(asked) >= asks,
        clock=lambda: float(next(asked)),  # masks between the windows
    ):
        change = found.take(event)
        kept.take(event, change)
        yield event, change


def around_corners(rng: np.random.Generator, width: int, height: int) -> PointsXY:
    """Places all over an image, and crowds where four windows meet: there seams are intricate."""
    oracle = Oracle(np.empty((0, 2)), width, height)
    corners = [(w.core.x1, w.core.y1) for w in plan_image(oracle, oracle.info, mpp=MPP)]
    crowds = np.repeat(np.array(corners), 20, axis=0)
    crowds = crowds + rng.normal(0, 4, crowds.shape)
    return np.concatenate([rng.uniform((0, 0), (width, height), (100, 2)), crowds])


breaks = st.lists(
    st.tuples(st.sampled_from(["pause", "kill"]), st.integers(0, 150)), min_size=1, max_size=6
)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    breaks=breaks,
    nears=st.lists(st.none() | st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=1),
    jitter_px=st.sampled_from([0.0, 1.5, 4.0]),
    outlined=st.booleans(),
)
def test_any_pauses_and_kills_lead_to_the_same_nuclei(
    seed: int,
    breaks: list[tuple[str, int]],
    nears: list[tuple[float, float] | None],
    jitter_px: float,
    outlined: bool,
) -> None:
    rng = np.random.default_rng(seed)
    width, height = rng.integers(40, 260, 2)
    truth = around_corners(rng, width, height)

    def oracle() -> Oracle:
        return Oracle(truth, width, height, jitter_px=jitter_px)

    squares = Squares() if outlined else None
    alone = Kept()
    for _ in search(oracle(), alone, squares=squares, near=None):
        pass
    kept = Kept()
    for i, (how, when) in enumerate(breaks):
        near = nears[i % len(nears)]
        asks = when if how == "pause" else 10**9
        stream = search(oracle(), kept, squares=squares, near=near, asks=asks)
        for at, _ in enumerate(stream):
            if how == "kill" and at >= when:
                break
    last = list(search(oracle(), kept, squares=squares, near=None))
    assert last[-1][0].finish == "complete"
    assert kept.standing() == alone.standing()
    assert kept.windows == alone.windows
    done_before = sum(isinstance(event, WindowDone) for event, _ in last)
    assert len(kept.windows) == last[0][0].windows >= done_before


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    breaks=breaks,
    near=st.none() | st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT)),
    outlined=st.booleans(),
)
def test_a_search_that_leaves_out_glass_goes_on_as_well(
    seed: int, breaks: list[tuple[str, int]], near: tuple[float, float] | None, outlined: bool
) -> None:
    squares = Squares() if outlined else None

    def searched(kept: Kept, asks: int = 10**9) -> Iterator[tuple[DetectEvent, FoundChange]]:
        oracle = OnGlass(seed, pieces=2, jitter_px=1.5)
        return search(oracle, kept, squares=squares, near=near, asks=asks, tissue=True)

    alone, kept = Kept(), Kept()
    for _ in searched(alone):
        pass
    for how, when in breaks:
        for at, _ in enumerate(searched(kept, when if how == "pause" else 10**9)):
            if how == "kill" and at >= when:
                break
    last = list(searched(kept))
    assert last[0][0].windows_left_out > 0
    assert last[-1][0].finish == "complete"
    assert kept.standing() == alone.standing()
    assert kept.windows == alone.windows
    assert len(kept.windows) == last[0][0].windows


def test_nothing_is_searched_or_outlined_twice() -> None:
    truth = np.random.default_rng(1).uniform(0, 300, (200, 2))
    kept = Kept()
    for event, _ in search(Oracle(truth, 300, 300), kept, squares=Squares(), near=None):
        if isinstance(event, Masks):
            break
    done = len(kept.windows)
    assert done > 0
    oracle, squares = Oracle(truth, 300, 300), Squares()
    events = [event for event, _ in search(oracle, kept, squares=squares, near=(0.0, 0.0))]
    assert events[0].resumed
    assert sum(box.width == 64 for box in oracle.boxes) == events[0].windows - done
    assert [e.done for e in events if isinstance(e, WindowDone)][:1] == [done + 1]
    assert kept.masks.keys() == kept.nuclei.keys() - kept.hidden


def test_a_search_whose_last_window_is_done_goes_on_with_its_outlines() -> None:
    truth = np.random.default_rng(1).uniform(0, 300, (200, 2))
    kept = Kept()
    for event, _ in search(Oracle(truth, 300, 300), kept, squares=Squares(), near=None):
        if isinstance(event, WindowDone) and event.done == event.total:
            break
    oracle = Oracle(truth, 300, 300)
    events = [event for event, _ in search(oracle, kept, squares=Squares(), near=None)]
    assert not any(box.width == 64 for box in oracle.boxes)
    assert events[-1].finish == "complete"
    assert kept.masks.keys() == kept.nuclei.keys() - kept.hidden


@pytest.mark.parametrize(
    "change",
    [{"mpp": 0.4}, {"region": (0.0, 0.0, 200.0, 300.0)}, {"masks": True}, {"image": "1" * 64}],
)
def test_another_plan_is_begun_anew(change: dict[str, Any]) -> None:
    truth = np.random.default_rng(2).uniform(0, 300, (100, 2))
    oracle = Oracle(truth, 300, 300)
    request = {"image": SHA, "mpp": MPP, "resume": Resume(plan="", done=[0], sighted=[])}

    def began(**changed: Any) -> Started:
        asked = DetectRequest(**(request | changed))
        squares = Squares().take if asked.masks else None
        segmenter = SEGMENTER if asked.masks else None
        stream = detect_events(
            oracle, asked, oracle, squares, run="r", model=MODEL, segmenter_model=segmenter
        )
        return next(iter(stream))

    plan = began().plan
    resume = {"resume": Resume(plan=plan, done=[0], sighted=[])}
    assert not began().resumed
    assert began(**resume).resumed
    assert began(**resume, near=(3.0, 4.0)).resumed
    assert not began(**resume, **change).resumed


@pytest.mark.parametrize(
    ("done", "window", "words"),
    [
        ([0, 0], None, "others are said to be done"),
        ([10**6], None, "others are said to be done"),
        ([-1], None, "others are said to be done"),
        ([0], 1, "windows that are not said to be done \\(1"),
    ],
)
def test_what_cannot_have_been_found_is_refused(
    done: list[int], window: int | None, words: str
) -> None:
    oracle = Oracle(np.empty((0, 2)), 300, 300)
    plan = next(search(oracle, Kept(), squares=None, near=None))[0].plan
    seen = {"window": window, "x": 1.0, "y": 1.0, "category": "a", "confidence": 0.5}
    resume = Resume.model_validate(
        {"plan": plan, "done": done, "sighted": [] if window is None else [seen]}
    )
    request = DetectRequest(image=SHA, mpp=MPP, resume=resume)
    with pytest.raises(InputError, match=words):
        list(detect_events(oracle, request, oracle, run="r", model=MODEL))
