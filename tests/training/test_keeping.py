"""What the parent knew is kept: replayed windows, and the divergence from what it says in them."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import UNCATEGORISED, default_categories
from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.extend import add_categories
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.sam.build import build_sam
from napari_nunext.synthetic.generate import MPP_DRAWN
from nunext_training.cli import main
from nunext_training.data.batches import REPLAYED, inputs_of, part_of
from nunext_training.data.importers.writing import write_export
from nunext_training.data.training_data import TrainingData
from nunext_training.evaluation.remembering import FILE_NAME, BeforeAndAfter
from nunext_training.method.losses import divergences
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.recipes.sections import CentreMapOptions, KeepingOptions, LoraOptions
from nunext_training.stages.sft import SftJob, SftStage, run_sft
from nunext_training.tasks import replaying
from nunext_training.tasks.points import PointsTask
from nunext_training.tasks.replaying import earlier_tissue, is_replayed
from nunext_training.trainers import keeping
from nunext_training.trainers.keeping import FrozenParent, unlearned_tokens
from nunext_training.trainers.lora import add_lora

KEEPING = KeepingOptions(replay=0.5, tiles=2, kl=1.0)


@pytest.fixture
def keeping_recipe(recipe):
    return replace(recipe, keeping=KEEPING)


@pytest.fixture
def parent(category_checkpoint):
    return load_checkpoint(category_checkpoint, dtype=torch.float32)


def weights(folder):
    return load_file(folder / "model.safetensors")


# The divergence


def kl_by_hand(logits, parent_logits, kept):
    rows = []
    for row in range(len(logits)):
        terms = []
        for t in range(logits.shape[1]):
            if not kept[row, t]:
                continue
            q = np.exp(np.float64(logits[row, t]))
            p = np.exp(np.float64(parent_logits[row, t]))
            q, p = q / q.sum(), p / p.sum()
            terms.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))
        rows.append(sum(terms) / len(terms))
    return rows


def test_the_divergence_equals_brute_force_with_tokens_that_the_parent_is_not_asked_about():
    generator = torch.Generator().manual_seed(4)
    logits, theirs = (torch.randn(3, 5, 7, generator=generator) for _ in range(2))
    theirs[..., 6] = -torch.inf
    kept = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 1, 0]]).bool()
    found = divergences(logits, theirs, kept)
    assert found.tolist() == pytest.approx(kl_by_hand(logits, theirs, kept), abs=1e-5)
    assert (found > 0).all()


def test_who_says_what_the_parent_says_is_not_moved():
    theirs = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    logits = theirs.clone().requires_grad_()
    apart = divergences(logits, theirs, torch.ones(2, 3, dtype=torch.bool))
    apart.sum().backward()
    assert apart.tolist() == pytest.approx([0, 0], abs=1e-6)
    assert float(logits.grad.abs().max()) < 1e-6


# The parent


def test_the_parent_says_what_it_said_whatever_the_model_learns(parent):
    prompt = dict(parent.windows([np.full((32, 32, 3), 200, np.uint8)]))
    with torch.no_grad():
        before = parent.model(**prompt).logits[:, -2:]
    frozen = FrozenParent(parent.model)
    with torch.no_grad():
        for parameter in parent.model.parameters():
            parameter.add_(0.1)
    torch.testing.assert_close(frozen.logits(prompt, 2), before)


def test_with_additions_the_parent_is_the_model_without_them_and_nothing_is_copied(parent):
    prompt = dict(parent.windows([np.full((32, 32, 3), 200, np.uint8)]))
    with torch.no_grad():
        before = parent.model(**prompt).logits[:, -1:]
    model = add_lora(parent, LoraOptions(rank=2))
    frozen = FrozenParent(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
        changed = model(**prompt).logits[:, -1:]
    model.train()
    torch.testing.assert_close(frozen.logits(prompt, 1), before)
    assert model.training
    assert (changed - before).abs().max() > 1e-3
    assert frozen._model is model


@pytest.mark.parametrize("rank", [0, 2])
def test_what_a_second_copy_takes_is_told_where_there_is_one(parent, rank, monkeypatch, caplog):
    model = parent.model if rank == 0 else add_lora(parent, LoraOptions(rank=rank))
    FrozenParent(model)
    assert not caplog.text  # a small one
    size = sum(p.numel() * p.element_size() for p in parent.model.parameters())
    monkeypatch.setattr(keeping, "TOLD_FROM_BYTES", size)
    FrozenParent(model)
    assert ("GB more memory. With lora.rank above 0 nothing is copied" in caplog.text) == (
        rank == 0
    )


@pytest.mark.parametrize("training", [True, False])
def test_a_model_learns_on_in_its_mode_after_the_parent_could_not_answer(parent, training):
    model = add_lora(parent, LoraOptions(rank=2)).train(training)
    prompt = dict(parent.windows([np.full((32, 32, 3), 200, np.uint8)]))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1)
        model.eval()
        before = model(**prompt).logits
        model.train(training)
    full = RuntimeError("CUDA out of memory")
    broken = model.get_output_embeddings().register_forward_pre_hook(Mock(side_effect=full))
    with pytest.raises(RuntimeError, match="out of memory"):
        FrozenParent(model).logits(prompt, 1)
    broken.remove()
    assert model.training == training
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(**prompt).logits, before)


def test_a_category_that_was_added_and_never_taught_is_not_asked_about(
    parent, category_checkpoint, tmp_path
):
    assert unlearned_tokens(parent.description) == ()
    add_categories(category_checkpoint, tmp_path / "more", ["Mitosis"])
    extended = load_checkpoint(tmp_path / "more", dtype=torch.float32)
    codec = extended.description.codec
    tokens = unlearned_tokens(extended.description)
    assert tokens == (codec.category_ids[codec.category_names.index("Mitosis")],)
    prompt = dict(extended.windows([np.zeros((32, 32, 3), np.uint8)]))
    logits = FrozenParent(extended.model, tokens).logits(prompt, 1)
    assert torch.isneginf(logits[..., list(tokens)]).all()
    assert torch.isfinite(logits).sum() == logits.numel() - 1


# Which windows are replayed


@pytest.mark.parametrize("share", [0.0, 0.2, 0.25, 0.5, 0.75])
def test_every_batch_has_its_part_of_replayed_windows(share):
    batch = 20
    for first in range(0, 200, batch):
        counted = sum(is_replayed(i, share) for i in range(first, first + batch))
        assert counted == round(batch * share)


def test_the_new_windows_are_those_of_a_run_inputs_of(parent, keeping_recipe, tiles):
    data = TrainingData(tiles[:2], (), ())
    earlier = earlier_tissue((), ("Round", "Pale"), mpp=0.5, tiles=2)
    mixed = PointsTask(parent, keeping_recipe, data, earlier=earlier.images).examples(12)
    alone = PointsTask(parent, keeping_recipe, data).examples(12)
    assert [mixed[i].replayed for i in range(12)] == [is_replayed(i, 0.5) for i in range(12)]
    for i in range(12):
        assert mixed[i].image_name.startswith("synthetic-") == mixed[i].replayed
        if not mixed[i].replayed:
            np.testing.assert_array_equal(mixed[i].rgb, alone[i].rgb)
    again = PointsTask(parent, keeping_recipe, data, earlier=earlier.images).examples(12)
    np.testing.assert_array_equal(again[1].rgb, mixed[1].rgb)


def test_a_batch_says_which_windows_are_replayed_and_has_them_alone_for_the_parent(
    parent, keeping_recipe, tiles
):
    data = TrainingData(tiles[:2], (), ())
    earlier = earlier_tissue((), ("Round", "Pale"), mpp=0.5, tiles=1)
    task = PointsTask(parent, keeping_recipe, data, earlier=earlier.images)
    examples = task.examples(4)
    batch = task.encode([examples[i] for i in range(4)])
    assert batch[REPLAYED].tolist() == [False, True, False, True]
    with torch.no_grad():
        whole = parent.model(**{k: v for k, v in inputs_of(batch).items() if k != "labels"}).logits
        part = parent.model(**part_of(batch, REPLAYED)).logits
    torch.testing.assert_close(part, whole[[1, 3]])
    new = task.encode([examples[0], examples[2]])
    assert new.keys() == inputs_of(batch).keys()


# What is replayed


def test_drawn_tissue_is_the_same_each_time_and_another_for_tests():
    known = ("lymphocyte", "Stromal")
    first, again = (earlier_tissue((), known, mpp=0.5, tiles=2) for _ in range(2))
    test = earlier_tissue((), known, mpp=0.5, tiles=2, split="val")
    assert first.origins == again.origins
    np.testing.assert_array_equal(first.images[1].open().rgb, again.images[1].open().rgb)
    assert first.origins[0]["seed"] != test.origins[0]["seed"]
    assert {i.name for i in first.images}.isdisjoint(i.name for i in test.images)
    said = Counter(c for image in first.images for c in image.categories)
    # "Tumour or epithelial" is not known: such nuclei teach where, not what.
    assert set(said) == {"lymphocyte", "Stromal", UNCATEGORISED}


def test_drawn_tiles_are_no_smaller_than_a_window_and_at_a_scale_that_can_be_drawn():
    (tile,) = earlier_tissue((), (), mpp=9.0, tiles=1, window_px=300).images
    assert tile.mpp == MPP_DRAWN[1]
    assert tile.open().rgb.shape == (300, 300, 3)


def test_a_folder_without_the_split_is_refused(train_only_export):
    assert earlier_tissue((train_only_export,), (), mpp=0.5, tiles=1).images
    with pytest.raises(InputError, match="no image of earlier tissue in the val split"):
        earlier_tissue((train_only_export,), (), mpp=0.5, tiles=1, split="val")


# Recipes and runs


def test_a_run_that_keeps_nothing_is_the_run_that_it_was_before_there_was_such_a_thing(
    export, category_checkpoint, recipe, keeping_recipe, tmp_path
):
    """What a resumed run must agree in has no new key; other stages never have one."""
    before = {"recipe", "data", "parent_sha256"}
    stage = SftStage(SftJob((export,), category_checkpoint, tmp_path / "out", recipe))
    assert stage.identity.keys() == before
    assert "keeping" not in stage.identity["recipe"]
    stage = SftStage(SftJob((export,), category_checkpoint, tmp_path / "out", keeping_recipe))
    assert stage.identity.keys() == before | {"replayed"}
    assert keeping_recipe.to_json() == recipe.to_json()


def test_a_divergence_without_windows_for_it_is_refused():
    with pytest.raises(InputError, match=r"keeping\.kl is 1\.0; expected .* 0 where replay is 0"):
        parse_recipe("[keeping]\nkl = 1.0\n", "mine")
    with pytest.raises(InputError, match=r"recoloured is 0\.5; expected .* 0 where replay is 0"):
        parse_recipe("[keeping]\nrecoloured = 0.5\n", "mine")
    with pytest.raises(InputError, match=r"keeping\.seeing is 1\.0; expected .* 0 where kl is 0"):
        parse_recipe("[keeping]\nreplay = 0.5\nseeing = 1.0\n", "mine")


def test_replay_that_the_recipe_does_without_is_refused(
    export, category_checkpoint, recipe, tmp_path, recorder
):
    job = SftJob((export,), category_checkpoint, tmp_path / "out", recipe, replay=(export,))
    with pytest.raises(InputError, match=r"replays nothing, but --replay names data"):
        run_sft(job, recorder)


def test_a_run_that_keeps_ends_the_same_after_a_stop_and_says_what_it_replayed(
    tmp_path, export, category_checkpoint, keeping_recipe, recorder
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    job = SftJob((export,), category_checkpoint, whole, keeping_recipe, tests=False)
    run_sft(job, recorder)
    job = replace(job, out=cut)
    asked = iter(range(1, 9))
    assert run_sft(job, recorder, stop=lambda: next(asked) >= 3) is None
    with pytest.raises(InputError, match="had another replayed"):
        run_sft(replace(job, resume=True, replay=(export,)), recorder)
    weaker = replace(keeping_recipe, keeping=replace(KEEPING, kl=0.5))
    with pytest.raises(InputError, match="had another recipe"):
        run_sft(replace(job, resume=True, recipe=weaker), recorder)
    assert run_sft(replace(job, resume=True), recorder) == cut
    ended, expected = weights(cut), weights(whole)
    assert all(torch.equal(ended[name], expected[name]) for name in expected)
    provenance = read_description(whole).provenance
    (origin,) = provenance["replayed"]
    assert (origin["importer"], origin["images"], origin["seed"]) == ("synthetic", 2, 2017)
    assert provenance["recipe"]["keeping"] == asdict(KEEPING)


@pytest.mark.parametrize("lora", [0, 4])
def test_the_divergence_alone_holds_the_model_to_its_parent(
    tmp_path, train_only_export, category_checkpoint, recipe, recorder, lora
):
    """Of the replayed windows nothing but the divergence is learned."""
    keeping = KeepingOptions(replay=0.75, tiles=1, truth=False, kl=10.0)
    options = replace(recipe.optimiser, steps=12, batch_size=4, lr=3e-3)
    kept = replace(recipe, keeping=keeping, optimiser=options, lora=LoraOptions(rank=lora))
    free = replace(kept, keeping=KeepingOptions())
    apart = {}
    earlier = earlier_tissue((), ("Round",), mpp=0.5, tiles=1)
    loaded = load_checkpoint(category_checkpoint, dtype=torch.float32)
    frozen = FrozenParent(loaded.model)
    task = PointsTask(loaded, kept, TrainingData(earlier.images, (), ()))
    examples = task.examples(8)
    batch = task.encode([examples[i] for i in range(8)])
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    theirs = frozen.logits(inputs, 20)
    for name, chosen in {"kept": kept, "free": free}.items():
        out = tmp_path / name
        run_sft(
            SftJob((train_only_export,), category_checkpoint, out, chosen, tests=False), recorder
        )
        made = FrozenParent(load_checkpoint(out, dtype=torch.float32).model)
        mask = inputs["attention_mask"][:, -20:].bool()
        apart[name] = float(divergences(made.logits(inputs, 20), theirs, mask).mean())
    assert 0 < apart["kept"] < apart["free"]


def test_it_goes_with_visual_thought_a_map_of_centres_and_additions(
    tmp_path, export, category_checkpoint, keeping_recipe, recorder
):
    """All of them look at what the model made last, which is not to be the parent's."""
    build_sam(tmp_path / "sam", window_px=32)
    options = {"optimiser": replace(keeping_recipe.optimiser, steps=1)}
    whole = replace(keeping_recipe, centre_map=CentreMapOptions(weight=1.0), **options)
    losses = []
    for recipe in (whole, replace(whole, lora=LoraOptions(rank=2))):
        out = tmp_path / f"out-{recipe.lora.rank}"
        job = SftJob((export,), category_checkpoint, out, recipe, tests=False)
        run_sft(replace(job, covt=tmp_path / "sam"), recorder)
        losses.append(recorder.of("step")[-1]["loss"])
    # Additions are nothing at first: with them, all losses of the first step are the same.
    assert losses[1] == pytest.approx(losses[0], rel=0.2)
    assert np.isfinite(losses).all()


def test_the_command_replays_a_folder_that_it_is_told(
    tmp_path, export, category_checkpoint, tiles, capsys
):
    other = tmp_path / "other"
    write_export(
        [replace(tile, name=f"old-{tile.name}") for tile in tiles],
        other,
        categories=default_categories(("Round", "Pale")),
        origin="synthetic",
    )
    recipe = tmp_path / "kept.toml"
    recipe.write_text("[optimiser]\nsteps = 1\nbatch_size = 2\n[keeping]\nreplay = 0.5\nkl = 0.5\n")
    out = tmp_path / "out"
    asked = ["sft", "--data", str(export), "--checkpoint", str(category_checkpoint)]
    asked += ["--out", str(out), "--recipe", str(recipe), "--keep", "last"]
    asked += ["--untested"]
    assert main([*asked, "--replay", str(other)]) == 0
    (origin,) = json.loads((out / "nunext.json").read_text())["provenance"]["replayed"]
    assert origin["manifest_sha256"]
    assert main([*asked[:6], str(tmp_path / "two"), *asked[7:], "--replay", str(tmp_path)]) == 2
    assert "neither an export" in capsys.readouterr().err


# Before and after


@pytest.fixture
def one_tile(monkeypatch):
    """Drawn tissue to test on, in a moment."""
    monkeypatch.setattr(replaying, "TEST_TILES", 1)


def figures(out, *arguments):
    assert main(["evaluate", *arguments, "--dtype", "float32", "--out", str(out)]) == 0
    return DetectionReport.from_json(json.loads(out.read_text()))


@pytest.mark.usefixtures("one_tile")
def test_a_run_that_replays_says_before_and_after_on_both_tissues(
    tmp_path, export, category_checkpoint, keeping_recipe, recorder
):
    out = tmp_path / "out"
    job = SftJob((export,), category_checkpoint, out, keeping_recipe, keep="last")
    run_sft(job, recorder)
    new, earlier = json.loads((out / FILE_NAME).read_text())
    assert (new["tissue"], earlier["tissue"]) == ("new tissue", "earlier tissue")
    (told,) = recorder.of("tested")
    assert [each.to_json() for each in told] == [new, earlier]
    assert earlier["data"][0]["seed"] == 2018
    for which, folder in (("before", category_checkpoint), ("after", out)):
        model = ("--checkpoint", str(folder))
        kept = figures(tmp_path / f"{which}-new.json", *model, "--data", str(export))
        assert DetectionReport.from_json(new[which]) == kept
        drawn = figures(tmp_path / f"{which}-earlier.json", *model, "--drawn", "1")
        assert DetectionReport.from_json(earlier[which]) == drawn
    assert earlier["before"]["images"] == 1


@pytest.mark.usefixtures("one_tile")
def test_earlier_tissue_that_has_a_val_split_is_tested_on_and_a_test_can_be_left_out(
    tmp_path, export, train_only_export, category_checkpoint, keeping_recipe, recorder
):
    data = (export,), category_checkpoint
    job = SftJob(*data, tmp_path / "a", keeping_recipe, replay=(export,))
    run_sft(job, recorder)
    ((_, earlier),) = recorder.of("tested")
    assert earlier.before.images == 1
    assert "manifest_sha256" in earlier.data[0]
    run_sft(replace(job, out=tmp_path / "b", replay=(train_only_export,)), recorder)
    assert recorder.of("tested")[1][1].data[0]["importer"] == "synthetic"
    run_sft(replace(job, out=tmp_path / "c", tests=False), recorder)
    assert len(recorder.of("tested")) == 2
    assert not (tmp_path / "c" / FILE_NAME).exists()


def test_words_say_what_was_forgotten_and_by_how_much():
    def report(f1, lymphocytes):
        score = DetectionScore(lymphocytes, 100 - lymphocytes, 100 - lymphocytes)
        whole = DetectionScore(round(100 * f1), 100 - round(100 * f1), 100 - round(100 * f1))
        return DetectionReport(whole, {"Lymphocyte": score}, 4, 3.0, "gated")

    said = BeforeAndAfter("earlier tissue", report(0.9, 57), report(0.89, 39)).words
    assert said == (
        "F1 on earlier tissue (4 images): all nuclei 0.90 -> 0.89, Lymphocyte 0.57 -> 0.39.\n"
        "Worse: the new model finds fewer Lymphocyte nuclei right on earlier tissue: F1 0.39, "
        "before 0.57 (0.18 lost)."
    )
    kept = BeforeAndAfter("earlier tissue", report(0.9, 57), report(0.89, 57))
    assert "Worse" not in kept.words
    assert replace(kept, tissue="new tissue").words.count("Worse") == 1


@pytest.mark.parametrize("progress", ["bar", "jsonl"])
@pytest.mark.usefixtures("one_tile")
def test_the_command_says_before_and_after(tmp_path, export, category_checkpoint, capsys, progress):
    recipe = tmp_path / "kept.toml"
    recipe.write_text("[optimiser]\nsteps = 1\nbatch_size = 2\n[keeping]\nreplay = 0.5\n")
    asked = ["sft", "--data", str(export), "--checkpoint", str(category_checkpoint)]
    asked += ["--out", str(tmp_path / "out"), "--recipe", str(recipe), "--progress", progress]
    assert main(asked) == 0
    said = capsys.readouterr()
    if progress == "bar":
        assert "F1 on new tissue (1 images): all nuclei" in said.err
        assert "F1 on earlier tissue (1 images): all nuclei" in said.err
        return
    (line,) = [json.loads(x) for x in said.out.splitlines() if '"event": "tested"' in x]
    assert [each["tissue"] for each in line["results"]] == ["new tissue", "earlier tissue"]


def test_drawn_tiles_have_no_splits_to_choose(category_checkpoint, capsys):
    asked = ["evaluate", "--checkpoint", str(category_checkpoint), "--drawn", "1"]
    assert main([*asked, "--split", "val"]) == 2
    assert "--drawn tiles have neither splits" in capsys.readouterr().err
