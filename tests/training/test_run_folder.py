from __future__ import annotations

import pytest

from napari_nunext.core.errors import InputError
from nunext_training.runs.folder import Best, RunFolder

IDENTITY = {"recipe": {"seed": 0}, "data": ["a"]}


def test_a_run_in_progress_is_not_begun_again_by_accident(tmp_path):
    RunFolder.open(tmp_path / "out", IDENTITY, resume=False)
    with pytest.raises(InputError, match="--resume"):
        RunFolder.open(tmp_path / "out", IDENTITY, resume=False)


def test_only_the_very_same_run_goes_on(tmp_path):
    RunFolder.open(tmp_path / "out", IDENTITY, resume=True)
    RunFolder.open(tmp_path / "out", IDENTITY, resume=True)
    with pytest.raises(InputError, match="another recipe"):
        RunFolder.open(tmp_path / "out", IDENTITY | {"recipe": {"seed": 1}}, resume=True)


def test_a_folder_in_use_is_not_overwritten(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        RunFolder.open(tmp_path, IDENTITY, resume=False)


def test_metrics_after_the_step_to_resume_from_are_forgotten(tmp_path):
    run = RunFolder.open(tmp_path / "out", IDENTITY, resume=False)
    for step in range(1, 6):
        run.append_metrics({"event": "step", "step": step, "loss": 6.0 - step})
    with run.metrics_path.open("a") as file:
        file.write('{"event": "step", "st')  # killed while writing
    run.forget_after(3)
    assert [m["step"] for m in run.metrics()] == [1, 2, 3]
    assert run.loss_first_and_last() == (5.0, 3.0)


def test_first_and_last_loss_are_means_over_a_tenth(tmp_path):
    run = RunFolder.open(tmp_path / "out", IDENTITY, resume=False)
    for step in range(1, 41):
        run.append_metrics({"event": "step", "step": step, "loss": float(step)})
    assert run.loss_first_and_last() == (2.5, 38.5)


def test_best_is_the_higher_f1_and_then_the_lower_loss():
    assert Best(1, 2.0, 0.0).is_better_than(None)
    assert Best(2, 9.0, 0.5).is_better_than(Best(1, 2.0, 0.4))
    assert Best(2, 1.0, 0.0).is_better_than(Best(1, 2.0, 0.0))
    assert not Best(2, 2.0, 0.4).is_better_than(Best(1, 2.0, 0.4))
    assert Best(2, 1.0).is_better_than(Best(1, 2.0))


def test_best_weights_are_replaced_and_remembered(tmp_path):
    run = RunFolder.open(tmp_path / "out", IDENTITY, resume=False)
    for step in (1, 2):
        weights = run.path / "partial"
        weights.mkdir()
        (weights / "w").write_text(str(step))
        run.set_best(Best(step, 1.0 / step, None), weights)
    assert run.best() == Best(2, 0.5, None)
    assert run.best_weights is not None
    assert (run.best_weights / "w").read_text() == "2"
    assert [p.name for p in run.path.glob("best*")] == ["best-2"]
    assert not (run.path / "partial").exists()
