"""The HTTP face of the model server. Its OpenAPI document is the contract."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPBearer

from napari_nunext import __version__
from napari_nunext.serving.ask_protocol import AnswererList
from napari_nunext.serving.fields import ImageId  # noqa: TC001 - FastAPI reads it
from napari_nunext.serving.http.callers import Services, while_listened_to
from napari_nunext.serving.http.errors import answer_errors
from napari_nunext.serving.http.gate import CALLER, LET_GO, Gate
from napari_nunext.serving.http.jobs import add_job_routes
from napari_nunext.serving.http.keys import Keyring
from napari_nunext.serving.protocol import (
    FILES_KEY_HEADER,
    Cancelled,
    CancelRequest,
    FileOffer,
    Health,
    ImageStored,
    ModelList,
    Problem,
)
from napari_nunext.serving.refusals import may_not_name_files
from napari_nunext.serving.rows import MEDIA_TYPE as ROWS
from napari_nunext.serving.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.models.shelf import ModelCatalog
    from napari_nunext.serving.settings import ServerSettings

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
    add_job_routes(app, service.kinds)
    app.add_middleware(Gate, keyring=keyring, settings=settings, metrics=service.metrics)
    answer_errors(app)
    return app


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


@router.get("/v1/answerers")
def answerers(service: Services) -> AnswererList:
    """Every model that answers questions, and whether it can be asked now."""
    return AnswererList(answerers=service.answerers())


@router.head("/v1/images/{sha256}")
async def has_image(sha256: ImageId, service: Services) -> Response:
    """200 if the server has the image, else 404."""
    service.image(sha256)
    return Response()


@router.put(
    "/v1/images/{sha256}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": _BINARY} for kind in (*IMAGE_KINDS, ROWS)},
        }
    },
)
async def put_image(sha256: ImageId, request: Request, service: Services) -> ImageStored:
    """Upload a PNG, JPEG or TIFF file. The hash is that of its RGB pixels."""
    if request.headers.get("Content-Type") == ROWS:
        return _stored(sha256, await service.put_rows(_parts(request), sha256))
    work = service.put_image(await request.body(), sha256)
    return _stored(sha256, await while_listened_to(request, work))


async def _parts(request: Request) -> AsyncIterator[bytes]:
    """A body as it comes; a part is let go of when the next is asked for."""
    async for part in request.stream():
        yield part
        request.scope[LET_GO]()


def _stored(sha256: str, image: ImageSource) -> ImageStored:
    width_px, height_px = round(image.box.width), round(image.box.height)
    return ImageStored(sha256=sha256, width_px=width_px, height_px=height_px)


@router.post("/v1/files", include_in_schema=False)
async def take_file(offer: FileOffer, request: Request, service: Services) -> ImageStored:
    """Read an image from a file of this machine, for the program that this server belongs to."""
    key, shown = service.settings.files_key, request.headers.get(FILES_KEY_HEADER, "")
    if not (key and secrets.compare_digest(shown.encode(), key.encode())):
        raise may_not_name_files()
    work = service.take_file(Path(offer.path), offer.sha256)
    return _stored(offer.sha256, await while_listened_to(request, work))


@router.post("/v1/cancel")
async def cancel(body: CancelRequest, service: Services) -> Cancelled:
    """Stop a job at its next step; one that has yet to arrive is stopped when it does."""
    return Cancelled(found=service.cancel(body.run))
