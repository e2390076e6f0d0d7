"""Waiting for what another thread, process or window does.

A test waits for the event, however long the machine takes, and never looks at the time. Only a
fault takes as long as `PATIENCE_S`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_S = 60.0
"""After this a test that waits in vain fails."""


def pause() -> None:
    """Let others go on."""
    time.sleep(0.002)


def wait_for(
    condition: Callable[[], T],
    *,
    meanwhile: Callable[[], object] = pause,
    otherwise: Callable[[], object] = lambda: "it did not happen",
    patience_s: float = PATIENCE_S,
) -> T:
    """Wait until something is there; returns it.

    Parameters
    ----------
    condition : callable
        Returns something true once it is.
    meanwhile : callable
        Called between two looks.
    otherwise : callable
        Tells what there is instead, once the test fails.
    patience_s : float
        For what takes a sound machine long.
    """
    give_up = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < give_up, otherwise()
        meanwhile()
    return found
