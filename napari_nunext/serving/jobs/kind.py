"""What a kind of job says of itself: what it is asked, in which steps it answers, how it ends.

All else is the same for every kind, and lives in `napari_nunext.serving.jobs.desk`: its turn, its
stream, who cancels it or hangs up, its limits, errors and figures, and the server's end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

from napari_nunext.serving.protocol import Failed, JobRequest, Message

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.serving.health.metrics import Metrics
    from napari_nunext.serving.jobs.fair_queue import Urgency
    from napari_nunext.serving.jobs.work import Work
    from napari_nunext.serving.models.shelf import Shelf
    from napari_nunext.serving.settings import ServerSettings

R = TypeVar("R", bound=JobRequest)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended that nothing broke."""

    last: Message
    """The last event of a stream, or all of an answer."""
    finish: Literal["complete", "incomplete", "cancelled"]


Steps: TypeAlias = Generator[Message | None, None, Outcome]
"""Yields after each step, between which others may take their turn: an event, or None."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be done for a request, when its turn comes."""

    model: str
    """Name of the model that does it: what is said to have failed if it breaks."""
    steps: Callable[[Work], Steps]
    """Begins the work, in the models' thread. Asks ``Work.cancelled`` before every step; what
    it raises becomes the last event."""
    unbegun: Message
    """The last event where it was cancelled before its turn."""
    apart: bool = False
    """Whether another process does the work, and the steps only wait for it: they then take turns
    of their own, and hold up no model."""


class Kind(ABC, Generic[R]):
    """A kind of job: one object for all its requests. Its docstring is that of its path.

    Parameters
    ----------
    shelf : Shelf
        Models: chosen while a request is prepared, taken in the models' thread.
    metrics : Metrics
        Jobs are counted already; a kind may count what it makes.
    """

    name: ClassVar[str]
    """Last part of its path, and its name among the figures."""
    request: ClassVar[type[JobRequest]]
    """What it is asked."""
    answer: ClassVar[Any]
    """What it answers: the events of its stream, or the one message."""
    streams: ClassVar[bool] = True
    """Whether events are sent as they come; else the last one is the whole answer."""

    def __init__(self, shelf: Shelf, metrics: Metrics) -> None:
        self._shelf = shelf
        self._metrics = metrics

    @abstractmethod
    async def prepare(self, request: R, image: ImageSource) -> Prepared:
        """Check a request and choose its models; in the event loop's thread.

        Raises
        ------
        Refusal, InputError
            If it cannot be served.
        """

    def urgency(self, request: R) -> Urgency:
        """Its share of the machine."""
        del request
        return "interactive"

    def limit_s(self, settings: ServerSettings) -> float:
        """The longest that it may work, from its first turn; of an answer, with the wait for it."""
        return settings.max_run_s

    def too_long(self, limit_s: float) -> Failed:
        """What is said when that time is over."""
        return Failed(
            code="time_limit",
            message=f"This was stopped after {limit_s:g} s, the most this server allows. "
            "Ask for less.",
        )
