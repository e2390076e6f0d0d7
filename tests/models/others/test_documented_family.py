"""The model family that docs/extending.md shows is a whole one."""

from __future__ import annotations

import re
import sys
import tomllib
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.detector import WindowEnd
from napari_nunext.models.families import family_names, get_family
from napari_nunext.models.next_point.decoder import decode_batch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_POINTS = 4


def test_the_documented_family_is_built_listed_loaded_and_decoded(
    install: Callable[..., Path], tmp_path: Path, repo_root: Path, rng: np.random.Generator
) -> None:
    text = (repo_root / "docs" / "extending.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```python\n(# tile_qwen.py\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    (toml,) = re.findall(r"^```toml\n(\S*napari_nunext.families.*?)^```", text, re.DOTALL | re.M)
    ((group, points),) = tomllib.loads(toml)["project"]["entry-points"].items()
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    install("tile-qwen", "1.0", {"tile_qwen.py": source}, f"[{group}]\n{lines}")
    assert "tile_qwen" in family_names()
    assert "tile_qwen" not in sys.modules

    folder = tmp_path / "models" / "tiles"
    build_checkpoint(
        folder, family="tile_qwen", window_px=32, latents=2, max_points=MAX_POINTS, seed=3
    )
    catalog = Catalog([folder], device="cpu", bundled=tmp_path / "nothing")
    windows = list(rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8))
    found = list(catalog.load_detector("tiles").detect(windows, cancelled=lambda: False))
    assert sorted(e.window for e in found if isinstance(e, WindowEnd)) == [0, 1, 2]

    # What was decoded with a cache, step by step, is what the model says of the whole at once.
    loaded = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    prompt, codec = loaded.windows(windows), loaded.description.codec
    steps = list(decode_batch(loaded.model, prompt, codec, max_points=MAX_POINTS))
    assert len(steps[0].rows) == 3
    assert not torch.allclose(steps[0].scores[0], steps[0].scores[1], atol=1e-4)  # it sees
    said: dict[int, list[int]] = {row: [] for row in range(3)}
    with torch.no_grad():
        for step in steps:
            for i, row in enumerate(step.rows.tolist()):
                alone = prompt.rows(slice(row, row + 1))
                whole = alone.followed_by(torch.tensor([said[row]], dtype=torch.long))
                logits = loaded.model(**whole, use_cache=False).logits[0, -1, step.allowed_ids]
                scores = step.scores[i]
                there = torch.isfinite(scores)
                torch.testing.assert_close(scores[there], logits[there], atol=1e-4, rtol=1e-4)
                said[row].append(int(step.token_ids[i]))
    assert sum(map(len, said.values())) >= 6


def test_a_family_that_cannot_be_used_is_told_in_words(
    install: Callable[..., Path], tmp_path: Path
) -> None:
    entry = "[napari_nunext.families]\nbroken = broken_family:Broken\nother = other_family:Other\n"
    other = "class Other:\n    name = 'another'\n"
    install("broken", "1.0", {"other_family.py": other}, entry)
    with pytest.raises(CheckpointError, match=r"'broken' of broken_family cannot be used .*mend"):
        get_family("broken")
    with pytest.raises(CheckpointError, match="calls itself 'another'"):
        get_family("other")
