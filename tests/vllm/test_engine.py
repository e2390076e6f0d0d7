"""What the real engine says is what our own decoder says."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
import torch

from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.detector import Caller, SharedDetector, WindowEnd, WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.sampling import Sampling
from napari_nunext.models.vllm import detector as detector_module
from napari_nunext.models.vllm.connection import VllmConnection
from napari_nunext.models.vllm.offer import VllmOffer
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.protocol import DetectRequest, Done, Hidden, Points, WindowDone
from nunext_training.trainers.rollouts import grammar_log_probabilities
from nunext_training.trainers.vllm_rollouts import VllmServer
from tests.vllm.conftest import metric, wait_until_idle
from tests.waiting import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.detector import Detector, WindowEvent
    from napari_nunext.serving.client.client import DetectEvent
    from tests.vllm.conftest import Engine

ADAPTER = "sharper"
MPP = 0.5


class Serve(Protocol):
    """Make a detector of what an engine serves, or of an adapter by name."""

    def __call__(self, engine: Engine, name: str | None = None) -> Detector: ...


@pytest.fixture
def served() -> Iterator[Serve]:
    """``served(engine)``: a detector of what the engine serves, or of an adapter by name."""
    connections: list[VllmConnection] = []

    def make(engine: Engine, name: str | None = None) -> Detector:
        connection = engine.connect()
        connections.append(connection)
        name = name or engine.folder.name
        offer = VllmOffer(connection, engine.folder, name, engine.adapters.get(name))
        assert offer.problem is None
        return offer.load()

    yield make
    for connection in connections:
        connection.close()


@pytest.fixture
def rollouts(engine: Engine) -> Iterator[VllmServer]:
    """What draws rollouts from the engine, as training asks it."""
    with closing(VllmServer(engine.url, engine.checkpoint)) as server:
        yield server


def events_of(detector: Detector, windows: list[NDArray[np.uint8]]) -> dict[int, list[WindowEvent]]:
    """Events by window, in the order of each window."""
    found: dict[int, list[WindowEvent]] = {}
    for event in detector.detect(windows, cancelled=lambda: False):
        found.setdefault(event.window, []).append(event)
    return found


def said(events: Sequence[WindowEvent]) -> tuple[list[tuple[Any, ...]], str, int]:
    """A window's points with their categories, and how it ended."""
    end = events[-1]
    assert isinstance(end, WindowEnd)
    points = [(*p.points_xy[0], *p.categories) for p in points_of(events)]
    return points, end.finish, end.tokens


def points_of(events: Sequence[WindowEvent]) -> list[WindowPoints]:
    """A window's points, which are all that is said before its end."""
    points = [event for event in events if isinstance(event, WindowPoints)]
    assert len(points) == len(events) - 1
    return points


def test_points_and_categories_and_confidence_are_those_of_our_own_decoder(
    engine: Engine, served: Serve, windows: list[NDArray[np.uint8]]
) -> None:
    ours = events_of(NextPointDetector.from_loaded(engine.checkpoint), windows)
    theirs = events_of(served(engine), windows)
    expected = {window: said(events) for window, events in ours.items()}
    assert {window: said(events) for window, events in theirs.items()} == expected
    assert {finish for _, finish, _ in expected.values()} == {"end", "limit"} or not (
        engine.checkpoint.description.codec.has_categories
    )
    assert len({tokens for *_, tokens in expected.values()}) > 4
    for window, events in ours.items():
        for our, their in zip(points_of(events), points_of(theirs[window]), strict=True):
            assert their.confidence == pytest.approx(our.confidence, abs=1e-4)
            assert their.position_error_um == pytest.approx(our.position_error_um, abs=1e-3)
            assert None not in (our.position_error_um or (None,))
    confidences = [c for events in theirs.values() for e in points_of(events) for c in e.confidence]
    assert max(confidences) > 3 * min(confidences) > 0


def test_an_image_of_one_stain_has_its_categories_alone(
    engines: dict[str, Engine], served: Serve, windows: list[NDArray[np.uint8]]
) -> None:
    engine, among = engines["sorted"], ("Pale", "Other")
    heard: list[dict[int, list[Any]]] = []
    for detector in (NextPointDetector.from_loaded(engine.checkpoint), served(engine)):
        assert isinstance(detector, SharedDetector)
        events = detector.detect_for(Caller(among=among), windows, cancelled=lambda: False)
        points = [event for event in events if isinstance(event, WindowPoints)]
        assert {name for event in points for name in event.categories} <= set(among)
        assert len(points) > len(windows)
        heard.append({})
        for event in points:  # later ones follow other categories, which were no clear choice
            heard[-1].setdefault(event.window, [*event.points_xy[0].tolist(), *event.categories])
    assert heard[0] == heard[1]


def test_the_engine_has_many_windows_at_once_to_decode_together(
    engine: Engine,
    served: Serve,
    windows: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How their points then interleave is up to three processes and their cores, and no test.
    # No answer is read before so many are asked for: one window after another would wait for ever.
    together, stream = asyncio.Barrier(8), VllmConnection.stream

    async def with_others(connection: VllmConnection, body: dict[str, Any]) -> AsyncIterator[Any]:
        first = True
        async for chunk in stream(connection, body):
            if first and next(awaited, None) is not None:
                await asyncio.wait_for(together.wait(), PATIENCE_S)
            first = False
            yield chunk

    awaited = iter(range(together.parties))
    monkeypatch.setattr(VllmConnection, "stream", with_others)
    found = events_of(served(engine), windows)
    assert len(found) == len(windows)
    assert next(awaited, None) is None


def test_whoever_hangs_up_asks_for_no_more_and_leaves_the_engine_idle(
    engines: dict[str, Engine],
    served: Serve,
    windows: list[NDArray[np.uint8]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How far the engine is when it notices is up to three processes: in a second it may have
    # answered all that it was asked. So few windows are asked for at once.
    at_once = 4
    monkeypatch.setattr(detector_module, "AT_ONCE", at_once)
    engine = engines["sorted"]
    detector = served(engine)
    tokens = {window: said(events)[-1] for window, events in events_of(detector, windows).items()}
    with closing(engine.connect()) as connection:
        wait_until_idle(connection)
        before = metric(connection, "vllm:generation_tokens_total")
        events: Any = detector.detect(windows * 4, cancelled=lambda: False)
        next(events)
        events.close()
        wait_until_idle(connection)
        generated = metric(connection, "vllm:generation_tokens_total") - before
    assert generated <= sum(tokens[window] for window in range(at_once))


def test_who_cancels_hears_nothing_more(
    points: Engine, served: Serve, windows: list[NDArray[np.uint8]]
) -> None:
    stop: list[bool] = []
    events = served(points).detect(windows, cancelled=lambda: bool(stop))
    assert next(events) is not None
    stop.append(True)
    assert list(events) == []


def test_an_adapter_is_a_detector_of_its_own(
    points: Engine,
    served: Serve,
    with_adapter: Callable[[Engine, str], LoadedCheckpoint],
    windows: list[NDArray[np.uint8]],
) -> None:
    merged = with_adapter(points, ADAPTER)
    expected = events_of(NextPointDetector.from_loaded(merged), windows)
    plain = events_of(served(points), windows)
    detector = served(points, ADAPTER)
    found = events_of(detector, windows)
    assert {w: said(e) for w, e in found.items()} == {w: said(e) for w, e in expected.items()}
    assert {w: said(e) for w, e in found.items()} != {w: said(e) for w, e in plain.items()}
    assert detector.info.name == ADAPTER
    assert detector.info.decoding != served(points).info.decoding


@pytest.mark.parametrize("narrow", [1.0, 0.6])
def test_rollouts_are_drawn_from_the_grammars_distribution(
    engine: Engine, rollouts: VllmServer, windows: list[NDArray[np.uint8]], narrow: float
) -> None:
    """First tokens, by how often they are drawn against the model's own probabilities."""
    count, temperature = 400, 1.3
    sampling = Sampling(temperature, (5,), count, narrow)
    replies = rollouts.replies(windows[1:2], sampling, max_points=2)
    codec = engine.checkpoint.description.codec
    assert all(codec.parse(r).failure is None or r[-1] != codec.end_id for r in replies)
    inputs = engine.checkpoint.windows(windows[1:2])
    with torch.no_grad():
        logits = engine.checkpoint.model(**inputs).logits[:, -1:]
    firsts = torch.from_numpy(codec.allowed_at(0))
    log_p, _ = grammar_log_probabilities(
        logits.expand(len(firsts), -1, -1), firsts[:, None], codec, sampling
    )
    expected = log_p[:, 0].exp().numpy()
    assert expected.sum() == pytest.approx(1.0, abs=1e-4)
    counts = np.array([sum(r[0] == t for r in replies) for t in firsts.tolist()])
    spread = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(counts / count - expected) <= 4.5 * spread + 1 / count).all()
    assert (counts > 0).sum() > 5


def test_rollouts_are_those_of_their_seed_whatever_is_drawn_beside(
    rollouts: VllmServer, windows: list[NDArray[np.uint8]]
) -> None:
    many = rollouts.replies(windows[:4], Sampling(1.0, (5, 6, 7, 8), 3), max_points=4)
    alone = rollouts.replies(windows[2:3], Sampling(1.0, (7,), 3), max_points=4)
    assert alone == many[6:9]
    others = rollouts.replies(windows[2:3], Sampling(1.0, (9,), 3), max_points=4)
    assert others != alone
    assert len(set(many)) > 6


def test_a_server_before_an_engine_that_dies_says_so_and_goes_on(
    points: Engine, windows: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    """The command line, over HTTP, while the engine is killed and started again."""
    rgb = np.vstack([np.hstack(windows[i : i + 4]) for i in range(0, 16, 4)])
    token = tmp_path / "token.txt"
    token.write_text("a-token-for-tests-0123456789")
    command = [sys.executable, "-m", "napari_nunext.cli", "serve", "--port", "0"]
    command += ["--vllm", str(points.folder), "--vllm-url", points.url, "--token-file", str(token)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        ExitStack() as stack,
    ):
        try:
            assert process.stdout is not None
            url = re.search(r"http://\S+", process.stdout.readline())
            assert url is not None
            client = stack.enter_context(Client(url[0], token.read_text()))
            request = DetectRequest(image=client.put_image(tile_of_rgb(rgb, "tile")), mpp=MPP)
            (model,) = (m for m in client.models() if m.default and m.kind == "detector")
            assert (model.id, model.family) == ("points", "qwen2_5_vl")
            before = _found(client.detect(request))
            assert len(before) > 3

            events = client.detect(request)
            next(events)
            assert points.keeper.pid is not None
            os.killpg(points.keeper.pid, signal.SIGKILL)  # as the system does without memory
            problems = wait_for(lambda: client.health().problems)
            assert "vLLM" in problems[0]
            (model,) = (m for m in client.models() if m.default and m.kind == "detector")
            assert model.passing
            # What was under way is asked for again, once the engine is back.
            # Another engine, and other batches: most of it comes out the same, to the last bit.
            assert len(_found(events) & before) > len(before) / 2
            assert client.health().problems == []
        finally:
            process.send_signal(signal.SIGINT)


def _found(events: Iterable[DetectEvent]) -> set[tuple[float, float]]:
    """Where points are, once every window was searched and the run says that it is complete."""
    found: dict[int, tuple[float, float]] = {}
    done = 0
    for event in events:
        if isinstance(event, Points):
            found |= {point.index: (point.x, point.y) for point in event.points}
        elif isinstance(event, Hidden):
            for index in event.indices:
                del found[index]
        elif isinstance(event, WindowDone):
            done += 1
            assert event.done == done
            windows = event.total
    assert isinstance(event, Done)
    assert (event.finish, done) == ("complete", windows)
    return set(found.values())
