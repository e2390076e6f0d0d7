from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from trl import GRPOTrainer

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.cli import main
from nunext_training.data.crops import Crop
from nunext_training.data.importers.writing import write_export
from nunext_training.data.windows import Example
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.recipes.stage_sections import RftOptions
from nunext_training.runs.errors import TrainingError
from nunext_training.runs.folder import RunFolder
from nunext_training.stages.rft import RftJob, grpo_config, run_rft
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.tasks.scoring import RolloutScorer
from nunext_training.trainers.grpo import NextPointGrpoTrainer

RECIPE = """
seed = 1
[windows]
scale_range = [1.0, 1.0]
turn = false
stain_strength = 0.0
[loss]
sigma_bins = 1.0
[optimiser]
steps = 60
batch_size = 8
lr = 4e-3
warmup_steps = 5
[validation]
every_steps = 1000
images = 1
[rft]
steps = 4
windows_per_step = 2
rollouts = 4
lr = 3e-4
warmup_steps = 1
validate_every = 2
"""


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(RECIPE, "quick")


@pytest.fixture(scope="module")
def tissue(tmp_path_factory, labelled_tile):
    """An export with two tiles to train on and one to validate with."""
    folder = tmp_path_factory.mktemp("tissue")
    rng = np.random.default_rng(5)
    grid = np.array([(x, y) for y in range(8, 64, 12) for x in range(8, 64, 12)], dtype=float)
    tiles = [
        labelled_tile(folder, name, rng.permutation(grid)[:n], split=split)
        for name, n, split in (("a", 9, "train"), ("b", 7, "train"), ("c", 8, "val"))
    ]
    write_export(
        tiles, folder / "export", categories=default_categories(["Round"]), origin="synthetic"
    )
    return folder / "export"


class Silent:
    """A `Progress` that nobody reads."""

    def start(self, **values):
        pass

    step = doing = validation = done = start


@pytest.fixture(scope="module")
def taught(tmp_path_factory, tissue, checkpoint, recipe):
    """A checkpoint that was taught a little: it writes points, some of them right."""
    out = tmp_path_factory.mktemp("taught") / "sft"
    run_sft(SftJob((tissue,), checkpoint, out, recipe), Silent())
    return out


def changed(recipe, **rft):
    return replace(recipe, rft=replace(recipe.rft, **rft))


def metrics(out, event="step"):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.fixture
def batches(monkeypatch):
    """Every batch that a loss was computed of, with the loss."""
    seen = []
    compute = NextPointGrpoTrainer._compute_loss

    def spy(self, model, inputs):
        loss = compute(self, model, inputs)
        seen.append((dict(inputs), loss.item()))
        return loss

    monkeypatch.setattr(NextPointGrpoTrainer, "_compute_loss", spy)
    return seen


def test_trl_still_has_what_is_replaced():
    parameters = {
        "_generate_and_score_completions": ["self", "inputs"],
        "_compute_loss": ["self", "model", "inputs"],
        "_get_per_token_logps_and_entropies": [
            *["self", "model", "input_ids", "attention_mask", "logits_to_keep"],
            *["batch_size", "compute_entropy", "compute_aux_loss"],
        ],
    }
    for name, expected in parameters.items():
        got = list(inspect.signature(getattr(GRPOTrainer, name)).parameters)
        assert got[: len(expected)] == expected
    source = inspect.getsource(GRPOTrainer._compute_loss)
    for key in (
        *["prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages"],
        "old_per_token_logps",
    ):
        assert f'"{key}"' in source
    assert "advantages.dim() == 1" in source  # so that (B, T) is taken as it is
    assert "_metrics" in inspect.getsource(GRPOTrainer.log)


def test_a_checkpoint_comes_out_that_is_not_worse_and_says_what_it_is(
    tmp_path, tissue, taught, recipe, recorder
):
    out = tmp_path / "tuned"
    recipe = changed(recipe, steps=14, validate_every=7)
    assert run_rft(RftJob((tissue,), taught, out, recipe), recorder) == out
    assert [s["step"] for s in recorder.of("step")] == list(range(1, 15))
    assert [v["step"] for v in recorder.of("validation")] == [0, 7, 14]
    validations, steps = metrics(out, "validation"), metrics(out)
    rewards = [s["reward"] for s in steps]
    assert np.mean(rewards[-7:]) > 0.7 * np.mean(rewards[:7])  # nothing collapses
    assert all(s["loss"] == -s["reward"] for s in steps)
    assert all(0 <= s["kept_groups"] <= 1 and s["entropy"] > 0 for s in steps)
    description = read_description(out)
    (figures,) = description.metrics
    assert (figures["f1"], figures["reward"]) >= (validations[0]["f1"], validations[0]["reward"])
    assert description.provenance["method"] == "rft"
    assert description.provenance["parent_sha256"] == checkpoint_sha256(taught)
    assert description.codec == read_description(taught).codec
    assert not (tmp_path / "tuned.training").exists()


def test_the_loss_is_eq_11_of_advantages_shaped_by_eq_18(tmp_path, tissue, taught, recipe, batches):
    run_rft(RftJob((tissue,), taught, tmp_path / "out", changed(recipe, steps=3)), Silent())
    assert len(batches) == 3
    shaped = 0
    for inputs, loss in batches:
        advantages, mask = inputs["advantages"], inputs["completion_mask"]
        assert advantages.shape == mask.shape == inputs["completion_ids"].shape
        assert not advantages[mask == 0].any()
        # Rollouts are learned from once: the ratio is 1, and Eq. 11 a mean of means.
        by_sequence = (advantages * mask).sum(dim=1) / mask.sum(dim=1)
        assert loss == pytest.approx(-by_sequence.mean().item(), abs=1e-5)
        for row, length in zip(advantages, mask.sum(dim=1).tolist(), strict=True):
            whole = row[length - 1]  # the end token's
            parts = row[: length - 1].reshape(-1)
            assert all(p in (whole, whole / 2) for p in parts)
            shaped += int((parts != whole).sum())
            points = parts[: len(parts) // 3 * 3].reshape(-1, 3)
            assert (points == points[:, :1]).all()  # a point's tokens share one advantage
    assert shaped > 0


def test_filtering_and_shaping_can_be_left_out_alone(tmp_path, tissue, taught, recipe, batches):
    """At a threshold that no group reaches, filtering leaves nothing to learn."""
    for name, options in (
        ("filtered", {"min_std": 1.0}),
        ("unshaped", {"min_std": 1.0, "filter_groups": False, "shape_advantages": False}),
    ):
        work = changed(recipe, steps=1, **options)
        run_rft(RftJob((tissue,), taught, tmp_path / name, work), Silent())
    (filtered, _), (unshaped, _) = batches
    assert not filtered["advantages"].any()
    mask = unshaped["completion_mask"].bool()
    assert unshaped["advantages"].any()
    for row, of_reply in zip(unshaped["advantages"], mask, strict=True):
        assert len(row[of_reply].unique()) == 1
    assert metrics(tmp_path / "filtered")[0]["kept_groups"] == 0.0
    assert metrics(tmp_path / "unshaped")[0]["kept_groups"] == 1.0


def test_rollouts_that_are_used_again_are_compared_with_the_policy_that_drew_them(
    tmp_path, tissue, taught, recipe, batches
):
    again = {"iterations": 2, "accumulation": 2, "coordinate_temperature": 0.5}
    work = changed(recipe, steps=4, lr=1e-3, warmup_steps=0, **again)
    run_rft(RftJob((tissue,), taught, tmp_path / "out", work), Silent())
    rows = [inputs["completion_ids"].shape[0] for inputs, _ in batches]
    assert rows == [4] * 8  # two passes for each of four steps
    first, again = batches[0][0], batches[2][0]
    assert torch.equal(first["completion_ids"], again["completion_ids"])
    assert torch.equal(first["old_per_token_logps"], again["old_per_token_logps"])
    assert batches[0][1] != batches[2][1]  # the policy has moved on
    by_sequence = (first["advantages"] * first["completion_mask"]).sum(dim=1)
    by_sequence /= first["completion_mask"].sum(dim=1)
    # At first the ratio of Eq. 11 is 1: old and new are tempered alike. A pass is half a step.
    assert batches[0][1] == pytest.approx(-by_sequence.mean().item() / 2, abs=1e-5)


@pytest.mark.parametrize("stop_after", [2, 3])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    tmp_path, tissue, taught, recipe, recorder, stop_after
):
    whole = tmp_path / "whole"
    run_rft(RftJob((tissue,), taught, whole, recipe), Silent())
    out = tmp_path / "resumed"
    asked = iter(range(1, 100))
    work = RftJob((tissue,), taught, out, recipe)
    assert run_rft(work, recorder, stop=lambda: next(asked) >= stop_after) is None
    assert run_rft(replace(work, resume=True), recorder) == out
    assert recorder.of("start")[-1] == {"step": stop_after, "steps": 4}
    ours, theirs = load_file(out / "model.safetensors"), load_file(whole / "model.safetensors")
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
    assert (out / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.parametrize(("iterations", "holds"), [(1, "input_ids"), (2, "completion_ids")])
def test_weights_that_are_no_numbers_stop_and_leave_their_batch(
    tmp_path, tissue, taught, recipe, iterations, holds
):
    """In the second step: where it samples, and where it learns from its rollouts again."""
    work = changed(recipe, lr=1e30, warmup_steps=0, iterations=iterations)
    work = replace(work, optimiser=replace(work.optimiser, max_grad_norm=1e30))
    with pytest.raises(TrainingError, match="bad_batch"):
        run_rft(RftJob((tissue,), taught, tmp_path / "out", work), Silent())
    batch = load_file(tmp_path / "out.training" / "bad_batch.safetensors")
    assert {"pixel_values", holds} <= batch.keys()
    told = json.loads((tmp_path / "out.training" / "bad_batch.json").read_text())
    assert told == {"step": 2, "loss": "nan"}
    assert not (tmp_path / "out").exists()


def test_the_task_guided_reward_needs_a_segmenter_and_true_masks(tmp_path, tissue, taught, recipe):
    work = RftJob((tissue,), taught, tmp_path / "out", changed(recipe, task_guided=True))
    with pytest.raises(InputError, match="--segmenter"):
        run_rft(work, Silent())
    with pytest.raises(RecordError, match="without a mask"):
        run_rft(replace(work, segmenter=tmp_path), Silent())
    assert not (tmp_path / "out.training").exists()


def test_eq_19_counts_masks_beside_points(taught):
    loaded = load_checkpoint(taught, dtype=torch.float32)
    true_xy = np.array([(8.5, 8.5), (20.5, 20.5)])
    truth = np.zeros((32, 32), dtype=np.int32)
    truth[6:11, 6:11], truth[18:23, 18:23] = 1, 2
    example = Example(
        np.zeros((32, 32, 3), dtype=np.uint8),
        true_xy,
        None,
        "a",
        Crop(Box(0, 0, 32, 32), 32),
        truth,
    )

    def half_of_them(rgb, points_xy):
        return np.where(truth == 1, truth, 0)

    reply = loaded.description.codec.encode(true_xy)
    plain = RolloutScorer(loaded, RftOptions()).score(example, reply)
    guided = RolloutScorer(loaded, RftOptions(task_guided=True, gamma=0.3), half_of_them).score(
        example, reply
    )
    assert plain.reward == 1.0
    assert guided.reward == pytest.approx(1.0 + 0.3 * (2 / 3))  # DQ = 2/3, SQ = 1
    with pytest.raises(TrainingError, match="no true masks"):
        RolloutScorer(loaded, RftOptions(task_guided=True), half_of_them).score(
            replace(example, labels=None), reply
        )


def test_the_radius_is_in_micrometres(taught):
    loaded = load_checkpoint(taught, dtype=torch.float32)  # 0.5 um/px
    example = Example(
        np.zeros((32, 32, 3), dtype=np.uint8),
        np.array([(8.5, 8.5)]),
        None,
        "a",
        Crop(Box(0, 0, 32, 32), 32),
    )
    reply = loaded.description.codec.encode(np.array([(12.5, 8.5)]))  # 2 um off
    assert RolloutScorer(loaded, RftOptions(radius_um=2.0)).score(example, reply).reward == 1.0
    assert RolloutScorer(loaded, RftOptions(radius_um=1.9)).score(example, reply).reward == 0.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rollouts", "1"),
        ("accumulation", "3"),
        ("matching", '"greedy"'),
        ("epsilon", "1.5"),
        ("beta", "2.0"),
        ("min_std", "-0.1"),
        ("margin_um", "-1.0"),
        ("temperature", "0.0"),
        ("coordinate_temperature", "0.01"),
        ("coordinate_temperature", "1.5"),
    ],
)
def test_a_recipe_that_does_not_hold_is_refused_by_its_key(key, value):
    with pytest.raises(InputError, match=rf"rft\.{key} is"):
        parse_recipe(f"[rft]\n{key} = {value}\n", "bad")


def test_a_margin_that_leaves_nothing_of_a_window_is_refused(tmp_path, tissue, taught, recipe):
    with pytest.raises(InputError, match=r"margin_um is 8, .* a window of 16 um"):
        run_rft(RftJob((tissue,), taught, tmp_path / "o", changed(recipe, margin_um=8.0)), Silent())


def test_rollouts_in_use_are_not_cut_off():
    with pytest.raises(InputError, match="multiple of iterations"):
        parse_recipe("[rft]\niterations = 2\nvalidate_every = 5\n", "bad")


def test_the_command_runs_a_recipe(tmp_path, tissue, taught, capsys):
    (tmp_path / "quick.toml").write_text(RECIPE)
    out = tmp_path / "out"
    code = main(
        [
            *["rft", "--data", str(tissue), "--checkpoint", str(taught), "--out", str(out)],
            *["--recipe", str(tmp_path / "quick.toml"), "--steps", "1", "--rollouts", "2"],
            *["--progress", "jsonl"],
        ]
    )
    assert code == 0
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    steps = ["start", "validation", "step", "doing", "validation", "doing", "done"]
    assert events == steps
    assert read_description(out).provenance["recipe"]["rft"]["rollouts"] == 2


def test_the_trainer_gets_the_numbers_of_the_recipe(tmp_path):
    recipe = parse_recipe(
        "[rft]\nepsilon = 0.31\ntemperature = 0.9\nrollouts = 4\niterations = 2\n", "mine"
    )
    run = RunFolder.open(tmp_path / "out", {}, resume=False)
    config = grpo_config(recipe, run, validates=False)
    assert (config.epsilon, config.temperature) == (0.31, 0.9)
    assert (config.num_generations, config.num_iterations) == (4, 2)
    assert (config.beta, config.scale_rewards) == (0.0, "none")
