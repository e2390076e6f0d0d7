"""Processes that run the tests side by side: which tests stay together, and a screen for each.

`make test` has pytest-xdist start them; pytest by itself runs everything in one process.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

SCREEN = """
Xvfb -displayfd 1 -screen 0 1366x768x24 -nolisten tcp -noreset +extension GLX &
read -r _
kill $!
"""
"""Prints the number of a new screen, which lasts as long as whoever holds the standard input.

``-noreset``: a screen begins anew when its last window closes, and refuses whoever comes meanwhile.
"""

_screens: list[subprocess.Popen[str]] = []


def shares_a_screen() -> bool:
    """Whether the windows of two workers would take the focus from each other."""
    return os.environ.get("NAPARI_NUNEXT_VIRTUAL_DISPLAY") != "1"


class ByFile(LoadFileScheduling):
    """Whoever is free takes the next file; of one screen for all, one takes all windows, first."""

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        config.option.loadscopereorder = shares_a_screen()  # the largest share comes first
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/ui/") and shares_a_screen():
            return "tests/ui"
        return super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Before the workers start: each has a core, and no more threads than that."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Open a screen for a worker, where nobody watches."""
    if shares_a_screen():
        return
    screen, number = opened_screen()
    _screens.append(screen)
    node.workerinput["display"] = f":{number}"


def opened_screen() -> tuple[subprocess.Popen[str], str]:
    """A new virtual screen, which ends with its standard input, and its number."""
    screen = subprocess.Popen(
        ["sh", "-c", SCREEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl+C is for us
    )
    assert screen.stdout is not None
    number = screen.stdout.readline().strip()
    if not number:
        raise pytest.UsageError("No virtual screen could be opened: is Xvfb installed?")
    return screen, number


def pytest_configure(config: pytest.Config) -> None:
    """In a worker: use its screen."""
    if display := getattr(config, "workerinput", {}).get("display"):
        os.environ["DISPLAY"] = display
