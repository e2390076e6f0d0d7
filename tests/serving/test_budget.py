from __future__ import annotations

import asyncio
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.images import open_image
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.models.budget import Budget
from napari_nunext.serving.models.images import Upload
from tests.waiting import PATIENCE_S, wait_for

TOKEN = "a-token-for-tests-0123456789"


def run(steps) -> None:
    asyncio.run(asyncio.wait_for(steps, PATIENCE_S))


def test_who_finds_too_little_waits_and_who_comes_first_goes_first():
    async def steps() -> None:
        budget, done = Budget(10), []

        async def task(name: str, size: int) -> None:
            await budget.take(size)
            done.append(name)

        await budget.take(6)
        large, small = (asyncio.create_task(task(*what)) for what in (("large", 8), ("small", 1)))
        await asyncio.sleep(0)
        assert (done, budget.used_bytes) == ([], 6)
        budget.give_back(6)
        await asyncio.gather(large, small)
        assert (done, budget.used_bytes) == (["large", "small"], 9)

    run(steps())


@pytest.mark.parametrize("granted", [False, True], ids=["while it waits", "as it is granted"])
def test_who_gives_up_has_taken_nothing_and_lets_others_by(granted):
    async def steps() -> None:
        budget = Budget(10)
        await budget.take(6)
        large, small = asyncio.create_task(budget.take(8)), asyncio.create_task(budget.take(2))
        await asyncio.sleep(0)
        if granted:
            budget.give_back(6)
        large.cancel()
        await asyncio.wait([large])
        await small
        assert large.cancelled()
        assert budget.used_bytes == (2 if granted else 8)

    run(steps())


KINDS = {
    "RGB": lambda rgb: Image.fromarray(rgb),
    "RGBA": lambda rgb: Image.fromarray(rgb).convert("RGBA"),
    "grey": lambda rgb: Image.fromarray(rgb).convert("L"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_decoding_takes_is_known_before(kind, tmp_path):
    path = tmp_path / "a.png"
    KINDS[kind](np.zeros((40, 50, 3), np.uint8)).save(path)
    assert 40 * 50 * 17 <= open_image(path).reading_bytes <= 40 * 50 * 40


@pytest.fixture
def held(monkeypatch):
    """Decoding that does not go on before it is told to."""
    decode, go_on, began = Upload.decode, threading.Event(), threading.Semaphore(0)

    def waiting(self: Upload, sha256: str):
        began.release()
        assert go_on.wait(PATIENCE_S)
        return decode(self, sha256)

    monkeypatch.setattr(Upload, "decode", waiting)
    yield began, go_on
    go_on.set()


def budget_of(server) -> Budget:
    return server.process._service._decoding


def needed(rgb, tmp_path) -> int:
    Image.fromarray(rgb).save(tmp_path / "a.png")
    return open_image(tmp_path / "a.png").reading_bytes


def test_an_image_that_takes_more_memory_than_there_is_is_refused_in_words(start, rgb, tmp_path):
    server = start(max_decoding_bytes=needed(rgb, tmp_path) - 1)
    with pytest.raises(RequestRejectedError, match="Decoding the image would take") as caught:
        server.client.put_image(tile_of_rgb(rgb, "tile"))
    assert caught.value.status == 413
    assert budget_of(server).used_bytes == 0


def test_an_image_waits_until_there_is_memory(start, rgb, held, tmp_path):
    began, go_on = held
    server = start(max_decoding_bytes=needed(rgb, tmp_path), max_silence_s=60)
    images = [tile_of_rgb(np.roll(rgb, i, axis=0), "tile") for i in range(3)]
    threads = [threading.Thread(target=server.client.put_image, args=(i,)) for i in images]
    for thread in threads:
        thread.start()
    assert began.acquire(timeout=PATIENCE_S)
    wait_for(lambda: len(budget_of(server)._waiting) == 2)
    assert not began.acquire(blocking=False)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(server.process._service.images) == 3
    assert budget_of(server).used_bytes == 0


def test_who_waits_too_long_is_told_to_come_again(start, rgb, held, tmp_path):
    began, _ = held
    server = start(max_decoding_bytes=needed(rgb, tmp_path), max_upload_s=2.0)
    first = threading.Thread(target=lambda: server.client.put_image(tile_of_rgb(rgb, "tile")))
    first.start()
    assert began.acquire(timeout=PATIENCE_S)
    with pytest.raises(RequestRejectedError, match="too much to do") as caught:
        server.client.put_image(tile_of_rgb(np.roll(rgb, 1, axis=0), "tile"))
    assert caught.value.status == 429
    held[1].set()
    first.join(PATIENCE_S)


def test_who_hangs_up_while_waiting_takes_no_memory(start, rgb, held, tmp_path):
    began, go_on = held
    server = start(max_decoding_bytes=needed(rgb, tmp_path))
    first = threading.Thread(target=server.client.put_image, args=(tile_of_rgb(rgb, "tile"),))
    first.start()
    assert began.acquire(timeout=PATIENCE_S)
    body = (tmp_path / "a.png").read_bytes()
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    waiting = budget_of(server)._waiting
    with socket.create_connection((host, int(port))) as other:
        head = f"PUT /v1/images/{'0' * 64} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        other.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode() + body)
        wait_for(lambda: len(waiting) == 1)
    wait_for(lambda: not waiting)
    go_on.set()
    first.join(PATIENCE_S)
    wait_for(lambda: budget_of(server).used_bytes == 0)
    assert len(server.process._service.images) == 1
