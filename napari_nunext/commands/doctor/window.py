"""napari, Qt, the display, and the system libraries without which Qt opens no window."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from importlib.resources import files

from napari_nunext.commands.doctor.finding import Finding, ProbeError, probe

NAPARI = "import json, napari; print(json.dumps(napari.__version__))"
QT = """
import json, qtpy
from qtpy.QtGui import QGuiApplication
app = QGuiApplication([])
print(json.dumps(f"{qtpy.API_NAME} {qtpy.QT_VERSION} on {app.platformName()}"))
"""


def window_findings() -> list[Finding]:
    """All that a window needs."""
    return [napari_finding(), display_finding(), qt_finding()]


def napari_finding() -> Finding:
    """Whether napari can be imported."""
    try:
        return Finding("napari", True, f"napari {probe(NAPARI)} can be loaded")
    except ProbeError as error:
        words = f"napari cannot be loaded ({error}). Type: pip install 'napari-nunext[all]'"
        return Finding("napari", False, words)


def has_display() -> bool:
    """Whether there is somewhere to open a window."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def display_finding() -> Finding:
    """Whether a window could be seen."""
    if has_display():
        return Finding("display", True, "There is a display")
    return Finding(
        "display",
        False,
        "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set. Log in at the machine, "
        "or with ssh -X, or start a virtual one: xvfb-run napari-nunext open",
    )


def qt_finding() -> Finding:
    """Whether Qt loads, and its plugin for this display."""
    hidden = {} if has_display() else {"QT_QPA_PLATFORM": "offscreen"}
    try:
        seen = probe(QT, hidden)
    except ProbeError as error:
        # Its last line is a list of all plugins there are; why this one failed stands above.
        why = next((line for line in error.lines if line.startswith("qt.qpa")), str(error))
        return Finding("qt", False, f"Qt cannot open a window ({why.rstrip('.')}). {_qt_step()}")
    missing = [] if has_display() else missing_packages()
    if missing:
        words = f"{seen}; with a display it needs system libraries too: {_apt(missing)}"
        return Finding("qt", False, words)
    return Finding("qt", True, f"Qt opens windows: {seen}")


def _qt_step() -> str:
    missing = missing_packages()
    if missing:
        return f"System libraries are missing: {_apt(missing)}"
    return "Check that DISPLAY names a display that runs, or type: pip install 'napari-nunext[all]'"


def _apt(packages: list[str]) -> str:
    return f"sudo apt install {' '.join(packages)}"


@cache
def missing_packages() -> list[str]:
    """Debian packages of the system libraries that Qt needs and cannot load; elsewhere none."""
    if not sys.platform.startswith("linux"):
        return []
    text = files(__package__).joinpath("qt_libraries.txt").read_text("utf-8")
    listed = [line.split() for line in text.splitlines()]
    return [package for library, package in listed if not _loads(library)]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
