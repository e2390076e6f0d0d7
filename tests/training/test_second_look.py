"""A second look is fitted to what a detector finds, and changes categories alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images import open_image
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.second_look import LookLayer
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.whole_image.search import detect_image
from nunext_training.cli import main
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import LabelledImage
from nunext_training.method.second_look import FEWEST, PENALTY, fit_second_look
from nunext_training.stages.second_look import _examples, inherited_look

SIDE = 192
MPP = 0.5


def shares(layer, seen, scores):
    logits = scores + seen @ layer.weight.T + layer.bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def evidence(rng, nuclei=400, features=6, choices=3):
    seen = rng.normal(3, [1, 2, 0.5, 1, 4, 1], (nuclei, features))
    scores = rng.normal(0, 1, (nuclei, choices))
    truth = (scores + 0.5 * seen[:, :choices]).argmax(axis=1)
    return seen, scores, np.where(rng.random(nuclei) < 0.1, rng.integers(0, choices, nuclei), truth)


def test_the_fit_is_where_its_loss_has_no_slope(rng):
    seen, scores, truth = evidence(rng)
    layer = LookLayer(*fit_second_look(seen, scores, truth))
    wrong = shares(layer, seen, scores) - np.eye(3)[truth]
    spread = seen.std(axis=0)
    standardised = (seen - seen.mean(axis=0)) / spread
    slope = standardised.T @ wrong + PENALTY * layer.weight.T * spread[:, None]
    assert np.abs(slope).max() < 1e-3 * np.abs(standardised.T @ np.eye(3)[truth]).max()
    assert np.abs(wrong.sum(axis=0)).max() < 0.05 * len(truth) / 100  # shares are the true ones


def test_what_the_model_says_stands_where_nothing_speaks_against_it(rng):
    seen = rng.normal(size=(4000, 5))
    scores = rng.normal(0, 2, (4000, 3))
    share = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = np.array([rng.choice(3, p=p) for p in share])
    layer = LookLayer(*fit_second_look(seen, scores, truth))
    same = (scores + seen @ layer.weight.T + layer.bias).argmax(1) == scores.argmax(1)
    assert same.mean() > 0.95


def test_what_may_not_be_said_is_no_alternative(rng):
    seen, scores, truth = evidence(rng)
    may = np.ones_like(scores, dtype=bool)
    may[:200, 2] = False
    forbidden = np.where(may, scores, -np.inf)
    layer = LookLayer(*fit_second_look(seen, forbidden, truth))
    assert np.isfinite(layer.weight).all()
    said = may[np.arange(len(truth)), truth]
    assert 0 < (~said).sum() < 200
    of_those = LookLayer(*fit_second_look(seen[said], forbidden[said], truth[said]))
    np.testing.assert_array_equal(layer.weight, of_those.weight)


def test_too_few_nuclei_of_a_category_are_refused_in_words(rng):
    seen, scores, truth = evidence(rng)
    truth[np.flatnonzero(truth == 2)[FEWEST - 1 :]] = 1
    with pytest.raises(InputError, match=rf"{FEWEST - 1} nuclei of the categories.*more data"):
        fit_second_look(seen, scores, truth)


@pytest.fixture
def halves(category_checkpoint, tmp_path, rng):
    """An export in which what a detector finds is round on the dark left and pale on the right."""
    detector = NextPointDetector(category_checkpoint)
    images = []
    for name, split in (("a", "train"), ("b", "train"), ("c", "val")):
        rgb = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        rgb[:, SIDE // 2 :] += 150
        path = tmp_path / f"{name}.png"
        Image.fromarray(rgb).save(path)
        found = detect_image(open_image(path), detector, mpp=MPP)
        names = tuple("Round" if x < SIDE / 2 else "Pale" for x in found.points_xy[:, 0])
        images.append(LabelledImage(name, path, MPP, "user", found.points_xy, names, split, name))
    folder = tmp_path / "halves"
    write_export(images, folder, categories=default_categories(("Round", "Pale")), origin="drawn")
    return folder, images


def test_the_command_fits_a_look_that_sees_what_the_model_does_not(
    category_checkpoint, halves, tmp_path, capsys
):
    export, images = halves
    out = tmp_path / "twice"
    before = checkpoint_sha256(category_checkpoint)
    arguments = ["extend", "--second-look", "--checkpoint", str(category_checkpoint)]
    assert main([*arguments, "--out", str(out), "--data", str(export)]) == 0
    said = capsys.readouterr().out
    assert "Round, Pale; fitted to" in said
    assert "mean category F1 on 1 image: " in said
    assert checkpoint_sha256(category_checkpoint) == before
    look = read_description(out).second_look
    assert look.categories == ("Round", "Pale")
    assert look.nuclei >= 2 * FEWEST
    measured = read_description(out).provenance["second_look"]["measured"]
    assert measured["mean_category_f1"] > 0.9 > measured["mean_category_f1_first_look"]
    opened = open_image(images[2].path)
    once = detect_image(opened, NextPointDetector(category_checkpoint), mpp=MPP)
    twice = detect_image(opened, NextPointDetector(out), mpp=MPP)
    np.testing.assert_array_equal(once.points_xy, twice.points_xy)
    np.testing.assert_array_equal(once.confidence, twice.confidence)
    again = tmp_path / "again"
    assert main([*arguments[:3], str(out), "--out", str(again), "--data", str(export)]) == 0
    assert read_description(again).second_look == look  # fitted from the first look once more


def test_what_it_learns_from_is_what_a_search_finds(category_checkpoint, halves):
    _, images = halves
    loaded = load_checkpoint(category_checkpoint, to_decode=True)
    found = detect_image(images[0].open(), NextPointDetector.from_loaded(loaded), mpp=MPP)
    told = replace(images[0], points_xy=found.points_xy, categories=found.categories)
    examples = _examples(loaded, told, ("Round", "Pale"))
    assert len(examples.truth) == len(found) > 0
    # Each nucleus is at itself, so its scores must be those that its category was written by.
    np.testing.assert_array_equal(examples.scores.argmax(axis=1), examples.truth)


def test_what_the_data_and_the_model_do_not_share_is_refused(
    category_checkpoint, checkpoint, halves, tmp_path, capsys
):
    export, _ = halves
    data = ["--data", str(export), "--out", str(tmp_path / "none")]
    arguments = ["extend", "--second-look", "--checkpoint", str(category_checkpoint)]
    assert main([*arguments, *data, "--categories", "Round, Mitosis"]) == 2
    assert "does not know 'Mitosis'" in capsys.readouterr().err
    assert main([*arguments, *data, "--categories", "Round"]) == 2
    assert "share 1 categories" in capsys.readouterr().err
    assert main([*arguments[:3], str(checkpoint), *data]) == 2
    assert "share 0 categories" in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path / "none")]) == 2
    assert "--second-look takes --data" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_what_is_trained_from_it_keeps_a_look_that_serves(category_checkpoint, halves, tmp_path):
    export, _ = halves
    twice, child = tmp_path / "twice", tmp_path / "child"
    data = ["--data", str(export)]
    command = ["extend", "--second-look", "--checkpoint", str(category_checkpoint), *data]
    assert main([*command, "--out", str(twice)]) == 0
    command = ["sft", "--checkpoint", str(twice), *data, "--out", str(child), "--recipe", "tiny"]
    assert main([*command, "--steps", "1", "--lr", "1e-8", "--threads", "1"]) == 0
    assert read_description(child).second_look == read_description(twice).second_look
    detector = NextPointDetector(child)  # whose layer is looked for, and checked
    assert detector.info.decoding["categories"] == "second look"


def test_a_look_that_serves_no_longer_is_left_behind(
    category_checkpoint, looking_twice, halves, caplog
):
    """The layer of `looking_twice` knows nothing."""
    images = halves[1]
    child = load_checkpoint(category_checkpoint, to_decode=True)
    look = read_description(looking_twice).second_look
    found = detect_image(images[2].open(), NextPointDetector.from_loaded(child), mpp=MPP)
    told = replace(images[2], points_xy=found.points_xy, categories=found.categories)
    assert inherited_look(looking_twice, child, [told]) is None
    assert "serves what was trained from it no longer" in caplog.text
    assert inherited_look(looking_twice, child, []) == look, "nobody knows"
    other = replace(told, categories=("Nucleus",) * len(found))
    assert inherited_look(looking_twice, child, [other]) == look, "none has its categories"
    assert inherited_look(category_checkpoint, child, [told]) is None
