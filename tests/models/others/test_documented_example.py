"""The detector that docs/detectors.md shows is a whole one."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.images.tile import image_from_pixels
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.whole_image.search import detect_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_documented_detector_is_listed_and_finds_nuclei(
    install: Callable[..., Path],
    tmp_path: Path,
    repo_root: Path,
    discs_rgb: np.ndarray,
    discs: tuple[tuple[float, float, float], ...],
) -> None:
    text = (repo_root / "docs" / "detectors.md").read_text(encoding="utf-8")
    (source,) = re.findall(
        r"^```python\n(# dark_blobs.py\n.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    (toml,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ((group, points),) = tomllib.loads(toml)["project"]["entry-points"].items()
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    install("dark-blobs", "1.0", {"dark_blobs.py": source}, f"[{group}]\n{lines}")
    catalog = Catalog(device="cpu", bundled=tmp_path / "nothing")
    assert "dark-blobs" in {e.id for e in catalog.entries() if e.kind == "detector"}
    image = image_from_pixels("discs", 128, 128, discs_rgb.copy)
    found = detect_image(image, catalog.load_detector("dark-blobs"), mpp=0.5)
    expected = sorted((x, y) for x, y, _ in discs)
    np.testing.assert_allclose(sorted(found.points_xy.tolist()), expected, atol=0.5)
