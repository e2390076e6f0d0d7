"""What every process of `test_processes.py` runs under ``accelerate launch``.

Arguments: a folder with ``export``, ``checkpoint``, ``sam`` and ``recipe.toml``, where to, and
``fsdp`` where weights are spread.  SFT is stopped by one of the processes alone after its second
step and goes on; RFT, where weights are whole, is stopped after its second; a segmenter learns.
Each process leaves what it was told and which windows it cut.  Where the folder has ``asking``, the
runs of `shared_asking` follow; two of them are stopped after their first step and go on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType
from shared_asking import runs
from torch.distributed.tensor import DTensor

from nunext_training.data.windows import RandomWindows
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.runs import processes
from nunext_training.runs.sharding import WholeCopy
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.stages.segmenter import run_segmenter
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.stages.stage import Job


class Recorder:
    """A `Progress` that remembers the names of what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, **values: object) -> None:
        self.events.append("start")

    def step(self, **values: object) -> None:
        self.events.append("step")

    def doing(self, *, what: str) -> None:
        pass

    def validation(self, **values: object) -> None:
        self.events.append("validation")

    def done(self, **values: object) -> None:
        self.events.append("done")


def take_cpus_for_gpus() -> None:
    """Have accelerate spread weights over CPUs, which torch can and it would not."""
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda self, *args: ("gloo", DistributedType.MULTI_GPU)
    PartialState.set_device = lambda self: setattr(self, "device", torch.device("cpu"))


def ask(folder: Path, out: Path) -> dict[str, list[str]]:
    """What this process was told of each run."""
    rank = processes.join().process_index
    told = {}
    for name, run in runs(folder, out, batch_size=2):
        recorder = Recorder()
        if name in ("packed", "grpo"):
            assert run(recorder, stop=lambda: rank == 1) is None
        assert run(recorder, resume=name in ("packed", "grpo")) is not None
        told[name] = recorder.events
    return told


def main(folder: Path, out: Path, *options: str) -> None:
    torch.set_num_threads(1)
    if "fsdp" in options:
        take_cpus_for_gpus()
        update = WholeCopy.updated

        def spread_weights_only(self: WholeCopy, sharded: Any) -> Any:
            assert any(isinstance(p, DTensor) for p in sharded.parameters())
            return update(self, sharded)

        WholeCopy.updated = spread_weights_only
    rank = processes.join().process_index
    recipe = parse_recipe((folder / "recipe.toml").read_text(), "shared")
    recorder = Recorder()
    cut: list[int] = []
    get = RandomWindows.__getitem__

    def remember(self: RandomWindows, index: int) -> object:
        cut.append(index)
        return get(self, index)

    RandomWindows.__getitem__ = remember
    inputs = (folder / "export",), folder / "checkpoint"
    job = SftJob(*inputs, out / "sft", recipe)
    asked = iter(range(1, 100))
    only_one_stops = lambda: next(asked) >= 2 and rank == 1  # noqa: E731
    assert run_sft(job, recorder, stop=only_one_stops) is None
    assert run_sft(SftJob(*inputs, out / "sft", recipe, resume=True), recorder) is not None
    sft_cut, cut[:] = list(cut), []
    asked = iter(range(1, 100))
    if "fsdp" not in options:
        tuned = RftJob(*inputs, out / "rft", recipe)
        assert run_rft(tuned, recorder, stop=lambda: next(asked) >= 2) is None
    told: dict[str, Any] = {"sft": sft_cut, "rft": list(cut), "events": recorder.events}
    segmenter = Job(inputs[0], folder / "sam", out / "segmenter", recipe)
    assert run_segmenter(segmenter, Recorder()) is not None
    if "fsdp" not in options and (folder / "asking").is_dir():
        told["asking"] = ask(folder / "asking", out / "asking")
    (out / f"process-{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
