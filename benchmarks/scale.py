"""A batch over many servers on paper: what failing servers and kills cost (docs/scale.md).

Nothing is searched here. The scheduler of `napari-nunext detect --project` is simulated: a server
takes an image, records its windows in groups, and goes on to the next image. What fails loses the
windows that were not recorded; the image goes back to the front of the queue, and whoever takes it
goes on with the windows that are left. An image at which servers fail `TRIES` times without a
further window is left out. A kill of the batch stops all servers at once. Times between failures
are exponential; the same seed gives the same night.

The figures of a server are parameters. The scenarios below take what was measured on a CPU, and say
what was not measured.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, field, replace

from benchmarks._harness import Claim, report
from napari_nunext.review.batch.batch import TRIES
from napari_nunext.review.finding.search import BATCH_S

WINDOWS_PER_MM2 = 560 / 0.552**2
"""Of the bundled model on tissue of `CMU-1-Small-Region` (docs/decisions/token-budget.md)."""
NUCLEI_PER_MM2 = 1231 / 0.552**2
"""Found there, in the same search."""
WINDOWS_A_CORE_S = 484 / 2.3 / 2
"""On a quiet machine of two cores (docs/decisions/decoding.md)."""
NUCLEI_A_SLIDE = 10**10 / 30_000
"""Of the cohort that is asked about."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch and what may happen to it."""

    slides: int
    windows: int
    """A slide has so many in the mean; sizes are spread from half to one and a half of it."""
    servers: int
    rate: float
    """Windows that one server decodes in a second."""
    in_flight: int = 512
    """Windows that a server has begun and not ended: they are lost with it."""
    group_s: float = BATCH_S
    """What was found is recorded so often."""
    server_mtbf_h: float = math.inf
    """Mean time until a server dies."""
    server_back_s: float = 60.0
    """Until it answers again: started, the model loaded."""
    kill_mtbf_h: float = math.inf
    """Mean time until the batch is killed: the machine restarts, the power goes."""
    batch_back_s: float = 300.0
    """Until somebody or something gives the same command again."""
    poison: float = 0.0
    """Share of slides at which every server dies half way."""
    opening_s: float = 1.0
    """Of a slide: opening, finding its tissue, settling its seams at the end."""


@dataclass(slots=True)
class _Slide:
    number: int
    windows: int
    stops_at: int | None
    """The window that no server survives."""
    recorded: int = 0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a batch ended."""

    hours: float
    recorded: int
    """Windows that are in the project, each once."""
    decoded: int
    """Windows that servers worked at, whole or in part; what was lost counts again."""
    left_out: int
    """Slides that were given up."""
    deaths: int
    kills: int
    efficiency: float
    """Recorded windows, of those that all servers could have decoded in this time."""
    per_slide: tuple[int, ...] = field(repr=False, default=())
    """Windows recorded of each slide."""

    @property
    def redone(self) -> float:
        """Share of the work that was lost and done again."""
        return 1 - self.recorded / self.decoded if self.decoded else 0.0


def sizes(plan: Plan, seed: int) -> list[int]:
    """Windows of each slide."""
    rng = random.Random(seed)
    return [max(1, round(plan.windows * rng.uniform(0.5, 1.5))) for _ in range(plan.slides)]


class _Kills:
    """When the batch is killed, and when it works again."""

    def __init__(self, plan: Plan, rng: random.Random) -> None:
        self._plan, self._rng = plan, rng
        self._at_s = [_next(rng, plan.kill_mtbf_h)]

    def after(self, at_s: float) -> float:
        """The next kill at or after a moment."""
        back_s = self._plan.batch_back_s
        while self._at_s[-1] < at_s:
            self._at_s.append(self._at_s[-1] + back_s + _next(self._rng, self._plan.kill_mtbf_h))
        return self._at_s[bisect_left(self._at_s, at_s)]

    def working(self, at_s: float) -> float:
        """The first moment from `at_s` on at which the batch is there."""
        self.after(at_s)
        last = bisect_right(self._at_s, at_s) - 1
        return at_s if last < 0 else max(at_s, self._at_s[last] + self._plan.batch_back_s)

    def until(self, at_s: float) -> int:
        """How many there were."""
        self.after(at_s)
        return bisect_right(self._at_s, at_s)


def simulate(plan: Plan, seed: int = 0) -> Outcome:
    """Let a batch run to its end, and tell how it went."""
    rng = random.Random(seed + 1)
    kills = _Kills(plan, random.Random(seed + 2))
    slides = [
        _Slide(number, windows, windows // 2 if rng.random() < plan.poison else None)
        for number, windows in enumerate(sizes(plan, seed))
    ]
    waiting = deque(slides)
    back: list[tuple[float, int, _Slide]] = []  # let go of at a moment that may be yet to come
    free = [(0.0, server) for server in range(plan.servers)]
    group = max(1, int(plan.group_s * plan.rate))
    decoded = left_out = deaths = 0
    end_s = 0.0
    while waiting or back:
        at_s, server = heapq.heappop(free)
        while back and back[0][0] <= at_s:
            waiting.appendleft(heapq.heappop(back)[2])
        ready_s = kills.working(at_s if waiting else back[0][0])
        if ready_s > at_s:  # somebody else may be first
            heapq.heappush(free, (ready_s, server))
            continue
        slide = waiting.popleft()
        begun_s = at_s + plan.opening_s
        left = slide.windows - slide.recorded
        done_s = begun_s + left / plan.rate
        death_s, kill_s = at_s + _next(rng, plan.server_mtbf_h), kills.after(at_s)
        if slide.stops_at is not None:
            death_s = min(death_s, begun_s + max(slide.stops_at - slide.recorded, 0) / plan.rate)
        broken_s = min(death_s, kill_s)
        end_s = max(end_s, min(done_s, broken_s))
        if done_s <= broken_s:
            decoded += left
            slide.recorded = slide.windows
            heapq.heappush(free, (done_s, server))
            continue
        worked = min(left, int(max(broken_s - begun_s, 0.0) * plan.rate))
        kept = max(0, worked - plan.in_flight) // group * group
        decoded += worked
        slide.recorded += kept
        if death_s < kill_s:
            deaths += 1
            slide.tries = 0 if kept else slide.tries + 1
            heapq.heappush(free, (broken_s + plan.server_back_s, server))
        else:
            heapq.heappush(free, (broken_s, server))
        if slide.tries >= TRIES:
            left_out += 1
        else:
            heapq.heappush(back, (broken_s, slide.number, slide))
    recorded = sum(slide.recorded for slide in slides)
    able = plan.rate * plan.servers * end_s
    return Outcome(
        hours=end_s / 3600,
        recorded=recorded,
        decoded=decoded,
        left_out=left_out,
        deaths=deaths,
        kills=kills.until(end_s),
        efficiency=recorded / able if able else 0.0,
        per_slide=tuple(slide.recorded for slide in slides),
    )


def _next(rng: random.Random, mtbf_h: float) -> float:
    """Seconds until something happens that happens so often in the mean."""
    return math.inf if math.isinf(mtbf_h) else rng.expovariate(1 / (mtbf_h * 3600))


TISSUE_MM2 = NUCLEI_A_SLIDE / NUCLEI_PER_MM2
CORES_A_SERVER = 4
NIGHT = Plan(
    slides=200,
    windows=round(TISSUE_MM2 * WINDOWS_PER_MM2),
    servers=4,
    rate=CORES_A_SERVER * WINDOWS_A_CORE_S,
)
"""A box of 16 cores: four servers of four, each as fast as four times what one core was."""
COHORT = replace(NIGHT, slides=30_000, servers=80)
"""Twenty such boxes."""


def rough(plan: Plan) -> Plan:
    """Assumed: servers die once a day, the batch once a week, at a slide in 500 servers die."""
    return replace(plan, server_mtbf_h=24.0, kill_mtbf_h=24.0 * 7, poison=0.002)


def bad(plan: Plan) -> Plan:
    """Assumed: far worse than anybody should put up with."""
    return replace(plan, server_mtbf_h=2.0, kill_mtbf_h=8.0, poison=0.01)


SCENARIOS = {
    "night": NIGHT,
    "night, rough": rough(NIGHT),
    "night, bad": bad(NIGHT),
    "cohort": COHORT,
    "cohort, rough": rough(COHORT),
    "cohort, bad": bad(COHORT),
}


def main() -> None:
    """Simulate the scenarios."""
    outcomes = {name: simulate(plan) for name, plan in SCENARIOS.items()}
    print(f"{TISSUE_MM2:.0f} mm2 and {NIGHT.windows} windows a slide, {NIGHT.rate:.0f} a second")
    for name, plan in SCENARIOS.items():
        one = outcomes[name]
        print(
            f"{name:15} {plan.servers:3} servers {one.hours:7.1f} h  used {one.efficiency:.3f}  "
            f"redone {one.redone:.5f}  deaths {one.deaths}  kills {one.kills}  "
            f"left out {one.left_out} of {plan.slides}"
        )
    claims = [
        Claim("slides.simulated_redone", outcomes["cohort, rough"].redone, 0.001, "lower"),
        Claim("slides.simulated_used", outcomes["cohort, rough"].efficiency, 0.95, "higher"),
        Claim("slides.simulated_night_h", outcomes["night, rough"].hours, 10.0, "lower"),
    ]
    report("scale", claims, details={name: one.hours for name, one in outcomes.items()})


if __name__ == "__main__":
    main()
