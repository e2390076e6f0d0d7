"""The reward and the stage that docs/extending.md shows are whole ones."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.cli import main
from nunext_training.method.register import Rewards
from nunext_training.method.rewards import REWARDS, score_reply
from nunext_training.recipes.recipe import Recipe, changed, load_recipe, parse_recipe
from nunext_training.runs.context import RunContext
from nunext_training.runs.folder import RunFolder

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text("utf-8")
CODEC = Codec(bins=32, window_px=32, coordinate_start_id=10, separator_id=1, end_id=2)


def block(name: str) -> str:
    """The code of the page that begins with a comment of this name."""
    (found,) = re.findall(rf"^```\w+\n(# {re.escape(name)}\n.*?)^```", PAGE, re.M | re.S)
    return found


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """``importable(name)``: a module of the page, where Python finds it until the test ends."""
    folder = tmp_path / "written"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(name):
        (folder / f"{name}.py").write_text(block(f"{name}.py"))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return folder

    return write


@pytest.fixture
def installed(importable, monkeypatch):
    """The documented reward as a package that was installed."""
    folder = importable("fair_count")
    (toml,) = re.findall(r"^```toml\n(\S*nunext_training.rewards.*?)^```", PAGE, re.M | re.S)
    ((group, points),) = tomllib.loads(toml)["project"]["entry-points"].items()
    info = folder / "fair_count-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fair-count\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
    monkeypatch.setattr(REWARDS, "_known", dict(REWARDS._known))


def test_the_documented_reward_is_trained_for_and_logged_by_its_name(
    installed, tmp_path, export, checkpoint, capsys
):
    text = block("fair.toml")
    pace = "steps = 1\nwindows_per_step = 1\nrollouts = 2\nvalidate_every = 1\n"
    recipe = tmp_path / "fair.toml"
    recipe.write_text(f"[validation]\nimages = 1\n[rft]\n{pace}{text}")
    assert "fair_count" not in sys.modules
    assert load_recipe(str(recipe)).to_json()["rft"]["rewards"] == {"fair_count": 0.25}
    out = tmp_path / "out"
    asked = ["rft", "--data", str(export), "--checkpoint", str(checkpoint), "--out", str(out)]
    assert main([*asked, "--recipe", str(recipe)]) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["validation", "step", "validation"]
    for line in lines:
        whole = line["reward.f1"] + 0.25 * line["reward.fair_count"]
        assert line["reward"] == pytest.approx(whole, abs=1e-6)
    assert any(line["reward.fair_count"] > 0 for line in lines)
    assert read_description(out).provenance["recipe"]["rft"]["rewards"] == {"fair_count": 0.25}
    capsys.readouterr()
    assert main(["recipes", str(recipe)]) == 0
    written = capsys.readouterr().out
    assert parse_recipe(written, "fair").rft.rewards == {"fair_count": 0.25}


def test_the_documented_reward_is_what_it_says(installed):
    true_xy = np.array([(4.5, 4.5), (20.5, 20.5), (9.5, 25.5), (28.5, 3.5)])
    reply = CODEC.encode(true_xy[:3])
    weights = {"f1": 1.0, "fair_count": 0.5}
    scored = score_reply(reply, true_xy, CODEC, radius_px=2.0, weights=weights)
    assert scored.terms == {"f1": pytest.approx(6 / 7), "fair_count": 0.75}
    assert scored.reward == pytest.approx(6 / 7 + 0.5 * 0.75)
    broken = score_reply(reply[:-1], true_xy, CODEC, radius_px=2.0, weights=weights)
    assert (broken.reward, dict(broken.terms)) == (0.0, {})


def test_a_reward_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"rft\.rewards is .*expected weights by name, of f1, pq"):
        parse_recipe("[rft.rewards]\nfairness = 1.0\n", "mine")
    with pytest.raises(InputError, match=r"There is no reward 'fairness'; expected some of f1"):
        REWARDS.get("fairness")


def test_a_name_belongs_to_one_reward():
    rewards = Rewards("nobody.brings_any")
    rewards.register("same")(lambda reply: 1.0)
    with pytest.raises(InputError, match="registered already"):
        rewards.register("same")(lambda reply: 0.0)
    with pytest.raises(InputError, match="'other' asks for weather; expected a parameter"):
        rewards.register("other")(lambda reply, weather: 0.0)


def test_only_rewards_that_ask_for_masks_want_a_segmenter():
    assert REWARDS.asking({"f1": 1.0}, "masks") == []
    assert REWARDS.asking({"f1": 1.0, "pq": 0.5}, "masks") == ["pq"]


def test_a_run_that_was_begun_before_there_were_others_is_still_the_same_run():
    """`recipe_before.json` is what the version before wrote into ``run.json``."""
    before = json.loads(Path(__file__).with_name("recipe_before.json").read_text("utf-8"))
    assert changed(Recipe(), **before).to_json() == before


def test_the_documented_stage_trains_stops_and_goes_on(
    importable, tmp_path, export, category_checkpoint, recipe, recorder
):
    importable("one_category")
    module = import_module("one_category")
    job = module.OneCategoryJob(
        (export,), category_checkpoint, tmp_path / "out", recipe, category="Pale"
    )
    stage = module.OneCategoryStage(job)
    folder = RunFolder.open(tmp_path / "looked-at", {}, resume=False)
    trainer = stage.trainer(RunContext(folder, recorder, lambda: False))
    seen = [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    assert len(seen) == 12
    codec = load_checkpoint(category_checkpoint).description.codec
    pale = codec.category_names.index("Pale")
    assert {c for example in seen for c in example.category_indices} == {pale}

    asked = iter(range(1, 9))
    run = module.run_one_category
    assert run(job, recorder, stop=lambda: next(asked) >= 2) is None
    with pytest.raises(InputError, match="had another category"):
        run(replace(job, resume=True, category="Round"), recorder)
    assert run(replace(job, resume=True), recorder) == job.out
    assert [step["step"] for step in recorder.of("step")] == [1, 2, 3, 4, 5, 6]
    provenance = read_description(job.out).provenance
    assert (provenance["method"], provenance["category"]) == ("one category", "Pale")
    assert not (tmp_path / "out.training").exists()
