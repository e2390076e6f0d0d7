from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.serving.client import local_server as launcher
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import DetectRequest, Points, WindowDone
from tests.waiting import PATIENCE_S, wait_for

posix = pytest.mark.skipif(os.name != "posix", reason="reads /proc and sends POSIX signals")


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(launcher, "log_folder", lambda: tmp_path / "logs")
    return tmp_path / "logs"


def is_running(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_it_serves_until_it_is_stopped(rgb, monkeypatch):
    monkeypatch.setattr(launcher, "STOP_TIMEOUT_S", PATIENCE_S)  # it ends by itself, if slowly
    server = LocalServer(threads=1)
    assert not server.alive
    client = server.client()
    assert server.alive
    assert server.url.startswith("http://127.0.0.1:")
    assert "classical" in {m.id for m in client.models()}
    sha256 = client.put_image(tile_of_rgb(rgb, "tile"))
    *_, last = client.detect(DetectRequest(image=sha256, mpp=0.5, model="classical"))
    assert last.points == 4
    process = server._process
    server.stop()
    assert not server.alive
    assert process.returncode == 0
    server.stop()
    with pytest.raises(ServerUnavailableError):
        type(client)(client.url, server.token).health()


@posix
def test_the_token_is_not_on_the_command_line_and_is_wanted(logs):
    with LocalServer() as server:
        assert server.token not in Path(f"/proc/{server.pid}/cmdline").read_text()
        assert server.log_path.parent == logs
        assert server.client().health().device is not None
        assert server.token not in server.log_path.read_text()


@posix
def test_a_server_that_dies_in_the_middle_leaves_what_it_found_and_can_be_started_again(rgb):
    tiles = np.tile(rgb, (12, 12, 1))
    with LocalServer() as server:
        first_pid = server.pid
        sha256 = server.client().put_image(tile_of_rgb(tiles, "tile"))
        stream = server.client().detect(
            DetectRequest(image=sha256, mpp=0.5, masks=True, model="classical")
        )
        found = 0
        with pytest.raises(ServerUnavailableError, match="in the middle"):  # noqa: PT012
            for event in stream:
                if isinstance(event, Points):
                    found += len(event.points)
                if isinstance(event, WindowDone) and server.alive:
                    os.kill(first_pid, signal.SIGKILL)
                    server._process.wait(PATIENCE_S)
        assert found > 0
        assert not server.alive
        client = server.client()
        assert server.pid != first_pid
        sha256 = client.put_image(tile_of_rgb(rgb, "tile"))
        *_, last = client.detect(DetectRequest(image=sha256, mpp=0.5, model="classical"))
        assert last.points == 4


def test_answerers_are_given_where_it_is_started_and_others_by_starting_it_again():
    first, second = (f"{name}=http://127.0.0.1:1/v1#m" for name in "ab")
    with LocalServer(answerers=[first]) as server:
        pid = server.pid
        assert [each.id for each in server.client().answerers()] == ["a"]
        server.take_answerers([first, second])
        assert [each.id for each in server.client().answerers()] == ["a", "b"]
        assert server.pid != pid


def test_restart_gives_another_process_with_the_same_token():
    with LocalServer() as server:
        pid, token = server.pid, server.token
        server.restart()
        assert server.alive
        assert server.pid != pid
        assert server.token == token
        assert server.client().health().status in ("ready", "loading")


@posix
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_its_parent_however_that_ends(sent):
    script = (
        "import time; from napari_nunext.serving.client.local_server import LocalServer\n"
        "server = LocalServer(); server.start(); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(sent)
        parent.wait(PATIENCE_S)
    wait_for(lambda: not is_running(pid))


@posix
def test_a_server_that_cannot_start_says_what_it_logged_last(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho first >&2\necho 'no module named torch' >&2\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    server = LocalServer()
    with pytest.raises(ServerUnavailableError, match=r"code 3.*no module named torch"):
        server.start()
    assert not server.alive


@posix
def test_a_server_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 3600\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    server = LocalServer(start_timeout_s=0.3)
    with pytest.raises(ServerUnavailableError, match=r"within 0\.3 s"):
        server.start()


def test_old_logs_are_removed(logs):
    logs.mkdir()
    for day in range(15):
        (logs / f"server-202001{day + 1:02d}-000000-1-aa.log").write_text("old")
    with LocalServer() as server:
        newest = server.log_path
    left = sorted(logs.iterdir())
    assert len(left) == launcher.LOGS_KEPT
    assert left[-1] == newest


def test_a_broken_and_a_foreign_checkpoint_are_listed_with_the_reason(tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "nunext.json").write_text(json.dumps({"schema": 999}))
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "config.json").write_text("{}")
    with LocalServer([tmp_path]) as server:
        models = {m.id: m for m in server.client().models() if m.problem is not None}
    assert set(models) == {"foreign", "plain"}
    assert "nunext.json" in models["plain"].problem
    assert all(m.problem.endswith(".") for m in models.values())


def test_starting_imports_no_torch():
    script = "import sys, napari_nunext.serving.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
