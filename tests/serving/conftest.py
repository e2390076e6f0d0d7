"""A real server in a thread, over models that do what a test tells them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.models.catalog import CatalogEntry
from napari_nunext.models.classical.adapters import ClassicalDetector, ClassicalSegmenter
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.sam.embeddings import new_embeddings
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.process.serve import serve
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "a-token-for-tests-0123456789"


@dataclass
class SlowDetector:
    """Finds one nucleus in the middle of each window, when it is allowed to."""

    allowed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    entered: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when it saw that it was cancelled."""
    steps: int = 0

    @property
    def info(self) -> DetectorInfo:
        return DetectorInfo(
            "Slow", "fake", (Category("Nucleus", (1, 2, 3)),), mpp=0.5, window_px=32, halo_um=2.0
        )

    def detect(self, windows, *, cancelled):
        for index in range(len(windows)):
            self.entered.set()
            while not self.allowed.acquire(timeout=0.01):
                if cancelled():
                    self.stopped.set()
                    return
            self.steps += 1
            yield WindowPoints(index, np.array([[16.0, 16.0]]), ("Nucleus",), (0.9,))
            yield WindowEnd(index, "end", tokens=2)


class BrokenDetector(SlowDetector):
    """Fails after its first point."""

    def detect(self, windows, *, cancelled):
        yield WindowPoints(0, np.array([[16.0, 16.0]]), ("Nucleus",), (0.9,))
        raise RuntimeError("out of\nsmoke")


class ChoosingDetector:
    """Names a nucleus of each window after the first category that it may choose from."""

    info = replace(
        ClassicalDetector().info, categories=default_categories(("Round", "Positive", "Negative"))
    )

    def detect(self, windows, *, cancelled):
        raise AssertionError("nobody says what to choose from")

    def detect_for(self, caller, windows, *, cancelled):
        for i in range(len(windows)):
            yield WindowPoints(i, np.array([[20.0, 20.0]]), caller.among[:1] or ("any",), (0.9,))
            yield None
            yield WindowEnd(i, "end")


class FakeCatalog:
    """Classical models, and those that a test adds."""

    def __init__(self) -> None:
        self.detectors = {"classical": ClassicalDetector()}
        self.segmenters = {"classical": ClassicalSegmenter()}
        self.problems: dict[str, str] = {}
        self.default_detector_id = "classical"
        self.default_segmenter_id = "classical"
        self.loaded: tuple[str, ...] = ()
        self.embeddings = new_embeddings()

    def entries(self):
        return [
            *(CatalogEntry(i, "detector", m.info) for i, m in self.detectors.items()),
            *(CatalogEntry(i, "segmenter", m.info) for i, m in self.segmenters.items()),
            *(CatalogEntry(i, "detector", None, problem=p) for i, p in self.problems.items()),
        ]

    def load_detector(self, id_=None):
        self.loaded = (id_,)
        return self.detectors[id_]

    def load_segmenter(self, id_=None):
        return self.segmenters[id_]


@pytest.fixture
def catalog() -> FakeCatalog:
    catalog = FakeCatalog()
    catalog.detectors["slow"] = SlowDetector()
    catalog.detectors["broken"] = BrokenDetector()
    return catalog


@dataclass(frozen=True)
class Serving:
    """A server that runs in a thread."""

    url: str
    catalog: FakeCatalog
    client: Client
    process: Any
    """Uvicorn's server: takes signals."""
    thread: threading.Thread


@pytest.fixture
def start(catalog: FakeCatalog) -> Iterator[Callable[..., Serving]]:
    """Start a server with these settings; all end with the test."""
    stops: list[Callable[[], None]] = []
    threads: list[threading.Thread] = []
    clients: list[Client] = []

    def start(**settings) -> Serving:
        addresses: list[str] = []
        is_ready = threading.Event()

        def ready(url: str, stop: Callable[[], None]) -> None:
            addresses.append(url)
            stops.append(stop)
            is_ready.set()

        thread = threading.Thread(
            target=serve,
            args=(ServerSettings(**{"token": TOKEN} | settings), catalog),
            kwargs={"ready": ready},
        )
        thread.start()
        threads.append(thread)
        assert is_ready.wait(PATIENCE_S)
        clients.append(Client(addresses[0], TOKEN))
        return Serving(addresses[0], catalog, clients[-1], stops[-1].__self__, thread)

    yield start
    for client in clients:
        client.close()
    for stop in stops:
        stop()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.fixture
def server(start: Callable[..., Serving]) -> Serving:
    return start()


@pytest.fixture
def rgb(rng: np.random.Generator) -> np.ndarray:
    """Purple discs on pink, 96 x 128 px."""
    image = np.full((96, 128, 3), (235, 200, 220), dtype=np.uint8)
    rows, columns = np.mgrid[:96, :128] + 0.5
    for x, y in [(24, 24), (70, 30), (100, 70), (40, 72)]:
        image[np.hypot(columns - x, rows - y) < 7] = (90, 50, 140)
    noise = rng.integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
