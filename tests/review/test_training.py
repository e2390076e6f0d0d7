from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.process.asked import Training
from napari_nunext.core.scores.metrics import DetectionScore
from napari_nunext.review.learning.training import Trainer, TrainingError, TrainingStep
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

TRAIN = """
import json, sys, time
print("a library's remark")
print(json.dumps([1, 2]))
for step in (1, 2, 3):
    line = {"event": "step", "step": step, "steps": 3, "loss": 3 / step, "eta_s": 3 - step}
    print(json.dumps(line))
    if step > 1:
        what = "validation" if step == 2 else "saving"
        print(json.dumps({"event": "doing", "what": what}))
    sys.stdout.flush()
if "hang" in sys.argv:
    time.sleep(3600)
if "fail" in sys.argv:
    sys.exit("nunext-train: the export holds no nuclei. Accept a field first.")
print(json.dumps({"event": "done", "checkpoint": "out", "arguments": sys.argv[1:]}))
"""


def trainer(*extra: str) -> Trainer:
    return Trainer((sys.executable, "-c", TRAIN, *extra))


def test_progress_is_told_and_the_new_model_returned(tmp_path: Path) -> None:
    told: list[TrainingStep] = []
    out = trainer().sft(
        tmp_path / "e",
        tmp_path / "c",
        tmp_path / "o",
        name="n",
        asked=Training(recipe="first", steps=3),
        tell=told.append,
    )
    assert out == tmp_path / "o"
    assert told == [
        TrainingStep(1, 3, 3.0, 2.0),
        TrainingStep(2, 3, 1.5, 1.0),
        TrainingStep(2, 3, 1.5, None, "validating"),
        TrainingStep(3, 3, 1.0, None),
        TrainingStep(3, 3, 1.0, None, "saving the model"),
    ]
    assert [step.words for step in told][2:] == [
        "Step 2 of 3, validating",
        "Step 3 of 3",
        "Step 3 of 3, saving the model",
    ]


def test_a_failure_is_told_in_the_trainers_last_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Accept a field first"):
        trainer("fail").sft(
            tmp_path,
            tmp_path,
            tmp_path / "o",
            name="n",
            asked=Training(recipe="first"),
            tell=lambda step: None,
        )


def test_a_training_can_be_stopped(tmp_path: Path) -> None:
    running = trainer("hang")
    reached = threading.Event()
    threading.Thread(target=lambda: (reached.wait(PATIENCE_S), running.stop()), daemon=True).start()

    def tell(step: TrainingStep) -> None:
        if step.step == 3:
            reached.set()

    with pytest.raises(TrainingError, match="stopped"):
        running.sft(
            tmp_path, tmp_path, tmp_path / "o", name="n", asked=Training(recipe="first"), tell=tell
        )


def test_a_stopped_trainer_starts_nothing_more(tmp_path: Path) -> None:
    stopped = trainer()
    stopped.stop()
    with pytest.raises(TrainingError, match="stopped"):
        stopped.build(tmp_path / "m", ["Lymphocyte"])


def test_a_missing_trainer_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"napari-nunext\[training\]"):
        Trainer((str(tmp_path / "no-such-command"),)).build(tmp_path / "m", [])


TEST = """
import json, pathlib, sys
print(json.dumps({"event": "image", "done": 1, "total": 1}))
score = {"tp": 3, "fp": 1, "fn": 2}
report = {"overall": score, "by_category": {"A": score}, "images": 1, "radius_um": 3.0}
if "bare" not in sys.argv:
    report["matching"] = "gated"
pathlib.Path(sys.argv[-1]).write_text(json.dumps(report))
"""


def test_the_figures_of_a_test_are_those_of_its_report(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    tester = Trainer((sys.executable, "-c", TEST))
    found = tester.evaluate("classical", tmp_path, lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]
    assert found.overall == found.by_category["A"] == DetectionScore(3, 1, 2)
    with pytest.raises(TrainingError, match="left no figures"):
        Trainer((sys.executable, "-c", TEST, "bare")).evaluate(tmp_path, tmp_path, print)
    with pytest.raises(TrainingError, match="The test failed: the export holds no"):
        trainer("fail").evaluate(tmp_path, tmp_path, print)
