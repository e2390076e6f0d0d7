"""What routes need of a request: the server, whose it is, and whether somebody still listens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Request

from napari_nunext.serving.http.gate import CALLER
from napari_nunext.serving.refusals import hung_up
from napari_nunext.serving.service import Service

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from napari_nunext.serving.http.keys import Caller

T = TypeVar("T")


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


def _user(request: Request) -> str:
    """Whose share of the machine the request draws on."""
    caller: Caller = request.scope[CALLER]
    return caller.share


Services = Annotated[Service, Depends(_service)]
User = Annotated[str, Depends(_user)]


async def while_listened_to(request: Request, work: Coroutine[Any, Any, T]) -> T:
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
