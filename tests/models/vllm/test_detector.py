from __future__ import annotations

import math

import numpy as np
import pytest

from napari_nunext.core.errors import (
    InputError,
    RequestRejectedError,
    ServerError,
    ServerUnavailableError,
)
from napari_nunext.models.detector import Caller, WindowEnd, WindowPoints
from napari_nunext.models.vllm import detector as detectors
from napari_nunext.models.vllm.connection import VllmConnection
from napari_nunext.models.vllm.detector import Served, VllmDetector
from tests.waiting import wait_for

PROMPT = (3, 1, 4, 1, 5)
END, COMMA, X0 = 50, 11, 20
KEY = "a-key-that-nobody-is-told"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(detectors, "FIRST_PAUSE_S", 0.005)


@pytest.fixture
def detector_on(vllm, describe_checkpoint):
    """``detector_on(categories)``: a detector of the fake server."""
    connections = []

    def make(*categories, patience_s=5.0):
        connection = VllmConnection("http://vllm.test", KEY, transport=vllm.transport())
        connections.append(connection)
        description = describe_checkpoint(categories)
        served = Served(connection, "nuclei", description, lambda asked: PROMPT)
        return VllmDetector(served, description.info(None), patience_s=patience_s)

    yield make
    for connection in connections:
        connection.close()


def window(number: int):
    return np.full((32, 32, 3), number, dtype=np.uint8)


def reply(*tokens, sure=1.0):
    return [(token, math.log(sure)) for token in tokens]


def points_of(events, index):
    return [
        (*e.points_xy[0], e.categories[0], round(e.confidence[0], 6))
        for e in events
        if isinstance(e, WindowPoints) and e.window == index
    ]


def ends_of(events):
    return {e.window: (e.finish, e.tokens) for e in events if isinstance(e, WindowEnd)}


def run(detector, windows):
    return list(detector.detect(windows, cancelled=lambda: False))


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("end_is_told", [True, False])
def test_points_are_bin_centres_and_as_sure_as_their_tokens(vllm, detector_on, chunk, end_is_told):
    vllm.chunk, vllm.end_is_told = chunk, end_is_told
    x, y, comma = math.log(0.8), math.log(0.5), math.log(0.9)
    vllm.replies[7] = [(X0 + 3, x), (X0, y), (COMMA, comma), (X0 + 15, x), (X0 + 1, y), (END, 0.0)]
    vllm.replies[8] = [(END, 0.0)]
    events = run(detector_on(), [window(8), window(7)])
    first, second = points_of(events, 1)
    assert first == (7.0, 1.0, "Nucleus", 0.4)
    assert second == (31.0, 3.0, "Nucleus", 0.36)
    assert points_of(events, 0) == []
    assert ends_of(events) == {0: ("end", 1), 1: ("end", 6)}


def test_categories_follow_their_points(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, X0 + 2, 41, X0 + 3, X0 + 4, 40, END)
    events = run(detector_on("Round", "Pale"), [window(1)])
    assert [point[2] for point in points_of(events, 0)] == ["Pale", "Round"]


def test_a_window_with_more_nuclei_than_are_listed_says_so(vllm, detector_on):
    vllm.replies[1] = reply(*[X0 + 1, X0 + 2, COMMA, X0 + 3, X0 + 4, COMMA] * 4)
    events = run(detector_on(), [window(1)])
    assert ends_of(events) == {0: ("limit", 3 * 4)}


def test_many_windows_are_under_way_but_not_more_than_may(vllm, detector_on, monkeypatch):
    monkeypatch.setattr(detectors, "AT_ONCE", 5)
    for number in range(40):
        vllm.replies[number] = reply(X0 + number % 16, X0, END)
    events = run(detector_on(), [window(number) for number in range(40)])
    assert 1 < vllm.most_open <= 5
    assert {i: points_of(events, i)[0][0] for i in range(40)} == {
        i: 2 * (i % 16) + 1.0 for i in range(40)
    }


def test_points_come_while_their_window_is_decoded(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, X0 + 2, COMMA, X0 + 3, X0 + 4, END)
    vllm.hold.clear()
    events = detector_on().detect([window(1)], cancelled=lambda: False)
    first = next(e for e in events if isinstance(e, WindowPoints))
    assert first.points_xy[0].tolist() == [3.0, 5.0]
    vllm.hold.set()
    assert ends_of(list(events)) == {0: ("end", 6)}


@pytest.mark.parametrize("how", ["closed", "cancelled"])
def test_who_leaves_hangs_up(vllm, detector_on, how):
    for number in range(6):
        vllm.replies[number] = reply(X0 + 1, X0 + 2, COMMA, X0 + 3, X0 + 4, END)
    vllm.hold.clear()
    stop = []
    events = detector_on().detect(
        [window(number) for number in range(6)], cancelled=lambda: bool(stop)
    )
    next(e for e in events if isinstance(e, WindowPoints))
    if how == "closed":
        events.close()
    else:
        stop.append(True)
        assert not any(isinstance(e, WindowEnd) for e in events)
    wait_for(lambda: vllm.open == 0)
    assert vllm.hung_up > 0


def test_callers_take_turns_and_batches_come_last(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, X0 + 2, END)
    vllm.replies[2] = reply(X0 + 3, X0 + 4, END)
    detector, quick, slow = detector_on(), Caller(lane="interactive"), Caller(lane="batch")
    calls = [
        detector.detect_for(caller, [window(number)], cancelled=lambda: False)
        for caller, number in ((quick, 1), (slow, 2))
    ]
    for call in calls:
        assert next(call) is None  # asked, and nothing heard yet
    wait_for(lambda: quick.has_news and slow.has_news)
    found = [[event for event in call if event is not None] for call in calls]
    assert [points_of(events, 0)[0][:2] for events in found] == [(3.0, 5.0), (7.0, 9.0)]
    assert not any(caller.has_news for caller in (quick, slow))
    assert sorted(request["priority"] for request in vllm.requests) == [0, 1]


def test_a_window_that_breaks_off_is_asked_for_again_and_nothing_is_heard_twice(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, X0 + 2, COMMA, X0 + 3, X0 + 4, END, sure=0.9)
    vllm.breaks = [1, 1]
    vllm.statuses = [503]
    events = run(detector_on(), [window(1)])
    assert [point[:2] for point in points_of(events, 0)] == [(3.0, 5.0), (7.0, 9.0)]
    assert [point[3] for point in points_of(events, 0)] == [0.81, 0.729]
    assert ends_of(events) == {0: ("end", 6)}
    assert len(vllm.requests) == 3


def test_a_server_that_stays_away_is_said_after_a_while(vllm, detector_on):
    vllm.statuses = [503] * 1000
    with pytest.raises(ServerUnavailableError, match=r"cannot answer now \(status 503\)"):
        run(detector_on(patience_s=0.05), [window(1)])
    assert len(vllm.statuses) < 999


@pytest.mark.parametrize(
    ("status", "words"), [(400, "Compare its version and options"), (401, "wants another key")]
)
def test_a_refusal_is_said_at_once_and_without_the_key(vllm, detector_on, status, words):
    vllm.statuses = [status] * 9
    with pytest.raises(RequestRejectedError, match=words) as caught:
        run(detector_on(), [window(1)])
    assert len(vllm.statuses) == 8
    assert KEY not in str(caught.value)
    assert vllm.keys[0] == f"Bearer {KEY}"


def test_another_prompt_is_refused(vllm, detector_on):
    vllm.replies[1] = reply(END)
    vllm.prompt = PROMPT[:-1]
    with pytest.raises(ServerError, match="prompt of 4 tokens; expected the checkpoint's own 5"):
        run(detector_on(), [window(1)])


def test_an_engine_without_our_grammar_is_noticed_at_once(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, COMMA, X0 + 2, END)
    with pytest.raises(ServerError, match=r"does not hold to the grammar.*docs/vllm.md"):
        run(detector_on(), [window(1)])


def test_a_reply_that_is_cut_off_early_is_no_reply(vllm, detector_on):
    vllm.replies[1] = reply(X0 + 1, X0 + 2, COMMA, X0 + 3, X0 + 4, END)
    vllm.most_tokens = 4
    with pytest.raises(ServerError, match=r"after 4 tokens; expected up to 12.*--max-model-len"):
        run(detector_on(), [window(1)])


def test_a_window_of_another_size_is_refused(detector_on):
    with pytest.raises(InputError, match=r"expected uint8 \(32, 32, 3\)"):
        run(detector_on(), [np.zeros((16, 32, 3), dtype=np.uint8)])


def test_no_windows_ask_for_nothing(vllm, detector_on):
    assert run(detector_on(), []) == []
    assert vllm.requests == []
