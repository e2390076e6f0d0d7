"""Long studies as steps: each is one command of the package, with its log beside what it makes.

What is there is not made again, and a training that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TRAIN = [sys.executable, "-m", "nunext_training.cli"]


@dataclass(frozen=True)
class Steps:
    """One folder of what steps make."""

    data: Path
    out: Path
    threads: str

    @classmethod
    def arguments(cls, what: str, of: str) -> argparse.ArgumentParser:
        """Options of every study: ``make <what> DATA=folder [ARGS="--seeds 0"]``."""
        parser = argparse.ArgumentParser(prog=f"make {what}")
        parser.add_argument("--data", type=Path, required=True, help=f"folder of {of}")
        parser.add_argument("--out", type=Path, default=Path("build") / what)
        parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
        parser.add_argument("--threads", default="1", help="of torch (1)")
        return parser

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """Where the options say."""
        os.environ.setdefault("OMP_NUM_THREADS", args.threads)
        return cls(args.data.resolve(), args.out.resolve(), args.threads)

    def run(self, made: Path, *command: str) -> None:
        """Make something, unless it is there.

        Raises
        ------
        SystemExit
            If the command fails.
        """
        if made.exists():
            return
        made.parent.mkdir(parents=True, exist_ok=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = made.with_name(f"{made.name}.log")
        with log.open("a", encoding="utf-8") as file:
            code = subprocess.run(command, stdout=file, stderr=file, check=False).returncode
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if code:
            raise SystemExit(f"{made.name} failed; see {log}")
        with (self.out / "seconds.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"made": str(made.relative_to(self.out)), "cpu_s": cpu_s}) + "\n")
        sys.stdout.write(f"{made.relative_to(self.out)}: {cpu_s:.0f} s of CPU\n")
        sys.stdout.flush()

    def train(self, made: Path, method: str, data: Path, *options: str) -> None:
        """A run of training answerers, which goes on where it was cut off."""
        cut_off = made.with_name(f"{made.name}.training")
        resumed = ["--resume"] if cut_off.exists() else []
        given = ["--data", str(data), "--out", str(made), "--threads", self.threads]
        self.run(made, *TRAIN, "ask", method, *given, *options, *resumed, "--progress", "jsonl")

    def evaluate(self, made: Path, data: Path, *options: str) -> None:
        """Figures of an answerer, or of a rule, of the test split."""
        given = ["--data", str(data), "--out", str(made), "--threads", self.threads]
        self.run(made, *TRAIN, "ask", "evaluate", *given, *options, "--progress", "jsonl")

    def rows(self, rows: dict[str, list[Path]], *options: str) -> None:
        """Print the table of what is there so far; a row's files by its name."""
        told = [f"{name}={','.join(map(str, made))}" for name, made in rows.items() if made]
        command = [*TRAIN, "ask", "rows", *told, *options]
        subprocess.run([*command, "--out", str(self.out / "rows")], check=True)
