"""The plugin as napari finds it: manifest, commands, menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

import napari_nunext
from napari_nunext.core.process.precision import PRECISIONS
from napari_nunext.images.nuclei_files import JSON_SUFFIXES
from napari_nunext.ui.commands.table import COMMANDS
from napari_nunext.ui.reading import SLIDE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    """As npe2 finds it in the installed distribution."""
    return PluginManifest.from_distribution("napari-nunext")


def test_napari_finds_the_plugin_by_its_names(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-nunext"
    assert manifest.display_name == "NuNext"
    assert manifest.package_version == napari_nunext.__version__


def test_the_manifest_at_the_top_is_the_packaged_one(repo_root: Path) -> None:
    top = repo_root / "napari.yaml"
    assert top.is_symlink()
    assert top.resolve() == (repo_root / "napari_nunext" / "napari.yaml").resolve()


def test_every_command_names_something_that_can_be_called(manifest: PluginManifest) -> None:
    commands = manifest.contributions.commands or []
    assert commands
    for command in commands:
        assert callable(import_python_name(command.python_name)), command.id


def test_every_widget_sample_and_menu_item_refers_to_a_command(manifest: PluginManifest) -> None:
    contributions = manifest.contributions
    commands = {command.id for command in contributions.commands or []}
    used = {widget.command for widget in contributions.widgets or []}
    used |= {sample.command for sample in contributions.sample_data or []}
    used |= {writer.command for writer in contributions.writers or []}
    used |= {reader.command for reader in contributions.readers or []}
    used |= {item.command for items in (contributions.menus or {}).values() for item in items}
    assert used == commands - {command.id for command in COMMANDS}


def test_the_palette_has_every_command_of_the_table_under_its_title(
    manifest: PluginManifest,
) -> None:
    listed = [
        (each.id, each.title, each.python_name)
        for each in manifest.contributions.commands or []
        if ".commands.palette:" in str(each.python_name)
    ]
    assert listed == [
        (each.id, each.title, f"napari_nunext.ui.commands.palette:{each.name}")
        for each in sorted(COMMANDS, key=lambda each: not each.title.startswith("Next"))
    ]


def test_the_palette_offers_nothing_that_takes_what_only_napari_gives(
    manifest: PluginManifest,
) -> None:
    contributions = manifest.contributions
    given = {each.command for each in contributions.readers or []}
    given |= {each.command for each in contributions.writers or []}
    greyed = {each.id for each in contributions.commands or [] if each.enablement == "False"}
    assert greyed == given


def test_napari_offers_our_reader_the_files_that_it_reads(manifest: PluginManifest) -> None:
    nuclei, slides = manifest.contributions.readers or []
    assert sorted(nuclei.filename_patterns) == sorted(f"*{suffix}" for suffix in JSON_SUFFIXES)
    assert sorted(slides.filename_patterns) == sorted(f"*{suffix}" for suffix in SLIDE_SUFFIXES)
    assert slides.accepts_directories


def test_the_dock_is_among_the_segmentation_tools(manifest: PluginManifest) -> None:
    items = manifest.contributions.menus["napari/layers/segment"]
    assert [item.command for item in items] == ["napari-nunext.dock"]


def test_the_arithmetic_that_may_be_preferred_is_what_a_server_takes(
    manifest: PluginManifest,
) -> None:
    server = manifest.contributions.configurations["server"]
    assert tuple(server.properties["dtype"].enum) == PRECISIONS
