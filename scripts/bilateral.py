"""Train answerers, and score them row by row: ``make bilateral DATA=folder [ARGS="--seeds 0"]``.

The folder holds BRCA-M2C. Performers learn from the train split, allocators from the val split, and
figures are of the test split, which nothing else looks at. An hour and a half of one core a seed;
seeds are independent, and may run side by side. The table is of all that were kept:
``--keep docs/figures/answers`` adds a seed to those of the documentation.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nunext_training.evaluation.answering.answer_rows import condensed
from nunext_training.runs.files import write_json, write_text
from scripts.steps import TRAIN, Steps

if TYPE_CHECKING:
    from collections.abc import Iterable


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
RULES = {"majority": "majority", "best constant": "constant", "Counts": "counts"}
GROUPS = {
    "points settle it": ("dominant", "density", "present", "count", "boxes", "quadrant"),
    "pixels are needed": ("dark_count", "dark_dominant", "dark_quadrant", "darker_half"),
}
"""Kinds of questions by what they ask of an answerer."""


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

    def keep(self, kept: Path) -> None:
        """What came of the rules and of each seed, a file each, without the single answers."""
        kept.mkdir(parents=True, exist_ok=True)
        self._keep(kept / "rules.json", self.out, RULES)
        for seed in sorted(self.out.glob("seed-*")):
            self._keep(kept / f"{seed.name}.json", seed, ROWS)

    def _keep(self, made: Path, folder: Path, rows: dict[str, str]) -> None:
        files = {name: folder / f"{name}.json" for name in rows.values()}
        there = {
            name: json.loads(file.read_text()) for name, file in files.items() if file.exists()
        }
        if there:
            lines = {name: condensed(evaluation) for name, evaluation in there.items()}
            write_text(made, json.dumps(lines, separators=(",", ":")) + "\n")

    def tell(self, kept: Path) -> None:
        """The table of all that was kept."""
        seeds = [json.loads(file.read_text()) for file in sorted(kept.glob("seed-*.json"))]
        rules = json.loads((kept / "rules.json").read_text())
        rows = {name: self._files(made, [rules]) for name, made in RULES.items()}
        rows |= {name: self._files(made, seeds) for name, made in ROWS.items()}
        groups = [f"{name}={','.join(kinds)}" for name, kinds in GROUPS.items()]
        self.rows(rows, "--beside", "Counts", "--group", *groups)

    def _files(self, made: str, kept: Iterable[dict[str, Any]]) -> list[Path]:
        files = []
        for number, evaluations in enumerate(kept):
            if made in evaluations:
                files.append(self.out / "kept" / f"{made}-{number}.json")
                files[-1].parent.mkdir(parents=True, exist_ok=True)
                write_json(files[-1], evaluations[made])
        return files


def main() -> None:
    """Run what is missing, and tell."""
    parser = Steps.arguments("bilateral", "BRCA-M2C")
    parser.add_argument("--keep", type=Path, help="where figures are kept (OUT/figures)")
    args = parser.parse_args()
    study = Study.of(args)
    study.prepare()
    for seed in args.seeds:
        study.seed(seed)
    kept = args.keep or study.out / "figures"
    study.keep(kept)
    study.tell(kept)


if __name__ == "__main__":
    main()
