"""How long the model waits for windows: the share of a training step that loading takes.

The tiny recipe on the tiny preset, one thread: windows of tiles of noise, cut, turned, scaled and
stained anew, put into batches, and one forward and backward pass over each batch. Tiles are PNG
files on disk, of the size of published ones. A step begins when the model asks for a batch; the
idle share is the time until it has it. Reading each tile for the first time and starting processes
are not counted: a run has thousands of steps.

Without processes that load (the default), a wait is all of the loading, and both are measured in
CPU time, which what else the machine does leaves alone. With them it is what is left of loading
while the model computes: by the clock on the wall, and it needs processors that are free.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from benchmarks._harness import Claim, report
from napari_nunext.core.geometry import Box
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from nunext_training.data.batches import Collator
from nunext_training.data.crops import Crop
from nunext_training.data.labelled import LabelledImage
from nunext_training.data.windows import RandomWindows, WindowSpec
from nunext_training.recipes.recipe import load_recipe

TILES = 300
TILE_PX = 500
NUCLEI = 250
MPP = 0.5
WORKERS = (0, 1, 2)
SKIPPED, COUNTED = 1, 3
"""Batches."""


def tiles(folder: Path) -> list[LabelledImage]:
    """Noise with points, smooth enough to compress as tissue does."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(TILES):
        coarse = rng.integers(120, 240, (TILE_PX // 4, TILE_PX // 4, 3), dtype=np.uint8)
        path = folder / f"{i}.png"
        Image.fromarray(coarse).resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC).save(path)
        points_xy = rng.uniform(0, TILE_PX, (NUCLEI, 2))
        names = ("Nucleus",) * NUCLEI
        made.append(LabelledImage(path.stem, path, MPP, "user", points_xy, names, "train", "p"))
    return made


def idle_share(
    loaded: LoadedCheckpoint, images: list[LabelledImage], workers: int
) -> tuple[float, float, float]:
    """Idle share, and seconds of waiting and of computing in a step."""
    recipe = load_recipe("tiny")
    size = recipe.optimiser.batch_size
    codec = loaded.description.codec
    windows = RandomWindows(
        images,
        WindowSpec(codec.window_px, loaded.description.mpp),
        recipe.windows,
        length=size * (SKIPPED + COUNTED),
        seed=0,
    )
    for index in range(len(images)):  # a run has read every tile after its first steps
        windows.cut(index, Crop(Box(0, 0, 1, 1), 1))
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    loader: DataLoader[Any] = DataLoader(
        windows,  # type: ignore[arg-type]
        batch_size=size,
        num_workers=workers,
        collate_fn=Collator(codec, loaded.windows, pad_id),
    )
    clock = time.perf_counter if workers else time.process_time
    waits, steps = [], []
    batches = iter(loader)
    for _ in range(SKIPPED + COUNTED):
        asked = clock()
        inputs = next(batches)
        given = clock()
        loaded.model(**inputs, use_cache=False).loss.backward()
        loaded.model.zero_grad()
        waits.append(given - asked)
        steps.append(clock() - given)
    wait_s, step_s = sum(waits[SKIPPED:]) / COUNTED, sum(steps[SKIPPED:]) / COUNTED
    return wait_s / (wait_s + step_s), wait_s, step_s


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        build_checkpoint(folder / "tiny", size="tiny")
        loaded = load_checkpoint(folder / "tiny", device="cpu", dtype=torch.float32)
        loaded.model.train()
        images = tiles(folder)
        measured = {n: idle_share(loaded, images, n) for n in WORKERS}
    report(
        "loader",
        [
            Claim(f"method.idle_share_{n}_workers", share, goal=0.05, better="lower")
            for n, (share, _, _) in measured.items()
        ],
        details={
            "wait_s": {str(n): wait_s for n, (_, wait_s, _) in measured.items()},
            "step_s": {str(n): step_s for n, (_, _, step_s) in measured.items()},
            "tiles": TILES,
            "tile_px": TILE_PX,
        },
    )


if __name__ == "__main__":
    main()
