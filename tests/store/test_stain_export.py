"""What exports carry of a stain: densities and figures, where somebody looked at it."""

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
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.core.stains.measuring import DAB_OD
from napari_nunext.core.stains.optical_density import H_DAB
from napari_nunext.store import Project, events
from napari_nunext.store.exports.geojson import write_geojson

if TYPE_CHECKING:
    from pathlib import Path

AMOUNTS = (0.1, 0.3, 0.5, 0.8)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Four strips of brown, a nucleus on each, the last rejected, the second left out."""
    density = np.kron([AMOUNTS], np.ones((60, 30)))[..., np.newaxis] * H_DAB[1]
    Image.fromarray(np.rint(255 * 10**-density).astype(np.uint8)).save(tmp_path / "tile.png")
    nuclei = [Nucleus(uuid4(), 15 + 30 * strip, 20) for strip in range(4)]
    write_geojson(tmp_path / "tile.geojson", nuclei)
    path = tmp_path / "p.nunext"
    given = (str(path), str(tmp_path / "tile.geojson"), "--image", str(tmp_path / "tile.png"))
    assert cli.main(["import", *given, "--mpp", "0.5"]) == 0
    with Project.open(path, annotator="jd") as opened:
        (entry,) = opened.images()
        drawn = [
            region("fold", "leave_out", rectangle(Box(30, 0, 60, 60)), uid=uuid4()),
            region("edge", "interest", rectangle(Box(30, 0, 120, 60)), uid=uuid4()),
        ]
        last = max(opened.state(entry.sha256).nuclei.values(), key=lambda n: n.nucleus.x_px)
        opened.append(
            [
                *(events.draw_region(entry.sha256, each) for each in drawn),
                events.reject(entry.sha256, last.nucleus.uid),
            ]
        )
    return path


def keep(path: Path, cut_offs: CutOffs) -> None:
    with Project.open(path, annotator="jd") as project:
        project.append([events.set_cut_offs(cut_offs)])


def export(path: Path, format_: str, *more: str) -> Path:
    out = path.parent / "out"
    assert cli.main(["export", str(path), "--format", format_, "--out", str(out), *more]) == 0
    return out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_densities_are_written_once_somebody_looked_at_the_stain(project, capsys):
    out = export(project, "csv")
    assert DAB_OD not in rows_of(out / "tile.csv")[0]
    keep(project, CutOffs(0.45))
    export(project, "csv")
    rows = sorted(rows_of(out / "tile.csv"), key=lambda row: float(row["x_px"]))
    assert float(rows[0][DAB_OD]) == pytest.approx(0.1, abs=0.01)
    assert rows[1][DAB_OD] == "", "left out"
    assert float(rows[2][DAB_OD]) == pytest.approx(0.5, abs=0.01)
    assert rows[3][DAB_OD] == "", "rejected"
    export(project, "geojson")
    features = json.loads((out / "tile.geojson").read_text("utf-8"))["features"]
    measured = [f["properties"].get("measurements", {}).get(DAB_OD) for f in features]
    assert sorted(od for od in measured if od is not None) == pytest.approx([0.1, 0.5], abs=0.01)
    export(project, "regions")  # it counts nuclei, whatever their stain


def test_figures_of_each_region_are_a_table(project):
    out = export(project, "stain")
    whole, edge = rows_of(out / "tile.stain.csv")
    assert (whole["image"], whole["region"], whole["nuclei"]) == ("tile.png", "whole image", "2")
    assert (whole["positive"], whole["labelling_index"]) == ("1", "0.5")
    assert (whole["positive_from_od"], whole["strong_from_od"]) == ("0.2", "0.6")
    assert (edge["region"], edge["nuclei"], edge["labelling_index"]) == ("edge", "1", "1")
    assert float(edge["labelling_index_low"]) < 1
    assert (edge["h_score"], edge["h_score_low"]) == ("200", "")
    keep(project, CutOffs(0.6, (0.05, 0.3, 0.9)))
    whole, edge = rows_of(export(project, "stain") / "tile.stain.csv")
    assert (whole["positive"], whole["weak"], whole["moderate"]) == ("0", "1", "1")
    assert edge["positive_from_od"] == "0.6"


def test_without_its_pixels_an_image_has_no_densities_and_that_is_said(project, capsys):
    keep(project, CutOffs())
    (project.parent / "tile.png").unlink()
    capsys.readouterr()
    out = export(project, "csv")
    assert "no densities of tile.png, which is not found (--images DIR)" in capsys.readouterr().out
    assert DAB_OD not in rows_of(out / "tile.csv")[0]
    given = ["export", str(project), "--format", "stain", "--out", str(out)]
    assert cli.main(given) == 2
    assert "cannot be measured without its pixels" in capsys.readouterr().err
