"""How far training is: for the app as JSON lines, for people as a bar."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO, TypeAlias

from tqdm import tqdm  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


Doing: TypeAlias = Literal["validation", "saving"]
"""What is done between the steps, and after them."""


class Tested(Protocol):
    """Figures before and after; `nunext_training.evaluation.remembering` has them."""

    @property
    def words(self) -> str:
        """For people."""
        ...

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        ...


class Progress(Protocol):
    """Told what happens, in order."""

    def start(self, *, step: int, steps: int) -> None:
        """Training begins after `step` of `steps` (not 0 when it is resumed)."""
        ...

    def step(self, *, step: int, loss: float) -> None:
        """An optimisation step is done; `loss` is its batch's."""
        ...

    def doing(self, *, what: Doing) -> None:
        """Something begins that is no step: nobody knows how long it takes."""
        ...

    def validation(
        self, *, step: int, loss: float, f1: float | None, pq: float | None = None
    ) -> None:
        """Validation is done; `f1` of a detector, `pq` (panoptic quality) of a segmenter."""
        ...

    def tested(self, results: Sequence[Tested]) -> None:
        """Parent and new model were tested beside each other, on each of some tissues."""
        ...

    def done(self, *, checkpoint: Path, loss_first: float, loss_last: float) -> None:
        """The checkpoint is complete."""
        ...


@dataclass
class JsonLines:
    """One JSON object a line: `Progress` lists the events."""

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    _steps: int = 0
    _first_step: int = 0
    _started: float = 0.0

    def start(self, *, step: int, steps: int) -> None:
        """See `Progress`."""
        self._steps, self._first_step, self._started = steps, step, self.clock()
        self._write("start", step=step, steps=steps)

    def step(self, *, step: int, loss: float) -> None:
        """See `Progress`. ``eta_s`` extends the pace of this run so far."""
        pace_s = (self.clock() - self._started) / max(step - self._first_step, 1)
        eta_s = round(pace_s * (self._steps - step), 1)
        self._write("step", step=step, steps=self._steps, loss=loss, eta_s=eta_s)

    def doing(self, *, what: Doing) -> None:
        """See `Progress`."""
        self._write("doing", what=what)

    def validation(
        self, *, step: int, loss: float, f1: float | None, pq: float | None = None
    ) -> None:
        """See `Progress`."""
        also = {} if pq is None else {"pq": pq}
        self._write("validation", step=step, steps=self._steps, loss=loss, f1=f1, **also)

    def tested(self, results: Sequence[Tested]) -> None:
        """See `Progress`."""
        self._write("tested", results=[result.to_json() for result in results])

    def done(self, *, checkpoint: Path, loss_first: float, loss_last: float) -> None:
        """See `Progress`."""
        self._write("done", checkpoint=str(checkpoint), loss_first=loss_first, loss_last=loss_last)

    def _write(self, event: str, **values: Any) -> None:
        self.stream.write(json.dumps({"event": event, **values}) + "\n")
        self.stream.flush()


@dataclass
class Bar:
    """A progress bar with the loss of the last step and the last validation."""

    stream: TextIO
    _bar: tqdm | None = None
    _shown: dict[str, str] = field(default_factory=dict)

    def start(self, *, step: int, steps: int) -> None:
        """See `Progress`."""
        self._bar = tqdm(total=steps, initial=step, file=self.stream, unit="step", desc="training")

    def step(self, *, step: int, loss: float) -> None:
        """See `Progress`."""
        self._show(loss=f"{loss:.3f}")
        if self._bar is not None:
            self._bar.set_description("training", refresh=False)
            self._bar.update(step - self._bar.n)

    def doing(self, *, what: Doing) -> None:
        """See `Progress`: the bar stands still, and says why."""
        if self._bar is not None:
            self._bar.set_description(what)

    def validation(
        self, *, step: int, loss: float, f1: float | None, pq: float | None = None
    ) -> None:
        """See `Progress`."""
        figures = {"val_f1": f1, "val_pq": pq}
        shown = {name: f"{value:.3f}" for name, value in figures.items() if value is not None}
        self._show(val_loss=f"{loss:.3f}", **shown)

    def tested(self, results: Sequence[Tested]) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.close()
        for result in results:
            self.stream.write(result.words + "\n")

    def done(self, *, checkpoint: Path, loss_first: float, loss_last: float) -> None:
        """See `Progress`."""
        if self._bar is not None:
            self._bar.close()
        self.stream.write(f"Loss {loss_first:.3f} -> {loss_last:.3f}. Checkpoint: {checkpoint}\n")

    def _show(self, **values: str) -> None:
        self._shown |= values
        if self._bar is not None:
            self._bar.set_postfix(self._shown, refresh=False)


def json_counter(event: str = "image") -> Callable[[int, int], None]:
    """One JSON object a line on stdout: the event, and how many of how many are done."""

    def tell(done: int, total: int) -> None:
        sys.stdout.write(json.dumps({"event": event, "done": done, "total": total}) + "\n")
        sys.stdout.flush()

    return tell


def counter(what: str) -> Callable[[int, int], None]:
    """A bar on stderr that is told how many of how many are done."""
    bar = tqdm(file=sys.stderr, unit=what, leave=False, disable=None)  # on terminals only

    def tell(done: int, total: int) -> None:
        bar.total = total
        bar.update(1)
        if done == total:
            bar.close()

    return tell
