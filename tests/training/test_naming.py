from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.data.batches import EVERYTHING, Collator, inputs_of
from nunext_training.data.crops import Crop
from nunext_training.data.windows import Example
from nunext_training.method.losses import IGNORED
from nunext_training.recipes.recipe import changed
from nunext_training.stages import detectors
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.tasks.naming import (
    EMPTY_SHARE,
    Named,
    asked_for,
    names_that_hold,
    names_to_learn,
    taught_on_dab,
)
from nunext_training.trainers.rollouts import (
    decode_windows,
    grammar_log_probabilities,
    rollout_batch,
)

KNOWN = ("Lymphocyte", "Stromal", "Positive")


def example(categories, told_apart=KNOWN[:2], window_px=64):
    rng = np.random.default_rng(3)
    points_xy = rng.uniform(2, window_px - 2, (len(categories), 2))
    rgb = rng.integers(0, 255, (window_px, window_px, 3), dtype=np.uint8)
    crop = Crop(Box(0, 0, window_px, window_px), window_px)
    return Example(
        *(rgb, points_xy, tuple(categories), "tile", crop),
        point_labels=tuple(range(1, len(categories) + 1)),
        told_apart=told_apart,
    )


class Always(list):
    """The same window at every place."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("named") / "model"
    build_checkpoint(folder, size="nano", categories=KNOWN, latents=2, seed=1)
    return load_checkpoint(folder, device="cpu", dtype=torch.float32)


def asked_of(window, share, count=400, known=KNOWN):
    named = Named(Always([window] * count), known, share=share, seed=5)
    return [named[i] for i in range(count)]


def test_a_share_of_windows_is_asked_for_categories_and_the_rest_is_as_it_was():
    window = example([0, 1, 1, 0])
    seen = asked_of(window, 0.25)
    asked = [e for e in seen if e.asked]
    assert 70 <= len(asked) <= 130
    assert all(e is window for e in seen if not e.asked)
    assert Counter(e.asked for e in asked).keys() == {("Lymphocyte",), ("Stromal",)}


def test_the_truth_is_the_nuclei_of_what_is_asked():
    window = example([0, 1, 1, 0])
    for e in (e for e in asked_of(window, 1.0) if e.asked):
        rows = [i for i in range(4) if KNOWN[window.category_indices[i]] in e.asked]
        assert e.points_xy.tolist() == window.points_xy[rows].tolist()
        assert e.category_indices == tuple(window.category_indices[i] for i in rows)
        assert e.point_labels == tuple(i + 1 for i in rows)
        assert e.everything_xy is window.points_xy


def test_a_small_part_is_asked_for_what_is_not_there_and_its_answer_is_empty():
    seen = asked_of(example([0, 0]), 1.0)
    empty = [e for e in seen if not len(e.points_xy)]
    assert {e.asked for e in empty} == {("Stromal",)}
    assert 0 < len(empty) < EMPTY_SHARE * len(seen)


def test_two_categories_are_asked_for_where_three_are_told_apart():
    seen = asked_of(example([0, 1, 2, 2], KNOWN, 64), 1.0, known=(*KNOWN, "Negative"))
    assert {len(e.asked) for e in seen} == {1, 2}


@pytest.mark.parametrize(
    "window",
    [
        example([0, 1], told_apart=()),
        example([0, UNKNOWN_CATEGORY]),
        replace(example([]), category_indices=None),
    ],
    ids=["no categories in the data set", "a nucleus without one", "a checkpoint without any"],
)
def test_a_window_whose_truth_nobody_knows_is_not_asked(window):
    assert all(e is window for e in asked_of(window, 1.0, count=50))


def test_the_same_windows_are_asked_the_same_whatever_the_length():
    window = example([0, 1, 1, 0])
    short, long = asked_of(window, 0.5, count=20), asked_of(window, 0.5, count=60)
    assert [e.asked for e in short] == [e.asked for e in long[:20]]


def test_a_batch_of_several_prompts_reads_each_as_it_is_read_alone(loaded):
    """Prompts of different lengths are padded behind the image, where nobody looks."""
    codec, tokenizer = loaded.description.codec, loaded.windows.processor.tokenizer
    collate = Collator(codec, loaded.windows, tokenizer.pad_token_id)
    window = example([0, 1, 1, 0])
    mixed = [window, *(asked_for(window, asked, KNOWN) for asked in (KNOWN[:1], KNOWN[:2]))]
    batch = collate(mixed)
    assert (batch["attention_mask"] == 0).any()
    together = loaded.model(**{k: v for k, v in inputs_of(batch).items() if k != "labels"}).logits
    first = int((batch["labels"] != IGNORED).any(dim=0).nonzero()[0])
    for row, each in enumerate(mixed):
        alone = collate([each])
        logits = loaded.model(**{k: v for k, v in inputs_of(alone).items() if k != "labels"}).logits
        reply = len(codec.encode(each.points_xy, each.category_indices))
        got = together[row, first - 1 : first - 1 + reply]
        torch.testing.assert_close(got, logits[0, -1 - reply : -1], atol=1e-4, rtol=1e-3)


def test_the_text_of_a_prompt_names_what_is_asked(loaded):
    tokenizer = loaded.windows.processor.tokenizer
    text = tokenizer.decode(loaded.windows.prompt_ids_of(["Stromal"]))
    assert "Point to stromal nucleus. Output the coordinates" in text
    assert loaded.windows.prompt_ids_of(KNOWN) == loaded.windows.prompt_ids


def test_the_map_of_centres_shows_every_nucleus_whatever_is_asked(loaded):
    codec, tokenizer = loaded.description.codec, loaded.windows.processor.tokenizer
    collate = Collator(codec, loaded.windows, tokenizer.pad_token_id)
    window = example([0, 1, 1, 0])
    batch = collate([asked_for(window, KNOWN[:1], KNOWN), asked_for(window, KNOWN[1:2], KNOWN)])
    first, second = batch[EVERYTHING].tolist()
    assert first == second
    assert EVERYTHING not in collate([window])
    assert EVERYTHING not in inputs_of(batch)


def test_a_checkpoint_learns_the_names_that_its_data_tell_apart(loaded):
    class Image:
        told_apart, asked = ("Positive", "Eosinophil"), ()

    assert names_to_learn([Image], KNOWN) == ("Positive",)
    assert names_to_learn([Image], ("Positive",)) == ()


def test_rollouts_to_several_prompts_are_those_of_each_alone(loaded):
    """So are the log-probabilities that a step learns from, of prompts that are padded."""
    codec, pad_id = loaded.description.codec, loaded.windows.processor.tokenizer.pad_token_id
    windows = [example([0, 1]).rgb, example([1]).rgb[::-1].copy(), example([0]).rgb]
    asked = [("Stromal",), (), ("Lymphocyte", "Stromal")]

    def log_p(rollouts):
        batch = rollout_batch(rollouts, 2, pad_id)
        whole = rollouts.prompt.rows(batch["window"])
        whole = whole.followed_by(batch["completion_ids"], batch["completion_mask"])
        length = batch["completion_ids"].shape[1]
        with torch.no_grad():
            logits = loaded.model(**whole, logits_to_keep=length + 1).logits[:, :-1]
        return grammar_log_probabilities(logits, batch["completion_ids"], codec, drawn)[0]

    drawn = Sampling(1.0, (4, 5, 6), 2)
    given = {"max_points": 3}
    together = decode_windows(
        *(loaded, loaded.model, windows), sampling=drawn, asked=asked, **given
    )
    got = log_p(together)
    for i in range(3):
        alone = decode_windows(
            *(loaded, loaded.model, windows[i : i + 1]),
            sampling=Sampling(1.0, (4 + i,), 2),
            asked=asked[i : i + 1],
            **given,
        )
        assert alone.replies == together.replies[2 * i : 2 * i + 2]
        for row, (reply, each) in enumerate(zip(alone.replies, log_p(alone), strict=True)):
            same = got[2 * i + row, : len(reply)]
            torch.testing.assert_close(same, each[: len(reply)], atol=1e-4, rtol=1e-3)


def test_a_run_that_names_categories_says_so_and_others_are_as_they_were(
    tmp_path, category_checkpoint, export, recipe, recorder
):
    """The recipe of today keeps its identity; a checkpoint says which prompts it has learned."""
    named = changed(recipe, windows={"named_category_share": 0.5})
    assert "named_category_share" not in recipe.to_json()["windows"]
    assert named.to_json()["windows"]["named_category_share"] == 0.5
    for folder, taken, learned in (("plain", recipe, False), ("named", named, True)):
        run_sft(SftJob((export,), category_checkpoint, tmp_path / folder, taken), recorder)
        about = read_description(tmp_path / folder)
        assert bool(about.named_prompts) == learned
        assert set(about.named_prompts) <= set(about.codec.category_names)


class Says:
    """A detector that finds the second of two categories alone only where it is not asked for."""

    def __init__(self, info):
        self.info = info

    def detect(self, windows, *, cancelled):
        yield from ()

    def detect_for(self, caller, windows, *, cancelled):
        for i in range(len(windows)):
            found = WindowPoints(i, np.array([(10.0, 10.0), (40.0, 40.0)]), KNOWN[:2], (0.9, 0.9))
            if caller.asked != KNOWN[1:2]:
                yield found
            yield WindowEnd(i, "end")


def test_a_checkpoint_may_be_asked_for_what_it_finds_as_well_alone(labelled_tile, tmp_path):
    places = [(10.0, 10.0), (40.0, 40.0)]
    tile = labelled_tile(tmp_path, "tile", places, categories=KNOWN[:2])
    image = replace(tile, told_apart=KNOWN[:2], mpp=0.5)
    info = DetectorInfo(
        *("Says", "fake"),
        categories=default_categories(KNOWN),
        mpp=0.5,
        window_px=64,
        halo_um=0.0,
        named_prompts=KNOWN,
    )
    held = names_that_hold(Says(info), [image], KNOWN, radius_um=3.0)
    assert held == KNOWN[:1]  # the second is lost, and nobody measured the third


BOTH = ("Lymphocyte", "Stromal", "Positive", "Negative")


def of_colour(labelled_tile, tmp_path, name, od_rgb, categories):
    """A tile of one colour, by its optical density; nuclei are said to be there."""
    rgb = np.round(255 * 10.0 ** -np.array(od_rgb)).astype(np.uint8)
    places = [(10.0 + 8 * i, 10.0) for i in range(len(categories))]
    tile = labelled_tile(tmp_path, name, places, categories=categories)
    pixels = np.broadcast_to(rgb, (64, 64, 3))
    return replace(tile, mpp=2.0, opener=lambda: image_from_pixels(tile.path, 64, 64, pixels.copy))


def test_categories_that_were_taught_on_brown_sections_are_said(labelled_tile, tmp_path):
    def image(name, od_rgb, *categories):
        return of_colour(labelled_tile, tmp_path, name, od_rgb, categories)

    brown, pink = (0.2, 0.4, 0.55), (0.1, 0.5, 0.1)
    ours = [image("brown", brown, "Lymphocyte", "Positive"), image("pink", pink, "Stromal")]
    assert taught_on_dab(ours, BOTH, before=()) == ("Lymphocyte",)
    assert taught_on_dab(ours, BOTH, before=("Stromal",)) == ("Lymphocyte", "Stromal")
    assert taught_on_dab(ours[1:], BOTH, before=()) == ()
    assert taught_on_dab(ours, BOTH[:2], before=()) == ()  # it has nothing to choose


def test_a_trained_checkpoint_says_what_it_was_taught_on_brown_sections(
    tmp_path, category_checkpoint, export, recipe, recorder, monkeypatch
):
    parent = read_description(category_checkpoint)
    taught = parent.codec.category_names[:1]
    monkeypatch.setattr(detectors, "taught_on_dab", lambda images, known, before: taught)
    run_sft(SftJob((export,), category_checkpoint, tmp_path / "child", recipe), recorder)
    assert read_description(tmp_path / "child").taught_on_dab == taught
    assert NextPointDetector(tmp_path / "child").info.taught_on_dab == taught
