"""A model server that answers from a script, and executors that make every step immediate."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.controller import ReviewController
from napari_nunext.serving import protocol
from napari_nunext.store import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.client.patience import Patience

CATEGORIES = (("Lymphocyte", (86, 180, 233)), ("Stromal", (0, 158, 115)))


class InlineExecutor(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  what a future is for
            future.set_exception(error)
        return future


class Later(Executor):
    """Does the work when it is told to."""

    def __init__(self) -> None:
        self._work: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._work.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def catch_up(self) -> None:
        while self._work:
            self._work.pop(0)()


def at_once(function: Callable[[], None]) -> None:
    """An `OnMain` for tests without an event loop."""
    function()


def model_info(**changes: Any) -> protocol.ModelInfo:
    fields: dict[str, Any] = {
        "id": "small",
        "name": "NuNext small",
        "kind": "detector",
        "family": "qwen2_5_vl",
        "checkpoint_sha256": "ab" * 32,
        "categories": [protocol.CategoryInfo(name=n, color=c) for n, c in CATEGORIES],
        "mpp": 0.5,
        "window_px": 128,
        "default": True,
    }
    return protocol.ModelInfo(**(fields | changes))


def started(
    windows: int = 1, *, plan: str = "", resumed: bool = False, **changes: Any
) -> protocol.Started:
    return protocol.Started(
        plan=plan,
        resumed=resumed,
        run="run",
        model=model_info(**changes),
        segmenter=None,
        windows=windows,
        codec_version=1,
        merge_radius_um=2.0,
        halo_um=8.0,
        decoding={"method": "greedy"},
    )


def points(
    *xy: tuple[float, float], first: int = 0, confidence: float = 0.9, window: int = 0
) -> protocol.Points:
    return protocol.Points(
        window=window,
        points=[
            protocol.PointOut(
                index=first + i, x=x, y=y, category="Lymphocyte", confidence=confidence
            )
            for i, (x, y) in enumerate(xy)
        ],
    )


def window_done(done: int, total: int) -> protocol.WindowDone:
    return protocol.WindowDone(
        window=done - 1, box=(0, 0, 64, 64), finish="end", done=done, total=total
    )


def done(count: int, finish: str = "complete") -> protocol.Done:
    return protocol.Done(points=count, finish=finish)


def square(x: float, y: float, side_px: int = 8) -> Mask:
    """A mask around a place."""
    half = side_px // 2
    return Mask.from_array(np.ones((side_px, side_px), dtype=bool), int(x) - half, int(y) - half)


class FakeClient:
    """Streams `script`; an exception in it is raised where it stands, a text is a wait's.

    Masks are what `outline` makes of a prompt's clicks; None leaves the prompt without one.
    """

    def __init__(self) -> None:
        self.script: Sequence[Any] = ()
        self.requests: list[protocol.DetectRequest] = []
        self.segmented: list[protocol.SegmentRequest] = []
        self.outline: Callable[[list[protocol.PromptPoint]], Mask | None] = lambda clicks: None
        self.images: list[str | None] = []
        self.cancelled: list[str] = []
        self.down = False
        self.offered = [
            model_info(),
            model_info(id="classical", name="Classical", default=False, categories=[]),
            model_info(id="sam", name="SAM", kind="segmenter", default=False, categories=[]),
        ]

    def health(self) -> protocol.Health:
        self._answer()
        return protocol.Health(
            status="ready", version=__version__, device="cpu", memory_bytes=2**28, loaded=["small"]
        )

    def models(self) -> list[protocol.ModelInfo]:
        self._answer()
        return self.offered

    def put_image(self, image: ImageSource, *, patience: object = None) -> str:
        self._answer()
        self.images.append(image.id)
        return image.id

    def cancel(self, run: str) -> bool:
        self.cancelled.append(run)
        return True

    def close(self) -> None:
        pass

    def detect(
        self, request: protocol.DetectRequest, *, patience: Patience | None = None
    ) -> Iterator[Any]:
        self._answer()
        self.requests.append(request)
        for event in self.script:
            if isinstance(event, str):
                assert patience is not None
                patience.tell(event)
            elif callable(event):
                event()
            elif isinstance(event, Exception):
                raise event
            else:
                yield event

    def segment(
        self, request: protocol.SegmentRequest, *, patience: object = None
    ) -> protocol.SegmentReply:
        self._answer()
        assert self.images
        assert self.images[-1] == request.image
        self.segmented.append(request)
        drawn = [self.outline(prompt.points) for prompt in request.prompts]
        return protocol.SegmentReply(
            masks=[protocol.MaskOut.of(i, m, 0.9) for i, m in enumerate(drawn) if m is not None],
            segmenter="sam",
        )

    def _answer(self) -> None:
        if self.down:
            raise ServerUnavailableError("There is no model server. Start it.")


class FakeServer:
    """A `ModelServer` around one `FakeClient`."""

    def __init__(self) -> None:
        self.fake = FakeClient()
        self.restarts = 0
        self.stopped = False

    def client(self) -> FakeClient:
        return self.fake

    def restart(self) -> None:
        self.restarts += 1
        self.fake.down = False

    def stop(self) -> None:
        self.stopped = True


def review_on(
    folder: Path,
    server: FakeServer,
    executor: Executor | None = None,
    *,
    on_main: Callable[[Callable[[], None]], None] = at_once,
    **options: Any,
) -> ReviewController:
    """A controller on a project in a folder; without an executor it does everything at once."""
    options = {"writer_executor": InlineExecutor()} | options
    return ReviewController(
        lambda path: Project.open(path, annotator="ab"),
        lambda paths: folder / "review.nunext",
        server,
        executor or InlineExecutor(),
        on_main,
        models_dir=folder / "models",
        **options,
    )
