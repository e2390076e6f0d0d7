"""Training as a process of its own: start it, follow it, stop it.

The app never imports training. It runs ``nunext-train`` and reads one JSON object a line:
``{"event": "step", "step": 3, "steps": 50, "loss": 2.1, "eta_s": 12}``, before what takes a while
between the steps and after them ``{"event": "doing", "what": "validation"}``, and at the end
``{"event": "done", "checkpoint": "..."}``. A test tells
``{"event": "image", "done": 1, "total": 3}``, of answerers ``"question"``, and leaves a report.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from napari_nunext.core.errors import NunextError
from napari_nunext.core.process.parameters import as_arguments
from napari_nunext.core.scores.metrics import DetectionReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.answers.answerer import AnswererFolder
    from napari_nunext.core.process.asked import Training

logger = logging.getLogger(__name__)

TRAINER = (sys.executable, "-m", "nunext_training.cli")
"""The command, as the interpreter that runs the app finds it; on PATH it is ``nunext-train``."""


FURTHER, FIRST = "feedback", "first"
"""Recipes: for a model that has learned before, and for a new one."""

NEW_WINDOW_PX = "32"
"""Few nuclei at once are what a small new model learns soonest."""


DOING = {"validation": "validating", "saving": "saving the model"}
"""What a training does besides its steps; how long that takes, it does not know."""

DRAWN_TILES = "16"
"""Tested on, to see what a model has forgotten: about 1,000 nuclei."""

Subject: TypeAlias = Path | str
"""What is tested: a folder of a checkpoint, or the id of a model without one."""


def recipe_problem(name_or_path: str) -> str:
    """Why there is no such recipe, in a sentence; empty where there is one.

    What the recipe says is looked at by the training. Nothing of that is imported for its names.
    """
    found = find_spec(TRAINER[-1].partition(".")[0])
    places = [] if found is None else list(found.submodule_search_locations or ())
    names = sorted(file.stem for place in places for file in Path(place, "recipes").glob("*.toml"))
    if name_or_path in names or Path(name_or_path).is_file():
        return ""
    if not names:
        return "Training is not installed. Install napari-nunext[training]."
    return (
        f"There is no recipe {name_or_path!r}; expected a TOML file or one of {', '.join(names)}."
    )


class TrainingError(NunextError, RuntimeError):
    """Training could not start, or ended without a model."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One line of progress."""

    step: int
    steps: int
    loss: float
    seconds_left: float | None
    """Of the steps, where nothing else is being done."""
    doing: str = ""
    """What is done after it, in words; empty where that is the next step."""

    @property
    def words(self) -> str:
        """How far it is."""
        words = f"Step {self.step} of {self.steps}"
        return f"{words}, {self.doing}" if self.doing else words


class Trainer:
    """Runs the commands of one training, one after the other.

    Parameters
    ----------
    command : sequence of str
        What stands before the subcommand.
    """

    def __init__(self, command: Sequence[str] = TRAINER) -> None:
        self._command = tuple(command)
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.stopped = False

    def stop(self) -> None:
        """End the command that runs, and start no other. Safe from any thread."""
        with self._lock:
            self.stopped = True
            if self._process is not None:
                self._process.terminate()

    def build(self, folder: Path, categories: Sequence[str]) -> None:
        """Make a small new model that knows nothing yet. Blocks."""
        arguments = [
            "build",
            "--preset",
            "nano",
            "--window-px",
            NEW_WINDOW_PX,
            "--out",
            str(folder),
        ]
        if categories:
            arguments += ["--categories", ",".join(categories)]
        self._run(arguments, lambda said: None)

    def extend(self, checkpoint: Path, folder: Path, categories: Sequence[str]) -> None:
        """Make a copy of `checkpoint` that knows these categories as well. Blocks."""
        arguments = ["extend", "--checkpoint", str(checkpoint), "--out", str(folder)]
        self._run([*arguments, "--categories", ",".join(categories)], lambda said: None)

    def sft(
        self,
        export: Path,
        checkpoint: Path,
        out: Path,
        *,
        name: str,
        asked: Training,
        tell: Callable[[TrainingStep], None],
    ) -> Path:
        """Fine-tune `checkpoint` on an export, and return the new model's folder. Blocks.

        What the export keeps aside is not looked at, so that a test on it flatters nobody.

        Raises
        ------
        TrainingError
            If the command cannot start, fails, is stopped, or names no model.
        """
        arguments = ["sft", "--data", str(export), "--checkpoint", str(checkpoint)]
        arguments += ["--out", str(out), "--progress", "jsonl", *as_arguments(asked)]
        arguments += ["--name", name, "--keep", "last", "--untested"]

        last = self._run(arguments, _Steps(tell))
        if last.get("event") != "done":
            raise TrainingError("Training ended without a model. The log says more.")
        return out

    def evaluate(
        self, subject: Subject, export: Path | None, tell: Callable[[int, int], None]
    ) -> DetectionReport:
        """Find nuclei in what an export keeps aside, and score them. Blocks.

        Parameters
        ----------
        subject : Path or str
        export : Path or None
            With a val split; None: on drawn tissue, as models of ours have learned from.
        tell : callable
            Told how many of how many fields are done.

        Raises
        ------
        TrainingError
            If the command cannot start, fails, or is stopped.
        """
        option = "--checkpoint" if isinstance(subject, Path) else "--model"
        with tempfile.TemporaryDirectory(prefix="nunext-test-") as folder:
            report = Path(folder, "report.json")
            arguments = ["evaluate", option, str(subject)]
            arguments += (
                ["--drawn", DRAWN_TILES]
                if export is None
                else ["--data", str(export), "--split", "val"]
            )
            arguments += ["--progress", "jsonl", "--out", str(report)]

            def hear(said: dict[str, Any]) -> None:
                if said.get("event") == "image":
                    tell(int(said["done"]), int(said["total"]))

            self._run(arguments, hear)
            try:
                return DetectionReport.from_json(json.loads(report.read_text(encoding="utf-8")))
            except (OSError, KeyError, TypeError, ValueError) as error:
                raise TrainingError(f"The test left no figures ({error!r}).") from error

    def teach(
        self,
        export: Path,
        place: AnswererFolder,
        out: Path,
        *,
        method: str,
        recipe: str,
        steps: int,
        budget: int,
        tell: Callable[[TrainingStep], None],
    ) -> None:
        """Train an answerer on an export's answers; goes on with a run that was broken off. Blocks.

        Raises
        ------
        TrainingError
            If the command cannot start, fails, is stopped, or names no model.
        """
        arguments = ["ask", method, "--data", str(export), "--out", str(out), *_subject(place)]
        arguments += ["--recipe", recipe, "--steps", str(steps), "--budget", str(budget)]
        arguments += ["--name", out.name, "--keep", "last", "--resume", "--progress", "jsonl"]
        # A folder that was taught here says so itself; of others a person said it.
        arguments += ["--thought", "points"] if place.reads_nuclei else []

        if self._run(arguments, _Steps(tell)).get("event") != "done":
            raise TrainingError("Training ended without an answerer. The log says more.")

    def question(
        self,
        export: Path,
        place: AnswererFolder,
        *,
        budget: int,
        tell: Callable[[int, int], None],
    ) -> dict[str, Any]:
        """Ask an answerer what an export keeps aside; the report of ``ask evaluate``. Blocks.

        Raises
        ------
        TrainingError
            If the command cannot start, fails, or is stopped.
        """
        with tempfile.TemporaryDirectory(prefix="nunext-test-") as folder:
            report = Path(folder, "report.json")
            arguments = ["ask", "evaluate", "--data", str(export), *_subject(place)]
            arguments += ["--split", "val", "--budget", str(budget), "--progress", "jsonl"]

            def hear(said: dict[str, Any]) -> None:
                if said.get("event") == "question":
                    tell(int(said["done"]), int(said["total"]))

            self._run([*arguments, "--out", str(report)], hear)
            try:
                found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise TrainingError(f"The test left no figures ({error!r}).") from error
            return found

    def _run(
        self, arguments: Sequence[str], hear: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Run a command; `hear` gets each object that it writes, and the last one is returned."""
        with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
            process = self._start([*self._command, *arguments], errors.fileno())
            last: dict[str, Any] = {}
            with process:
                assert process.stdout is not None
                for line in process.stdout:
                    said = _parse(line)
                    if said:
                        last = said
                        hear(said)
            errors.seek(0)
            complaints = errors.read().strip().splitlines()
        if self.stopped:
            raise TrainingError("Training was stopped.")
        if process.returncode != 0:
            logger.error("%s failed:\n%s", arguments[0], "\n".join(complaints[-40:]))
            why = complaints[-1] if complaints else f"exit code {process.returncode}"
            why = why.removeprefix("nunext-train: ")
            what = "The test" if "evaluate" in arguments[:2] else "Training"
            raise TrainingError(f"{what} failed: {why}")
        return last

    def _start(self, command: Sequence[str], stderr: int) -> subprocess.Popen[str]:
        with self._lock:
            if self.stopped:
                raise TrainingError("Training was stopped.")
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                )
            except OSError as error:
                raise TrainingError(
                    f"Training could not start ({error}). Install napari-nunext[training]."
                ) from error
            return self._process


def _subject(place: AnswererFolder) -> list[str]:
    """An answerer as the commands name it."""
    adapter = [] if place.adapter is None else ["--adapter", str(place.adapter)]
    return ["--checkpoint", str(place.folder), *adapter]


def _parse(line: str) -> dict[str, Any]:
    """A line of progress; empty for what is none, such as a library's remark."""
    try:
        data = json.loads(line)
    except json.JSONDecodeError:
        logger.debug("The trainer said: %s", line.rstrip())
        return {}
    return data if isinstance(data, dict) else {}


class _Steps:
    """Hears the lines of a training, and tells of its steps."""

    def __init__(self, tell: Callable[[TrainingStep], None]) -> None:
        self._tell = tell
        self._last: TrainingStep | None = None

    def __call__(self, said: dict[str, Any]) -> None:
        if said.get("event") == "step":
            self._last = _step(said)
            self._tell(self._last)
        elif said.get("event") == "doing" and self._last is not None:
            doing = DOING.get(str(said.get("what")), str(said.get("what")))
            self._tell(replace(self._last, seconds_left=None, doing=doing))


def _step(data: dict[str, Any]) -> TrainingStep:
    return TrainingStep(
        step=int(data["step"]),
        steps=int(data["steps"]),
        loss=float(data["loss"]),
        seconds_left=float(data.get("eta_s") or 0) or None,  # after the last step none are left
    )
