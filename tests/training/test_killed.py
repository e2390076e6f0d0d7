"""A run that is killed in the middle of a step ends, once resumed, as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from nunext_training.cli import main

pytestmark = pytest.mark.slow

SAVED, KILLED, STEPS = 3, 4, 6
"""Saved after a step, killed after seeing a later one end: the next is under way by then."""

OPTIONS = {
    "sft": ["--batch-size", "2", "--warmup-steps", "1"],
    "rft": ["--windows", "2", "--rollouts", "2"],
}


@pytest.mark.parametrize("stage", OPTIONS)
def test_a_killed_run_resumes_to_the_same_result(tmp_path, export, checkpoint, stage, capsys):
    def arguments(out):
        command = [stage, "--data", export, "--checkpoint", checkpoint, "--out", out]
        command += ["--steps", STEPS, "--validate-every", SAVED, "--lr", "1e-3", "--threads", "1"]
        return [str(a) for a in (*command, *OPTIONS[stage], "--progress", "jsonl")]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with subprocess.Popen(
        [sys.executable, "-m", "nunext_training.cli", *arguments(killed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] == KILLED:
                process.kill()
        assert process.wait() == -9
    assert not killed.exists()
    done = (tmp_path / "killed.training" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(done[-1])["step"] >= KILLED  # on disk when it was told

    assert main([*arguments(killed), "--resume"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"event": "start", "step": SAVED, "steps": STEPS}
    assert main(arguments(whole)) == 0

    ours, theirs = (load_file(out / "model.safetensors") for out in (killed, whole))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
