from __future__ import annotations

import pytest

from napari_nunext.core.errors import InputError
from nunext_training.cli import main
from nunext_training.recipes.recipe import (
    Recipe,
    changed,
    load_recipe,
    parse_recipe,
    recipe_keys,
    recipe_names,
)


@pytest.mark.parametrize("name", recipe_names())
def test_the_packages_own_recipes_load_and_keep_their_name(name):
    assert load_recipe(name).name == name


def test_there_is_a_recipe_for_feedback_and_one_for_a_small_model():
    assert {"feedback", "tiny"} <= set(recipe_names())


def test_a_file_takes_defaults_for_what_it_leaves_out(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[loss]\nsupervision = "naive"\n[optimiser]\nlr = 1\n')
    recipe = load_recipe(str(path))
    assert recipe.name == "mine"
    assert recipe.loss.supervision == "naive"
    assert recipe.optimiser.lr == 1.0
    assert recipe.optimiser.steps == parse_recipe("", "default").optimiser.steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[loss]\nsigma = 2\n", r"no key loss\.sigma; expected supervision, sigma_bins"),
        ("colour = 1\n", "no key colour"),
        ('[optimiser]\nsteps = "many"\n', r"optimiser\.steps is 'many'"),
        ("[optimiser]\nsteps = 0\n", r"optimiser\.steps is 0; expected 1 or more"),
        ("[windows]\nscale_range = [2.0, 1.0]\n", r"windows\.scale_range"),
        ('[loss]\nsupervision = "hard"\n', "expected naive or soft"),
        ("[optimiser]\nlr = true\n", r"optimiser\.lr is True; expected a positive number"),
        ('[optimiser]\nlr = "1"\n', r"optimiser\.lr is '1'; expected a positive number"),
        ("[optimiser]\nlr = nan\n", r"optimiser\.lr is nan"),
        ("[optimiser]\nsteps = 2.5\n", r"optimiser\.steps is 2\.5; expected 1 or more"),
        ("[windows]\nturn = 1\n", r"windows\.turn is 1; expected true or false"),
        ("[lora]\ndropout = 1.0\n", r"lora\.dropout is 1\.0; expected 0 or more, less than 1"),
        ("[rft]\naccumulation = 5\n", r"rft\.accumulation is 5; expected a divisor of"),
        ("[rft]\niterations = 3\n", r"rft\.validate_every is 50; expected a positive multiple"),
        ("seed = 0.5\n", r"seed is 0\.5; expected a whole number"),
        ("loss = 3\n", "expected a table"),
        ("[loss\n", "is not TOML"),
    ],
)
def test_a_recipe_that_does_not_hold_names_the_key(text, message):
    with pytest.raises(InputError, match=message):
        parse_recipe(text, "mine")


def test_an_unknown_recipe_lists_those_there_are():
    with pytest.raises(InputError, match="feedback"):
        load_recipe("nonesuch")


def test_every_key_says_what_it_means_and_what_it_may_be():
    keys = list(recipe_keys())
    assert {"seed", "loss.sigma_bins", "rft.epsilon", "ablation.seeds"} <= {k.name for k in keys}
    assert [key.name for key in keys if not (key.meaning and key.expected)] == []


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_written_out_in_full_is_the_same_recipe(name, capsys):
    assert main(["recipes", name]) == 0
    written = capsys.readouterr().out
    assert parse_recipe(written, "written") == load_recipe(name)
    assert written.count("# ") >= len(list(recipe_keys()))


def test_the_defaults_are_listed_with_the_recipes_of_the_package(capsys):
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in recipe_names())
    assert parse_recipe(listed, "default") == Recipe()


def test_a_changed_recipe_is_checked_as_a_file_is():
    recipe = changed(Recipe(), seed=3, rft={"rollouts": 4})
    assert (recipe.seed, recipe.rft.rollouts) == (3, 4)
    assert changed(recipe, seed=0, rft={"rollouts": Recipe().rft.rollouts}) == Recipe()
    with pytest.raises(InputError, match=r"rft\.beta is 2\.0; expected 0 to 1"):
        changed(recipe, rft={"beta": 2.0})
