"""Train answerers, and score them row by row: ``make bilateral DATA=folder [ARGS="--seeds 0"]``.

The folder holds BRCA-M2C. Performers learn from the train split, allocators from the val split, and
figures are of the test split, which nothing else looks at. A day's work for one core; seeds are
independent, and may run side by side.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.steps import TRAIN, Steps

if TYPE_CHECKING:
    from pathlib import Path

BUDGETS = ("16", "36", "64", "144", "256")
WINDOWS = "73"
SPLITS = "0.65/0.15/0.2"
SFT_STEPS, MORE_STEPS, GRPO_STEPS = 600, 300, 200
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
class Study(Steps):
    """What is taught and scored."""

    def taught(self, made: Path, method: str, *options: str) -> None:
        """A run of training on the questions."""
        self.train(made, method, self.derived, *options)

    def score(self, made: Path, performer: Path, *options: str) -> None:
        """Figures of a performer, of the test split."""
        asked = ["--checkpoint", str(performer), "--budget", "64", "--max-tokens", "64"]
        self.evaluate(made, self.derived, *asked, *options)

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
            self.evaluate(self.out / f"{rule}.json", self.derived, "--rule", rule)

    def seed(self, seed: int) -> None:
        """All runs of a seed."""
        at = self.out / f"seed-{seed}"
        seeded = ["--recipe", "ask_small", "--seed", str(seed), "--keep", "last"]
        begun = [*seeded, "--checkpoint", str(self.base), "--steps", str(SFT_STEPS)]
        none, points = at / "none", at / "points"
        self.taught(none, "sft", *begun, "--thought", "none", "--budgets", *BUDGETS)
        self.score(at / "none.json", none)
        # At the rate of all weights, additions had learnt little after 100 steps.
        self.taught(points, "sft", *begun, "--thought", "points", "--rank", "16", "--lr", "3e-3")
        self.score(at / "points.json", self.base, "--adapter", str(points))
        shuffled = ["--adapter", str(points), "--evidence", "shuffled", "--seed", str(seed)]
        self.score(at / "points-shuffled.json", self.base, *shuffled)
        self.taught(at / "prose", "sft", *begun, "--thought", "prose")
        self.score(at / "prose.json", at / "prose")
        further = [*seeded, "--checkpoint", str(none), "--thought", "none"]
        rolled = ["--batch-size", "32", "--lr", "1e-5", "--steps", str(GRPO_STEPS)]
        self.taught(at / "grpo", "grpo", *further, *rolled)
        more = ["--lr", "2e-4", "--steps", str(MORE_STEPS), "--budgets", *BUDGETS]
        self.taught(at / "more", "sft", *further, *more)
        for name in ("grpo", "more"):
            self.score(at / f"{name}.json", at / name)
        for name in ("none", "more", "grpo"):
            drawn = ["--temperature", "1", "--seed", str(seed)]
            self.score(at / f"{name}-sampled.json", at / name, *drawn)
        self.taught(at / "whole", "sft", *begun, "--thought", "points")
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
        self.taught(few, "allocate", *given[2:], "--table", str(val), "--seed", str(seed))
        tables = ["--table", str(at / "test.jsonl"), "--choose-by", str(val)]
        made = at / "budgets"
        self.run(
            made,
            *(*TRAIN, "ask", "budgets", *given, *tables, "--allocator", str(few)),
            *("--out", str(made)),
        )

    def tell(self) -> None:
        """The table of what is there so far."""
        rules = {"majority": "majority", "best constant": "constant", "Counts": "counts"}
        rows = {name: [self.out / f"{rule}.json"] for name, rule in rules.items()}
        rows |= {name: sorted(self.out.glob(f"seed-*/{made}.json")) for name, made in ROWS.items()}
        self.rows(rows, beside="Counts")


def main() -> None:
    """Run what is missing, and tell."""
    args = Steps.arguments("bilateral", "BRCA-M2C").parse_args()
    study = Study.of(args)
    study.prepare()
    for seed in args.seeds:
        study.seed(seed)
    study.tell()


if __name__ == "__main__":
    main()
