"""How an image comes to a server: from its file, or some rows at a time; and who may do which."""

from __future__ import annotations

import os
import struct
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import ImageError, InputError, RequestRejectedError
from napari_nunext.core.identity import pixels_sha256
from napari_nunext.images import open_image
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving import rows as rows_module
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import FILES_KEY_HEADER, DetectRequest
from napari_nunext.serving.rows import MEDIA_TYPE, ArrivingRows, png_of, rows_of
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.core.image.source import ImageSource

TOKEN = "a-token-for-tests-0123456789"
FILES_KEY = "a-key-for-files-0123456789"


@pytest.fixture
def rgb(rng):
    return rng.integers(0, 256, (60, 40, 3), dtype=np.uint8)


@pytest.fixture
def path(rgb, tmp_path) -> Path:
    path = tmp_path / "Jane Doe 1970.png"
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 7 rows of 40 pixels."""
    monkeypatch.setattr(rows_module, "BLOCK_PX", 7 * 40)


def shelf_of(server) -> Any:
    return server.process._service.images


def held_by_gate(server) -> int:
    app = server.process.config.loaded_app
    while not hasattr(app, "_held_bytes"):
        app = getattr(app, "app", None) or app.middleware_stack
    return app._held_bytes


# From its file


@pytest.fixture
def own(start, monkeypatch) -> Iterator[tuple[Any, Client, list[str]]]:
    """A server that takes files, our client, and what that sent."""
    server = start(files_key=FILES_KEY)
    sent: list[str] = []
    with Client(server.url, TOKEN, files_key=FILES_KEY) as client:
        stream = client._http.stream

        def noted(method, path, **more):
            if method != "HEAD" and path != "/v1/detect":
                sent.append(f"{method} {path.split('/')[2]}")
            return stream(method, path, **more)

        monkeypatch.setattr(client._http, "stream", noted)
        yield server, client, sent


def test_our_own_server_reads_the_file_itself(own, path, rgb):
    server, client, sent = own
    sha256 = client.put_image(open_image(path))
    assert sha256 == pixels_sha256(rgb)
    assert sent == ["POST files"]
    kept = shelf_of(server).get(sha256)
    np.testing.assert_array_equal(kept.read_region(kept.box), rgb)
    path.unlink()  # its pixels are held: what lies there later is nothing to it
    events = list(client.detect(DetectRequest(image=sha256, mpp=0.5, model="classical")))
    assert events[-1].event == "done"
    client.put_image(tile_of_rgb(rgb, "the same"))
    assert sent == ["POST files"]


def changed(path: Path) -> None:
    Image.new("RGB", (40, 60)).save(path)


def into_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def into_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "meddle",
    [
        changed,
        truncated,
        into_a_folder,
        lambda path: path.unlink(),
        pytest.param(
            into_a_pipe, marks=pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
        ),
    ],
    ids=["changed", "truncated", "a folder", "gone", "a pipe"],
)
def test_a_file_that_is_not_the_image_any_more_is_not_taken_and_its_pixels_are_sent(
    meddle: Callable[[Path], None], own, path, rgb
):
    server, client, sent = own
    image = open_image(path)
    assert image.id == pixels_sha256(rgb)  # its pixels are read
    meddle(path)
    sha256 = client.put_image(image)
    assert sent == ["POST files", "PUT images"]
    kept = shelf_of(server).get(sha256)
    np.testing.assert_array_equal(kept.read_region(kept.box), rgb)


@pytest.mark.parametrize("name", ["a/" * 3000, "a\0b"], ids=["long", "no name"])
def test_a_path_that_no_file_can_have_is_no_crash(name, own, path, rgb):
    server, client, sent = own
    client.put_image(replace(open_image(path), path=Path(f"/{name}")))
    assert sent == ["POST files", "PUT images"]
    assert len(shelf_of(server)) == 1


def offer(server, path: Path, sha256: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/files",
        json={"sha256": sha256, "path": str(path)},
        headers={"Authorization": f"Bearer {TOKEN}"} | headers,
        timeout=PATIENCE_S,
    )


@pytest.mark.parametrize("shown", [None, "", TOKEN, FILES_KEY + "0", "\u00e9"])
def test_the_token_alone_lets_nobody_name_files(shown, start, path, rgb):
    server, sha256 = start(files_key=FILES_KEY), pixels_sha256(rgb)
    shown = {} if shown is None else {FILES_KEY_HEADER: shown.encode("latin-1")}
    answer = offer(server, path, sha256, **shown)
    assert (answer.status_code, answer.json()["code"]) == (403, "no_files")
    assert len(shelf_of(server)) == 0
    assert offer(server, path, sha256, **{FILES_KEY_HEADER: FILES_KEY}).status_code == 200


@pytest.mark.parametrize("key", ["", FILES_KEY])
def test_a_server_that_was_not_told_to_reads_no_files(key, server, path, rgb):
    answer = offer(server, path, pixels_sha256(rgb), **{FILES_KEY_HEADER: key})
    assert (answer.status_code, answer.json()["code"]) == (403, "no_files")
    assert len(shelf_of(server)) == 0


def test_a_stranger_is_not_told_whether_files_are_taken(start, path, rgb):
    server = start(files_key=FILES_KEY)
    answer = httpx.post(
        f"{server.url}/v1/files",
        json={"sha256": pixels_sha256(rgb), "path": str(path)},
        headers={FILES_KEY_HEADER: FILES_KEY},
        timeout=PATIENCE_S,
    )
    assert answer.status_code == 401


def test_what_is_said_of_a_file_never_says_where_it_lies(start, path, rgb, tmp_path, caplog):
    server, key = start(files_key=FILES_KEY), {FILES_KEY_HEADER: FILES_KEY}
    caplog.set_level("DEBUG", logger="napari_nunext")
    sha256 = pixels_sha256(rgb)
    (tmp_path / "Jane Doe 1970.txt").write_text("no image")
    (tmp_path / "Jane Doe 1970.tif").write_bytes(b"II*\0" + bytes(40))
    answers = [
        offer(server, named, sha256, **key)
        for named in (
            tmp_path / "Jane Doe 1970.txt",
            tmp_path / "Jane Doe 1970.tif",
            tmp_path / "Jane Doe 1971.png",
            tmp_path,
            path.relative_to(tmp_path),
        )
    ]
    answers.append(offer(server, path, "0" * 64, **key))
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(422, "file_not_taken")}
    assert offer(server, path, sha256, **key).status_code == 200
    told = "".join([*(a.text for a in answers), *(r.getMessage() for r in caplog.records)])
    assert "Jane" not in told
    assert str(tmp_path) not in told


def test_only_a_server_of_this_machine_alone_may_be_told_files():
    with pytest.raises(InputError, match="only be named to a server on 127"):
        ServerSettings(host="0.0.0.0", token=TOKEN, files_key=FILES_KEY)
    with pytest.raises(InputError, match="at least 16 characters"):
        ServerSettings(token=TOKEN, files_key="short")
    assert FILES_KEY not in repr(ServerSettings(token=TOKEN, files_key=FILES_KEY))


def test_the_server_that_we_start_takes_files(path, rgb, monkeypatch):
    monkeypatch.setattr("napari_nunext.serving.client.client.rows_of", None)  # nothing is sent
    monkeypatch.setattr("napari_nunext.serving.client.client.png_of", None)
    with LocalServer() as ours:
        assert ours.client().put_image(open_image(path)) == pixels_sha256(rgb)
        with Client(ours.url, ours.token) as another, pytest.raises(RequestRejectedError) as caught:
            another._ask(None, "POST", "/v1/files", body=lambda: b'{"sha256":"","path":""}')
        assert caught.value.status in (403, 422)


# Some rows at a time


@pytest.mark.usefixtures("small_blocks")
def test_an_image_arrives_as_it_was_sent(server, rgb):
    image = tile_of_rgb(rgb, "tile")
    assert len(list(rows_of(image))) == 1 + 9
    sha256 = server.client.put_image(image)
    kept = shelf_of(server).get(sha256)
    np.testing.assert_array_equal(kept.read_region(kept.box), rgb)
    assert server.process._service._decoding.used_bytes == 0


def test_a_server_without_the_key_is_sent_pixels_of_a_file(server, path, rgb):
    sha256 = server.client.put_image(open_image(path))
    kept = shelf_of(server).get(sha256)
    assert kept.path is None or kept.path != path
    np.testing.assert_array_equal(kept.read_region(kept.box), rgb)


class Endless:
    """An image of many rows that remembers how many it was asked for at a time."""

    def __init__(self, tile: ImageSource, width: int, height: int) -> None:
        self.box = tile.box.__class__(0, 0, width, height)
        self.most_bytes = 0

    def read_region(self, box, level=0):
        rows = np.full((round(box.height), round(box.width), 3), round(box.y0) % 251, np.uint8)
        self.most_bytes = max(self.most_bytes, rows.nbytes)
        return rows


def test_neither_side_holds_more_than_a_block_beside_the_image(rgb):
    width, height = 1000, 20_000
    image = Endless(tile_of_rgb(rgb, "tile"), width, height)
    arriving = ArrivingRows()
    tracemalloc.start()
    try:
        for part in rows_of(image):
            arriving.add(part)
            arriving.decode()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    block = 3 * rows_module.BLOCK_PX
    assert image.most_bytes <= block
    assert most < 3 * width * height + 6 * block
    assert arriving.image().rgb[-1, -1, 0] == arriving.image().rgb[height - 1, 0, 0]


def body_of(rgb: np.ndarray) -> bytes:
    return b"".join(rows_of(tile_of_rgb(rgb, "tile")))


def block(rgb: np.ndarray) -> bytes:
    png = png_of(rgb)
    return struct.pack("<I", len(png)) + png


def send(server, body: bytes | Iterator[bytes], sha256: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": MEDIA_TYPE}
    return httpx.put(
        f"{server.url}/v1/images/{sha256}", content=body, headers=headers, timeout=PATIENCE_S
    )


SIZE = struct.pack("<II", 40, 60)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda rgb: b"", "ended before it said"),
        (lambda rgb: SIZE[:5], "ended before it said"),
        (lambda rgb: struct.pack("<II", 0, 60), "has no pixels"),
        (lambda rgb: SIZE, "0 of 60 rows"),
        (lambda rgb: body_of(rgb)[:-9], "56 of 60 rows of the image were sent and something"),
        (lambda rgb: body_of(rgb) + b"mo", "60 of 60 rows of the image were sent and something"),
        (lambda rgb: body_of(rgb) + block(rgb[:1]), "at most 0 high"),
        (lambda rgb: SIZE + block(rgb[:7, :39]), r"39 x 7 pixels \(RGB\)"),
        (lambda rgb: SIZE + block(rgb[:7, :, 0]), r"40 x 7 pixels \(L\)"),
        (lambda rgb: SIZE + block(rgb[:8]), "has 8 rows; expected at most 280 pixels"),
        (lambda rgb: SIZE + struct.pack("<I", 2**31), "2147483648 bytes"),
        (lambda rgb: SIZE + struct.pack("<I", 4) + b"nope", "the upload is damaged"),
        (lambda rgb: body_of(rgb[::-1]), "hash begins with"),
        (lambda rgb: struct.pack("<II", 2**31, 2**31), "larger than the 178 million"),
    ],
)
def test_what_is_no_image_is_refused_in_words_and_leaves_nothing(body, words, server, rgb):
    answer = send(server, body(rgb), pixels_sha256(rgb))
    assert answer.status_code == 422
    with pytest.raises(ImageError, match=words):
        raise ImageError(answer.json()["message"])
    assert len(shelf_of(server)) == 0
    assert server.process._service._decoding.used_bytes == 0
    assert server.client.put_image(tile_of_rgb(rgb, "tile")) == pixels_sha256(rgb)


def test_rows_that_were_taken_in_count_no_longer_as_held(start, rng):
    rgb = rng.integers(0, 256, (1500, 1000, 3), dtype=np.uint8)
    server = start(max_held_bytes=1 << 20)
    assert len(body_of(rgb)) > 4 << 20
    assert send(server, rows_of(tile_of_rgb(rgb, "tile")), pixels_sha256(rgb)).status_code == 200
    assert held_by_gate(server) == 0


@pytest.mark.usefixtures("small_blocks")
def test_an_image_that_there_is_no_memory_for_is_refused(start, rgb):
    server = start(max_decoding_bytes=3 * 60 * 40)
    answer = send(server, body_of(rgb), pixels_sha256(rgb))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert server.process._service._decoding.used_bytes == 0
