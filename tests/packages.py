"""Packages of others, as if they were installed."""

from __future__ import annotations

import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nunext.images import formats as image_formats
from napari_nunext.store.exports import formats as export_formats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def forget_packages() -> None:
    """Have every register look again for what packages offer."""
    for register in (image_formats, export_formats):
        register._others.cache_clear()


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
        forget_packages()
        return site

    yield install
    forget_packages()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(site)):
            del sys.modules[name]


@pytest.fixture
def documented(install: Callable[..., Path]) -> Callable[[str, str], None]:
    """Install the module of docs/extending.md that is called so, by the entry point it names."""
    page = (Path(__file__).parents[1] / "docs" / "extending.md").read_text("utf-8")

    def install_documented(module: str, group: str) -> None:
        (source,) = re.findall(rf"^```python\n(# {module}\.py\n.*?)^```", page, re.M | re.S)
        (toml,) = re.findall(rf"^```toml\n(\S*{re.escape(group)}.*?)^```", page, re.M | re.S)
        ((named, points),) = tomllib.loads(toml)["project"]["entry-points"].items()
        lines = "".join(f"{name} = {target}\n" for name, target in points.items())
        install(module.replace("_", "-"), "1.0", {f"{module}.py": source}, f"[{named}]\n{lines}")

    return install_documented
