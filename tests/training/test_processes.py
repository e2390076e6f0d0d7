"""One run, two processes: the same as one process that does all the work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from torch.distributed.fsdp import StateDictType

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.sam.build import SamSize, build_sam
from napari_nunext.models.sam.grafting import graft_trunk_on_sam
from nunext_training.data.importers.writing import write_export
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.runs import processes
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.stages.segmenter import run_segmenter
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.stages.stage import Job
from nunext_training.trainers.task_trainer import full_batch_size
from tests.training import shared_asking
from tests.training.test_allocator import made_table

RECIPE = """
[windows]
scale_range = [0.9, 1.1]
[loss]
sigma_bins = 1.0
[optimiser]
steps = 4
batch_size = 2
accumulation = 2
lr = 1e-3
warmup_steps = 0
[validation]
every_steps = 2
images = 3
[segmenter]
prompts = 4
clicks = 2
outlines = true
mpp = 0.5
[rft]
steps = 3
windows_per_step = 2
rollouts = 4
lr = 3e-4
warmup_steps = 0
validate_every = 1
"""


def test_a_single_process_is_the_main_one_and_has_all_the_work():
    assert processes.is_main()
    assert processes.count() == 1
    assert processes.my_share([3, 1, 2]) == [3, 1, 2]
    assert processes.total([0.1, 2.0]) == [0.1, 2.0]
    assert processes.any_of(True)
    assert not processes.any_of(False)
    assert processes.on_main(lambda: "done") == "done"
    with pytest.raises(InputError, match="bad"):
        processes.on_main(lambda: (_ for _ in ()).throw(InputError("bad")))


@pytest.mark.parametrize(
    ("items", "at_most", "size"), [(9, 2, 1), (9, 4, 3), (64, 8, 8), (7, 7, 7), (7, 100, 7)]
)
def test_batches_are_full_and_no_larger_than_asked(items, at_most, size):
    assert full_batch_size(items, at_most) == size


@pytest.mark.parametrize("name", ["cpu2", "multi_gpu", "fsdp", "zero2", "zero3"])
def test_accelerate_reads_every_configuration_that_is_shipped(name):
    path = Path(processes.__file__).parent / "accelerate" / f"{name}.yaml"
    config = load_config_from_file(str(path))  # refuses a key that it does not know
    kind = {"fsdp": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}.get(name, "MULTI_GPU")
    assert config.distributed_type == kind
    assert not config.use_cpu


def test_every_configuration_is_tested():
    folder = Path(processes.__file__).parent / "accelerate"
    shipped = {path.stem for path in folder.iterdir()}
    assert shipped == {"cpu2", "multi_gpu", "fsdp", "zero2", "zero3"}


def test_spread_weights_are_saved_whole(monkeypatch):
    """The environment that the launcher makes of fsdp.yaml, as accelerate's plugin reads it."""
    path = Path(processes.__file__).parent / "accelerate" / "fsdp.yaml"
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "script.py"])
    arguments, _, _ = _validate_launch_command(arguments)
    for name, value in prepare_multi_gpu_env(arguments).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, labelled_tile, checkpoint):
    """An export with masks, a checkpoint that writes points, a SAM, a recipe for two processes."""
    folder = tmp_path_factory.mktemp("shared")
    rng = np.random.default_rng(5)
    grid = np.array([(x, y) for y in range(8, 64, 12) for x in range(8, 64, 12)], dtype=float)
    rows, columns = np.mgrid[:64, :64] + 0.5

    def tile(name, points, split):
        discs = ((columns - x) ** 2 + (rows - y) ** 2 <= 16 for x, y in points)
        drawn = labelled_tile(folder, name, points, split=split)
        return replace(drawn, masks=tuple(map(Mask.from_array, discs)))

    tiles = [
        tile(name, rng.permutation(grid)[:n], split)
        for name, n, split in (
            *[("a", 9, "train"), ("b", 7, "train")],
            *[("c", 8, "val"), ("d", 5, "val"), ("e", 6, "val")],
        )
    ]
    write_export(
        tiles, folder / "export", categories=default_categories(["Round"]), origin="synthetic"
    )
    taught = parse_recipe(RECIPE, "taught")
    taught = replace(
        taught,
        optimiser=replace(taught.optimiser, steps=60, batch_size=8, accumulation=1, lr=4e-3),
        validation=replace(taught.validation, every_steps=60),
    )
    run_sft(SftJob((folder / "export",), checkpoint, folder / "checkpoint", taught), Silent())
    (folder / "recipe.toml").write_text(RECIPE)
    size = SamSize(patch_px=8, attention_window=4, width=32, layers=1, channels=32, mlp=32)
    build_sam(folder / "plain", window_px=64, preset=size)
    graft_trunk_on_sam(folder / "plain", folder / "sam")
    return folder


class Silent:
    """A `Progress` that nobody reads."""

    def start(self, **values):
        pass

    step = doing = validation = done = start


def launched(config: str, inputs: Path, out: Path, *options: str, arguments=()) -> None:
    """Run `shared_run.py` under a configuration that the package ships."""
    shipped = Path(processes.__file__).parent / "accelerate" / config
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", shipped]
    script = Path(__file__).with_name("shared_run.py")
    done = subprocess.run(
        [*launch, *options, script, inputs, out, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def same_weights(one: Path, other: Path) -> None:
    """Within a tenth of what a step may move a weight, which is the rate.

    Adam divides a gradient by its size: where it is little but rounding, which differs between
    processors, so does the step.
    """
    ours, theirs = load_file(one), load_file(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-4, atol=1e-4, msg=name)


def same_metrics(one: Path, other: Path) -> None:
    ours, theirs = ([json.loads(line) for line in p.read_text().splitlines()] for p in (one, other))
    assert [e.pop("event") for e in ours] == [e.pop("event") for e in theirs]
    for entry, expected in zip(ours, theirs, strict=True):
        unknown = {name for name, value in expected.items() if value is None}
        assert all(entry.pop(name) is expected.pop(name) for name in unknown)
        assert entry == pytest.approx(expected, rel=1e-3, abs=1e-5)


def same_segmenter(one: Path, other: Path) -> None:
    """Corrected outlines among its batches, whose turns must be as many in every process."""
    files = [folder / "segmenter" / "metrics.jsonl" for folder in (one, other)]
    same_metrics(*files)
    same_weights(*(file.with_name("model.safetensors") for file in files))


@pytest.fixture(scope="module")
def alone(inputs, tmp_path_factory):
    """A single process that has twice the windows at once."""
    out = tmp_path_factory.mktemp("alone")
    recipe = parse_recipe(RECIPE, "shared")
    recipe = replace(
        recipe,
        optimiser=replace(recipe.optimiser, batch_size=4),
        rft=replace(recipe.rft, windows_per_step=4),
    )
    data, parent = (inputs / "export",), inputs / "checkpoint"
    run_sft(SftJob(data, parent, out / "sft", recipe), Silent())
    run_segmenter(Job(data, inputs / "sam", out / "segmenter", recipe), Silent())
    asked = iter(range(1, 100))
    run_rft(RftJob(data, parent, out / "rft", recipe), Silent(), stop=lambda: next(asked) >= 2)
    return out


@pytest.fixture(scope="module")
def asking(inputs, answers_export, answerer_folder):
    """What `shared_asking` learns from, beside what detectors learn from."""
    folder = inputs / "asking"
    folder.mkdir()
    (folder / "export").symlink_to(answers_export)
    (folder / "answerer").symlink_to(answerer_folder)
    made_table(answerer_folder, answers_export, folder / "table.jsonl", [0.0, 1.0, 0.3])
    return folder


@pytest.fixture(scope="module")
def together(inputs, asking, tmp_path_factory):
    """Two processes: to start them takes as long as all that they do."""
    out = tmp_path_factory.mktemp("together")
    (out / "asking").mkdir()
    launched("cpu2.yaml", inputs, out)
    return out


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_all_the_windows(inputs, alone, together):
    same_metrics(together / "sft" / "metrics.jsonl", alone / "sft" / "metrics.jsonl")
    same_weights(together / "sft" / "model.safetensors", alone / "sft" / "model.safetensors")
    same_segmenter(together, alone)
    ours, theirs = together / "rft.training", alone / "rft.training"
    same_metrics(ours / "metrics.jsonl", theirs / "metrics.jsonl")
    state = Path("checkpoint-2", "model.safetensors")
    same_weights(ours / state, theirs / state)
    before, after = load_file(inputs / "checkpoint" / state.name), load_file(ours / state)
    assert any(not torch.equal(before[name], after[name]) for name in before)

    # Batches go round the processes, and none sees another's windows. (The batch that was fetched
    # ahead when the run was stopped is cut again.) Groups of rollouts are whole.
    told = [json.loads((together / f"process-{rank}.json").read_text()) for rank in (0, 1)]
    for rank in (0, 1):
        assert set(told[rank]["sft"]) == {i for i in range(32) if i // 2 % 2 == rank}
        assert told[rank]["rft"] == [i for i in range(8) if i // 2 % 2 == rank]
    # One of them speaks.
    assert told[1]["events"] == []
    assert told[0]["events"].count("done") == 1
    provenance = json.loads((together / "sft" / "nunext.json").read_text())["provenance"]
    assert provenance["processes"] == 2


@pytest.mark.slow
def test_weights_that_are_spread_over_processes_learn_the_same(inputs, alone, tmp_path):
    """FSDP2 on two CPUs: stopped, resumed, validated, and saved whole."""
    options = ("--num_processes", "2", "--mixed_precision", "no")
    launched("fsdp.yaml", inputs, tmp_path, *options, arguments=("fsdp",))
    same_metrics(tmp_path / "sft" / "metrics.jsonl", alone / "sft" / "metrics.jsonl")
    same_weights(tmp_path / "sft" / "model.safetensors", alone / "sft" / "model.safetensors")
    same_segmenter(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["packed", "sft", "grpo", "allocate"])
def test_two_processes_teach_an_answerer_what_one_teaches(asking, together, tmp_path, name):
    run = dict(shared_asking.runs(asking, tmp_path, batch_size=4))[name]
    assert run(Silent()) == tmp_path / name
    ours, theirs = together / "asking" / name, tmp_path / name
    same_metrics(ours / "metrics.jsonl", theirs / "metrics.jsonl")
    (weights,) = (path.name for path in theirs.glob("*model.safetensors"))
    same_weights(ours / weights, theirs / weights)
    assert json.loads((ours / "training.json").read_text())["provenance"]["processes"] == 2
    # There was something to learn, and one of them speaks.
    steps = [json.loads(line) for line in (theirs / "metrics.jsonl").read_text().splitlines()]
    assert min(step["grad_norm"] for step in steps if step["event"] == "step") > 0.1
    told = [json.loads((together / f"process-{rank}.json").read_text()) for rank in (0, 1)]
    assert told[0]["asking"][name].count("done") == 1
    assert told[1]["asking"][name] == []
