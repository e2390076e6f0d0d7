"""What spatial-aware soft supervision costs beside the naive loss, in a whole training step.

A random checkpoint of the tiny preset, windows of noise with as many nuclei as a crowded field has,
as `nunext-train sft` puts them into batches. The ratio is that of best times in one process; the
two take turns, so that a busy machine slows both alike.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks._harness import Claim, report
from napari_nunext.core.geometry import Box
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from nunext_training.data.batches import Collator
from nunext_training.data.crops import Crop
from nunext_training.data.windows import Example
from nunext_training.method.losses import IGNORED, gaussian_targets, reply_loss

WINDOWS = 8
NUCLEI = 30
SIGMA_BINS = 1.5
REPEATS = 8


def batch(loaded: LoadedCheckpoint) -> dict[str, torch.Tensor]:
    """Inputs and labels of windows of noise."""
    rng = np.random.default_rng(0)
    side = loaded.description.window_px
    examples = [
        Example(
            rgb=rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
            points_xy=rng.uniform(0, side, (NUCLEI, 2)),
            category_indices=None,
            image_name="noise",
            crop=Crop(Box(0, 0, side, side), side),
        )
        for _ in range(WINDOWS)
    ]
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    return Collator(loaded.description.codec, loaded.windows, pad_id)(examples)


def step_s(
    loaded: LoadedCheckpoint, inputs: dict[str, torch.Tensor], soft_targets: torch.Tensor | None
) -> float:
    """Time of one forward and backward pass with the loss."""
    codec = loaded.description.codec
    labels = inputs["labels"]
    first = int((labels != IGNORED).any(dim=0).nonzero()[0])
    start = time.perf_counter()
    logits = loaded.model(
        **{name: value for name, value in inputs.items() if name != "labels"},
        logits_to_keep=labels.shape[1] - first + 1,
        use_cache=False,
    ).logits
    reply_loss(
        logits[:, :-1],
        labels[:, first:],
        coordinate_start_id=codec.coordinate_start_id,
        bins=codec.bins,
        soft_targets=soft_targets,
        softmax_over="vocabulary",
    ).backward()
    elapsed = time.perf_counter() - start
    loaded.model.zero_grad()
    return elapsed


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tiny"
        build_checkpoint(folder, size="tiny")
        loaded = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    loaded.model.train()
    inputs = batch(loaded)
    targets = {
        "naive": None,
        "soft": gaussian_targets(loaded.description.codec.bins, SIGMA_BINS),
    }
    times: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(REPEATS + 1):
        for name, soft_targets in targets.items():
            times[name].append(step_s(loaded, inputs, soft_targets))
    best = {name: min(taken[1:]) for name, taken in times.items()}
    report(
        "losses",
        [Claim("method.soft_over_naive", best["soft"] / best["naive"], 1.05, "lower")],
        details={"best_s": best, "windows": WINDOWS, "nuclei": NUCLEI},
    )


if __name__ == "__main__":
    main()
