"""What the user set in napari's preferences reaches the window."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import napari.settings
import pytest
from npe2 import PluginManifest

from napari_nunext.ui import app as app_module
from napari_nunext.ui.settings import PLUGIN, Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QApplication

    from tests.review.fakes import FakeServer


keeps_preferences = pytest.mark.skipif(
    not hasattr(napari.settings, "get_plugin_settings"),
    reason="napari 0.8 keeps no preferences of plugins",
)


def preferences(repo_root: Path) -> dict[str, dict[str, Any]]:
    """Those of the manifest, at their defaults."""
    manifest = PluginManifest.from_file(repo_root / "napari_nunext" / "napari.yaml")
    return {
        name: {key: chosen.default for key, chosen in group.properties.items()}
        for name, group in manifest.contributions.configurations.items()
    }


def set_to(monkeypatch: pytest.MonkeyPatch, chosen: dict[str, dict[str, Any]]) -> None:
    known = SimpleNamespace(**{name: SimpleNamespace(**group) for name, group in chosen.items()})
    monkeypatch.setattr(
        napari.settings, "get_plugin_settings", lambda: {PLUGIN: known}, raising=False
    )


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


def test_before_napari_0_9_preferences_are_at_their_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)
    read = read_settings()
    assert read == Settings(read.annotator)


@keeps_preferences
def test_preferences_of_the_first_version_are_read(repo_root: Path, tmp_path: Path) -> None:
    """By napari itself, in a process of its own: it keeps the folder for its life."""
    kept = repo_root / "tests" / "fixtures" / "upgrades" / "napari-nunext.yaml"
    shutil.copy(kept, tmp_path)
    script = (
        "import sys\n"
        "from npe2 import PluginManager, PluginManifest\n"
        "PluginManager.instance().register(PluginManifest.from_file(sys.argv[1]))\n"
        "from napari_nunext.ui.settings import read_settings\n"
        "print(repr(read_settings()))\n"
    )
    manifest = str(repo_root / "napari_nunext" / "napari.yaml")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, manifest],
        env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = Settings("AB", 0.25, "http://gpu-box:8000", "none")
    assert done.stdout.strip() == repr(expected)
