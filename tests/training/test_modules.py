from __future__ import annotations

from dataclasses import replace

import pytest

from nunext_training.method.modules import MODULES, modules_after, modules_of
from nunext_training.recipes.recipe import Recipe


def sft(supervision="soft", **provenance):
    recipe = Recipe()
    recipe = replace(recipe, loss=replace(recipe.loss, supervision=supervision))
    return {"recipe": recipe.to_json(), "method": "sft"} | provenance


def rft(**switches):
    recipe = Recipe()
    return {
        "recipe": replace(recipe, rft=replace(recipe.rft, **switches)).to_json(),
        "method": "rft",
    }


@pytest.mark.parametrize("provenance", [None, {}, {"recipe": "tiny"}, {"recipe": {}}])
def test_what_was_not_trained_has_no_modules(provenance):
    assert modules_of(provenance) is None


def test_each_switch_is_its_module_alone():
    off = {"filter_groups": False, "shape_advantages": False}
    assert modules_of(sft("naive")) == ("NSFT",)
    assert modules_of(sft("soft")) == ("NSFT", "SASS")
    assert modules_of(sft("naive", covt_sam_sha256="ab")) == ("NSFT", "CoVT")
    assert modules_of(rft(**off)) == ("GRPO",)
    assert modules_of(rft(**off | {"filter_groups": True})) == ("GRPO", "LVGF")
    assert modules_of(rft(**off | {"shape_advantages": True})) == ("GRPO", "FGAS")
    assert modules_of(rft(**off | {"task_guided": True})) == ("GRPO", "TGR")


def test_rewards_add_to_what_supervision_did_whatever_their_own_recipe_says_of_it():
    naive = sft("naive")
    taught = naive | {"modules": modules_after({}, naive)}
    tuned = rft(filter_groups=False)
    assert tuned["recipe"]["loss"]["supervision"] == "soft"  # a default that was not used
    assert modules_after(taught, tuned) == ["NSFT", "GRPO", "FGAS"]


def test_what_a_checkpoint_lists_prevails_and_comes_in_the_order_of_the_table():
    assert modules_of(sft() | {"modules": ["GRPO", "NSFT"]}) == ("NSFT", "GRPO")
    assert modules_of({"modules": list(reversed(MODULES))}) == MODULES
