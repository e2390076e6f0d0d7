"""The HTTP face of the model server. Its OpenAPI document is the contract."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Request, Response, Security
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer

from napari_nunext import __version__
from napari_nunext.serving.http.errors import answer_errors
from napari_nunext.serving.http.gate import CALLER, Gate
from napari_nunext.serving.http.keys import Keyring
from napari_nunext.serving.protocol import (
    Cancelled,
    CancelRequest,
    DetectRequest,
    Health,
    ImageStored,
    ModelList,
    Problem,
    SegmentReply,
    SegmentRequest,
    Sha256,
)
from napari_nunext.serving.refusals import Refusal, hung_up
from napari_nunext.serving.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from starlette.types import Receive, Scope, Send

    from napari_nunext.serving.http.keys import Caller
    from napari_nunext.serving.jobs.streams import Run
    from napari_nunext.serving.models.shelf import ModelCatalog
    from napari_nunext.serving.settings import ServerSettings

T = TypeVar("T")
NDJSON = "application/x-ndjson"
IMAGE_KINDS = ("image/png", "image/jpeg", "image/tiff")
_BINARY = {"type": "string", "format": "binary"}


def create_app(settings: ServerSettings, catalog: ModelCatalog) -> FastAPI:
    """Make the server; `settings.secret` is the token it wants, beside the keys if there are any.

    Raises
    ------
    InputError
        If the keys file cannot be used.
    """
    keyring = Keyring(settings.secret, settings.keys_file)
    service = Service(settings, catalog)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.preload:
            service.preload()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="napari-nunext model server",
        version=__version__,
        lifespan=lifespan,
        # These pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
        # For the document: `Gate` looks at the token, before a body is read.
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )
    app.state.service = service
    app.include_router(router)
    app.add_middleware(Gate, keyring=keyring, settings=settings, metrics=service.metrics)
    answer_errors(app)
    return app


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _user(request: Request) -> str:
    """Whose share of the machine the request draws on."""
    caller: Caller = request.scope[CALLER]
    return caller.share


Services = Annotated[Service, Depends(_service)]
User = Annotated[str, Depends(_user)]
router = APIRouter()


@router.get("/healthz")
async def health(request: Request, service: Services) -> Health:
    """Whether the server is there; with the token also its device, memory and models."""
    known = request.scope[CALLER] is not None
    return await asyncio.to_thread(service.health, authorised=known)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Services) -> str:
    """Counters in Prometheus' text format."""
    return service.metrics.text()


@router.get("/v1/models")
def models(service: Services) -> ModelList:
    """Every detector and segmenter, looked for anew."""
    return ModelList(models=service.models())


@router.head("/v1/images/{sha256}")
async def has_image(sha256: Sha256, service: Services) -> Response:
    """200 if the server has the image, else 404."""
    service.image(sha256)
    return Response()


@router.put(
    "/v1/images/{sha256}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": _BINARY} for kind in IMAGE_KINDS},
        }
    },
)
async def put_image(sha256: Sha256, request: Request, service: Services) -> ImageStored:
    """Upload a PNG, JPEG or TIFF file. The hash is that of its RGB pixels."""
    image = await _while_listened_to(request, service.put_image(await request.body(), sha256))
    return ImageStored(sha256=sha256, width_px=image.width_px, height_px=image.height_px)


@router.post(
    "/v1/detect",
    response_class=StreamingResponse,
    responses={200: {"content": {NDJSON: {}}, "description": "One event a line."}},
)
async def detect(body: DetectRequest, service: Services, user: User) -> StreamingResponse:
    """Find nuclei. Hanging up stops it."""
    run = await service.detect(body, user)
    return _RunResponse(run, service)


@router.post("/v1/cancel")
async def cancel(body: CancelRequest, service: Services) -> Cancelled:
    """Stop a run at its next step; one that has yet to arrive is stopped when it does."""
    return Cancelled(found=service.cancel(body.run))


@router.post("/v1/segment")
async def segment(
    body: SegmentRequest, request: Request, service: Services, user: User
) -> SegmentReply:
    """Draw a mask for each prompt. Hanging up stops it."""
    gone = threading.Event()
    work = asyncio.wrap_future(await service.segment(body, gone.is_set, user))
    watch = asyncio.create_task(_hung_up(request))
    first: set[asyncio.Future[Any]] = {work, watch}
    try:
        limit_s = service.settings.max_segment_s
        done, _ = await asyncio.wait(first, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise Refusal(
                503, "time_limit", f"The masks took longer than {limit_s:g} s. Ask for fewer."
            )
        if not work.done():
            raise hung_up()
        return work.result()
    finally:
        gone.set()
        watch.cancel()
        work.cancel()


class _RunResponse(StreamingResponse):
    """Streams a run, and stops it when the stream ends, even one that never began."""

    def __init__(self, run: Run, service: Service) -> None:
        super().__init__(run.lines(), media_type=NDJSON)
        self._run = run
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.forget(self._run)


async def _while_listened_to(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What work gives; it is stopped when the caller hangs up."""
    task, watch = asyncio.ensure_future(work), asyncio.create_task(_hung_up(request))
    first: set[asyncio.Future[Any]] = {task, watch}
    try:
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise hung_up()
        return task.result()
    finally:
        watch.cancel()
        task.cancel()


async def _hung_up(request: Request) -> None:
    """Wait until the caller closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
