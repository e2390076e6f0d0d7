from __future__ import annotations

import pytest

from napari_nunext.core.errors import InputError
from nunext_training.recipe import load_recipe, parse_recipe, recipe_names


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
