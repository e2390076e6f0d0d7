"""Stand-ins for packages that draw label images: their real signatures over a threshold."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DISCS = ((20.0, 24.0, 7.0), (70.25, 31.5, 6.0), (99.0, 88.75, 8.0))
"""x, y and radius of dark discs, pixels of an image of 0.5 um per pixel."""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Put packages on the path, with the metadata of a distribution."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def install(
        distribution: str, version: str, files: dict[str, str], entry_points: str = ""
    ) -> Path:
        for name, source in files.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source, encoding="utf-8")
        folder = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (folder / "METADATA").write_text(metadata, encoding="utf-8")
        (folder / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        importlib.invalidate_caches()
        return site

    yield install
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def discs() -> tuple[tuple[float, float, float], ...]:
    """x, y and radius of each disc of `discs_rgb`."""
    return DISCS


@pytest.fixture
def discs_rgb() -> np.ndarray:
    """Dark discs on pink, 128 x 128 px."""
    image = np.full((128, 128, 3), (235, 200, 220), dtype=np.uint8)
    rows, columns = np.mgrid[:128, :128] + 0.5
    for x, y, radius in DISCS:
        image[np.hypot(columns - x, rows - y) < radius] = (60, 30, 120)
    return image
