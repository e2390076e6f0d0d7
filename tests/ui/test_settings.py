"""What the user set in napari's preferences reaches the window."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import napari.settings
from npe2 import PluginManifest

from napari_nunext.ui import app as app_module
from napari_nunext.ui.settings import PLUGIN, Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from qtpy.QtWidgets import QApplication

    from tests.review.fakes import FakeServer


def preferences(repo_root: Path) -> dict[str, dict[str, Any]]:
    """Those of the manifest, at their defaults."""
    manifest = PluginManifest.from_file(repo_root / "napari_nunext" / "napari.yaml")
    return {
        name: {key: chosen.default for key, chosen in group.properties.items()}
        for name, group in manifest.contributions.configurations.items()
    }


def set_to(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, dict[str, Any]]) -> None:
    known = SimpleNamespace(**{name: SimpleNamespace(**group) for name, group in chosen.items()})
    monkeypatch.setattr(napari.settings, "get_plugin_settings", lambda: {PLUGIN: known})


def test_the_manifests_defaults_are_ours(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, preferences(repo_root))
    read = read_settings()
    assert read == Settings(read.annotator)


def test_ratings_can_be_switched_off(
    repo_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    qapp: QApplication,
    server: FakeServer,
) -> None:
    chosen = preferences(repo_root)
    chosen["review"]["ratings"] = False
    set_to(monkeypatch, chosen)
    app = app_module.main(project=tmp_path / "review.nunext", block=False, server=server)
    ratings = app.controller.ask.model.ratings
    app.close()
    assert not ratings
