"""New tissue in the colours of H&E: what a parent is asked about it, and learns to see again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import napari_nunext
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.data.batches import KNOWN, inputs_of, part_of
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.importers.writing import write_export
from nunext_training.data.painted.recoloured import (
    H_AND_E,
    ColoursOfHAndE,
    colours_of,
    recolouring,
)
from nunext_training.data.training_data import TrainingData
from nunext_training.method.losses import distances
from nunext_training.recipes.recipe import load_recipe
from nunext_training.recipes.sections import KeepingOptions
from nunext_training.stages import sft
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.tasks import seeing
from nunext_training.tasks.points import PointsTask
from nunext_training.tasks.replaying import earlier_tissue
from nunext_training.tasks.seeing import is_known_better
from nunext_training.trainers.keeping import FrozenParent

CATEGORIES = ("Round", "Pale")
BUNDLED = Path(napari_nunext.__file__).parent / "weights" / "nunext-small"


def inverted(image):
    """A tile with bright nuclei on dark, as no stain of the parent's has them."""
    rgb = 255 - image.open().rgb
    return replace(image, name=f"{image.name}-inv", opener=lambda: tile_of_rgb(rgb, "inv"))


@pytest.fixture(scope="module")
def drawn():
    return tuple(DrawnTiles(2, size_px=192, mpp=0.5, seed=3, split="train"))


def found_in(image, rgb=None):
    rgb = image.open().rgb if rgb is None else rgb
    return colours_of(rgb, image.points_xy, mpp=image.mpp)


@pytest.mark.parametrize("turn_rad", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_bright_nuclei_come_out_dark_in_the_colours_that_were_asked_for(drawn, turn_rad, mirrored):
    image, wanted = inverted(drawn[0]), H_AND_E[1]
    before = found_in(image)
    assert (before.to_nuclei > 0).all()
    way = recolouring(before, wanted, turn_rad=turn_rad, mirrored=mirrored)
    after = found_in(image, way(image.open().rgb))
    # But for what is clipped at black and white.
    np.testing.assert_allclose(after.mean, wanted.mean, atol=0.06)
    assert (after.to_nuclei < -0.1).all()
    cosine = after.to_nuclei @ wanted.to_nuclei
    cosine /= np.linalg.norm(after.to_nuclei) * np.linalg.norm(wanted.to_nuclei)
    assert cosine > 0.95


def test_what_has_the_colours_already_stays_as_it_is(drawn):
    rgb, found = drawn[0].open().rgb, found_in(drawn[0])
    off = np.abs(recolouring(found, found)(rgb).astype(int) - rgb)
    assert off.max() <= 1


def test_whatever_an_image_is_called_its_colours_lie_beside_it(drawn):
    named = [replace(drawn[0], name=name) for name in ("a/b", "a%2Fb", "..", "\udc80")]
    tiles = ColoursOfHAndE(named, each=2, seed=0).tiles()
    assert {tile.path.parent for tile in tiles} == {drawn[0].path.parent}
    assert len({tile.path for tile in tiles}) == len(tiles) == 8
    assert tiles[0].open().rgb.shape == drawn[0].open().rgb.shape


def test_an_image_that_tells_nothing_of_its_colours_is_left_out(drawn, labelled_tile, tmp_path):
    empty = labelled_tile(tmp_path, "empty", [])
    some = replace(drawn[0], asked=("Stromal",))
    colours = ColoursOfHAndE([empty, some, drawn[1]], each=3, seed=0)
    assert colours.images == (drawn[1],)
    assert colours.of("empty", 0) is None
    names = [tile.name for tile in colours.tiles()]
    assert len(set(names)) == 3
    again = ColoursOfHAndE([drawn[1]], each=3, seed=0)
    for one, other in zip(colours.tiles(), again.tiles(), strict=True):
        np.testing.assert_array_equal(one.open().rgb, other.open().rgb)
    first, second = (tile.open().rgb for tile in colours.tiles()[:2])
    assert (first != second).any()


@pytest.fixture
def task_of(category_checkpoint, recipe, tiles):
    parent = load_checkpoint(category_checkpoint, dtype=torch.float32)
    keeping = KeepingOptions(replay=0.5, tiles=2, truth=False, kl=1.0, recoloured=0.5, seeing=1.0)
    chosen = replace(recipe, keeping=keeping)
    earlier = earlier_tissue((), ("Round", "Pale"), mpp=0.5, tiles=2)
    colours = ColoursOfHAndE(tiles[:2], each=2, seed=0)
    return parent, PointsTask(
        parent,
        chosen,
        TrainingData(tiles[:2], (), ()),
        earlier=earlier.images,
        colours=colours,
    )


def test_half_of_what_is_replayed_is_the_new_tissue_in_known_colours(task_of):
    _, task = task_of
    examples = task.examples(16)
    names = [examples[i].image_name for i in range(16) if examples[i].replayed]
    assert sum("-he" in name for name in names) == sum("synthetic-" in name for name in names) == 4
    assert all((examples[i].known_rgb is None) == examples[i].replayed for i in range(16))


def test_a_batch_has_new_windows_in_known_colours_for_the_parent_alone(task_of):
    parent, task = task_of
    examples = task.examples(4)
    four = [examples[i] for i in range(4)]
    batch = task.encode(four)
    assert batch[KNOWN].tolist() == [True, False, True, False]
    expected = parent.windows([four[0].known_rgb, four[2].known_rgb])
    part = part_of(batch, KNOWN)
    assert part.keys() == dict(expected).keys()
    assert all(torch.equal(part[name], expected[name]) for name in part)
    assert not any(name.startswith(KNOWN) for name in inputs_of(batch))


def test_the_distance_is_a_share_of_the_variance_of_what_the_parent_sees():
    theirs = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    ours = theirs.clone()
    ours[1] += 2
    assert distances(ours, theirs).tolist() == pytest.approx([0, 4 / float(theirs.var())])


def test_the_tower_learns_to_see_the_new_tissue_as_the_parent_sees_it_in_known_colours(
    tmp_path, tiles, category_checkpoint, recipe, recorder, monkeypatch
):
    export = tmp_path / "new"
    new_tiles = [inverted(tile) for tile in tiles[:2]]
    write_export(new_tiles, export, categories=default_categories(CATEGORIES), origin="x")
    options = replace(recipe.optimiser, steps=20, batch_size=4, lr=3e-3)
    keeping = KeepingOptions(replay=0.25, tiles=2, truth=False, kl=1.0, seeing=10.0)
    colours = ColoursOfHAndE(new_tiles, each=1, seed=0)
    way = colours.of(new_tiles[0].name, 0)
    rgb = new_tiles[0].open().rgb[:32, :32]
    towers = {}

    def seen(folder, shown):
        loaded = load_checkpoint(folder, dtype=torch.float32)
        parent = FrozenParent(loaded.model, vision_path=loaded.family.vision_path)
        parent.logits(dict(loaded.windows([shown])), 1)
        return parent.image_tokens(1)

    wanted = seen(category_checkpoint, way(rgb))
    for better in (True, False):
        monkeypatch.setattr(sft, "is_known_better", Mock(return_value=better))
        out = tmp_path / f"out-{better}"
        job = SftJob((export,), category_checkpoint, out, replace(recipe, keeping=keeping))
        run_sft(replace(job, recipe=replace(job.recipe, optimiser=options), tests=False), recorder)
        towers[better] = float(distances(seen(out, rgb), wanted))
    assert towers[True] < 0.7 * towers[False]


@pytest.mark.parametrize(("new", "better"), [(inverted, True), (lambda image: image, False)])
def test_a_detector_is_shown_other_colours_only_where_it_knows_nuclei_better_in_them(
    drawn, new, better, monkeypatch
):
    monkeypatch.setattr(seeing, "WINDOWS", 16)
    parent = load_checkpoint(BUNDLED, dtype=torch.float32)
    colours = ColoursOfHAndE([new(image) for image in drawn], each=1, seed=0)
    encode = PointsTask(parent, load_recipe("feedback"), TrainingData(drawn, (), ())).collator
    options = load_recipe("feedback").windows
    assert is_known_better(parent, encode, colours, options, seed=0) is better
