"""What a training run keeps on disk until its checkpoint is complete.

Beside ``--out CHECKPOINT`` stands ``CHECKPOINT.training`` with::

    run.json          what the run is: recipe, data, parent; only the very same run may go on
    metrics.jsonl     a line for each step (loss, learning rate) and each validation
    checkpoint-N/     the trainer's state after step N
    best-N/           weights with the best validation so far, and its figures
    bad_batch.safetensors, bad_batch.json
                      the batch at which the loss was no longer a number

When all steps are done the checkpoint appears whole at ``CHECKPOINT``, and the folder goes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.runs.files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_BEST_FILE = "best.json"

METRICS_FILE = "metrics.jsonl"
"""Of a run, and of the checkpoint that it becomes."""

SMOOTHED_STEPS = 20
"""The first and the last loss of a run are means over at most so many steps."""


@dataclass(frozen=True, slots=True)
class Best:
    """Figures of the best validation so far."""

    step: int
    loss: float
    f1: float | None = None
    reward: float | None = None
    """Where it was trained for rewards; `loss` is then minus this."""
    pq: float | None = None
    """Panoptic quality, where it was trained to draw masks."""

    def is_better_than(self, other: Best | None) -> bool:
        """Higher F1 or PQ, and where that is the same or was not measured, lower loss."""
        if other is None:
            return True
        ours, theirs = (b.f1 or b.pq or 0.0 for b in (self, other))
        return (ours, -self.loss) > (theirs, -other.loss)


def first_and_last(values: Sequence[float]) -> tuple[float, float]:
    """Means of the first and of the last of a run's values, which are one or more."""
    n = max(1, min(SMOOTHED_STEPS, len(values) // 10))
    return sum(values[:n]) / n, sum(values[-n:]) / n


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The working folder of one run; see the module."""

    path: Path
    out: Path

    @classmethod
    def open(cls, out: Path, identity: dict[str, Any], *, resume: bool) -> RunFolder:
        """Begin a run, or find the one to go on with.

        Parameters
        ----------
        out : Path
            Where the checkpoint will be; must not exist, or be an empty folder.
        identity : dict
            What makes two runs the same, JSON values.
        resume : bool
            Go on with an unfinished run if there is one.

        Raises
        ------
        InputError
            If `out` is taken, if there is an unfinished run and `resume` is not set, or if it is
            a different run.
        """
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} exists and is not empty. Name another --out folder.")
        folder = cls(out.with_name(out.name + ".training"), out)
        if folder.path.exists():
            if not resume:
                raise InputError(
                    f"An unfinished run lies in {folder.path}. Go on with --resume, or remove it."
                )
            folder._check_identity(identity)
        else:
            folder.path.mkdir(parents=True)
            write_json(folder.path / "run.json", identity)
        return folder

    def _check_identity(self, identity: dict[str, Any]) -> None:
        path = self.path / "run.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        different = sorted(
            key for key in known.keys() | identity.keys() if known.get(key) != identity.get(key)
        )
        if different:
            raise InputError(
                f"The unfinished run in {self.path} had another {', '.join(different)}. Resume it "
                "with its own options, or remove it."
            )

    # Metrics

    @property
    def metrics_path(self) -> Path:
        """`METRICS_FILE`."""
        return self.path / METRICS_FILE

    def append_metrics(self, entry: dict[str, Any]) -> None:
        """Add a line, on disk when this returns."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Every line so far."""
        if self.metrics_path.is_file():
            for line in self.metrics_path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)

    def forget_after(self, step: int) -> None:
        """Drop metrics of steps that will be done again, and a line that was cut off."""
        if not self.metrics_path.is_file():
            return
        kept = []
        for line in self.metrics_path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        partial = self.metrics_path.with_suffix(".partial")
        partial.write_text("".join(kept), encoding="utf-8")
        partial.replace(self.metrics_path)

    def loss_first_and_last(self) -> tuple[float, float]:
        """Means of the first and of the last steps: a tenth of them, at most `SMOOTHED_STEPS`."""
        return first_and_last([e["loss"] for e in self.metrics() if e["event"] == "step"])

    # Best weights

    @property
    def best_weights(self) -> Path | None:
        """The newest ``best-N``; None before the first."""
        folders = self.path.glob("best-*")
        return max(folders, key=lambda p: int(p.name.removeprefix("best-")), default=None)

    @property
    def last_weights(self) -> Path:
        """Where the last weights are kept, where none are the best."""
        return self.path / "last"

    def best(self) -> Best | None:
        """The best validation so far; None before the first."""
        if self.best_weights is None:
            return None
        return Best(**json.loads((self.best_weights / _BEST_FILE).read_text(encoding="utf-8")))

    def set_best(self, best: Best, weights: Path) -> None:
        """Take `weights` (a folder inside this one) as the best, in one step."""
        old = self.best_weights
        write_json(weights / _BEST_FILE, asdict(best))
        new = self.path / f"best-{best.step}"
        weights.replace(new)
        if old is not None:
            shutil.rmtree(old)

    def remove(self) -> None:
        """The checkpoint is complete: nothing here is needed any more."""
        shutil.rmtree(self.path)
