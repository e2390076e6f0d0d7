from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from napari_nunext.serving.process.supervisor import how_it_ended
from napari_nunext.serving.settings import ServerSettings
from tests.waiting import PATIENCE_S, wait_for

linux = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="hands on a socket, sends signals, reads /proc"
)


def child_of(pid: int) -> int:
    """The only child of a process."""
    (child,) = (
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().rsplit(")", 1)[1].split()[1] == str(pid)
    )
    return child


def test_ends_are_said_in_words():
    assert "memory" in how_it_ended(-signal.SIGKILL)
    assert "SIGSEGV" in how_it_ended(-signal.SIGSEGV)
    assert "hung" in how_it_ended(70)
    assert "code 3" in how_it_ended(3)


def test_settings_travel_whole(tmp_path):
    settings = ServerSettings(token="t" * 20, keys_file=tmp_path / "k", drain_s=3.5, died="So.")
    assert ServerSettings.from_json(settings.to_json()) == settings
    assert ServerSettings.from_json(ServerSettings(token="t" * 20).to_json()).keys_file is None


@linux
def test_a_server_that_dies_is_started_again_and_says_so_and_drains_at_sigterm(tmp_path):
    token = tmp_path / "token"
    token.write_text("t" * 32)
    command = [sys.executable, "-m", "napari_nunext.cli", "serve", "--port", "0"]
    command += ["--token-file", str(token), "--log-json"]
    log = (tmp_path / "log").open("w+")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
        url = process.stdout.readline().decode().split()[2]
        headers = {"Authorization": f"Bearer {'t' * 32}"}
        with httpx.Client(
            base_url=url, headers=headers, trust_env=False, timeout=PATIENCE_S
        ) as http:
            assert not any("started" in said for said in http.get("/healthz").json()["problems"])
            os.kill(child_of(process.pid), signal.SIGKILL)

            def health_again():
                try:
                    return http.get("/healthz").json()
                except httpx.TransportError:  # a connection that the dead server had taken
                    return None

            # The socket stays open: the next request waits for the next server.
            health = wait_for(health_again)
        said = health["problems"][0]
        assert "killed" in said
        assert "started again" in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    with log:
        log.seek(0)
        lines = [json.loads(line) for line in log]
    assert any(line["level"] == "error" and "killed" in line["message"] for line in lines)
    assert any(line["message"] == "drained" for line in lines)
    assert "t" * 32 not in str(lines)
