"""Runs inputs in a process of its own, within limits, and tells what escaped.

What may come of an input is that it is read, or an error of this project (`NunextError`). Whatever
else happens escapes: another exception, an end of the process, more processor time or memory than
is allowed.
"""

from __future__ import annotations

import json
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks._harness import REPO_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Input: TypeAlias = tuple[str, int]
"""Name of the subject, and number."""
PLAN, DONE = "plan.json", "done.jsonl"
LIMIT_S = 30
"""Processor time of one input."""
LIMIT_BYTES = 2 * 2**30
"""Memory that an input may take; the largest images may take 1.2 GB."""


@dataclass(frozen=True, slots=True)
class Escape:
    """An input that did what none may."""

    subject: str
    seed: int
    number: int
    reason: str
    saved: Path

    def __str__(self) -> str:
        """How to see it again."""
        return (
            f"{self.subject} {self.number}: {self.reason}\n  saved: {self.saved}\n"
            f"  again: python -m benchmarks.fuzz --inputs 1 --only {self.subject} "
            f"--seed {self.seed} --first {self.number}"
        )


def content(subject: str, seed: int, number: int) -> bytes:
    """An input, the same whenever it is asked for."""
    from benchmarks.fuzzing.subjects import SUBJECTS

    return SUBJECTS[subject].make(random.Random(f"{seed}/{subject}/{number}"))


def run(plan: Sequence[Input], seed: int, folder: Path) -> list[Escape]:
    """Run inputs one after the other in one process; what escapes is saved in `folder`.

    A process that an input ends is started again after it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    escapes: list[Escape] = []
    waiting = list(plan)
    while waiting:
        with tempfile.TemporaryDirectory(prefix="nunext-fuzz-") as work:
            Path(work, PLAN).write_text(json.dumps(waiting))
            log = Path(work, "log")
            with log.open("wb") as errors:
                code = subprocess.run(
                    [sys.executable, "-m", __name__, str(seed), work],
                    cwd=REPO_ROOT,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    check=False,
                ).returncode
            done = Path(work, DONE)
            if not done.exists():
                raise RuntimeError(f"The fuzzing process did not begin: {log.read_text()[-2000:]}")
            reasons = [json.loads(line) for line in done.read_text().splitlines()]
            if code != 0:
                reasons.append(_why(code, log.read_text(errors="replace")))
        for (subject, number), reason in zip(waiting, reasons, strict=False):
            if reason is not None:
                escapes.append(_kept(subject, seed, number, reason, folder))
        if code != 0 and not reasons:
            raise RuntimeError(f"The fuzzing process ended with code {code}.")
        waiting = waiting[len(reasons) :] if code != 0 else []
    return escapes


def _kept(subject: str, seed: int, number: int, reason: str, folder: Path) -> Escape:
    from benchmarks.fuzzing.subjects import SUBJECTS

    path = folder / f"{subject}-{seed}-{number}{SUBJECTS[subject].suffix}"
    path.write_bytes(content(subject, seed, number))
    return Escape(subject, seed, number, reason, path)


def _why(code: int, log: str) -> str:
    if code == -signal.SIGPROF:
        return f"took more than {LIMIT_S} s"
    if code < 0:
        return f"the process died of {signal.Signals(-code).name}: {log[-300:]}"
    return f"the process ended with code {code}: {log[-300:]}"


def _child(seed: int, work: Path) -> None:
    """Run what is planned, writing a line about each input that is done."""
    import torch  # noqa: F401  takes as much memory as an input may, and is none's

    from benchmarks.fuzzing.subjects import SUBJECTS

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with (work / DONE).open("w") as done:
        for subject, number in json.loads((work / PLAN).read_text()):
            it = SUBJECTS[subject]
            data = content(subject, seed, number)
            with tempfile.TemporaryDirectory(dir=work) as folder:
                path = Path(folder, f"input{it.suffix}")
                path.write_bytes(data)
                _limit_memory(_address_space_bytes() + LIMIT_BYTES)
                signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
                reason = _reason(it.read, path)
                signal.setitimer(signal.ITIMER_PROF, 0)
                _limit_memory(resource.RLIM_INFINITY)
            done.write(json.dumps(reason) + "\n")
            done.flush()


def _reason(read: Callable[[Path], None], path: Path) -> str | None:
    """Why this is an escape; None if it is none."""
    from napari_nunext.core.errors import NunextError

    try:
        read(path)
    except NunextError as error:
        if _is_of_memory(error):
            return f"took more than {LIMIT_BYTES / 2**30:g} GiB of memory"
        return None
    except Exception as error:  # noqa: BLE001  that is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [
            f for f in frames if {"napari_nunext", "nunext_training"} & {*Path(f.filename).parts}
        ]
        at = ours[-1] if ours else frames[-1]
        said = " ".join(str(error).split())[:300]
        return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}: {said}"
    return None


def _is_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _limit_memory(soft_bytes: int) -> None:
    """Anew for each input: what stays loaded after one is not taken by the next."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (soft_bytes, hard))


def _address_space_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (kilobytes,) = re.findall(r"^VmSize:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
    return int(kilobytes) * 1024


if __name__ == "__main__":
    _child(int(sys.argv[1]), Path(sys.argv[2]))
