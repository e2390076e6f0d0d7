"""A run that is killed in the middle of a step ends, once resumed, as if it had not been."""

from __future__ import annotations

import json
import signal

import pytest
from safetensors.torch import load_file

from nunext_training.cli import main
from tests.training.stopping import train_until

pytestmark = pytest.mark.slow

SAVED, KILLED, STEPS = 3, 5, 6
"""Saved after a step, and killed in the middle of one that comes later, but not next."""

OPTIONS = {
    "sft": ["--batch-size", "2", "--warmup-steps", "1", "--untested"],
    "rft": ["--windows", "2", "--rollouts", "2"],
}


@pytest.mark.parametrize("stage", OPTIONS)
def test_a_killed_run_resumes_to_the_same_result(tmp_path, export, checkpoint, stage, capsys):
    def arguments(out):
        command = [stage, "--data", export, "--checkpoint", checkpoint, "--out", out]
        command += ["--steps", STEPS, "--validate-every", SAVED, "--lr", "1e-3", "--threads", "1"]
        return [str(a) for a in (*command, *OPTIONS[stage], "--progress", "jsonl")]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert train_until(KILLED, signal.SIGKILL, arguments(killed)).returncode == -signal.SIGKILL
    assert not killed.exists()
    done = (tmp_path / "killed.training" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(done[-1])["step"] == KILLED - 1

    assert main([*arguments(killed), "--resume"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"event": "start", "step": SAVED, "steps": STEPS}
    assert main(arguments(whole)) == 0

    ours, theirs = (load_file(out / "model.safetensors") for out in (killed, whole))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
