"""Run the benchmarks, each as a process of its own: ``python -m benchmarks [NAME...]``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks._harness import OUT_DIR, REPO_ROOT, Claim, table


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all.

    Returns
    -------
    int
        0; 1 if a script failed; 2 if a name is unknown. A missed goal is a figure, not a failure.
    """
    known = discover()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"Unknown benchmark: {', '.join(unknown)}. There are: {', '.join(known)}.")
        return 2
    claims: list[Claim] = []
    failed = []
    for name in names or known:
        print(f"== {name}", flush=True)
        # A figure of an earlier run must not stand for one that failed.
        result = OUT_DIR / f"{name}.json"
        result.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=REPO_ROOT)
        if done.returncode == 0 and result.exists():
            claims += read(result)
        else:
            failed.append(name)
        print()
    if len(names or known) > 1 and claims:
        print(table(claims))
    print(f"{sum(claim.holds for claim in claims)} of {len(claims)} claims hold")
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def discover() -> list[str]:
    """Names of the scripts beside this one, sorted."""
    scripts = Path(__file__).parent.glob("[!_]*.py")
    return sorted(script.stem for script in scripts)


def read(result: Path) -> list[Claim]:
    """Claims that a benchmark wrote."""
    return [Claim(**claim) for claim in json.loads(result.read_text(encoding="utf-8"))["claims"]]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
