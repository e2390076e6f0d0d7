from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.next_point.detector import NextPointDetector
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.runs.errors import TrainingError
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.trainers.centre_map import CentreMapHead
from tests.sizes import SMALL


def job(export, checkpoint, out, recipe, **options):
    return SftJob((export,), checkpoint, out, recipe, **options)


def changed(recipe, **sections):
    return replace(
        recipe, **{name: replace(getattr(recipe, name), **v) for name, v in sections.items()}
    )


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_checkpoint_comes_out_that_serves_and_says_what_it_is(
    tmp_path, export, checkpoint, recipe, recorder
):
    out = tmp_path / "trained"
    assert run_sft(job(export, checkpoint, out, recipe), recorder) == out
    description = read_description(out)
    parent = read_description(checkpoint)
    assert description.codec == parent.codec
    assert description.name == "trained"
    provenance = description.provenance
    assert provenance["parent_sha256"] == checkpoint_sha256(checkpoint)
    assert provenance["recipe"]["name"] == "quick"
    assert provenance["steps"] == 6
    assert provenance["best_step"] in (3, 6)
    manifest = json.loads((export / "manifest.json").read_text())
    assert manifest["counts"]["images"] == provenance["data"][0]["images"]
    (metrics,) = description.metrics
    assert (metrics["split"], metrics["matching"]) == ("val", "gated")
    window = np.zeros((32, 32, 3), dtype=np.uint8)
    events = list(NextPointDetector(out).detect([window], cancelled=lambda: False))
    assert events
    assert not (tmp_path / "trained.training").exists()


def test_progress_tells_every_step_and_every_validation(
    tmp_path, export, checkpoint, recipe, recorder
):
    out = tmp_path / "trained"
    run_sft(job(export, checkpoint, out, recipe), recorder)
    assert recorder.of("start") == [{"step": 0, "steps": 6}]
    assert [s["step"] for s in recorder.of("step")] == [1, 2, 3, 4, 5, 6]
    assert [v["step"] for v in recorder.of("validation")] == [3, 6]
    assert all(0 <= v["f1"] <= 1 for v in recorder.of("validation"))
    (done,) = recorder.of("done")
    assert done["checkpoint"] == out
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert losses == [s["loss"] for s in recorder.of("step")]
    assert done["loss_first"] == losses[0]


def test_the_last_step_is_validated_once_wherever_it_falls(
    tmp_path, export, checkpoint, recipe, recorder
):
    recipe = changed(recipe, optimiser={"steps": 3}, validation={"every_steps": 2})
    run_sft(job(export, checkpoint, tmp_path / "out", recipe), recorder)
    assert [v["step"] for v in recorder.of("validation")] == [2, 3]


def test_two_tiles_are_learned_by_heart(tmp_path, train_only_export, checkpoint, recipe, recorder):
    recipe = changed(
        recipe,
        optimiser={"steps": 100, "batch_size": 8, "lr": 4e-3, "warmup_steps": 5},
        validation={"every_steps": 1000},
        loss={"sigma_bins": 1.0},
    )
    out = tmp_path / "trained"
    run_sft(job(train_only_export, checkpoint, out, recipe), recorder)
    (done,) = recorder.of("done")
    assert done["loss_last"] < 0.65 * done["loss_first"]
    assert recorder.of("validation") == []
    assert read_description(out).metrics == ()


@pytest.mark.parametrize("stop_after", [3, 4])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(
    tmp_path, export, checkpoint, recipe, recorder, stop_after
):
    whole = tmp_path / "whole"
    run_sft(job(export, checkpoint, whole, recipe), recorder)

    out = tmp_path / "resumed"
    asked = iter(range(1, 100))
    stopped = run_sft(
        job(export, checkpoint, out, recipe), recorder, stop=lambda: next(asked) >= stop_after
    )
    assert stopped is None
    assert not out.exists()
    assert run_sft(job(export, checkpoint, out, recipe, resume=True), recorder) == out

    assert recorder.of("start")[-1] == {"step": stop_after, "steps": 6}
    ours, theirs = weights(out), weights(whole)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
    assert (out / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_a_map_of_centres_is_learned_beside_the_tokens_and_survives_a_stop(
    tmp_path, export, checkpoint, recipe, recorder
):
    recipe = changed(recipe, centre_map={"weight": 2.0})
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run_sft(job(export, checkpoint, whole, recipe), recorder)
    run_sft(job(export, checkpoint, cut, recipe), recorder, stop=lambda: True)
    run_sft(job(export, checkpoint, cut, recipe, resume=True), recorder)
    for file in ("model.safetensors", CentreMapHead.file):
        ended, expected = load_file(cut / file), load_file(whole / file)
        assert ended.keys() == expected.keys()
        assert all(torch.equal(ended[name], expected[name]) for name in expected)
    without = tmp_path / "without"
    run_sft(job(export, checkpoint, without, changed(recipe, centre_map={"weight": 0.0})), recorder)
    assert load_file(without / "model.safetensors").keys() == weights(whole).keys()
    assert not (without / CentreMapHead.file).exists()
    assert any((weights(without)[name] != weights(whole)[name]).any() for name in weights(whole))


def test_an_unfinished_state_is_passed_over(tmp_path, export, checkpoint, recipe, recorder):
    out = tmp_path / "out"
    asked = iter(range(1, 100))
    run_sft(job(export, checkpoint, out, recipe), recorder, stop=lambda: next(asked) >= 3)
    (tmp_path / "out.training" / "checkpoint-5").mkdir()  # killed while writing
    run_sft(job(export, checkpoint, out, recipe, resume=True), recorder)
    assert recorder.of("start")[-1]["step"] == 3


def test_naive_and_soft_supervision_are_different_losses_on_the_same_windows(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    recipe = changed(recipe, optimiser={"steps": 1, "batch_size": 4})
    for supervision in ("naive", "soft"):
        run_sft(
            job(
                train_only_export,
                checkpoint,
                tmp_path / supervision,
                changed(recipe, loss={"supervision": supervision}),
            ),
            recorder,
        )
    naive, soft = (s["loss"] for s in recorder.of("step"))
    assert naive != soft
    assert naive == pytest.approx(soft, abs=0.5)  # nothing is learned yet: all bins alike


def test_the_first_naive_loss_is_what_the_model_itself_says(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    from napari_nunext.models.checkpoints.loading import load_checkpoint
    from nunext_training.data.batches import Collator
    from nunext_training.data.sources import read_source
    from nunext_training.data.windows import RandomWindows, WindowSpec

    recipe = changed(recipe, optimiser={"steps": 1, "batch_size": 3}, loss={"supervision": "naive"})
    run_sft(job(train_only_export, checkpoint, tmp_path / "out", recipe), recorder)

    loaded = load_checkpoint(checkpoint, dtype=torch.float32)
    windows = RandomWindows(
        read_source(train_only_export).images,
        WindowSpec(32, 0.5),
        recipe.windows,
        length=3,
        seed=recipe.seed,
    )
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    collate = Collator(loaded.description.codec, loaded.windows, pad_id)
    each = []
    for window in windows:
        batch = collate([window])
        with torch.no_grad():
            each.append(loaded.model(**batch).loss.item())  # transformers' own, per sequence
    assert recorder.of("step")[0]["loss"] == pytest.approx(np.mean(each), rel=1e-4)


def test_categories_and_latents_are_trained_with(
    tmp_path, export, category_checkpoint, recipe, recorder
):
    out = tmp_path / "out"
    run_sft(job(export, category_checkpoint, out, recipe), recorder)
    assert read_description(out).codec.category_names == ("Round", "Pale")


def test_an_unknown_category_stops_before_anything_is_written(
    tmp_path, export, category_checkpoint, recipe, recorder
):
    with pytest.raises(RecordError, match=r"'Blob' \(\d+ nuclei\)"):
        run_sft(
            job(
                export,
                category_checkpoint,
                tmp_path / "o",
                recipe,
                renames={"Pale": "Blob"},
                strict=True,
            ),
            recorder,
        )
    assert not (tmp_path / "o.training").exists()


def test_unknown_categories_are_skipped_with_their_count_when_asked(
    tmp_path, export, category_checkpoint, recipe, recorder, caplog
):
    run_sft(
        job(
            export,
            category_checkpoint,
            tmp_path / "out",
            recipe,
            renames={"Pale": "Blob"},
        ),
        recorder,
    )
    assert "the checkpoint does not know 'Blob' (3 nuclei)" in caplog.text
    assert "Left out 1 of 3 regions; 2 are used" in caplog.text


def test_a_loss_that_is_no_number_stops_and_leaves_its_batch(
    tmp_path, export, checkpoint, recipe, recorder
):
    recipe = changed(recipe, optimiser={"lr": 1e30, "max_grad_norm": 1e30, "warmup_steps": 0})
    with pytest.raises(TrainingError, match="bad_batch"):
        run_sft(job(export, checkpoint, tmp_path / "out", recipe), recorder)
    batch = load_file(tmp_path / "out.training" / "bad_batch.safetensors")
    assert {"input_ids", "labels", "pixel_values"} <= batch.keys()
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_said_plainly_and_the_save_before_stays(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    resource = pytest.importorskip("resource", reason="file sizes are limited on POSIX only")
    work = job(train_only_export, checkpoint, tmp_path / "out", recipe, resume=True)
    asked = iter(range(1, 100))
    run_sft(work, recorder, stop=lambda: next(asked) >= 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(TrainingError, match=r"after step 3 cannot be saved.*--resume"):
            run_sft(work, recorder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run_sft(work, recorder) == tmp_path / "out"
    assert recorder.of("start")[-1]["step"] == 2


def test_nothing_to_train_on_is_said_plainly(tmp_path, labelled_tile, checkpoint, recipe, recorder):
    from napari_nunext.core.nuclei import default_categories
    from nunext_training.data.importers.writing import write_export

    tile = labelled_tile(tmp_path, "v", [(20, 20)], split="val")
    write_export([tile], tmp_path / "e", categories=default_categories(["Round"]), origin="x")
    with pytest.raises(InputError, match="training split is empty"):
        run_sft(job(tmp_path / "e", checkpoint, tmp_path / "out", recipe), recorder)


def test_accumulated_batches_learn_as_one_large_batch(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    for name, accumulation, batch_size in (("whole", 1, 4), ("parts", 2, 2)):
        options = {"steps": 2, "accumulation": accumulation, "batch_size": batch_size}
        run_sft(
            job(
                train_only_export,
                checkpoint,
                tmp_path / name,
                changed(recipe, optimiser=options),
            ),
            recorder,
        )
    losses = [s["loss"] for s in recorder.of("step")]
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-4)


def test_a_frozen_vision_tower_stays_as_it_is(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    recipe = changed(recipe, optimiser={"train_vision": False, "gradient_checkpointing": True})
    run_sft(job(train_only_export, checkpoint, tmp_path / "out", recipe), recorder)
    before, after = weights(checkpoint), weights(tmp_path / "out")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("visual" in name for name in moved)


def test_windows_cut_by_other_processes_are_the_same(
    tmp_path, train_only_export, checkpoint, recipe, recorder
):
    recipe = parse_recipe("[optimiser]\nsteps = 3\nbatch_size = 2\n", "workers")
    for workers in (0, 1):
        run_sft(
            job(train_only_export, checkpoint, tmp_path / f"{workers}", recipe, workers=workers),
            recorder,
        )
    losses = [s["loss"] for s in recorder.of("step")]
    assert losses[:3] == losses[3:]


@pytest.fixture
def on_trunk(tmp_path):
    folder = tmp_path / "on-trunk"
    size = replace(SMALL, patch_px=8, merge=1, width=32, layers=1, heads=1)
    build_checkpoint(folder, family="conv_qwen", size=size, window_px=32, pretrained_trunk=True)
    return folder


@pytest.mark.parametrize("ratio", [0.0, 0.5, 1.0])
def test_a_pretrained_trunk_learns_at_its_part_of_the_rate(
    tmp_path, export, on_trunk, recipe, recorder, ratio
):
    options = {"optimiser": {"steps": 2, "trunk_lr_ratio": ratio, "weight_decay": 0.0}}
    slow, out = changed(recipe, **options), tmp_path / "trained"
    run_sft(job(export, on_trunk, out, slow, keep="last"), recorder)
    before, after = weights(on_trunk), weights(out)
    moved = {
        name: float((after[name].float() - before[name].float()).abs().max())
        for name in before
        if ".stem." in name
    }
    trunk = [way for name, way in moved.items() if ".taps." not in name]
    taps = [way for name, way in moved.items() if ".taps." in name]
    # Adam's first steps are as long as the rate, whatever the gradient.
    assert max(trunk) == pytest.approx(ratio * max(taps), rel=0.3, abs=1e-9)
    assert max(taps) > 0
