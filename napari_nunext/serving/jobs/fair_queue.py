"""Whose turn it is: fair shares between people, and what somebody waits for ahead of batches.

Weighted fair queueing, as stride scheduling does it (Waldspurger & Weihl, 1995). Requests of one
caller and one urgency are a *flow*. Each flow has a virtual time, which its service advances by
seconds divided by its weight; the flow that is furthest behind is next. So nobody waits for ever,
not even a batch among clicks, and who asks for more waits for it rather than the others. A flow
that was idle begins at the present: to have asked for nothing earns no right to be first later.

Where a detector decodes for several jobs at once, whoever's turn it is makes the step. It is put
down to all whose windows it took further, and what it brought for others is theirs to pass on at
once: that costs no model, and it is not to wait until those who were served less have had enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from napari_nunext.models.detector import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Urgency: TypeAlias = Literal["click", "interactive", "batch"]

WEIGHTS: dict[Urgency, float] = {"click": 64.0, "interactive": 8.0, "batch": 1.0}
"""Shares of the machine where all of them want it."""


@dataclass(eq=False)
class Job:
    """Work that is done in steps, between which other work may take its turn.

    It deals with its own errors.
    """

    steps: Callable[[], Iterator[None]]
    """Begins the work; each `next` is one step."""
    user: str = ""
    urgency: Urgency = "interactive"
    served_s: float = 0.0
    """Time spent on it so far."""
    began: Iterator[None] | None = None
    """The work under way; None while it waits for its first turn."""
    hurried: bool = False
    """It was cancelled: its last step is all that is left."""
    number: int = field(default=0, init=False)
    """Place in the order of arrival."""
    caller: Caller = field(init=False)
    """What a shared detector knows it by."""

    def __post_init__(self) -> None:
        self.caller = Caller(flow=self.flow, lane=self.urgency)

    @property
    def flow(self) -> tuple[str, Urgency]:
        """What it shares its turns with."""
        return self.user, self.urgency


class FairQueue:
    """Jobs that wait or are under way. Not safe between threads.

    Parameters
    ----------
    at_once : int
        Jobs that may be under way at a time, for each holds a cache of what it has decoded. A flow
        that has none under way may always begin one, so that long runs of some do not lock out
        the others.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._jobs: list[Job] = []
        self._virtual_s: dict[tuple[str, Urgency], float] = {}
        self._now = 0.0
        """Virtual time of the flow that was served last."""
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def waiting(self, user: str | None = None) -> int:
        """How many jobs have yet to begin: all, or one user's."""
        return sum(j.began is None and user in (None, j.user) for j in self._jobs)

    def add(self, job: Job) -> None:
        """Put a job in the queue."""
        self._virtual_s[job.flow] = max(self._virtual_s.get(job.flow, 0.0), self._now)
        self._arrivals += 1
        job.number = self._arrivals
        self._jobs.append(job)

    def __contains__(self, job: Job) -> bool:
        return job in self._jobs

    def remove(self, job: Job) -> None:
        """Take a job out, done or not."""
        self._jobs.remove(job)
        flows = {j.flow for j in self._jobs}
        self._virtual_s = {
            flow: at for flow, at in self._virtual_s.items() if flow in flows or at > self._now
        }

    def pick(self) -> Job | None:
        """The job to serve next; None if there is none.

        Cancelled jobs first, and those with something to pass on; then the flow furthest behind,
        and in it the job that was served least; then by arrival.
        """
        under_way = [job for job in self._jobs if job.began is not None]
        flows_under_way = {job.flow for job in under_way}
        full = len(under_way) >= self._at_once
        ready = [
            job
            for job in self._jobs
            if job.began is not None or not full or job.flow not in flows_under_way
        ]
        if not ready:
            return None
        job = min(
            ready,
            key=lambda j: (
                not j.hurried,
                not j.caller.has_news,
                self._virtual_s[j.flow],
                j.served_s,
                j.number,
            ),
        )
        if not job.caller.has_news:  # otherwise it is no turn to be reckoned by
            self._now = max(self._now, self._virtual_s[job.flow])
        return job

    def charge(self, job: Job, seconds: float) -> None:
        """A job had its turn for so long; what was spent on others then is put down to them."""
        for other in self._jobs:
            if other is not job and other.caller.spent_s > 0:
                self._put_down(other, other.caller.spent_s)
                seconds -= other.caller.spent_s
            other.caller.spent_s = 0.0
        self._put_down(job, max(seconds, 0.0))

    def _put_down(self, job: Job, seconds: float) -> None:
        job.served_s += seconds
        self._virtual_s[job.flow] += seconds / WEIGHTS[job.urgency]
