"""Which tests pass in one run and fail in another: ``make lottery [ARGS="--runs 20 tests/core"]``.

The quick tests are run often, each time in another order of modules and with other numbers drawn:
on the machine as it is, on one that others keep busy, and with threads that come late or first
(`tests.unsteady`), by turns. A test whose outcome differs is a lottery; one that always fails is
not, but is told too. Results are kept in build/lottery.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "lottery"
WAYS = ("as it is", "busy", "unsteady")
"""Of running them, by turns."""
ENGINE = Path("tests/vllm")
"""What needs an environment of its own, and is left out of all tests."""


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep the machine busy meanwhile."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def outcomes(report: Path) -> dict[str, str]:
    """Passed, failed or skipped, by test, from a report in JUnit's XML."""
    found = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        kinds = {child.tag for child in case}
        how = "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed"
        found[f"{case.get('classname')}::{case.get('name')}"] = how
    return found


def run(number: int, paths: Sequence[str], way: str, others: int) -> dict[str, str]:
    """One run, in an order of its own; `others` keep a busy machine busy."""
    modules = sorted(
        path
        for given in paths
        for path in ([Path(given)] if Path(given).is_file() else Path(given).rglob("test_*.py"))
        if ENGINE not in path.parents or given != "tests"
    )
    random.Random(number).shuffle(modules)
    report = OUT / f"{number}.xml"
    report.unlink(missing_ok=True)
    # Without CI's fixed numbers: hypothesis draws others in each run.
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", f"--junit-xml={report}"]
    if way == "unsteady":
        command += ["-p", "tests.unsteady"]
        environment["NUNEXT_UNSTEADY"] = str(number)
    with load(others if way == "busy" else 0), (OUT / f"{number}.log").open("wb") as log:
        subprocess.run(
            [*command, "-p", "no:cacheprovider", *map(str, modules)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            check=False,
        )
    if not report.exists():
        raise SystemExit(f"lottery: run {number} did not end; see {OUT / f'{number}.log'}")
    return outcomes(report)


def verdicts(runs: Sequence[dict[str, str]]) -> tuple[list[str], list[str]]:
    """Tests whose outcome differs, and those that always fail."""
    of_test: dict[str, list[str]] = defaultdict(list)
    for found in runs:
        for test, how in found.items():
            of_test[test].append(how)
    lottery = [test for test, hows in sorted(of_test.items()) if len(set(hows)) > 1]
    broken = [test for test, hows in sorted(of_test.items()) if set(hows) == {"failed"}]
    return [f"{t}: {', '.join(of_test[t])}" for t in lottery], broken


def main() -> int:
    """Run, compare, tell."""
    parser = argparse.ArgumentParser(prog="make lottery")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--way", choices=WAYS, help="of every run (default: each by turns)")
    parser.add_argument(
        "--busy", type=int, default=2 * (os.cpu_count() or 1), help="others on a busy machine"
    )
    parser.add_argument("paths", nargs="*", default=["tests"])
    args = parser.parse_args()
    os.chdir(ROOT)
    OUT.mkdir(parents=True, exist_ok=True)
    runs = []
    for number in range(args.first, args.first + args.runs):
        way = args.way or WAYS[number % len(WAYS)]
        runs.append(run(number, args.paths, way, args.busy))
        failed = sum(how == "failed" for how in runs[-1].values())
        print(f"run {number}: {len(runs[-1])} tests, {failed} failed ({way})", flush=True)
    lottery, broken = verdicts(runs)
    for line in (*(f"lottery: {one}" for one in lottery), *(f"always fails: {b}" for b in broken)):
        print(line)
    print(f"{len(lottery)} tests of {len(runs[0])} came out differently in {len(runs)} runs")
    return 1 if lottery or broken else 0


if __name__ == "__main__":
    sys.exit(main())
