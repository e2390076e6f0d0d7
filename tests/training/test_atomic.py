"""A head for atomic points: what it is taught, and the checkpoint that it joins."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import HEAD_FILE, AtomicPoints
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.cli import main
from nunext_training.data.batches import Collator
from nunext_training.data.windows import Example
from nunext_training.method.losses import gaussian_targets
from nunext_training.stages.atomic import run_atomic
from nunext_training.stages.detectors import load_parent
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.stages.stage import Job
from nunext_training.trainers.atomic import (
    AtomicTrainer,
    guess_losses,
    mean_of_windows,
    point_states,
)


def examples_of(*windows, categories=None, side=32):
    """Windows of noise, each with the given points."""
    rng = np.random.default_rng(0)
    return [
        Example(
            rgb=rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
            points_xy=np.array(points, dtype=np.float64).reshape(-1, 2),
            category_indices=None if categories is None else tuple(categories[: len(points)]),
            image_name="noise",
            crop=None,
        )
        for points in windows
    ]


def collator_of(parent):
    pad = parent.windows.processor.tokenizer.pad_token_id
    return Collator(parent.description.codec, parent.windows, pad)


POINTS = ([(3.5, 4.5), (20.5, 9.5), (8.5, 30.5)], [], [(31.5, 0.5)])


@pytest.mark.parametrize("kind", ["checkpoint", "category_checkpoint"])
def test_states_around_a_point_are_those_before_its_three_tokens(kind, request):
    codec = load_checkpoint(request.getfixturevalue(kind)).description.codec
    categories = [0, 1, 0] if codec.has_categories else None
    replies = [
        codec.encode(e.points_xy, e.category_indices)
        for e in examples_of(*POINTS, categories=categories)
    ]
    longest = max(map(len, replies))
    ids = torch.tensor([[*r, *[codec.end_id + 1] * (longest - len(r))] for r in replies])
    # A state that says where it stands, and of which window.
    rows, places = torch.meshgrid(torch.arange(3), torch.arange(longest), indexing="ij")
    states = torch.stack([rows, places], dim=-1).float()
    points = point_states(states, ids, codec)

    found = []
    for row, place in points.there.nonzero().tolist():
        around = [s[row, place].tolist() for s in (points.before, points.at_x, points.at_y)]
        assert around == [[row, 3 * place], [row, 3 * place + 1], [row, 3 * place + 2]]
        found.append((row, int(points.x[row, place]), int(points.y[row, place])))
    expected = [
        (row, *bins) for row, r in enumerate(replies) for bins in codec.parse(r).bins_xy.tolist()
    ]
    assert found == expected


def test_losses_are_cross_entropies_of_y_and_category_averaged_by_window():
    generator = torch.Generator().manual_seed(3)
    y, category = (torch.randn(2, 3, n, generator=generator) for n in (5, 2))
    y_target = torch.randn(2, 3, 5, generator=generator).softmax(-1)
    category_target = torch.eye(2)[torch.tensor([[0, 1, 0], [1, 1, 0]])]
    category_target[1, 0] = 0  # nobody knows it
    losses = guess_losses((y, category), (y_target, category_target))

    def entropy(logits, target):
        logits, target = logits.double().numpy(), target.double().numpy()
        return -sum(target * (logits - np.log(np.exp(logits).sum())))

    for row, place in np.ndindex(2, 3):
        expected = entropy(y[row, place], y_target[row, place])
        expected += entropy(category[row, place], category_target[row, place])
        assert losses[row, place].item() == pytest.approx(expected, rel=1e-5)
    there = torch.tensor([[True, True, False], [True, False, False]])
    mean = ((losses[0, 0] + losses[0, 1]) / 2 + losses[1, 0]) / 2
    assert mean_of_windows(losses, there).item() == pytest.approx(mean.item())
    nothing = torch.zeros_like(there)
    assert mean_of_windows(losses, nothing).item() == 0


@pytest.fixture
def trainer_of(tmp_path, recipe, recorder):
    """``trainer_of(parent, **options)``: a trainer whose loss can be asked for."""

    def make(parent, **options):
        from transformers import TrainingArguments

        from nunext_training.runs.context import RunContext
        from nunext_training.runs.folder import RunFolder
        from nunext_training.stages.arguments import training_options

        run = RunFolder.open(tmp_path / "asked", {}, resume=False)
        return AtomicTrainer(
            AtomicHead.beginning(parent.model, parent.description.codec),
            TrainingArguments(
                output_dir=str(run.path), **training_options(recipe, validates=False)
            ),
            SimpleNamespace(
                examples=lambda count: examples_of(*POINTS),
                validation=None,
                encode=collator_of(parent),
            ),
            RunContext(run, recorder, stop=lambda: False),
            parent=parent,
            options=replace(recipe.atomic, **options),
            loss=recipe.loss,
        )

    return make


def test_the_model_teaches_what_it_would_say_under_the_grammar(category_checkpoint, trainer_of):
    parent = load_checkpoint(category_checkpoint, device="cpu")
    codec = parent.description.codec
    inputs = collator_of(parent)(examples_of(*POINTS, categories=[0, 1, 1]))
    trainer = trainer_of(parent)
    _, points = trainer._read(inputs)
    y, category = trainer._targets(points)

    rest = {name: value for name, value in inputs.items() if name != "labels"}
    with torch.no_grad():
        logits = parent.model(**rest).logits.double()
    start = len(parent.windows.prompt_ids)
    ids = [codec.coordinate_start_id + i for i in range(codec.bins)]
    for row, place in points.there.nonzero().tolist():
        said_y = logits[row, start + 3 * place][ids].softmax(-1)  # the x has been read
        torch.testing.assert_close(y[row, place].double(), said_y, rtol=1e-4, atol=1e-6)
        said = logits[row, start + 3 * place + 1][list(codec.category_ids)].softmax(-1)
        torch.testing.assert_close(category[row, place].double(), said, rtol=1e-4, atol=1e-6)


def test_the_truth_teaches_as_soft_supervision_does(category_checkpoint, trainer_of, recipe):
    parent = load_checkpoint(category_checkpoint, device="cpu")
    unknown = -1
    inputs = collator_of(parent)(examples_of(*POINTS[:1], categories=[0, unknown, 1]))
    trainer = trainer_of(parent, teacher="truth")
    _, points = trainer._read(inputs)
    y, category = trainer._targets(points)
    bins = [4, 9, 30]
    torch.testing.assert_close(y[0], gaussian_targets(32, recipe.loss.sigma_bins)[bins])
    assert category[0].tolist() == [[1, 0], [0, 0], [0, 1]]


def test_windows_without_nuclei_teach_nothing_and_stop_nothing(checkpoint, trainer_of):
    parent = load_checkpoint(checkpoint, device="cpu")
    trainer = trainer_of(parent)
    head = trainer.model
    loss = trainer.compute_loss(head, collator_of(parent)(examples_of([], [])))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in head.parameters())


def test_a_head_joins_a_checkpoint_whose_weights_stay_as_they_are(
    category_checkpoint, export, recipe, recorder, tmp_path
):
    recipe = replace(
        recipe,
        optimiser=replace(recipe.optimiser, steps=24, batch_size=4, lr=5e-3),
        validation=replace(recipe.validation, every_steps=12),
    )
    job = Job((export,), category_checkpoint, tmp_path / "out", recipe)
    assert run_atomic(job, recorder) == tmp_path / "out"
    done = recorder.of("done")[0]
    assert done["loss_last"] < done["loss_first"]  # towards the entropy of what a random model says
    losses = [v["loss"] for v in recorder.of("validation")]
    assert losses[1] < losses[0]

    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (job.out / name).read_bytes() == (category_checkpoint / name).read_bytes()
    loaded = load_checkpoint(job.out, device="cpu")
    assert loaded.atomic_head is not None
    said = loaded.description.provenance["atomic"]
    f1, alone = said["measured"]["f1"], said["measured"]["f1_autoregressive"]
    assert loaded.description.atomic == AtomicPoints(
        used=alone - f1 <= recipe.atomic.f1_loss, tolerance_um=recipe.atomic.tolerance_um
    )
    assert said["method"] == "atomic"
    assert said["recipe"]["atomic"]["teacher"] == "model"
    steps = [
        json.loads(line)["step"] for line in (job.out / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps[-1] == 24


def test_training_that_was_stopped_reaches_the_same_head(
    checkpoint, train_only_export, recipe, recorder, tmp_path
):
    recipe = replace(recipe, validation=replace(recipe.validation, every_steps=2))
    whole = Job((train_only_export,), checkpoint, tmp_path / "whole", recipe)
    run_atomic(whole, recorder)
    halved = Job((train_only_export,), checkpoint, tmp_path / "halved", recipe)
    asked = iter(range(100))
    assert run_atomic(halved, recorder, stop=lambda: next(asked) >= 2) is None
    assert run_atomic(replace(halved, resume=True), recorder) == halved.out
    assert (halved.out / HEAD_FILE).read_bytes() == (whole.out / HEAD_FILE).read_bytes()
    # Nothing was validated: nobody knows what the head costs, so it is not used unasked.
    assert not load_checkpoint(whole.out, device="cpu").description.atomic.used


def test_other_training_leaves_the_head_behind(
    checkpoint, train_only_export, recipe, recorder, tmp_path
):
    short = replace(recipe, optimiser=replace(recipe.optimiser, steps=1))
    head = run_atomic(Job((train_only_export,), checkpoint, tmp_path / "a", short), recorder)
    assert load_parent(head, short.optimiser).atomic_head is None
    tuned = run_sft(SftJob((train_only_export,), head, tmp_path / "b", short), recorder)
    assert load_checkpoint(tuned, device="cpu").description.atomic is None
    assert not (tuned / HEAD_FILE).exists()


def test_the_command_says_what_it_did_and_what_it_cannot_do(
    checkpoint, train_only_export, tmp_path, capsys
):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[optimiser]\nsteps = 1\nbatch_size = 1\nwarmup_steps = 0\n")
    command = ["atomic", "--data", str(train_only_export), "--recipe", str(recipe)]
    out = ["--out", str(tmp_path / "out"), "--progress", "jsonl"]
    options = ["--checkpoint", str(checkpoint), "--tolerance-um", "0.5", *out]
    assert main([*command, *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["event"] == "done"
    assert load_checkpoint(tmp_path / "out").description.atomic.tolerance_um == 0.5
    assert main([*command, "--checkpoint", str(tmp_path / "nothing"), *out]) == 2
    assert "nunext.json" in capsys.readouterr().err
