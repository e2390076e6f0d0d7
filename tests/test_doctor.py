"""``napari-nunext doctor``: each finding as it is where all is well, and where something is not."""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import sys
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from napari_nunext import cli
from napari_nunext.commands.doctor import examination, installed, machine, models, window
from napari_nunext.commands.doctor.finding import Finding, ProbeError, probe
from napari_nunext.commands.export import reader_name
from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.places import BUNDLED_WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

GIB = 2**30


def says(answer: Any) -> Any:
    """A probe that answers, or raises what it is given."""

    def answered(code: str, environment: object = None) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return answered


@pytest.mark.parametrize(
    ("here", "passed", "needed"),
    [((3, 12, 1), True, True), ((3, 14, 0), False, False), ((3, 10, 9), False, True)],
)
def test_python(
    monkeypatch: pytest.MonkeyPatch, here: tuple[int, ...], passed: bool, needed: bool
) -> None:
    monkeypatch.setattr(installed.sys, "version_info", here)
    found = installed.python_finding()
    assert (found.passed, found.needed) == (passed, needed)
    assert ".".join(map(str, here)) in found.words
    assert passed or "expected 3.11 to 3.13" in found.words


def test_packages_of_this_environment_fit() -> None:
    assert [each.passed for each in installed.package_findings()] == [True]


def test_packages_missing_and_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    real = installed.installed_version
    changed = {"torch": "1.0", "napari": None}
    monkeypatch.setattr(installed, "installed_version", lambda n: changed.get(n, real(n)))
    found = {each.name: each for each in installed.package_findings()}
    assert set(found) == {"package torch", "package napari"}
    assert "torch is 1.0; expected" in found["package torch"].words
    assert "napari is not installed; expected" in found["package napari"].words
    assert all(each.needed and "pip install" in each.words for each in found.values())


def test_another_qt_in_place_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    real = installed.installed_version
    changed: dict[str, str | None] = {installed.BINDING: None, "pyqt6": None}
    monkeypatch.setattr(installed, "installed_version", lambda n: changed.get(n.lower(), real(n)))
    (found,) = installed.package_findings()
    assert found.name.lower() == f"package {installed.BINDING}"
    changed["pyqt6"] = "6.8"
    (found,) = installed.package_findings()
    assert found.passed


def test_a_build_of_torch_for_the_cpu_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    real = installed.installed_version
    monkeypatch.setattr(
        installed, "installed_version", lambda n: "2.13.0+cpu" if n == "torch" else real(n)
    )
    assert [each.passed for each in installed.package_findings()] == [True]


def test_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "installed_version", lambda name: "999")
    assert installed.extra_finding("ray").passed is False  # another version
    monkeypatch.setattr(installed, "installed_version", lambda name: "2.61")
    assert installed.extra_finding("ray").passed
    monkeypatch.setattr(installed, "installed_version", lambda name: None)
    found = installed.extra_finding("ray")
    assert not found.passed
    assert not found.needed
    assert "pip install 'napari-nunext[ray]'" in found.words


def test_every_extra_is_explained() -> None:
    extras = set(installed.metadata(installed.DISTRIBUTION).get_all("Provides-Extra") or ())
    assert extras == {*installed.EXTRAS, installed.WINDOW}


def test_a_folder_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "installed_version", lambda name: None)
    (found,) = installed.installed_findings()
    assert not found.passed
    assert "pip install -e ." in found.words


def test_napari(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "probe", says("0.9.2"))
    assert window.napari_finding().passed
    monkeypatch.setattr(window, "probe", says(ProbeError("ImportError: no vispy")))
    found = window.napari_finding()
    assert not found.passed
    assert "no vispy" in found.words


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY", ""])
def test_display(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setattr(window.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, ":0")
    assert window.display_finding().passed == bool(variable)
    monkeypatch.setattr(window.sys, "platform", "darwin")
    assert window.display_finding().passed


def test_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_display", lambda: True)
    monkeypatch.setattr(window, "missing_packages", lambda: ["libegl1"])
    monkeypatch.setattr(window, "probe", says("PySide6 6.11 on xcb"))
    assert window.qt_finding().passed  # whatever the list says, it loaded
    lines = ["qt.qpa.xcb: could not connect to display :77", "Available plugins: xcb."]
    monkeypatch.setattr(window, "probe", says(ProbeError(lines[-1], lines)))
    found = window.qt_finding()
    assert not found.passed
    assert "could not connect to display :77)" in found.words
    assert "sudo apt install libegl1" in found.words
    monkeypatch.setattr(window, "missing_packages", list)
    assert "Check that DISPLAY" in window.qt_finding().words


def test_qt_without_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "has_display", lambda: False)
    monkeypatch.setattr(window, "probe", says("PySide6 6.11 on offscreen"))
    monkeypatch.setattr(window, "missing_packages", list)
    assert window.qt_finding().passed
    monkeypatch.setattr(window, "missing_packages", lambda: ["libxcb-cursor0"])
    assert "sudo apt install libxcb-cursor0" in window.qt_finding().words


def test_system_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.sys, "platform", "linux")
    monkeypatch.setattr(window, "_loads", lambda library: library != "libEGL.so.1")
    assert window.missing_packages.__wrapped__() == ["libegl1"]
    monkeypatch.setattr(window.sys, "platform", "win32")
    assert window.missing_packages.__wrapped__() == []


@pytest.mark.parametrize(
    ("answer", "passed", "needed", "words"),
    [
        (["2.13", "13.0", "H100"], True, True, "sees a GPU: H100"),
        (["2.13+cpu", "", ""], True, True, "runs on the CPU"),
        (["2.13", "13.0", ""], False, False, "the CPU build saves gigabytes"),
        (ProbeError("OSError: libc10.so"), False, True, "cannot be loaded (OSError: libc10.so)"),
    ],
)
def test_torch(
    monkeypatch: pytest.MonkeyPatch, answer: Any, passed: bool, needed: bool, words: str
) -> None:
    monkeypatch.setattr(models, "probe", says(answer))
    found = models.torch_finding()
    assert (found.passed, found.needed) == (passed, needed)
    assert words in found.words


def test_weights(tmp_path: Path) -> None:
    assert [each.passed for each in models.weights_findings()] == [True, True]
    assert [each.passed for each in models.weights_findings(tmp_path)] == [False]
    copy = tmp_path / "nunext-small"
    shutil.copytree(BUNDLED_WEIGHTS / "nunext-small", copy)
    assert [each.passed for each in models.weights_findings(tmp_path)] == [True]
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])  # a download that broke off
    (found,) = models.weights_findings(tmp_path)
    assert not found.passed
    assert "nunext-small is not whole" in found.words


def test_a_server_elsewhere_that_is_not_there() -> None:
    (found,) = models.server_findings("http://127.0.0.1:9")
    assert not found.passed
    assert found.needed


def test_a_server_of_another_version_that_does_not_know_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari_nunext.serving.client import client

    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        return httpx.Response(200, json={"status": "ready", "version": "9.9.9"})

    real = client.Client
    monkeypatch.setattr(
        client, "Client", lambda url, token: real(url, token, transport=httpx.MockTransport(answer))
    )
    monkeypatch.setenv("NAPARI_NUNEXT_TOKEN", "secret")
    found = models.server_findings("http://127.0.0.1:9")
    assert [each.passed for each in found] == [True, False, False]
    assert "9.9.9" in found[1].words
    assert "does not know the token" in found[2].words
    assert asked == ["Bearer secret"]
    assert not any("secret" in each.words for each in found)


def test_a_server_that_does_not_start_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise ServerUnavailableError("The model server ended with code 1 when it was started.")

    monkeypatch.setattr(models.LocalServer, "start", fail)
    (found,) = models.server_findings(None)
    assert not found.passed
    assert "ended with code 1" in found.words


def test_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(5 * GIB))
    found = machine.folder_finding("this folder", tmp_path / "not" / "yet")
    assert found.passed
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(GIB // 2))
    assert "0.5 GiB left; expected" in machine.folder_finding("this folder", tmp_path).words

    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    found = machine.folder_finding("this folder", tmp_path)
    assert not found.passed
    assert "Permission denied" in found.words
    assert str(tmp_path) not in found.words


@pytest.mark.parametrize(
    ("free_bytes", "passed"), [(4 * GIB, True), (GIB // 4, False), (None, True)]
)
def test_memory(monkeypatch: pytest.MonkeyPatch, free_bytes: int | None, passed: bool) -> None:
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: free_bytes)
    assert machine.memory_finding().passed == passed


def test_a_probe_that_prints_raises_or_crashes() -> None:
    assert probe("print('noise'); print('[1]')") == [1]
    with pytest.raises(ProbeError, match="ValueError: broken"):
        probe("raise ValueError('broken')")
    with pytest.raises(ProbeError, match="ended with code"):
        probe("import os; os._exit(3)")
    with pytest.raises(ProbeError, match="nothing that can be read"):
        probe("pass")


def test_a_broken_package_is_a_finding_without_anybodys_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail() -> None:
        raise RuntimeError("numpy ABI: '/home/ana/env/numpy/core.so'")

    monkeypatch.setattr(machine, "machine_findings", fail)
    monkeypatch.setattr(examination, "STEPS", (("machine", "machine_findings"),))
    (found,) = examination.examination(None, quick=True)
    assert not found.passed
    assert "RuntimeError: numpy ABI: 'core.so'" in found.words
    assert "ana" not in found.words.replace("napari", "")


@pytest.mark.parametrize(
    ("passed", "needed", "code", "mark"),
    [(True, True, 0, "ok"), (False, False, 0, "note"), (False, True, 1, "MISSING")],
)
def test_exit_codes_and_json(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    passed: bool,
    needed: bool,
    code: int,
    mark: str,
) -> None:
    finding = Finding("qt", passed, "Qt as it is.", needed)
    monkeypatch.setattr(examination, "examination", lambda server, quick: iter([finding]))
    assert cli.main(["doctor"]) == code
    assert capsys.readouterr().out.startswith(f"{mark:7}  Qt as it is.\n")
    assert cli.main(["doctor", "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "well": code == 0,
        "findings": [{"name": "qt", "passed": passed, "words": "Qt as it is.", "needed": needed}],
    }


def test_the_command_from_end_to_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "napari_nunext.cli", "doctor", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["well"] else 1), done.stderr
    found = [each for each in said["findings"] if each["name"] == "server"]
    assert "a small picture took" in found[-1]["words"]
    assert all(each["passed"] for each in found[:3])
    assert str(tmp_path) not in done.stdout


@pytest.mark.parametrize("error", [ImportError, KeyError, OSError])
def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Windows has no ``pwd`` to ask, and says so by ImportError."""

    def fail() -> str:
        raise error

    from napari_nunext.ui.settings import login_name

    monkeypatch.setattr(getpass, "getuser", fail)
    assert reader_name() == "export"
    assert login_name() == "reviewer"
