"""The model servers of a batch, and waiting for one that is away."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.errors import RequestRejectedError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.review.finding.servers import ModelServer

logger = logging.getLogger(__name__)

SHORTEST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(eq=False, slots=True)
class Station:
    """A model server, and by which id it has the detector."""

    server: ModelServer
    model_id: str
    name: str
    """For people."""
    is_up: bool = True
    """Whether it answered when it was last asked."""
    is_given_up: bool = False
    """Whether it stayed away for too long."""
    waits: threading.Lock = field(default_factory=threading.Lock)
    """Held by whoever waits for it, for all."""

    def answers(self) -> bool:
        """Whether it can be reached; one of our own is started again."""
        try:
            self.server.client().health()
        except RequestRejectedError as error:
            # It is there. Whether it takes us, its next answer says.
            logger.debug("a server refused to say how it is: %s", error)
            return True
        except ServerError:
            return False
        return True

    def wait(self, say: Callable[[str], None], stop: threading.Event, patience_s: float) -> bool:
        """Wait until it answers again; False where it does not, or is not to be waited for."""
        until = time.monotonic() + patience_s
        pause_s = SHORTEST_PAUSE_S
        say(f"The model server {self.name} does not answer. Waiting for it.")
        while not stop.wait(pause_s):
            if self.answers():
                say(f"The model server {self.name} is there again.")
                return True
            if time.monotonic() > until:
                return False
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return False

    def come_back(
        self, stop: threading.Event, retry_s: float, patience_s: float
    ) -> Literal["there", "back", "away"]:
        """Wait after a failure: whether it was there all the time, is again, or stays away."""
        if self.answers():
            stop.wait(retry_s)
            return "there"
        return "back" if self.wait(logger.info, stop, patience_s) else "away"
