from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from nunext_training.ablation.plan import START, TABLE_5, plan, recipe_of, with_parents
from nunext_training.data.held_out import held_out
from nunext_training.data.labelled import LabelledImage
from nunext_training.method.modules import MODULES
from nunext_training.recipes.recipe import Recipe, parse_recipe

BY_NAME = {variant.name: variant for variant in TABLE_5}


def test_the_rows_are_those_of_the_paper():
    """Its ticks, read off the page, and its F1."""
    page = """
        .......  0.587
        x......  0.812
        xx.....  0.819
        xxx....  0.822
        x..x...  0.830
        xxxx...  0.835
        xxxxx..  0.837
        xxxx.x.  0.838
        xxxxxx.  0.840
        xxxxxxx  0.842
    """
    rows = [line.split() for line in page.split("\n") if line.strip()]
    for variant, (ticks, f1) in zip(TABLE_5, rows, strict=True):
        on = tuple(name for name, tick in zip(MODULES, ticks, strict=True) if tick == "x")
        assert variant.modules == on
        assert variant.published == float(f1)


def test_every_row_goes_on_from_one_with_the_same_supervision():
    for variant in TABLE_5[1:]:
        parent = BY_NAME[variant.parent]
        if variant.is_tuned_by_rewards:
            supervised = [name for name in variant.modules if name in MODULES[:3]]
            assert list(parent.modules) == supervised
        else:
            assert parent.name == START


def test_a_row_is_held_against_one_that_lacks_a_single_module():
    for variant in TABLE_5[1:]:
        beside = BY_NAME[variant.beside]
        assert len(set(variant.modules) - set(beside.modules)) == 1
        assert set(beside.modules) < set(variant.modules)
        assert variant.published_gain == pytest.approx(variant.published - beside.published)
    assert BY_NAME["tgr"].published_gain == pytest.approx(0.002)


def test_rows_bring_those_that_they_go_on_from_and_share_them():
    assert [v.name for v in with_parents(["tgr"])] == ["start", "covt", "tgr"]
    assert [v.name for v in with_parents(["fgas", "lvgf", "covt"])] == [
        *["start", "covt", "lvgf", "fgas"]
    ]
    with pytest.raises(InputError, match="no variant 'grop'; expected some of start, nsft"):
        with_parents(["grop"])


def test_the_start_is_run_once_and_every_seed_gives_a_whole_table():
    recipe = parse_recipe("seed = 5\n[ablation]\nseeds = 2\n", "mine")
    names = [run.name for run in plan(["nsft-grpo", "sass"], recipe)]
    assert names == [
        "start",
        *["seed-5/nsft", "seed-5/sass", "seed-5/nsft-grpo"],
        *["seed-6/nsft", "seed-6/sass", "seed-6/nsft-grpo"],
    ]
    runs = {run.name: run for run in plan(["nsft-grpo"], recipe)}
    assert runs["seed-6/nsft-grpo"].parent == runs["seed-6/nsft"]
    assert runs["seed-6/nsft"].parent == runs["start"]
    assert runs["start"].parent is None


def test_a_row_has_its_modules_on_and_the_others_off():
    recipe = Recipe()
    assert recipe_of(BY_NAME["nsft"], recipe, 1).loss.supervision == "naive"
    assert recipe_of(BY_NAME["sass"], recipe, 1).loss.supervision == "soft"
    for name, on in {
        "nsft-grpo": (False, False, False),
        "grpo": (False, False, False),
        "lvgf": (True, False, False),
        "fgas": (False, True, False),
        "lvgf-fgas": (True, True, False),
        "tgr": (True, True, True),
    }.items():
        rft = recipe_of(BY_NAME[name], recipe, 1).rft
        assert (rft.filter_groups, rft.shape_advantages, rft.task_guided) == on


def test_rows_of_a_seed_differ_in_their_modules_alone():
    recipe = parse_recipe("[rft]\niterations = 2\nvalidate_every = 2\n", "mine")
    grpo, all_of_it = (recipe_of(BY_NAME[n], recipe, 7) for n in ("grpo", "tgr"))
    switches = {"filter_groups": False, "shape_advantages": False, "task_guided": False}
    assert replace(all_of_it, rft=replace(all_of_it.rft, **switches)) == grpo
    nsft, sass = (recipe_of(BY_NAME[n], recipe, 7) for n in ("nsft", "sass"))
    assert replace(sass, loss=nsft.loss) == nsft
    assert {r.seed for r in (grpo, all_of_it, nsft, sass)} == {7}
    assert grpo.rft.validate_every % 2 == 0


def image(name, split, nuclei, patient=None):
    points = np.zeros((nuclei, 2))
    categories = ("Nucleus",) * nuclei
    return LabelledImage(name, None, 0.5, "user", points, categories, split, patient or name)


def test_a_test_split_is_what_is_reported():
    images = [image("a", "train", 3), image("b", "val", 3), image("c", "test", 3)]
    held = held_out(images, choose=True)
    assert [i.name for i in held.images] == ["c"]
    assert held.patients == frozenset()  # validation may use all that it has


def test_validation_is_parted_by_patients_who_were_not_trained_on():
    images = [
        image("seen-1", "train", 50, "P"),
        image("seen-2", "val", 30, "P"),
        image("two-1", "val", 20, "Q"),
        image("two-2", "val", 25, "Q"),
        image("big", "val", 40),
        image("small", "val", 5),
    ]
    held = held_out(images, choose=True)
    # P is trained on and chooses (30). Q has most (45) and reports; then big chooses (70 against
    # 45), and small reports.
    assert [i.name for i in held.images] == ["two-1", "two-2", "small"]
    assert held.patients == {"Q", "small"}
    assert "2 of the 4 patients" in held.what


def test_whom_a_run_was_trained_on_is_never_reported_however_many_nuclei_they_have():
    images = [
        image("seen-1", "train", 5, "P"),
        image("seen-2", "val", 90, "P"),
        image("one", "val", 20, "Q"),
        image("two", "val", 10, "R"),
    ]
    held = held_out(images, choose=True)
    assert [i.name for i in held.images] == ["one", "two"]
    assert held.patients == {"Q", "R"}


def test_where_nothing_is_chosen_all_who_were_not_trained_on_are_reported():
    images = [
        image("seen-1", "train", 50, "P"),
        image("seen-2", "val", 30, "P"),
        image("one", "val", 20, "Q"),
        image("two", "val", 25, "R"),
    ]
    held = held_out(images, choose=False)
    assert [i.name for i in held.images] == ["one", "two"]
    assert held.patients == {"P", "Q", "R"}  # nothing is left to validate on
    assert "not chosen" in held.what
    assert [i.name for i in held.at_most(1).images] == ["one"]
    assert held.at_most(1).patients == held.patients
    assert held.at_most(0) is held.at_most(2) is held
    with_test = held_out([*images, image("three", "test", 2)], choose=False)
    assert [i.name for i in with_test.images] == ["three"]
    assert with_test.patients == {"P", "Q", "R"}
    with pytest.raises(InputError, match="Add validation images"):
        held_out(images[:2], choose=False)


@pytest.mark.parametrize(
    "images",
    [
        [image("a", "train", 3)],
        [image("a", "train", 3), image("b", "val", 3)],
        [image("a", "train", 3, "P"), image("b", "val", 3, "P"), image("c", "val", 4, "P")],
    ],
)
def test_too_few_patients_to_report_and_to_choose_are_refused(images):
    with pytest.raises(InputError, match="Add validation images"):
        held_out(images, choose=True)
