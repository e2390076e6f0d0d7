"""What the benchmarks share: claims, timing, memory, and the report that each ends in.

A benchmark is a module beside this one with a ``main()`` that measures and ends in `report`. It
runs as a process of its own (``python -m benchmarks.<name>``), so that peak memory is its own too.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPO_ROOT = Path(__file__).resolve().parents[1]
OUT_DIR = REPO_ROOT / "build" / "bench"


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure with the goal it is held to."""

    name: str
    """Prefix, dot, figure with its unit at the end: ``"method.matching_100k_s"``."""
    value: float
    goal: float
    better: Literal["higher", "lower"]

    def __post_init__(self) -> None:
        """Refuse a figure that no goal can be compared with."""
        if not (math.isfinite(self.value) and math.isfinite(self.goal)):
            raise ValueError(
                f"Claim {self.name} has value {self.value} and goal {self.goal}; "
                "expected finite numbers. Was anything measured?"
            )

    @property
    def holds(self) -> bool:
        """Whether the goal is met, inclusive."""
        return self.value >= self.goal if self.better == "higher" else self.value <= self.goal


@dataclass(frozen=True, slots=True)
class Timing:
    """How long something took, over several runs."""

    median_s: float
    best_s: float
    worst_s: float
    repeats: int


def measure(function: Callable[[], object], *, repeats: int = 5, warmup: int = 1) -> Timing:
    """Time ``function``, called ``warmup`` times unmeasured and then ``repeats`` times.

    Raises
    ------
    ValueError
        If ``repeats`` is not positive.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; expected at least 1.")
    for _ in range(warmup):
        function()
    durations_s = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        durations_s.append(time.perf_counter() - start)
    return Timing(
        median_s=statistics.median(durations_s),
        best_s=min(durations_s),
        worst_s=max(durations_s),
        repeats=repeats,
    )


def peak_memory_gb() -> float:
    """Most memory that this process has held since it began, in GB (10^9 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss down from the parent, so a child's would count what its parent held.
        (line,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        return int(line) * 1024 / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def report(name: str, claims: Sequence[Claim], *, details: dict[str, object] | None = None) -> None:
    """Print the claims as a table and write them to ``build/bench/<name>.json``.

    Parameters
    ----------
    name : str
        Of the script, without its suffix.
    claims : sequence of Claim
        At least one.
    details : dict, optional
        Whatever else is worth keeping, as JSON has it; not printed.

    Raises
    ------
    ValueError
        If there is no claim, or two have one name.
    """
    names = [claim.name for claim in claims]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Claims of {name} are {names}; expected one or more distinct names.")
    on = machine()
    result = {
        "benchmark": name,
        "claims": [asdict(claim) for claim in claims],
        "details": details or {},
        "machine": on,
        "commit": commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    OUT_DIR.mkdir(parents=True, exist_ok=True)
    path = OUT_DIR / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    print(
        f"{on['processor']}, {on['cores']} cores, {on['memory_gb']} GB, {on['system']}, "
        f"Python {on['python']}, commit {result['commit']}"
    )
    print(table(claims))
    print(f"written to {path.relative_to(REPO_ROOT)}")


def table(claims: Sequence[Claim]) -> str:
    """Lay the claims out in columns: figure, value, goal, verdict."""
    rows = [("claim", "value", "goal", "")]
    for claim in claims:
        sign = ">=" if claim.better == "higher" else "<="
        verdict = "ok" if claim.holds else "MISSED"
        rows.append((claim.name, f"{claim.value:.4g}", f"{sign} {claim.goal:.4g}", verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}".rstrip()
        for row in rows
    )


def published(*folders: str) -> list[Path] | None:
    """Folders of published data sets, beside the checkout or where `NAPARI_NUNEXT_DATA` says.

    None, with a sentence, where one of them is missing.
    """
    root = Path(os.environ.get("NAPARI_NUNEXT_DATA") or REPO_ROOT.parent / "shared" / "data")
    missing = [name for name in folders if not (root / name).is_dir()]
    if missing:
        print(f"{root} lacks {' and '.join(missing)}; set NAPARI_NUNEXT_DATA.")
        return None
    return [root / name for name in folders]


def machine() -> dict[str, object]:
    """What the figures were measured on: processor, memory, and versions that matter."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory_bytes / 1e9, 1),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", "scipy", "torch", "transformers")},
    }


def commit() -> str | None:
    """Hash of the checked-out commit, ``-dirty`` where tracked files differ, None outside git."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"],
        cwd=REPO_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
