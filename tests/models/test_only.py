"""Searches for some categories alone: the model asked for them, or the others left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import InputError
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description, write_description
from napari_nunext.models.detector import Caller, WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.whole_image.search import detect_image, is_asked, wanted_of

KNOWN = ("Lymphocyte", "Stromal", "Positive")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint that says it can be asked for two of its three categories."""
    folder = tmp_path_factory.mktemp("only") / "model"
    build_checkpoint(folder, size="nano", categories=KNOWN, seed=1, max_points=6)
    write_description(folder, replace(read_description(folder), named_prompts=KNOWN[:2]))
    return folder


@pytest.fixture(scope="module")
def detector(folder):
    return NextPointDetector(folder, device="cpu", dtype=torch.float32)


@pytest.fixture
def noisy_image(rng):
    return tile_of_rgb(rng.integers(0, 255, (150, 150, 3), dtype=np.uint8), "noise")


def said(detector, windows, asked):
    caller = Caller(asked=asked)
    events = detector.detect_for(caller, windows, cancelled=lambda: False)
    return [
        (e.window, e.points_xy.tolist(), e.categories, e.confidence)
        for e in events
        if isinstance(e, WindowPoints)
    ]


def windows(rng, count=3):
    return list(rng.integers(0, 255, (count, 64, 64, 3), dtype=np.uint8))


def test_a_checkpoint_keeps_what_it_has_learned_to_be_asked_for(detector):
    assert detector.info.named_prompts == KNOWN[:2]
    assert detector.info.to_json()["named_prompts"] == list(KNOWN[:2])


def test_a_model_is_asked_for_what_it_has_learned_and_of_others_the_rest_is_left_out(detector):
    assert is_asked(detector.info, ("Stromal",))
    assert not is_asked(detector.info, ("Stromal", "Positive"))
    assert not is_asked(detector.info, ())


def test_what_a_search_is_for_is_said_as_the_model_knows_it(detector):
    assert wanted_of(detector.info, ["stromal"]) == ("Stromal",)
    assert wanted_of(detector.info, KNOWN) == ()
    assert wanted_of(detector.info, ()) == ()
    with pytest.raises(InputError, match="no category 'Eosinophil'"):
        wanted_of(detector.info, ["Eosinophil"])


def test_the_prompt_changes_what_is_said(detector, rng):
    given = windows(rng)
    assert said(detector, given, ("Stromal",)) != said(detector, given, ())


def test_callers_who_ask_for_different_things_hear_what_each_hears_alone(folder, rng):
    """Their windows are decoded in one batch, behind prompts of different lengths."""
    given = windows(rng)
    asked = [(), ("Stromal",), ("Lymphocyte", "Stromal")]
    detector = NextPointDetector(folder, device="cpu", dtype=torch.float32)
    alone = [said(detector, given, each) for each in asked]
    callers = [Caller(asked=each, flow=i) for i, each in enumerate(asked)]
    streams = [detector.detect_for(c, given, cancelled=lambda: False) for c in callers]
    heard = [[] for _ in asked]
    under_way = set(range(len(asked)))
    while under_way:
        for i in sorted(under_way):
            try:
                event = next(streams[i])
            except StopIteration:
                under_way.discard(i)
                continue
            if isinstance(event, WindowPoints):
                heard[i].append(event)
    for one, events in zip(alone, heard, strict=True):
        got = [(e.window, e.points_xy.tolist(), e.categories) for e in events]
        assert sorted(got) == sorted(each[:3] for each in one)


def test_nothing_else_is_found_whichever_way(detector, noisy_image):
    everything = detect_image(noisy_image, detector, mpp=0.5)
    assert len(set(everything.categories)) > 1
    for only in (("Stromal",), ("Positive",), ("Lymphocyte", "Positive")):
        found = detect_image(noisy_image, detector, mpp=0.5, only=only)
        assert set(found.categories) <= set(only)


def test_a_model_that_has_not_learned_it_finds_what_filtering_finds(detector, noisy_image):
    """Without a prompt, nuclei of others hide none at a seam, and the rest are as they were."""
    everything = detect_image(noisy_image, detector, mpp=0.5)
    found = detect_image(noisy_image, detector, mpp=0.5, only=("Positive",))
    rows = [i for i, name in enumerate(everything.categories) if name == "Positive"]
    kept = {tuple(xy) for xy in everything.points_xy[rows].tolist()}
    assert kept <= {tuple(xy) for xy in found.points_xy.tolist()}
