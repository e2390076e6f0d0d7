"""Made-up files and command lines: does any do what none may.

    python -m benchmarks.fuzz [--inputs N] [--seed S] [--only SUBJECT] [--first I]

An input is read, or refused by an error of this project, within 30 s of processor time and 2 GiB
of memory; whatever else happens escapes. Inputs follow from seed, subject and number; those that
escape are saved in build/fuzz. Requests to the server are fuzzed by ``tests/serving/test_fuzz.py``.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks._harness import OUT_DIR, Claim, report
from benchmarks.fuzzing.running import Escape, Input, run
from benchmarks.fuzzing.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INPUTS = 10_000
CHUNK = 500
"""Inputs of one process."""


def planned(subjects: Sequence[str], inputs: int, first: int = 0) -> list[Input]:
    """So many inputs, subject by subject in turn."""
    return [(subjects[i % len(subjects)], first + i // len(subjects)) for i in range(inputs)]


def fuzz(plan: Sequence[Input], *, seed: int, folder: Path, workers: int = 1) -> list[Escape]:
    """Run inputs and return what escaped."""
    chunks = [plan[at : at + CHUNK] for at in range(0, len(plan), CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda chunk: run(chunk, seed, folder), chunks)
        return [escape for escapes in found for escape in escapes]


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, say what escaped, and report how many did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--inputs", type=int, default=INPUTS, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first of each subject")
    parser.add_argument("--only", choices=sorted(SUBJECTS), action="append")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    began = time.monotonic()
    names = args.only or sorted(SUBJECTS)
    escapes = fuzz(
        planned(names, args.inputs, args.first),
        seed=args.seed,
        folder=OUT_DIR.parent / "fuzz",
        workers=args.workers,
    )
    for escape in escapes:
        print(escape)
    seconds = time.monotonic() - began
    report(
        "fuzz",
        [
            Claim("true.fuzz_escapes", len(escapes), goal=0, better="lower"),
            Claim("true.fuzz_inputs", args.inputs, goal=INPUTS, better="higher"),
            Claim("true.fuzz_hours", seconds / 3600, goal=1.0, better="lower"),
        ],
        details={"seed": args.seed, "subjects": names, "escapes": [str(e) for e in escapes]},
    )
    return 1 if escapes else 0


if __name__ == "__main__":
    sys.exit(main())
