"""What every process of `test_processes.py` runs under ``accelerate launch``.

Arguments: a folder with ``export``, ``checkpoint`` and ``recipe.toml``.  SFT is stopped by one of
the processes alone after its second step and goes on; RFT is stopped after its second step.  Each
process leaves what it was told and which windows it cut.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from nunext_training import processes
from nunext_training.datasets.windows import RandomWindows
from nunext_training.recipe import parse_recipe
from nunext_training.rft import RftJob, run_rft
from nunext_training.sft import SftJob, run_sft


class Recorder:
    """A `Progress` that remembers the names of what it was told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def start(self, **values: object) -> None:
        self.events.append("start")

    def step(self, **values: object) -> None:
        self.events.append("step")

    def validation(self, **values: object) -> None:
        self.events.append("validation")

    def done(self, **values: object) -> None:
        self.events.append("done")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
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
    job = SftJob(*inputs, folder / "sft", recipe)
    asked = iter(range(1, 100))
    only_one_stops = lambda: next(asked) >= 2 and rank == 1  # noqa: E731
    assert run_sft(job, recorder, stop=only_one_stops) is None
    assert run_sft(SftJob(*inputs, folder / "sft", recipe, resume=True), recorder) is not None
    sft_cut, cut[:] = list(cut), []
    asked = iter(range(1, 100))
    tuned = RftJob(*inputs, folder / "rft", recipe)
    assert run_rft(tuned, recorder, stop=lambda: next(asked) >= 2) is None
    told = {"sft": sft_cut, "rft": cut, "events": recorder.events}
    (folder / f"process-{rank}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
