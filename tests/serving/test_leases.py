from __future__ import annotations

import sys
import threading

import pytest

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.serving.client import local_server as launcher
from napari_nunext.serving.client.leases import SharedServers
from napari_nunext.serving.client.local_server import LocalServer
from tests.waiting import PATIENCE_S, wait_for


class Fake:
    """A server without a process."""

    pid = 7

    def __init__(self, precision: str = "auto") -> None:
        self.precision = precision
        self.answerers: tuple[str, ...] = ()
        self.closed = threading.Event()

    def client(self) -> str:
        return "client"

    def restart(self) -> None:
        pass

    def take_answerers(self, texts: tuple[str, ...]) -> None:
        self.answerers = texts

    def close(self) -> None:
        self.closed.set()


def test_all_share_one_server_which_ends_with_the_last():
    made = []
    servers = SharedServers(lambda precision: made.append(Fake(precision)) or made[-1])
    first, second = servers.lease(), servers.lease()
    assert first.client() == second.client()
    assert len(made) == 1
    first.stop()
    first.stop()
    assert not made[0].closed.is_set()
    with pytest.raises(ServerUnavailableError, match="closed"):
        first.client()
    assert second.client()
    second.stop()
    assert made[0].closed.is_set()
    third = servers.lease()
    assert len(made) == 2
    third.stop()


def test_a_server_that_was_started_ahead_is_shared_or_ends():
    servers = SharedServers(Fake)
    ahead, needless = Fake(), Fake()
    lease = servers.lease(ahead)
    servers.lease(needless).stop()
    assert needless.closed.wait(PATIENCE_S)
    assert not ahead.closed.is_set()
    lease.stop()
    assert ahead.closed.is_set()


def test_a_server_that_computes_in_another_arithmetic_than_was_chosen_ends():
    made = []
    servers = SharedServers(lambda precision: made.append(Fake(precision)) or made[-1])
    ahead = Fake()
    ahead.answerers = ("a=http://127.0.0.1:1/v1#m",)
    lease = servers.lease(ahead, precision="float32")
    assert ahead.closed.wait(PATIENCE_S)
    assert made[0].answerers == ahead.answerers
    assert [server.precision for server in made] == ["float32"]
    lease.stop()
    assert made[0].closed.is_set()


@pytest.mark.skipif(sys.platform == "win32", reason="writes a shell script")
def test_a_server_that_is_closed_while_it_starts_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "log_folder", lambda: tmp_path / "logs")
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 3600\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    server = LocalServer()
    failed = threading.Event()

    def start() -> None:
        with pytest.raises(ServerUnavailableError):
            server.client()
        failed.set()

    thread = threading.Thread(target=start)
    thread.start()
    wait_for(lambda: server.pid)
    server.close()
    assert failed.wait(PATIENCE_S)
    thread.join()
    assert not server.alive
    with pytest.raises(ServerUnavailableError, match="closed"):
        server.client()
