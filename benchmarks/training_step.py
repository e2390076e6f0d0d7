"""What attention and precision cost a training step on a CPU, forward and backward.

Random checkpoints of both presets, windows of noise with as many nuclei as a crowded field has, as
`nunext-train sft` puts them into batches. Figures are ratios of the best CPU times of one thread,
with variants taking turns, so that what else the machine does disturbs them little.

The claims hold the defaults (torch's own attention, float32) to within a tenth of the best: a miss
says that a default should change. See ``docs/decisions/cpu-attention.md``.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks._harness import Claim, report
from napari_nunext.core.geometry import Box
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.data.batches import Collator
from nunext_training.data.crops import Crop
from nunext_training.data.windows import Example

if TYPE_CHECKING:
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

WINDOWS = {"nano": 8, "tiny": 4}
"""Windows in a batch."""
NUCLEI = 30
REPEATS = 6
VARIANTS = {
    "sdpa": ("sdpa", False),
    "eager": ("eager", False),
    "sdpa_bf16": ("sdpa", True),
    "eager_bf16": ("eager", True),
}
"""Kernels of attention, and whether the arithmetic is in bfloat16."""


def batch(loaded: LoadedCheckpoint, n: int) -> dict[str, torch.Tensor]:
    """Inputs and labels of `n` windows."""
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
        for _ in range(n)
    ]
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    return Collator(loaded.description.codec, loaded.windows, pad_id)(examples)


def step_s(loaded: LoadedCheckpoint, inputs: dict[str, torch.Tensor], *, bfloat16: bool) -> float:
    """CPU time of one forward and backward pass."""
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext():
        loss = loaded.model(**inputs, use_cache=False).loss
    loss.backward()
    elapsed = time.process_time() - start
    loaded.model.zero_grad()
    return elapsed


def best_steps_s(preset: str) -> dict[str, float]:
    """Best time of each variant for one preset."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / preset
        build_checkpoint(folder, size=preset)
        models = {
            attention: load_checkpoint(
                folder, device="cpu", dtype=torch.float32, attention=attention
            )
            for attention in ("sdpa", "eager")
        }
    for loaded in models.values():
        loaded.model.train()
    inputs = batch(models["eager"], WINDOWS[preset])
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(REPEATS + 1):
        for name, (attention, bfloat16) in VARIANTS.items():
            times[name].append(step_s(models[attention], inputs, bfloat16=bfloat16))
    return {name: min(taken[1:]) for name, taken in times.items()}


def main() -> None:
    """Measure."""
    torch.set_num_threads(1)
    best = {preset: best_steps_s(preset) for preset in WINDOWS}
    claims = []
    for preset, times in best.items():
        for name, of in (
            ("eager_over_sdpa_step", times["eager"]),
            ("bf16_over_float32_step", min(times["sdpa_bf16"], times["eager_bf16"])),
        ):
            claims.append(
                Claim(f"method.{name}_{preset}", of / times["sdpa"], goal=0.9, better="higher")
            )
    report(
        "training_step",
        claims,
        details={
            "best_s": best,
            "windows": WINDOWS,
            "nuclei": NUCLEI,
            "capabilities": dict(getattr(torch.cpu, "get_capabilities", dict)()),
        },
    )


if __name__ == "__main__":
    main()
