"""Whatever writes nuclei is declared once; the command line and the window read it from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.cli import main
from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.store import events
from napari_nunext.store.exports.files import ImageNuclei, replacing
from napari_nunext.store.exports.formats import (
    ExportFormat,
    export_format,
    export_formats,
    write_nuclei,
)
from tests.store.conftest import IMAGE, WHOLE, entry, predicted, run_info

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[..., Path]

ENTRY = "[napari_nunext.exports]\n"


@pytest.fixture
def point_list(documented: Callable[[str, str], None]) -> None:
    """The export of docs/extending.md, installed."""
    documented("point_list", "napari_nunext.exports")


@pytest.mark.usefixtures("point_list")
def test_the_documented_export_is_offered_on_the_command_line(project, path, tmp_path, capsys):
    nuclei = [predicted(3, 4.5), predicted(10, 20)]
    run_id = project.start_run(IMAGE, run_info())
    project.add_predictions(run_id, nuclei)
    project.append([events.use_run(IMAGE, run_id, WHOLE)])
    project.append([events.reject(IMAGE, nuclei[1].uid)])
    project.close()
    out = tmp_path / "out"
    assert main(["export", str(path), "--format", "imagej-points", "--out", str(out)]) == 0
    (written,) = out.iterdir()
    assert written.suffix == ".txt"
    assert written.read_text() == "3.00\t4.50\n"
    assert "1 rejected nuclei are left out" in capsys.readouterr().out


def test_a_format_nobody_knows_is_named_with_those_there_are():
    with pytest.raises(InputError, match=r"'shapefile'; use geojson, .*csv, .*coco-results"):
        export_format("shapefile")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ("ExportFormat('csv', 'Mine', '.csv', print)", "'csv' is taken"),
        ("ExportFormat('training', 'Mine', '.csv', print)", "'training' is taken"),
        ("ExportFormat('mine', 'Mine', 'csv', print)", "expected one like"),
        ("object()", "not an ExportFormat"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_package_that_cannot_be_used_hides_none_of_the_others(install, made, reason):
    source = f"from napari_nunext.store.exports.formats import ExportFormat\nX = {made}\n"
    install("broken", "2.1", {"broken.py": source}, f"{ENTRY}mine = broken:X\n")
    ours = [each.name for each in export_formats()]
    assert {"geojson", "csv", "coco", "coco-results"} <= set(ours)
    assert "mine" not in ours
    assert len(set(ours)) == len(ours)
    with pytest.raises(InputError, match=rf"export format mine of broken 2\.1 .*{reason}"):
        export_format("mine")


def test_whatever_a_format_raises_is_said_and_leaves_the_old_file(tmp_path):
    def write(path, images, categories):
        with replacing(path) as file:
            file.write("half")
            raise KeyError("colour")

    path = tmp_path / "a.txt"
    path.write_text("old")
    mine = ExportFormat("mine", "Mine", ".txt", write)
    with pytest.raises(StoreError, match=r"a\.txt was not written: the export format mine failed"):
        write_nuclei(mine, path, [ImageNuclei(entry(), [predicted(1, 2)])], ())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]
