"""Train answerers, and score them row by row: ``make bilateral DATA=folder [ARGS="--seeds 0"]``.

The folder holds BRCA-M2C. Each step is one command of the package with its log beside what it
makes; what is there is not made again, and what was cut off goes on. Performers learn from the
train split, allocators from the val split, and figures are of the test split, which nothing else
looks at. A day's work for one core; seeds are independent, and may run side by side.
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

BUDGETS = ("16", "36", "64", "144", "256")
WINDOWS = "73"
SPLITS = "0.65/0.15/0.2"
SFT_STEPS, MORE_STEPS, GRPO_STEPS = 600, 300, 200
TRAIN = [sys.executable, "-m", "nunext_training.cli"]
DETECT = [sys.executable, "-m", "napari_nunext.cli", "detect"]
ROWS = {
    "SFT": "none",
    "SFT, sampled": "none-sampled",
    "SFT, more": "more",
    "SFT, more, sampled": "more-sampled",
    "+ GRPO": "grpo",
    "+ GRPO, sampled": "grpo-sampled",
    "prose as thought": "prose",
    "points as thought, additions": "points",
    "points as thought, shuffled": "points-shuffled",
    "points as thought, all weights": "whole",
}
"""Rows of the table, and what their figures are called."""


@dataclass(frozen=True)
class Study:
    """One folder of runs."""

    data: Path
    out: Path
    threads: str

    def run(self, made: Path, *command: str) -> None:
        """Make something, unless it is there."""
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
            raise SystemExit(f"bilateral: {made.name} failed; see {log}")
        with (self.out / "seconds.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"made": str(made.relative_to(self.out)), "cpu_s": cpu_s}) + "\n")
        sys.stdout.write(f"{made.relative_to(self.out)}: {cpu_s:.0f} s of CPU\n")
        sys.stdout.flush()

    def train(self, made: Path, method: str, *options: str) -> None:
        """A run of training, which goes on where it was cut off."""
        cut_off = made.with_name(f"{made.name}.training")
        resumed = ["--resume"] if cut_off.exists() else []
        given = ["--data", str(self.derived), "--out", str(made), "--threads", self.threads]
        self.run(made, *TRAIN, "ask", method, *given, *options, *resumed, "--progress", "jsonl")

    def score(self, made: Path, performer: Path, *options: str, budget: str = "64") -> None:
        """Figures of a performer, of the test split."""
        given = ["--data", str(self.derived), "--out", str(made), "--threads", self.threads]
        asked = ["--checkpoint", str(performer), "--budget", budget, "--max-tokens", "64"]
        self.run(made, *TRAIN, "ask", "evaluate", *given, *asked, *options, "--progress", "jsonl")

    @property
    def derived(self) -> Path:
        """The questions."""
        return self.out / "questions"

    @property
    def base(self) -> Path:
        """What all performers begin as."""
        return self.out / "base"

    def prepare(self) -> None:
        """Questions, with the detector's own nuclei, and the base."""
        tiles, found = self.out / "tiles", self.out / "found"
        self.run(tiles, *TRAIN, "import", "brca-m2c", str(self.data), "--out", str(tiles))
        self.run(found, *DETECT, "--mpp", "0.5", "--out", str(found), str(tiles / "images"))
        derived = ["--data", str(tiles), "--out", str(self.derived), "--splits", SPLITS]
        evidence = ["--evidence", str(found), "--windows", WINDOWS]
        self.run(self.derived, *TRAIN, "ask", "derive", *derived, *evidence)
        based = ["--checkpoint", "nunext-small", "--data", str(self.derived)]
        self.run(self.base, *TRAIN, "ask", "base", *based, "--out", str(self.base))
        for rule in ("majority", "constant", "counts"):
            made = self.out / f"{rule}.json"
            given = ["--data", str(self.derived), "--rule", rule, "--out", str(made)]
            self.run(made, *TRAIN, "ask", "evaluate", *given, "--progress", "jsonl")

    def seed(self, seed: int) -> None:
        """All runs of a seed."""
        at = self.out / f"seed-{seed}"
        seeded = ["--recipe", "ask_small", "--seed", str(seed), "--keep", "last"]
        begun = [*seeded, "--checkpoint", str(self.base), "--steps", str(SFT_STEPS)]
        none, points = at / "none", at / "points"
        self.train(none, "sft", *begun, "--thought", "none", "--budgets", *BUDGETS)
        self.score(at / "none.json", none)
        # At the rate of all weights, additions had learnt little after 100 steps.
        self.train(points, "sft", *begun, "--thought", "points", "--rank", "16", "--lr", "3e-3")
        self.score(at / "points.json", self.base, "--adapter", str(points))
        shuffled = ["--adapter", str(points), "--evidence", "shuffled", "--seed", str(seed)]
        self.score(at / "points-shuffled.json", self.base, *shuffled)
        self.train(at / "prose", "sft", *begun, "--thought", "prose")
        self.score(at / "prose.json", at / "prose")
        further = [*seeded, "--checkpoint", str(none), "--thought", "none"]
        rolled = ["--batch-size", "32", "--lr", "1e-5", "--steps", str(GRPO_STEPS)]
        self.train(at / "grpo", "grpo", *further, *rolled)
        more = ["--lr", "2e-4", "--steps", str(MORE_STEPS), "--budgets", *BUDGETS]
        self.train(at / "more", "sft", *further, *more)
        for name in ("grpo", "more"):
            self.score(at / f"{name}.json", at / name)
        for name in ("none", "more", "grpo"):
            drawn = ["--temperature", "1", "--seed", str(seed)]
            self.score(at / f"{name}-sampled.json", at / name, *drawn)
        self.train(at / "whole", "sft", *begun, "--thought", "points")
        self.score(at / "whole.json", at / "whole")
        self.allocator(at, none, seed)

    def allocator(self, at: Path, performer: Path, seed: int) -> None:
        """Tables of a performer's rewards, an allocator, and what tokens buy."""
        given = ["--data", str(self.derived), "--checkpoint", str(performer)]
        for split in ("val", "test"):
            made = at / f"{split}.jsonl"
            asked = ["--split", split, "--out", str(made), "--budgets", *BUDGETS]
            done = at / f"{split}.table"  # the table itself is there as soon as it is begun
            self.run(done, *TRAIN, "ask", "table", *given, *asked, "--threads", self.threads)
            done.touch()
        val, few = at / "val.jsonl", at / "few"
        self.train(few, "allocate", *given[2:], "--table", str(val), "--seed", str(seed))
        tables = ["--table", str(at / "test.jsonl"), "--choose-by", str(val)]
        made = at / "budgets"
        self.run(
            made,
            *(*TRAIN, "ask", "budgets", *given, *tables, "--allocator", str(few)),
            *("--out", str(made)),
        )

    def tell(self) -> None:
        """The table of what is there so far."""
        rows = {"majority": "majority", "best constant": "constant", "Counts": "counts"}
        told = [f"{name}={self.out / f'{rule}.json'}" for name, rule in rows.items()]
        for name, made in ROWS.items():
            files = sorted(self.out.glob(f"seed-*/{made}.json"))
            if files:
                told.append(f"{name}={','.join(map(str, files))}")
        command = [*TRAIN, "ask", "rows", *told, "--beside", "Counts"]
        subprocess.run([*command, "--out", str(self.out / "rows")], check=True)


def main() -> None:
    """Run what is missing, and tell."""
    parser = argparse.ArgumentParser(prog="make bilateral")
    parser.add_argument("--data", type=Path, required=True, help="folder of BRCA-M2C")
    parser.add_argument("--out", type=Path, default=Path("build/bilateral"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--threads", default="1", help="of torch (1)")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", args.threads)
    study = Study(args.data.resolve(), args.out.resolve(), args.threads)
    study.prepare()
    for seed in args.seeds:
        study.seed(seed)
    study.tell()


if __name__ == "__main__":
    main()
