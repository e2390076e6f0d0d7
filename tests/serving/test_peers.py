from __future__ import annotations

import asyncio
import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from PIL import Image

from napari_nunext.core.identity import pixels_sha256
from napari_nunext.serving.http.app import create_app
from napari_nunext.serving.http.peers import join
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy as np
    from fastapi import FastAPI

TOKEN = "a-token-for-tests-0123456789"


@dataclass
class Room:
    """Peers that share this process's memory."""

    images: dict[str, np.ndarray] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    away: bool = False
    finds: int = 0

    async def share(self, sha256: str, rgb: np.ndarray) -> None:
        self._answer()
        self.images[sha256] = rgb

    async def find(self, sha256: str) -> np.ndarray | None:
        self._answer()
        self.finds += 1
        return self.images.get(sha256)

    async def cancel(self, run: str) -> None:
        self._answer()
        self.runs.append(run)
        self.news.set()

    async def cancels(self, after: int) -> tuple[int, list[str]]:
        self._answer()
        if after < 0:
            return len(self.runs), []
        await self.news.wait()
        self.news.clear()
        return len(self.runs), self.runs[after:]

    def _answer(self) -> None:
        if self.away:
            raise ConnectionError("nobody is in")


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app whose lifespan has begun, and ends afterwards."""
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    started, stopped = asyncio.Event(), asyncio.Event()

    async def send(message: dict[str, str]) -> None:
        assert "failed" not in message["type"], message
        (started if "startup" in message["type"] else stopped).set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    life = asyncio.create_task(app(scope, messages.get, send))  # type: ignore[arg-type]
    await messages.put({"type": "lifespan.startup"})
    await started.wait()
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://x", headers=headers, timeout=PATIENCE_S
    ) as http:
        yield http
    await messages.put({"type": "lifespan.shutdown"})
    await stopped.wait()
    await life


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, format="PNG")
    return file.getvalue()


def one_of_several(catalog: object, room: Room) -> FastAPI:
    app = create_app(ServerSettings(token=TOKEN, preload=False), catalog)  # type: ignore[arg-type]
    join(app, room)
    return app


def test_an_image_sent_to_one_process_is_found_by_another(catalog, rgb) -> None:
    async def story() -> None:
        room = Room()
        async with (
            running(one_of_several(catalog, room)) as first,
            running(one_of_several(catalog, room)) as second,
        ):
            sha256 = pixels_sha256(rgb)
            assert (await second.head(f"/v1/images/{sha256}")).status_code == 404
            sent = await first.put(f"/v1/images/{sha256}", content=png(rgb))
            assert sent.status_code == 200
            body = {"image": sha256, "mpp": 0.5, "model": "classical"}
            found = await second.post("/v1/detect", json=body)
            assert found.status_code == 200
            assert '"event":"done"' in found.text
            asked = room.finds
            assert (await second.head(f"/v1/images/{sha256}")).status_code == 200
            assert room.finds == asked  # it has it by now
            body = {"image": sha256, "mpp": 0.5, "prompts": [{"points": [{"x": 24, "y": 24}]}]}
            drawn = await second.post("/v1/segment", json=body)
            assert len(drawn.json()["masks"]) == 1

    asyncio.run(story())


def test_a_cancellation_reaches_the_process_that_works(catalog, rgb) -> None:
    async def story() -> None:
        room = Room()
        async with (
            running(one_of_several(catalog, room)) as first,
            running(one_of_several(catalog, room)) as second,
        ):
            sha256 = pixels_sha256(rgb)
            await first.put(f"/v1/images/{sha256}", content=png(rgb))
            body = {"image": sha256, "mpp": 0.5, "model": "slow", "run": "mine"}
            answer = asyncio.create_task(first.post("/v1/detect", json=body))
            slow = catalog.detectors["slow"]
            assert await asyncio.to_thread(slow.entered.wait, 20)
            reply = await second.post("/v1/cancel", json={"run": "mine"})
            assert reply.json() == {"found": False}  # not by the one that was asked
            assert '"finish":"cancelled"' in (await answer).text

    asyncio.run(story())


def test_while_the_others_are_away_a_process_serves_what_it_has(catalog, rgb) -> None:
    async def story() -> None:
        room = Room(away=True)
        async with running(one_of_several(catalog, room)) as alone:
            sha256 = pixels_sha256(rgb)
            assert (await alone.put(f"/v1/images/{sha256}", content=png(rgb))).status_code == 200
            body = {"image": sha256, "mpp": 0.5, "model": "classical"}
            assert '"event":"done"' in (await alone.post("/v1/detect", json=body)).text
            unknown = await alone.post("/v1/detect", json=body | {"image": "0" * 64})
            assert unknown.status_code == 404
            reply = await alone.post("/v1/cancel", json={"run": "nobody"})
            assert reply.json() == {"found": False}

    asyncio.run(story())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"image": 7}', b"[" * 100_000])
def test_requests_that_name_no_image_are_refused_as_ever(catalog, body: bytes) -> None:
    async def story() -> None:
        async with running(one_of_several(catalog, Room())) as http:
            assert (await http.post("/v1/detect", content=body)).status_code == 422

    asyncio.run(story())


def test_strangers_make_nobody_fetch(catalog) -> None:
    async def story() -> None:
        room = Room()
        async with running(one_of_several(catalog, room)) as http:
            http.headers["Authorization"] = "Bearer of-something-else-entirely"
            assert (await http.head("/v1/images/" + "0" * 64)).status_code == 401
            assert room.finds == 0

    asyncio.run(story())
