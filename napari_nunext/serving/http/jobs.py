"""The routes of all kinds of jobs: a stream, or one answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter

from napari_nunext.serving.http.callers import Services, User, while_listened_to
from napari_nunext.serving.refusals import refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from napari_nunext.serving.jobs.kind import Kind
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.protocol import JobRequest
    from napari_nunext.serving.service import Service

NDJSON = "application/x-ndjson"


def job_path(kind: Kind[Any]) -> str:
    """Where a kind of job is asked for."""
    return f"/v1/{kind.name}"


def add_job_routes(app: FastAPI, kinds: Iterable[Kind[Any]]) -> None:
    """Let all of them be asked for."""
    for kind in kinds:
        _add(app, kind)


def _add(app: FastAPI, kind: Kind[Any]) -> None:
    async def ask(body: JobRequest, request: Request, service: Services, user: User) -> Response:
        work = await service.begin(kind, body, user)
        if kind.streams:
            return _Stream(work, service)
        try:
            return await _whole(work, kind, request, service)
        finally:
            service.forget(work)

    ask.__annotations__["body"] = kind.request
    app.add_api_route(
        job_path(kind),
        ask,
        methods=["POST"],
        name=kind.name,
        description=kind.__doc__,
        # For the document alone: what is sent is JSON already, made in the models' thread.
        response_model=kind.answer,
        response_class=StreamingResponse if kind.streams else JSONResponse,
        responses={200: _one_event_a_line(kind)} if kind.streams else {},
    )


def _one_event_a_line(kind: Kind[Any]) -> dict[str, Any]:
    """What a stream is, in the document's words; FastAPI knows of none."""
    event = TypeAdapter(kind.answer).json_schema(
        mode="serialization", ref_template="#/components/schemas/{model}"
    )
    event.pop("$defs", None)  # the document has them, by the route's response model
    return {"description": "One event a line.", "content": {NDJSON: {"schema": event}}}


async def _whole(work: Work, kind: Kind[Any], request: Request, service: Service) -> Response:
    """The one answer, if it comes in time."""
    limit_s = kind.limit_s(service.settings)
    try:
        answer = asyncio.wait_for(work.answer(), limit_s)
        return Response(await while_listened_to(request, answer), media_type="application/json")
    except TimeoutError:
        raise refused(kind.too_long(limit_s)) from None


class _Stream(StreamingResponse):
    """Streams the events of a job, and stops it when the stream ends, even one that never began."""

    def __init__(self, work: Work, service: Service) -> None:
        super().__init__(work.lines(), media_type=NDJSON)
        self._work = work
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._service.forget(self._work)
