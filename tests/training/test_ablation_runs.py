from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import InputError, RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.sam.build import build_sam
from nunext_training.ablation.plan import TABLE_5
from nunext_training.ablation.runs import AblationJob, run_ablation
from nunext_training.cli import main
from nunext_training.data.importers.writing import write_export
from nunext_training.data.sources import read_source
from nunext_training.recipes.recipe import parse_recipe
from tests.sizes import SMALL

WINDOW_PX = 32
SIZE = SMALL

RECIPE = """
[windows]
scale_range = [1.0, 1.0]
stain_strength = 0.0
[optimiser]
batch_size = 2
[validation]
images = 1
[rft]
windows_per_step = 1
rollouts = 2
[ablation]
seeds = 1
start_steps = 1
sft_steps = 1
rft_steps = 1
validations = 1
"""


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(RECIPE, "quick")


@pytest.fixture(scope="module")
def data(tmp_path_factory, labelled_tile):
    """An export with a tile to train on, one to choose by and one to report."""
    folder = tmp_path_factory.mktemp("tissue")
    rng = np.random.default_rng(5)
    tiles = [
        labelled_tile(
            folder, name, rng.uniform(4, 28, (n, 2)), split=split, width=WINDOW_PX, height=WINDOW_PX
        )
        for name, n, split in (("a", 5, "train"), ("b", 4, "val"), ("c", 3, "val"))
    ]
    write_export(
        tiles, folder / "export", categories=default_categories(["Round"]), origin="synthetic"
    )
    return folder / "export"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A start with latent tokens that writes few points."""
    folder = tmp_path_factory.mktemp("start") / "points"
    build_checkpoint(folder, size=SIZE, window_px=WINDOW_PX, latents=2)
    path = folder / "nunext.json"
    description = json.loads(path.read_text()) | {"max_points": 3}
    path.write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam") / "nano"
    build_sam(folder, window_px=WINDOW_PX, mpp=0.5)
    return folder


class Told:
    """The runs that were begun."""

    def __init__(self):
        self.names = []

    def __call__(self, name, done, of):
        self.names.append(name)


class Silent:
    """A `Progress` that nobody reads."""

    def start(self, **values):
        pass

    step = doing = validation = done = start


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data, start, sam, recipe):
    """A whole table of one seed."""
    out = tmp_path_factory.mktemp("ablation") / "out"
    job = AblationJob((data,), out, recipe, start, sam)
    assert run_ablation(job, Silent())
    return job


def test_every_checkpoint_says_the_modules_of_its_row(whole):
    for variant in TABLE_5[1:]:
        description = read_description(whole.out / "seed-0" / variant.name)
        assert tuple(description.provenance["modules"]) == variant.modules
        above = "" if variant.parent == "start" else variant.parent
        parent = whole.out / "seed-0" / above if above else whole.checkpoint
        assert description.provenance["parent_sha256"] == checkpoint_sha256(parent)


def test_what_is_reported_was_left_out_of_every_run(whole):
    left_out = {
        tuple(read_description(path.parent).provenance["data"][0]["left_out_patients"])
        for path in whole.out.glob("seed-*/*/nunext.json")
    }
    ((patient,),) = left_out
    (reported,) = (i for i in read_source(whole.data[0]).images if i.patient == patient)
    assert (reported.split, len(reported.points_xy)) == ("val", 4)
    report = json.loads((whole.out / "report.json").read_text())
    assert {run["overall"]["tp"] + run["overall"]["fn"] for run in report["runs"]} == {4}
    assert [run["run"] for run in report["runs"]] == [
        *["start", *(f"seed-0/{variant.name}" for variant in TABLE_5[1:])]
    ]


def test_nothing_is_run_twice(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.out.glob("seed-*/**/*")}
    told = Told()
    assert run_ablation(whole, Silent(), tell=told)
    assert len(told.names) == 10
    assert {path: path.stat().st_mtime_ns for path in whole.out.glob("seed-*/**/*")} == before


def test_another_recipe_or_start_does_not_go_on(whole, recipe, tmp_path):
    other = replace(recipe, ablation=replace(recipe.ablation, sft_steps=2))
    with pytest.raises(InputError, match="had another recipe"):
        run_ablation(replace(whole, recipe=other), Silent())
    build_checkpoint(tmp_path / "other", size=SIZE, window_px=WINDOW_PX, latents=2, seed=1)
    with pytest.raises(InputError, match="had another start_sha256"):
        run_ablation(replace(whole, checkpoint=tmp_path / "other"), Silent())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="holds no ablation"):
        run_ablation(replace(whole, out=tmp_path / "full"), Silent())


def test_an_ablation_that_was_cut_off_goes_on_to_the_same_weights(whole, tmp_path):
    job = replace(whole, out=tmp_path / "out", variants=("nsft-grpo",))
    asked = iter(range(100))
    # Asked before, in and after the start, before nsft, and after its step.
    assert not run_ablation(job, Silent(), stop=lambda: next(asked) >= 3)
    stopped = json.loads((job.out / "report.json").read_text())
    assert [run["run"] for run in stopped["runs"]] == ["start"]
    assert stopped["tables"][0]["rows"][1][8:11] == [None, None, "0"]
    assert run_ablation(job, Silent())
    ours, theirs = (o / "seed-0" / "nsft-grpo" for o in (job.out, whole.out))
    weights = [(run / "model.safetensors").read_bytes() for run in (ours, theirs)]
    assert weights[0] == weights[1]


def test_processes_may_share_the_seeds_but_not_the_start(whole, tmp_path):
    two = replace(whole.recipe, ablation=replace(whole.recipe.ablation, seeds=2))
    job = replace(whole, recipe=two, out=tmp_path / "out", variants=("nsft",), only_seeds=(1,))
    told = Told()
    assert run_ablation(job, Silent(), tell=told)
    assert told.names == ["start", "seed-1/nsft"]
    with pytest.raises(InputError, match="Seed 2 is none of the ablation's; expected some of 0, 1"):
        run_ablation(replace(job, only_seeds=(2,)), Silent())
    with pytest.raises(InputError, match="--variants start first"):
        run_ablation(replace(job, checkpoint=None, out=tmp_path / "new"), Silent())


def test_a_row_whose_parent_was_replaced_is_refused(whole, tmp_path):
    job = replace(whole, out=tmp_path / "out")
    shutil.copytree(whole.out, job.out)
    nsft, sass = (job.out / "seed-0" / name for name in ("nsft", "sass"))
    nsft.rename(tmp_path / "aside")
    sass.rename(nsft)
    with pytest.raises(InputError, match="went on from another checkpoint"):
        run_ablation(replace(job, variants=("nsft-grpo",)), Silent())


def test_what_would_fail_later_is_said_at_once(tmp_path, data, start, checkpoint, sam, recipe):
    job = AblationJob((data,), tmp_path / "out", recipe, start, None)
    with pytest.raises(InputError, match="covt, tgr need a SAM"):
        run_ablation(job, Silent())
    with pytest.raises(InputError, match="no latent tokens"):
        run_ablation(replace(job, segmenter=sam, checkpoint=checkpoint), Silent())
    masks = replace(recipe, covt=replace(recipe.covt, target="masks"))
    with pytest.raises(RecordError, match="without a mask"):
        run_ablation(replace(job, segmenter=sam, recipe=masks), Silent())
    with pytest.raises(InputError, match="Choose another segmenter"):
        run_ablation(
            replace(
                job,
                segmenter=sam,
                checkpoint=None,
                recipe=replace(recipe, ablation=replace(recipe.ablation, window_px=64)),
            ),
            Silent(),
        )
    assert not job.out.exists()


def test_the_command_teaches_a_start_of_its_own(tmp_path, data, capsys):
    (tmp_path / "quick.toml").write_text(RECIPE)
    out = tmp_path / "out"
    code = main(
        [
            *["ablate", "--data", str(data), "--out", str(out), "--variants", "start"],
            *["--recipe", str(tmp_path / "quick.toml"), "--progress", "jsonl"],
        ]
    )
    assert code == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"event": "run", "run": "start", "done": 0, "of": 1}
    start = read_description(out / "start")
    assert start.provenance["modules"] == ["NSFT"]
    assert start.codec.window_px == WINDOW_PX
    assert len(start.codec.latent_ids) == 8
    assert "| 1 |  |" in (out / "report.md").read_text()
