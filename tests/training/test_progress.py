from __future__ import annotations

import io
import json
from pathlib import Path

from nunext_training.runs.progress import Bar, JsonLines


def report(progress):
    progress.start(step=10, steps=20)
    progress.step(step=11, loss=2.5)
    progress.doing(what="validation")
    progress.validation(step=11, loss=2.25, f1=0.5)
    progress.step(step=12, loss=2.0)
    progress.doing(what="saving")
    progress.done(checkpoint=Path("out"), loss_first=2.5, loss_last=2.0)


def test_json_lines_are_one_object_each_with_the_time_left():
    stream, ticks = io.StringIO(), iter([100.0, 103.0, 106.0])
    report(JsonLines(stream, clock=lambda: next(ticks)))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    events = ["start", "step", "doing", "validation", "step", "doing", "done"]
    assert [line["event"] for line in lines] == events
    assert [line["what"] for line in lines if line["event"] == "doing"] == ["validation", "saving"]
    # One of ten remaining steps in 3 s leaves nine: 27 s; two in 6 s leave eight: 24 s.
    assert lines[1] == {"event": "step", "step": 11, "steps": 20, "loss": 2.5, "eta_s": 27.0}
    assert lines[4]["eta_s"] == 24.0
    assert lines[6] == {"event": "done", "checkpoint": "out", "loss_first": 2.5, "loss_last": 2.0}


def test_the_bar_shows_losses_and_ends_with_the_checkpoint():
    stream = io.StringIO()
    report(Bar(stream))
    shown = stream.getvalue()
    assert "12/20" in shown
    assert "val_f1=0.500" in shown
    assert shown.rstrip().endswith("Loss 2.500 -> 2.000. Checkpoint: out")
