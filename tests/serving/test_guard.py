"""A server among strangers who say half of what they want, in a process of its own."""

from __future__ import annotations

import http.client
import json
import select
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nunext.serving.client.client import Client
from napari_nunext.serving.process.serve import listen
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts files in /proc")

TOKEN = "a-token-for-tests-0123456789"
SHA = "0" * 64
KEY = f"Authorization: Bearer {TOKEN}\r\n"
PUT = f"PUT /v1/images/{SHA} HTTP/1.1\r\nHost: x\r\n"


@dataclass
class Shared:
    """A server process."""

    url: str
    address: tuple[str, int]
    pid: int
    log: Path

    def files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def logged(self) -> str:
        return self.log.read_text(encoding="utf-8")


@contextmanager
def running(settings: ServerSettings, log: Path) -> Iterator[Shared]:
    with listen(settings) as listening, log.open("wb") as errors:
        command = [sys.executable, "-m", "napari_nunext.serving"]
        command += ["--listen-fd", str(listening.fileno())]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[listening.fileno()],
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(settings.to_json().encode() + b"\n")
            process.stdin.flush()
            address = listening.getsockname()[:2]
            listening.close()
            try:
                url = json.loads(process.stdout.readline())["url"]
                yield Shared(url, address, process.pid, log)
            finally:
                process.stdin.close()
                process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    settings = ServerSettings(
        token=TOKEN,
        max_head_s=0.5,
        max_silence_s=0.5,
        max_idle_s=30.0,  # a client that begins again just as it is over would fail
        max_stranger_s=1.0,
        strangers=60,
        strangers_per_peer=50,
        connections=80,
        preload=False,
    )
    with running(settings, tmp_path_factory.mktemp("server") / "log.txt") as server:
        yield server


@pytest.fixture
def say(shared: Shared) -> Iterator[Callable[[str], socket.socket]]:
    """Open a connection to the server and send what is given."""
    with ExitStack() as stack:

        def say(text: str) -> socket.socket:
            connection = stack.enter_context(
                socket.create_connection(shared.address, timeout=PATIENCE_S)
            )
            connection.sendall(text.encode("latin1"))
            return connection

        yield say


def is_over(connection: socket.socket) -> bool:
    """Whether the other end has hung up; reads what it had to say."""
    while select.select([connection], [], [], 0)[0]:
        try:
            if not connection.recv(65536):
                return True
        except ConnectionError:
            return True
    return False


HALF = {
    "nothing": "",
    "half a head": "GET /v1/models HTTP/1.1\r\nHost: x\r\nX-A",
    "half a body": PUT + "Content-Length: 1000\r\n\r\nabc",
    "half a body with a wrong key": PUT
    + "Authorization: Bearer wrong\r\nContent-Length: 1000\r\n\r\nabc",
    "half a chunk": PUT + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
    "half a body of an open path": "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
    "a whole request": "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "no request": "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a path of no letters": "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "a socket of the web": "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n",
    "a long head": "GET / HTTP/1.1\r\n" + "X-A: " + "a" * 200_000,
}


@pytest.mark.parametrize("said", HALF.values(), ids=HALF)
def test_who_stops_in_the_middle_is_hung_up_on(shared, say, said):
    connection = say(said)
    wait_for(lambda: is_over(connection))


def test_who_stops_in_the_middle_of_an_upload_with_a_key_is_told(shared, say):
    connection = say(f"{PUT}{KEY}Content-Length: 1000\r\n\r\nabc")
    answer = b""
    while more := connection.recv(65536):
        answer += more
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Nothing more of the upload came" in answer


@pytest.mark.parametrize("key", ["", KEY], ids=["stranger", "known"])
def test_a_drop_now_and_then_does_not_keep_a_connection(shared, say, key):
    head = say(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{key}")
    refused = say(PUT + "Content-Length: 100000\r\n\r\n")

    def both_are_over() -> bool:
        for connection in (head, refused):
            try:
                connection.send(b"X")
            except ConnectionError:
                continue
            return False
        return True

    wait_for(both_are_over)


def test_strangers_neither_stop_the_server_nor_fill_its_log(shared, say):
    with Client(shared.url, TOKEN) as client:
        client.health()
        before = shared.files()
        crowd = []
        for _ in range(40):
            crowd += [say(said) for said in HALF.values() if len(said) < 1000]
            if len(crowd) % 50 == 0:
                assert client.models()
        assert shared.files() <= before + 80
    with Client(shared.url, TOKEN) as newcomer:
        assert newcomer.models()
    wait_for(lambda: all(is_over(connection) for connection in crowd))
    wait_for(lambda: shared.files() <= before)
    assert "Traceback" not in shared.logged()
    assert shared.log.stat().st_size < 200_000


def test_hanging_up_during_an_upload_is_no_error(shared, say):
    before = shared.files()
    for _ in range(5):
        say(f"{PUT}{KEY}Content-Length: 1000\r\n\r\nabc").close()
    wait_for(lambda: shared.files() <= before and shared.logged().count(" 499 after") >= 5)
    assert "Traceback" not in shared.logged()
    assert "ERROR" not in shared.logged()


def test_who_has_shown_a_key_may_stay(start):
    server = start()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    with closing(connection):
        connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {TOKEN}"})
        connection.getresponse().read()
        begun = connection.sock
        (guard,) = server.process.server_state.connections
        guard.loop.call_soon_threadsafe(guard._end_stranger)  # as when a stranger's time is over
        connection.request("GET", "/healthz", headers={"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().status == 200
        assert connection.sock is begun
