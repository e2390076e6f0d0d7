"""A model server that answers from a script, and executors that make every step immediate."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.points import nuclei_of_picture
from napari_nunext.core.answers.prompts import SYSTEM, Question, after_nuclei
from napari_nunext.core.answers.reading import read_answer
from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.controller import ReviewController
from napari_nunext.serving import ask_protocol, protocol
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
    *xy: tuple[float, float],
    first: int = 0,
    confidence: float = 0.9,
    window: int = 0,
    position_error_um: float | None = None,
) -> protocol.Points:
    return protocol.Points(
        window=window,
        points=[
            protocol.PointOut(
                index=first + i,
                x=x,
                y=y,
                category="Lymphocyte",
                confidence=confidence,
                position_error_um=position_error_um,
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


ALLOCATED, LOOKED_AT = 6, 2
"""What an answerer that may choose its image tokens chooses, and what it looks at."""
SAID = "<think>pale</think><answer>yes [[2, 4, 30, 40]]</answer>"


def answerer_info(name: str = "vlm", **changes: Any) -> ask_protocol.AnswererInfo:
    fields: dict[str, Any] = {
        "id": name,
        "model": f"{name}:7b",
        "host": "127.0.0.1",
        "local": True,
        "may_train": False,
        "boxes": "pixels",
        "thought": "tags",
        "patch_px": 28,
    }
    return ask_protocol.AnswererInfo(**(fields | changes))


def ask_started(
    request: ask_protocol.AskRequest, info: ask_protocol.AnswererInfo
) -> ask_protocol.AskStarted:
    sent = _sent(request, info)
    prompt = _question(request).prompt
    if info.reads_nuclei:
        assert request.nuclei is not None, "the server would refuse it"
        places_xy = as_points_xy([(x, y) for x, y, _ in request.nuclei])
        told = nuclei_of_picture(sent, places_xy, [name for _, _, name in request.nuclei])
        prompt = after_nuclei(told, prompt)
    return ask_protocol.AskStarted(
        run=request.run or "",
        answerer=info,
        prompt=prompt,
        system=SYSTEM,
        region=sent.region.as_tuple(),
        sent_px=(sent.width_px, sent.height_px),
        image_tokens=sent.image_tokens,
        region_tokens=sent.image_tokens,
        allocated=min(ALLOCATED, request.budget) if request.allocate else None,
        look_tokens=LOOKED_AT if request.allocate else 0,
    )


def answered(
    said: str,
    request: ask_protocol.AskRequest,
    info: ask_protocol.AnswererInfo,
    finish: str = "stop",
) -> ask_protocol.Answered:
    read = read_answer(said, _sent(request, info), options=request.options, boxes=info.boxes)
    return ask_protocol.Answered(
        sample=0,
        raw=said,
        reasoning="",
        think=read.reply.think,
        answer=read.reply.answer,
        failure=read.reply.failure.reason if read.reply.failure else None,
        choice=read.choice,
        boxes=[
            ask_protocol.AnswerBoxOut(box=b.box.as_tuple(), label=b.label) for b in read.boxes.boxes
        ],
        boxes_left_out=dict(read.boxes.left_out),
        finish=finish,
        prompt_tokens=20,
        output_tokens=5,
        notes=[],
    )


def _sent(request: ask_protocol.AskRequest, info: ask_protocol.AnswererInfo) -> SentPicture:
    tokens = min(ALLOCATED, request.budget) if request.allocate else request.budget
    return SentPicture.of(Box.from_sequence(request.region), tokens, info.patch_px)


def _question(request: ask_protocol.AskRequest) -> Question:
    return Question(request.task, request.question, request.options, request.organ)


class FakeClient:
    """Streams `script`; an exception in it is raised where it stands, a text is a wait's.

    Masks are what `outline` makes of a prompt's clicks; None leaves the prompt without one.
    """

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:8123"
        self.script: Sequence[Any] = ()
        self.requests: list[protocol.DetectRequest] = []
        self.segmented: list[protocol.SegmentRequest] = []
        self.outline: Callable[[list[protocol.PromptPoint]], Mask | None] = lambda clicks: None
        self.answering = [answerer_info(), answerer_info("other", host="far.example", local=False)]
        self.says: Sequence[Any] = (SAID,)
        self.asked: list[ask_protocol.AskRequest] = []
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

    def stop_asking(self) -> None:
        """Cancel the answer that is being written, as the server would."""
        self.cancelled.append(self.asked[-1].run or "")

    def answerers(self) -> list[ask_protocol.AnswererInfo]:
        self._answer()
        return self.answering

    def ask(
        self, request: ask_protocol.AskRequest, *, patience: Patience | None = None
    ) -> Iterator[Any]:
        """Stream `says`: pieces of text; functions are called, errors raised, an event ends it."""
        self._answer()
        self.asked.append(request)
        info = next(each for each in self.answering if each.id == request.answerer)
        yield ask_started(request, info)
        said = ""
        for piece in self.says:
            if callable(piece):
                piece()
            elif isinstance(piece, Exception):
                raise piece
            elif isinstance(piece, str):
                said += piece
                yield ask_protocol.AskText(sample=0, part="text", text=piece)
            else:
                yield piece
                return
            if request.run in self.cancelled:
                yield answered(said, request, info, "cancelled")
                yield ask_protocol.AskDone(answers=1, finish="cancelled")
                return
        yield answered(said, request, info)
        yield ask_protocol.AskDone(answers=1, finish="complete")

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
        self.answerers: tuple[str, ...] = ()
        self.stopped = False

    def client(self) -> FakeClient:
        return self.fake

    def restart(self) -> None:
        self.restarts += 1
        self.fake.down = False

    def take_answerers(self, texts: Sequence[str]) -> None:
        self.answerers = tuple(texts)
        self.restart()

    def stop(self) -> None:
        self.stopped = True


def review_on(
    folder: Path,
    server: FakeServer,
    executor: Executor | None = None,
    *,
    on_main: Callable[[Callable[[], None]], None] = at_once,
    annotator: str = "ab",
    **options: Any,
) -> ReviewController:
    """A controller on a project in a folder; without an executor it does everything at once."""
    options = {"writer_executor": InlineExecutor()} | options
    return ReviewController(
        lambda path: Project.open(path, annotator=annotator),
        lambda paths: folder / "review.nunext",
        server,
        executor or InlineExecutor(),
        on_main,
        models_dir=folder / "models",
        **options,
    )
