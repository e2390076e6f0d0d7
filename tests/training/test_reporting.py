"""A recipe's ``report_to``: figures of a run for TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from napari_nunext.core.errors import InputError
from nunext_training.recipes.recipe import Recipe, parse_recipe
from nunext_training.stages.arguments import training_options
from nunext_training.stages.sft import SftJob, run_sft

# What the packages themselves call deprecated is theirs.
pytestmark = pytest.mark.filterwarnings("default")


def trained(tmp_path, export, checkpoint, recipe, recorder, to):
    """A checkpoint, and the losses that its own file has by step."""
    out = tmp_path / "trained"
    job = SftJob((export,), checkpoint, out, replace(recipe, report_to=to))
    assert run_sft(job, recorder) == out
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return out, {line["step"]: line["loss"] for line in lines if line["event"] == "step"}


def test_nobody_is_told_where_a_recipe_says_nothing():
    assert training_options(Recipe(), validates=False)["report_to"] == []


@pytest.mark.parametrize("to", ["tensorboard", "wandb", "mlflow"])
def test_the_trainer_is_told_by_its_own_name(to):
    recipe = parse_recipe(f'report_to = "{to}"\n', "mine")
    assert training_options(recipe, validates=False)["report_to"] == [to]


def test_whom_nobody_knows_is_refused():
    with pytest.raises(InputError, match=r"report_to is 'excel'; expected nothing, tensorb"):
        parse_recipe('report_to = "excel"\n', "mine")


def test_where_a_run_is_reported_is_no_part_of_the_run():
    """So a run that was stopped goes on without TensorBoard, or with it."""
    assert parse_recipe('report_to = "wandb"\n', "a").to_json() == parse_recipe("", "a").to_json()


@pytest.mark.parametrize("to", ["tensorboard", "wandb", "mlflow"])
def test_who_lacks_the_package_is_told_before_anything_is_read(
    tmp_path, export, checkpoint, recipe, recorder, to, monkeypatch
):
    monkeypatch.setitem(sys.modules, to, None)  # as if it were not installed
    job = SftJob((export,), checkpoint, tmp_path / "out", replace(recipe, report_to=to))
    with pytest.raises(InputError, match=rf"has to be installed: pip install '{to}'"):
        run_sft(job, recorder)
    assert not (tmp_path / "out.training").exists()


def test_tensorboard_has_every_loss_beside_the_checkpoint(
    tmp_path, export, checkpoint, recipe, recorder
):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, losses = trained(tmp_path, export, checkpoint, recipe, recorder, "tensorboard")
    written = EventAccumulator(str(out.with_name("trained.tensorboard"))).Reload()
    said = {event.step: event.value for event in written.Scalars("train/loss")}
    assert said == pytest.approx(losses, rel=1e-3)
    assert len(written.Scalars("eval/loss")) == 2


def test_mlflow_has_every_loss_under_the_checkpoints_name(
    tmp_path, export, checkpoint, recipe, recorder, monkeypatch
):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    _, losses = trained(tmp_path, export, checkpoint, recipe, recorder, "mlflow")
    mlflow.end_run()
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    (run,) = client.search_runs(["0"])
    assert run.info.run_name == "trained"
    said = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "loss")}
    assert said == pytest.approx(losses, rel=1e-3)


def test_weights_and_biases_writes_offline_where_it_is_told_to(
    tmp_path, export, checkpoint, recipe, recorder, monkeypatch
):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    _, losses = trained(tmp_path, export, checkpoint, recipe, recorder, "wandb")
    assert wandb.run.name == "trained"
    assert wandb.run.summary["train/loss"] == pytest.approx(losses[max(losses)], rel=1e-3)
    wandb.finish()
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
