"""Counts, areas and densities, by region and category."""

from __future__ import annotations

import csv
from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import CalibrationError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.store import ReviewedNucleus, events
from napari_nunext.store.exports import rows as rows_module
from napari_nunext.store.exports.by_region.region_table import (
    ALL,
    REGION_COLUMNS,
    WHOLE,
    BoxRegion,
    count_in_regions,
    write_region_table,
)
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import image_nuclei
from tests.store.conftest import IMAGE, entry, predicted, run_info
from tests.store.conftest import WHOLE as WHOLE_BOX


class Triangle:
    """Under the diagonal of a square of 40 px."""

    name = "Tumour bed"

    def area_um2(self, mpp):
        return 800 * mpp**2

    def contains(self, points_xy):
        return points_xy.sum(axis=1) < 40


def test_a_region_of_any_form_counts_what_stands_in_it(monkeypatch, rng):
    monkeypatch.setattr(rows_module, "CHUNK", 7)
    nuclei = [
        predicted(*(rng.random(2) * 50).tolist(), ("Tumour", "Stroma")[i % 2]) for i in range(60)
    ]
    nuclei[::5] = [ReviewedNucleus(n, status="rejected") for n in nuclei[::5]]
    regions = [BoxRegion("Box", Box(10, 10, 30, 20)), Triangle()]
    counted = count_in_regions(nuclei, regions, mpp=0.5, categories=["Mitosis"])
    standing = [n for n in nuclei if not isinstance(n, ReviewedNucleus)]
    for drawn in regions:
        held = drawn.contains(np.array([(n.x_px, n.y_px) for n in standing]))
        inside = [n for n, is_in in zip(standing, held, strict=True) if is_in]
        assert 0 < len(inside) < len(standing)
        rows = {c.category: c for c in counted if c.region == drawn.name}
        assert list(rows) == [ALL, "Mitosis", "Tumour", "Stroma"]
        assert rows[ALL].count == len(inside)
        for category in ("Mitosis", "Tumour", "Stroma"):
            assert rows[category].count == sum(n.category == category for n in inside)
        area_mm2 = drawn.area_um2(0.5) / 1e6
        assert rows[ALL].density_per_mm2 == pytest.approx(len(inside) / area_mm2)


def test_a_table_has_the_whole_image_what_was_drawn_and_what_was_completed(tmp_path, project):
    nuclei = [predicted(5, 5, "Tumour"), predicted(50, 60, "Tumour")]
    run_id = project.start_run(IMAGE, run_info())
    project.add_predictions(run_id, nuclei)
    project.append([events.use_run(IMAGE, run_id, WHOLE_BOX)])
    project.append([events.add(IMAGE, 99, 81, "Stroma")])
    state = project.state(IMAGE)
    box = Box(0, 0, 40, 20)
    project.append([events.complete_region(IMAGE, box, state.seen_in(box))])
    for kind, drawn in (("interest", Box(40, 50, 60, 70)), ("leave_out", Box(0, 0, 9, 9))):
        polygon_xy = rectangle(drawn)
        named = region(f"A {kind}", kind, polygon_xy, uid=uuid4())
        project.append([events.draw_region(IMAGE, named)])
    image = image_nuclei(entry(), project.state(IMAGE))
    write_region_table(tmp_path / "a.csv", image, categories=[Category("Tumour", (1, 2, 3))])
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == REGION_COLUMNS
    assert rows == [
        ["a.png", WHOLE, ALL, "3", "0.002000", "1500.00"],
        ["a.png", WHOLE, "Tumour", "2", "0.002000", "1000.00"],
        ["a.png", WHOLE, "Stroma", "1", "0.002000", "500.00"],  # a little beyond the lower edge
        ["a.png", "A interest", ALL, "1", "0.000100", "10000.00"],
        ["a.png", "A interest", "Tumour", "1", "0.000100", "10000.00"],
        ["a.png", "A interest", "Stroma", "0", "0.000100", "0.00"],
        ["a.png", "complete 1", ALL, "1", "0.000200", "5000.00"],
        ["a.png", "complete 1", "Tumour", "1", "0.000200", "5000.00"],
        ["a.png", "complete 1", "Stroma", "0", "0.000200", "0.00"],
    ]


def test_an_image_without_nuclei_or_scale(tmp_path):
    write_region_table(tmp_path / "a.csv", ImageNuclei(entry(), ()), categories=())
    assert (tmp_path / "a.csv").read_text().splitlines()[1:] == [
        "a.png,whole image,all,0,0.002000,0.00"
    ]
    with pytest.raises(CalibrationError):
        write_region_table(tmp_path / "a.csv", ImageNuclei(entry(mpp=0), ()), categories=())
