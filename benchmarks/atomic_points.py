"""What atomic points save: decoding points in one forward pass each, beside two or three.

A checkpoint of the preset ``small`` with random weights, with categories and without, is made to
say points that are drawn beforehand, token by token, and with a head whose guesses count whatever
they are: the most that a head can save. What it costs in F1, and how often a trained one is right,
needs trained weights: see ``docs/decisions/atomic-points.md``. Figures are ratios of the best CPU
times of one thread, with variants taking turns, of decoding alone: prompts are read before.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks._harness import Claim, report
from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.decoder import Decoder
from napari_nunext.models.next_point.drafts import Drafts

if TYPE_CHECKING:
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

KINDS = {"commas": (), "categories": ("Lymphocyte", "Tumour", "Stromal")}
BATCHES = (1, 16)
POINTS = 12
REPEATS = 5


def replies(loaded: LoadedCheckpoint, batch: int) -> torch.Tensor:
    """Points drawn at random, whole and without an end, shape (batch, tokens)."""
    codec = loaded.description.codec
    rng = np.random.default_rng(0)
    points_xy = rng.uniform(0, codec.window_px, (batch, POINTS + 1, 2))
    categories = [0] * (POINTS + 1) if codec.has_categories else None
    length = TOKENS_PER_POINT * POINTS
    return torch.tensor([codec.encode(points, categories)[:length] for points in points_xy])


def decode_s(loaded: LoadedCheckpoint, head: AtomicHead | None, tokens: torch.Tensor) -> float:
    """CPU seconds in which a batch says these tokens."""
    codec = loaded.description.codec
    drafts = None if head is None else Drafts(head, codec, tolerance_bins=codec.bins)
    decoder = Decoder(loaded.model, codec, drafts=drafts)
    rng = np.random.default_rng(1)
    shape = (len(tokens), codec.window_px, codec.window_px, 3)
    windows = list(rng.integers(0, 256, shape, dtype=np.uint8))
    decoder.admit(loaded.windows(windows), range(len(windows)))
    going = torch.ones(len(windows), dtype=torch.bool)
    began = time.process_time()
    for said in tokens.unbind(dim=1):
        decoder.choose()
        decoder.advance(said, going)
    return time.process_time() - began


def main() -> None:
    """Print and save the claims."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    claims = []
    details: dict[str, object] = {"points": POINTS, "repeats": REPEATS}
    with tempfile.TemporaryDirectory() as folder:
        for kind, categories in KINDS.items():
            path = Path(folder) / kind
            build_checkpoint(path, size="small", categories=categories)
            loaded = load_checkpoint(path, device="cpu")
            head = AtomicHead.beginning(loaded.model, loaded.description.codec)
            head.requires_grad_(False)
            for batch in BATCHES:
                tokens = replies(loaded, batch)
                taken: dict[str, list[float]] = {"autoregressive": [], "atomic": []}
                for _ in range(REPEATS):
                    taken["autoregressive"].append(decode_s(loaded, None, tokens))
                    taken["atomic"].append(decode_s(loaded, head, tokens))
                best = {variant: min(seconds) for variant, seconds in taken.items()}
                name = f"atomic.{kind}_{batch}_windows_speedup"
                speedup = best["autoregressive"] / best["atomic"]
                claims.append(Claim(name, speedup, goal=1.3, better="higher"))
                details[name] = taken
    report("atomic_points", claims, details=details)


if __name__ == "__main__":
    main()
