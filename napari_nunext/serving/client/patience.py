"""Waiting for a model server that is busy, or about to be there again."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.errors import ServerError

LIMIT_S = 600.0
SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
"""Between two tries to reach a server that does not say when it will be there."""
SPREAD = 0.25
"""Pauses differ by up to this share, so that all who were refused do not come back at once."""
NOBODY_BEHIND = (502, 504)
"""What a proxy answers while the server behind it is started."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How a caller waits for its turn.

    Parameters
    ----------
    tell : callable
        Told a sentence before every pause: what the server said, and when it is asked again.
    stop : threading.Event
        Ends the wait at once, from any thread.
    limit_s : float
        Longest wait for one answer.
    """

    tell: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    limit_s: float = LIMIT_S


class Waiting:
    """The wait for one answer, over as many refusals as it takes.

    A refusal passes if it says when to ask again (``Retry-After``). A server that had said so may
    then be away for a while; one that was never there is not waited for.

    Parameters
    ----------
    patience : Patience, optional
        Without any, every error is raised.
    over : threading.Event, optional
        Set once nobody is to be asked any more: every error is raised then.
    """

    def __init__(self, patience: Patience | None, over: threading.Event | None = None) -> None:
        self._patience = patience
        self._over = over
        self._until = 0.0 if patience is None else time.monotonic() + patience.limit_s
        self._will_be_there = False
        self._tries = 0

    def after(self, error: ServerError) -> None:
        """Pause, and return when it is time to ask again.

        Raises
        ------
        ServerError
            `error`, where it will not pass, or there is no patience left.
        """
        if self._over is not None and self._over.is_set():
            raise error
        pause_s = self._pause_s(error)
        patience = self._patience
        if patience is None or pause_s is None or time.monotonic() + pause_s > self._until:
            raise error
        reason = str(error).split(". ")[0].rstrip(".")
        patience.tell(f"{reason}. Asking again in {max(round(pause_s), 1)} s.")
        if patience.stop.wait(pause_s):
            raise error

    def _pause_s(self, error: ServerError) -> float | None:
        """How long to wait after this error; None if it is for good."""
        if isinstance(error, RequestRejectedError) and error.status not in NOBODY_BEHIND:
            if error.retry_s is None:
                return None
            self._will_be_there = True
            pause_s = max(error.retry_s, SHORTEST_PAUSE_S)
        elif self._will_be_there:
            pause_s = min(SHORTEST_PAUSE_S * 2**self._tries, LONGEST_PAUSE_S)
            self._tries += 1
        else:
            return None
        return pause_s * random.uniform(1.0, 1.0 + SPREAD)
