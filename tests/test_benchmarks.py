"""The benchmark harness: claims, tables, reports, and the runner's discovery."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as runner
from benchmarks import _harness
from benchmarks._harness import Claim, measure, report, table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A report folder of the test's own."""
    folder = tmp_path / "build" / "bench"
    monkeypatch.setattr(_harness, "REPO_ROOT", tmp_path)
    monkeypatch.setattr(_harness, "OUT_DIR", folder)
    return folder


def test_a_claim_holds_at_its_goal_and_on_its_better_side() -> None:
    assert Claim("a.speedup", 6.0, goal=6.0, better="higher").holds
    assert not Claim("a.speedup", 5.9, goal=6.0, better="higher").holds
    assert Claim("a.time_s", 1.9, goal=2.0, better="lower").holds
    assert not Claim("a.time_s", 2.1, goal=2.0, better="lower").holds


def test_a_figure_that_was_not_measured_is_no_claim() -> None:
    with pytest.raises(ValueError, match=r"a\.time_s.*nan"):
        Claim("a.time_s", float("nan"), goal=2.0, better="lower")


def test_the_table_says_which_goals_were_missed() -> None:
    lines = table(
        [Claim("a.time_s", 3.0, goal=2.0, better="lower"), Claim("a.f1", 0.8, 0.72, "higher")]
    ).splitlines()
    assert lines[1].split() == ["a.time_s", "3", "<=", "2", "MISSED"]
    assert lines[2].split() == ["a.f1", "0.8", ">=", "0.72", "ok"]


def test_timing_measures_repeats_but_not_warm_up() -> None:
    calls = []

    def work() -> None:
        calls.append(None)
        time.sleep(0.2 if len(calls) == 1 else 0.01)

    timing = measure(work, repeats=3, warmup=1)
    assert len(calls) == 4
    assert timing.repeats == 3
    assert 0.01 <= timing.best_s <= timing.median_s <= timing.worst_s


def test_peak_memory_counts_what_was_held_and_released() -> None:
    code = (
        "from benchmarks._harness import peak_memory_gb as peak\n"
        "before = peak(); block = bytearray(b'x') * 200_000_000; del block; print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(0.2, abs=0.02)


def test_a_report_can_be_read_back_with_its_machine_and_commit(out_dir: Path) -> None:
    claims = [Claim("a.f1", 0.8, goal=0.72, better="higher")]
    report("a", claims, details={"n": 3})
    written = json.loads((out_dir / "a.json").read_text())
    assert runner.read(out_dir / "a.json") == claims
    assert written["details"] == {"n": 3}
    assert written["machine"]["cores"] >= 1
    assert written.keys() >= {"commit", "measured_at"}


def test_a_report_needs_claims_with_distinct_names(out_dir: Path) -> None:
    claim = Claim("a.f1", 0.8, goal=0.72, better="higher")
    for claims in ([], [claim, claim]):
        with pytest.raises(ValueError, match="distinct"):
            report("a", claims)
    assert not out_dir.exists()


def test_the_runner_finds_scripts_and_refuses_unknown_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "matching" in runner.discover()
    assert not [name for name in runner.discover() if name.startswith("_")]
    assert runner.main(["no-such-benchmark"]) == 2
    assert "matching" in capsys.readouterr().out
