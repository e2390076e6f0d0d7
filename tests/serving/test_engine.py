"""The keeper of vLLM, with a program that stands in for vLLM's Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from napari_nunext.models.vllm.names import KEY_VARIABLE
from napari_nunext.serving.process import engine as engines
from napari_nunext.serving.process.engine import EngineKeeper
from tests.waiting import wait_for

FAKE = f"""#!{sys.executable}
import json, os, pathlib, sys
notes = pathlib.Path({{notes!r}})
starts = len(list(notes.iterdir()))
(notes / f"start-{{{{starts}}}}").write_text(json.dumps({{{{
    "arguments": sys.argv[1:], "group": os.getpgrp(), "pid": os.getpid(),
    "key": os.environ.get("{KEY_VARIABLE}"), "runner": os.environ["VLLM_USE_V2_MODEL_RUNNER"],
    "path": os.environ["PYTHONPATH"],
}}}}))
socket = sys.argv[sys.argv.index("--uds") + 1]
assert not os.path.exists(socket)
pathlib.Path(socket).touch()
print("noise", flush=True)
if starts < 2:
    sys.exit(3)
sys.stdin.read()
(notes / "ended").touch()
"""


class FakeLaunch:
    name = "nuclei"

    def arguments(self, socket_path):
        return ["serve", "nuclei", "--uds", str(socket_path)]


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def keeper(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(engines, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv(KEY_VARIABLE, "somebody-elses")
    python = tmp_path / "python"
    python.write_text(FAKE.format(notes=str(notes)))
    python.chmod(0o755)
    return EngineKeeper(FakeLaunch(), python)


def read(path: Path):
    return json.loads(wait_for(lambda: path.exists() and path.read_text()))


def test_vllm_is_started_again_on_the_same_socket_and_ends_with_the_block(keeper, notes, capfd):
    with keeper.running() as url:
        first, third = (read(notes / f"start-{n}") for n in (0, 2))
        assert url == f"unix:{first['arguments'][-1]}"
        assert third["arguments"] == first["arguments"]
        assert first["arguments"][:3] == ["-m", "napari_nunext.models.vllm.host", "serve"]
        assert third["group"] == third["pid"] == keeper.pid
        assert (third["key"], third["runner"]) == (None, "0")
        assert not (notes / "ended").exists()
        folder = Path(first["path"].split(":")[0])
        assert (folder / "napari_nunext" / "core" / "codec.py").is_file()
    assert (notes / "ended").exists()
    assert not folder.exists()
    assert "noise" not in capfd.readouterr().out


def test_what_ends_vllm_is_logged_in_words(keeper, notes, caplog):
    with keeper.running():
        read(notes / "start-2")
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "vLLM ended with code 3; it is started again in 0.01 s",
        "vLLM ended with code 3; it is started again in 0.02 s",
    ]
