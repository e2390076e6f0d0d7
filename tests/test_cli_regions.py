"""``detect --regions``: searched where QuPath's annotations say, into a folder and a project."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from napari_nunext import cli
from napari_nunext.core.formats.region_files import regions_as_text
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import points_of
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.store import Project, events
from tests.core.test_region_files import annotation, written
from tests.test_cli import DISCS_XY, discs
from tests.test_cli import points_of as points_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEFT = [[0, 0], [55, 0], [55, 96], [0, 96], [0, 0]]
TOP_LEFT = [[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]]
DETECT = ("detect", "--model", "classical", "--mpp", "0.5", "--yes")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as made:
        yield made


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, server: LocalServer) -> None:
    monkeypatch.setattr(
        "napari_nunext.commands.detect.LocalServer", lambda _, **__: nullcontext(server)
    )

    class Lasting:
        """The same for a batch, which would stop its own."""

        def client(self):
            return server.client()

        def stop(self) -> None: ...

    monkeypatch.setattr("napari_nunext.commands.batch.LocalServer", lambda *_, **__: Lasting())


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "tile.png"
    path.parent.mkdir()
    Image.fromarray(discs()).save(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as stop:
        code = int(str(stop.code))
    return code, capsys.readouterr().err


def which(points_xy: np.ndarray) -> list[int]:
    """Which of the discs points stand for."""
    away = np.hypot(*(np.array(DISCS_XY)[None] - points_xy[:, None]).transpose(2, 0, 1))
    assert (away.min(axis=1) < 3).all()
    return sorted(away.argmin(axis=1).tolist())


@pytest.mark.usefixtures("served")
def test_only_the_regions_are_searched_and_the_same_command_searches_nothing_twice(
    tile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regions = written(
        tmp_path, annotation([LEFT]), annotation([TOP_LEFT], classification={"name": "Ignore*"})
    )
    out = tmp_path / "out"
    command = (*DETECT, tile, "--regions", regions, "--out", out)
    assert run(capsys, *command)[0] == 0
    assert which(points_in(out / "tile.geojson")) == [3]
    assert "searched before" in run(capsys, *command)[1]
    written(tmp_path, annotation([LEFT]))
    assert "searched before" not in run(capsys, *command)[1]
    assert which(points_in(out / "tile.geojson")) == [0, 3]


@pytest.mark.usefixtures("served")
def test_a_rectangle_is_searched_into_a_folder_and_the_same_one_not_twice(
    tile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = (*DETECT, tile, "--out", out, "--region")
    assert run(capsys, *command, 0, 0, 55, 96)[0] == 0
    assert which(points_in(out / "tile.geojson")) == [0, 3]
    assert "searched before" in run(capsys, *command, 0, 0, 55, 96)[1]
    assert "searched before" not in run(capsys, *command, 55, 0, 128, 96)[1]
    assert which(points_in(out / "tile.geojson")) == [1, 2]
    code, said = run(capsys, *command, 900, 900, 950, 950)
    assert (code, "holds nothing that is to be searched of tile.png" in said) == (2, True)


@pytest.mark.usefixtures("served")
def test_a_project_is_searched_in_regions_and_never_where_it_says_leave_out(
    tile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.nunext"
    command = (*DETECT, tile.parent, "--project", path)
    assert run(capsys, *command)[0] == 0
    with Project.open(path, annotator="ab") as project:
        (entry,) = project.images()
        found = [n.nucleus for n in project.state(entry.sha256).nuclei.values()]
        assert which(points_of(found)) == [0, 1, 2, 3]
        ink = region("Ink", "leave_out", np.array(TOP_LEFT, dtype=float), uid=uuid4())
        project.append([events.draw_region(entry.sha256, ink)])
    folder = tmp_path / "regions"
    folder.mkdir()
    (folder / "tile.geojson").write_text(
        regions_as_text([region("L", "search", rectangle(Box(0, 0, 80, 96)), uid=uuid4())]), "utf-8"
    )
    assert run(capsys, *command, "--regions", folder)[0] == 0
    with Project.open(path, annotator="ab") as project:
        _, run_in_regions = project.predictions(entry.sha256)
        assert which(run_in_regions.nuclei.points_xy) == [1, 3]
        found = [n.nucleus for n in project.state(entry.sha256).nuclei.values()]
        assert which(points_of(found)) == [1, 2, 3], "beyond the regions nothing changed"
    code, said = run(capsys, *command, "--regions", folder)
    assert (code, "searched before" in said) == (0, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--regions", "{tmp}/none.geojson"), "none.geojson cannot be read"),
        (("--regions", "{tmp}/one.geojson"), "2 images"),
        (("--regions", "{tmp}"), "has no tile.geojson"),
        (("--pen",), "--tissue"),
    ],
)
@pytest.mark.parametrize("into", ["--out", "--project"])
def test_what_cannot_be_meant_is_said_before_any_search(
    options: tuple[str, ...],
    says: str,
    into: str,
    tile: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("detect", "batch"):
        monkeypatch.delattr(f"napari_nunext.commands.{module}.LocalServer")
    (tmp_path / "one.geojson").write_text(json.dumps(annotation([LEFT])), "utf-8")
    paths = [tile]
    if says == "2 images":
        paths.append(tile.with_name("other.png"))
        Image.fromarray(discs(100, 90)).save(paths[-1])
    given = [option.format(tmp=tmp_path) for option in options]
    target = tmp_path / ("out" if into == "--out" else "a.nunext")
    code, said = run(capsys, *DETECT, *paths, into, target, *given)
    assert code == 2
    assert says in said
