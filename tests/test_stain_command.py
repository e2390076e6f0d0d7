"""``napari-nunext stain``: figures of an image and of its regions, and what is written."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from napari_nunext import cli
from napari_nunext.core.geometry import Box
from napari_nunext.core.marks import STATUS_IN_GEOJSON
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.optical_density import H_DAB
from napari_nunext.store import Project, events
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from pathlib import Path

DAB_OD = "Nucleus: DAB OD mean"
AMOUNTS = (0.1, 0.3, 0.5, 0.8)


@pytest.fixture
def tile(tmp_path: Path) -> Path:
    """Four strips of 0.1, 0.3, 0.5 and 0.8 DAB."""
    amounts = np.kron([AMOUNTS], np.ones((60, 30)))
    rgb = np.rint(255 * 10 ** -(amounts[..., np.newaxis] * H_DAB[1])).astype(np.uint8)
    path = tmp_path / "tile.png"
    Image.fromarray(rgb).save(path)
    return path


@pytest.fixture
def nuclei(tmp_path: Path) -> Path:
    """Two nuclei on each strip."""
    places = [(15 + 30 * i, y) for i in range(4) for y in (20, 40)]
    path = tmp_path / "tile.geojson"
    write_geojson(path, [Nucleus(uuid4(), x, y) for x, y in places])
    return path


def stain(*args: object) -> int:
    return cli.main(["stain", *map(str, args)])


def test_it_says_index_and_h_score_of_a_file(tile, nuclei, capsys):
    assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5) == 0
    whole, suggested = capsys.readouterr().out.splitlines()
    assert whole == (
        "whole image: 75.0% positive (40.9% to 92.9%), 6 of 8 from 0.2 OD; "
        "H-score 150 (75 to 225): 2 negative, 2 weak, 2 moderate, 2 strong"
    )
    assert suggested.startswith("Suggested cut-off: ")


def test_cut_offs_are_taken_as_they_are_given(tile, nuclei, capsys):
    assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5, "--cut-off", 0.45, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["image"] == "tile.png"
    (whole,) = told["regions"]
    assert whole["labelling_index"]["share"] == 0.5
    assert whole["labelling_index"]["cut_off"] == 0.45
    grades = ("--grades", 0.2, 0.6, 0.9)
    assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5, "--json", *grades) == 0
    (whole,) = json.loads(capsys.readouterr().out)["regions"]
    assert whole["h_score"]["grades"] == [2, 4, 2, 0]
    assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5, "--cut-off", "suggested", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    cut_off = told["regions"][0]["labelling_index"]["cut_off"]
    assert cut_off == told["suggested_cut_off"] > 0.2


def test_both_files_hold_the_density(tile, nuclei, tmp_path, capsys):
    for name in ("out.csv", "out.geojson"):
        out = tmp_path / name
        assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5, "--out", out) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        table = [float(row[DAB_OD]) for row in csv.DictReader(file)]
    features = json.loads((tmp_path / "out.geojson").read_text("utf-8"))["features"]
    assert [f["properties"]["measurements"][DAB_OD] for f in features] == pytest.approx(table)
    assert table == pytest.approx(np.repeat(AMOUNTS, 2), abs=0.01)
    assert stain(tile, "--nuclei", tmp_path / "out.csv", "--mpp", 0.5) == 0  # and it is read again


def test_a_project_says_it_for_each_region(tile, nuclei, tmp_path, capsys):
    path = tmp_path / "p.nunext"
    assert cli.main(["import", str(path), str(nuclei), "--image", str(tile), "--mpp", "0.5"]) == 0
    with Project.open(path, annotator="jd") as project:
        (entry,) = project.images()
        drawn = [
            region(name, kind, rectangle(box), uid=uuid4())
            for name, kind, box in (
                ("hot spot", "interest", Box(60, 0, 120, 60)),
                ("fold", "leave_out", Box(0, 0, 30, 60)),
                ("hot spot", "interest", Box(0, 50, 30, 60)),
            )
        ]
        project.append([events.draw_region(entry.sha256, each) for each in drawn])
    capsys.readouterr()
    assert stain(tile, "--project", path) == 0
    told = capsys.readouterr()
    whole, hot, empty, _ = told.out.splitlines()
    assert whole.startswith("whole image: 100.0% positive"), "the pale ones are left out"
    assert "6 of 6" in whole
    assert "2 nuclei in regions that are left out are not counted." in told.err
    assert hot.startswith("hot spot: 100.0% positive")
    assert "4 of 4" in hot
    assert empty == "hot spot (2): no nucleus was measured"


def test_what_cannot_be_done_is_said_in_a_line(tile, nuclei, tmp_path, capsys):
    Image.new("RGB", (40, 40), "white").save(tmp_path / "other.png")
    path = tmp_path / "p.nunext"
    assert cli.main(["import", str(path), str(nuclei), "--image", str(tile), "--mpp", "0.5"]) == 0
    for args, words in (
        ((tile, "--nuclei", nuclei), "does not say its scale"),
        ((tile, "--project", tmp_path / "no.nunext"), "There is no project"),
        ((tmp_path / "other.png", "--project", path), "is not in p.nunext"),
        ((tile, "--project", path, "--out", "out.xlsx"), "neither .csv nor .geojson"),
        ((tile, "--project", path, "--grades", 0.4, 0.2, 0.6), "three that rise"),
        ((tile, "--project", path, "--radius", 0), "expected more than 0"),
    ):
        capsys.readouterr()
        assert stain(*args) == 2
        assert words in capsys.readouterr().err


def test_where_nothing_is_measured_no_figure_is_said(tile, tmp_path, capsys):
    beside, none = tmp_path / "beside.geojson", tmp_path / "none.csv"
    write_geojson(beside, [Nucleus(uuid4(), 900, 900)])
    none.write_text("x_px,y_px\n", "utf-8")
    for file in (beside, none):
        out = tmp_path / "out.csv"
        assert stain(tile, "--nuclei", file, "--mpp", 0.5, "--out", out) == 0
        said = capsys.readouterr()
        assert said.out == "whole image: no nucleus was measured\n"
        assert ("1 nucleus outside of tile.png cannot be measured" in said.err) == (file == beside)
        with out.open(encoding="utf-8", newline="") as written:
            assert [row[DAB_OD] for row in csv.DictReader(written)] == [""] * (file == beside)
    assert stain(tile, "--nuclei", none, "--mpp", 0.5, "--cut-off", "suggested") == 2
    assert "no cut-off can be suggested. Give one." in capsys.readouterr().err


def test_a_nucleus_that_was_rejected_does_not_count(tile, nuclei, tmp_path, capsys):
    data = json.loads(nuclei.read_text("utf-8"))
    for feature in data["features"][:2]:
        feature["properties"]["metadata"][STATUS_IN_GEOJSON] = "rejected"
    nuclei.write_text(json.dumps(data), "utf-8")
    assert stain(tile, "--nuclei", nuclei, "--mpp", 0.5) == 0
    assert "100.0% positive (61.0% to 100.0%), 6 of 6" in capsys.readouterr().out


def test_the_cut_offs_of_a_project_are_those_that_were_set_in_it(tile, nuclei, tmp_path, capsys):
    path = tmp_path / "p.nunext"
    assert cli.main(["import", str(path), str(nuclei), "--image", str(tile), "--mpp", "0.5"]) == 0
    with Project.open(path, annotator="jd") as project:
        for cut_offs in (CutOffs(0.7), CutOffs(0.45, (0.2, 0.6, 0.9))):
            project.append([events.set_cut_offs(cut_offs)])
    capsys.readouterr()
    assert stain(tile, "--project", path, "--json") == 0
    (whole,) = json.loads(capsys.readouterr().out)["regions"]
    assert whole["labelling_index"]["cut_off"] == 0.45
    assert whole["h_score"]["grades"] == [2, 4, 2, 0]
    assert stain(tile, "--project", path, "--cut-off", 0.2, "--json") == 0  # what is said prevails
    (whole,) = json.loads(capsys.readouterr().out)["regions"]
    assert whole["labelling_index"]["cut_off"] == 0.2
    assert whole["h_score"]["grades"] == [2, 4, 2, 0]
