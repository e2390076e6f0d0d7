"""The second look at categories: what it reads, what it changes, and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.identity import file_sha256
from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.description import (
    CheckpointDescription,
    describe,
    read_description,
)
from napari_nunext.models.checkpoints.loading import (
    finish_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from napari_nunext.models.checkpoints.second_look import LOOK_FILE, LookLayer, SecondLook
from napari_nunext.models.detector import Caller, WindowPoints
from napari_nunext.models.next_point.decoder import DecodeStep, decode_batch
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.drafts import Drafts
from napari_nunext.models.next_point.second_look import SecondLooking

WITH_CATEGORIES = pytest.mark.parametrize(
    "checkpoint",
    [("conv_qwen", "both"), ("qwen2_5_vl", "both"), ("qwen3_vl", "categories")],
    ids="-".join,
    indirect=True,
)


def layer_of(rng, categories, width, size=1.0):
    weight = rng.normal(0, size, (categories, 2 * width)).astype(np.float32)
    return LookLayer(weight, rng.normal(0, size, categories).astype(np.float32))


def width_of(checkpoint):
    return checkpoint.model.get_input_embeddings().weight.shape[1]


def looking_twice(checkpoint, layer, names=None):
    names = checkpoint.description.codec.category_names if names is None else names
    look = SecondLook(tuple(names), "0" * 64, 100)
    described = replace(checkpoint.description, second_look=look)
    return replace(checkpoint, description=described, look_layer=layer)


def found_by(checkpoint, windows, caller=None):
    detector = NextPointDetector.from_loaded(checkpoint)
    events = detector.detect_for(caller or Caller(), windows, cancelled=lambda: False)
    return [event for event in events if isinstance(event, WindowPoints)]


def by_window(events):
    told = {}
    for e in events:
        told.setdefault(e.window, []).append((e.points_xy.tolist(), e.confidence, e.categories))
    return told


def test_it_chooses_as_a_loop_over_points_and_categories_does(rng):
    layer, ids = layer_of(rng, 3, width=5), (9, 4, 12)
    allowed = torch.tensor([4, 9, 10, 30])  # 12 is forbidden here
    tokens = torch.tensor([4, 9, 10, 30] * 6)
    scores, seen = (torch.from_numpy(rng.normal(size=(24, n)).astype(np.float32)) for n in (4, 10))
    step = DecodeStep(torch.arange(24), torch.full((24,), 2), tokens, allowed, scores, seen)
    expected = []
    for row, token in enumerate(tokens.tolist()):
        best = (-np.inf, token)
        for place, id_ in enumerate(ids):
            if token not in ids or id_ not in allowed.tolist():
                continue
            score = float(scores[row, allowed.tolist().index(id_)]) + float(layer.bias[place])
            for feature in range(10):
                score += float(layer.weight[place, feature]) * float(seen[row, feature])
            best = max(best, (score, id_))
        expected.append(best[1])
    look = SecondLooking(layer, ids, torch.device("cpu"))
    assert look(step).tolist() == expected
    assert {*expected} == {4, 9, 10, 30}


@WITH_CATEGORIES
def test_it_reads_the_state_before_the_category_and_the_mean_of_the_image(checkpoint, windows):
    codec = checkpoint.description.codec
    prompt = checkpoint.windows(windows, checkpoint.device)
    steps = list(decode_batch(checkpoint.model, prompt, codec, max_points=3))
    replies = {row: [] for row in range(len(windows))}
    for step in steps:
        for row, token in zip(step.rows.tolist(), step.token_ids.tolist(), strict=True):
            replies[row].append(token)
    step = steps[5]  # the category of the second point
    assert len(step.rows) > 1
    for place, row in enumerate(step.rows.tolist()):
        read = torch.tensor([replies[row][:5]])
        alone = prompt.rows(slice(row, row + 1)).followed_by(read)
        positions = prompt.family.position_ids(checkpoint.model, alone)
        with torch.no_grad():
            output = checkpoint.model.base_model(**alone, position_ids=positions)
        states = output.last_hidden_state[0]
        image = states[prompt.image_places].mean(dim=0)
        plain = torch.cat([states[-1], image])
        torch.testing.assert_close(step.seen[place], plain, rtol=1e-5, atol=1e-6)


@WITH_CATEGORIES
def test_it_reads_the_same_where_points_are_read_ahead(checkpoint, windows):
    codec = checkpoint.description.codec
    torch.manual_seed(0)
    head = AtomicHead.beginning(checkpoint.model, codec).to(checkpoint.model.dtype)

    def seen(drafts):
        prompt = checkpoint.windows(windows, checkpoint.device)
        told = {}
        for step in decode_batch(checkpoint.model, prompt, codec, max_points=4, drafts=drafts):
            for place, row in enumerate(step.rows.tolist()):
                told[row, int(step.positions[0])] = step.seen[place]
        return told

    alone, ahead = seen(None), seen(Drafts(head, codec, tolerance_bins=0))
    assert alone.keys() == ahead.keys()
    for where, state in alone.items():
        torch.testing.assert_close(ahead[where], state, rtol=1e-5, atol=1e-6)


@WITH_CATEGORIES
def test_points_and_confidences_stay_and_categories_do_not(checkpoint, windows, rng):
    layer = layer_of(rng, len(checkpoint.description.codec.category_ids), width_of(checkpoint))
    once = found_by(checkpoint, windows)
    twice = found_by(looking_twice(checkpoint, layer), windows)
    assert [e.window for e in once] == [e.window for e in twice]
    for before, after in zip(once, twice, strict=True):
        np.testing.assert_array_equal(before.points_xy, after.points_xy)
        assert before.confidence == after.confidence
    assert [e.categories for e in once] != [e.categories for e in twice]


@WITH_CATEGORIES
def test_a_layer_of_zeros_changes_nothing(checkpoint, windows):
    count = len(checkpoint.description.codec.category_ids)
    nothing = LookLayer(
        np.zeros((count, 2 * width_of(checkpoint)), np.float32), np.zeros(count, np.float32)
    )
    twice = looking_twice(checkpoint, nothing)
    assert by_window(found_by(twice, windows)) == by_window(found_by(checkpoint, windows))


@WITH_CATEGORIES
def test_the_order_of_windows_and_who_is_beside_them_do_not_matter(checkpoint, windows, rng):
    layer = layer_of(rng, len(checkpoint.description.codec.category_ids), width_of(checkpoint))
    twice = looking_twice(checkpoint, layer)
    forth, back = by_window(found_by(twice, windows)), by_window(found_by(twice, windows[::-1]))
    assert len(forth) > 1
    for i, told in forth.items():
        there = back[len(windows) - 1 - i]
        alone = by_window(found_by(twice, [windows[i]]))[0]
        assert [t[2] for t in told] == [t[2] for t in there] == [t[2] for t in alone]


def test_other_categories_than_its_own_are_left_alone(checkpoints, windows, rng):
    checkpoint = checkpoints("conv_qwen", "both")
    names = checkpoint.description.codec.category_names
    layer = layer_of(rng, 2, width_of(checkpoint), size=3.0)
    once = [e.categories[0] for e in found_by(checkpoint, windows)]
    said = sorted({*once}, key=once.count)
    assert len(said) > 1
    left_alone = said[-1]
    mine = [name for name in names if name != left_alone]
    twice = [e.categories[0] for e in found_by(looking_twice(checkpoint, layer, mine), windows)]
    for before, after in zip(once, twice, strict=True):
        assert (before == left_alone) == (after == left_alone)
    assert once != twice


def test_a_category_that_a_caller_leaves_out_is_never_chosen(checkpoints, windows, rng):
    checkpoint = checkpoints("conv_qwen", "both")
    names = checkpoint.description.codec.category_names
    twice = looking_twice(checkpoint, layer_of(rng, len(names), width_of(checkpoint), size=3.0))
    left_out = found_by(twice, windows)[0].categories[0]
    kept = tuple(name for name in names if name != left_out)
    said = {e.categories[0] for e in found_by(twice, windows, Caller(among=kept))}
    assert said
    assert said <= {*kept}


def test_who_asks_for_some_categories_alone_gets_what_the_model_writes(checkpoints, windows, rng):
    checkpoint = checkpoints("conv_qwen", "both")
    names = checkpoint.description.codec.category_names
    described = replace(checkpoint.description, named_prompts=names)
    checkpoint = replace(checkpoint, description=described)
    twice = looking_twice(checkpoint, layer_of(rng, len(names), width_of(checkpoint)))
    asked = tuple(names[:1])
    first = by_window(found_by(checkpoint, windows, Caller(asked=asked)))
    assert by_window(found_by(twice, windows, Caller(asked=asked))) == first
    assert by_window(found_by(twice, windows)) != by_window(found_by(checkpoint, windows))


def test_a_run_says_which_look_its_categories_are_of(checkpoints, rng):
    checkpoint = checkpoints("conv_qwen", "both")
    assert "categories" not in NextPointDetector.from_loaded(checkpoint).info.decoding
    twice = looking_twice(checkpoint, layer_of(rng, 3, width_of(checkpoint)))
    assert NextPointDetector.from_loaded(twice).info.decoding["categories"] == "second look"
    engine = twice.description.info(None, engine="vllm")  # as one that gives no states says
    assert engine.decoding["categories"] == "first look"


@pytest.fixture
def with_look(checkpoints, tmp_path, rng):
    """A folder whose checkpoint has a second look, as it was fitted."""
    checkpoint = checkpoints("conv_qwen", "both")
    folder = tmp_path / "with-look"
    shutil.copytree(checkpoint.folder, folder)
    layer = layer_of(rng, 2, width_of(checkpoint))
    names = checkpoint.description.codec.category_names[1:]
    look = SecondLook(names, layer.save(folder), 321)
    finish_checkpoint(folder, replace(checkpoint.description, second_look=look))
    return folder, layer, look


def test_a_look_is_loaded_as_it_was_saved(with_look):
    folder, layer, look = with_look
    checkpoint = load_checkpoint(folder, device="cpu")
    assert checkpoint.description.second_look == look
    np.testing.assert_array_equal(checkpoint.look_layer.weight, layer.weight)
    np.testing.assert_array_equal(checkpoint.look_layer.bias, layer.bias)


def test_a_checkpoint_without_one_reads_and_writes_as_before(checkpoints):
    folder = checkpoints("conv_qwen", "both").folder
    checkpoint = load_checkpoint(folder, device="cpu")
    assert checkpoint.look_layer is None
    assert "second_look" not in checkpoint.description.to_json()


def test_whatever_writes_weights_anew_leaves_the_look_behind(with_look, tmp_path):
    checkpoint = load_checkpoint(with_look[0], device="cpu")
    processor = checkpoint.windows.processor
    save_checkpoint(tmp_path / "anew", checkpoint.model, processor, checkpoint.description)
    assert read_description(tmp_path / "anew").second_look is None
    assert load_checkpoint(tmp_path / "anew", device="cpu").look_layer is None


def test_another_file_than_the_one_that_was_fitted_is_refused_in_words(with_look, rng):
    folder, layer, _ = with_look
    LookLayer(layer.weight + 1, layer.bias).save(folder)
    with pytest.raises(CheckpointError, match=r"with-look is another one.*--second-look"):
        describe(folder)


def test_a_checkpoint_that_lost_its_look_says_so(with_look):
    (with_look[0] / LOOK_FILE).unlink()
    with pytest.raises(CheckpointError, match=r"with-look has no second_look/layer.*Copy"):
        describe(with_look[0])


def test_the_look_of_another_model_is_refused_in_words(with_look, rng):
    folder, _, look = with_look
    other = replace(look, sha256=layer_of(rng, 2, width=7).save(folder))
    finish_checkpoint(folder, replace(read_json_description(folder), second_look=other))
    with pytest.raises(CheckpointError, match=r"shapes .*\(2, 14\).*expected"):
        load_checkpoint(folder, device="cpu")


def test_a_damaged_look_is_refused_in_words(with_look):
    folder, _, look = with_look
    (folder / LOOK_FILE).write_bytes(b"no tensors")
    damaged = replace(look, sha256=file_sha256(folder / LOOK_FILE))
    with pytest.raises(CheckpointError, match=r"layer\.safetensors of with-look cannot be read"):
        LookLayer.read(folder, damaged, 64)


@pytest.mark.parametrize("names", [["Stroma"], ["Stroma", "Stroma"], ["Stroma", "Mitosis"]])
def test_a_look_at_what_the_model_cannot_say_is_refused(with_look, names):
    path = with_look[0] / "nunext.json"
    data = json.loads(path.read_text())
    data["second_look"]["categories"] = names
    path.write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match="expected two or more of"):
        describe(with_look[0])


def read_json_description(folder):
    """Its description, whatever its other files are."""
    data = json.loads((folder / "nunext.json").read_text())
    return CheckpointDescription.from_json(data)
