"""Our figures against a table that independent definitions made (`parity_definitions`)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nunext.core.scores.instance_scores import score_instances
from napari_nunext.core.scores.metrics import DetectionCase, score_detections
from napari_nunext.core.shapes.masks import Mask
from nunext_training.data.labelled import LabelledImage
from nunext_training.evaluation.instances import instance_case
from nunext_training.evaluation.predictions import Prediction
from tests.training.parity_definitions import KINDS, RADIUS, SIDE, TABLE, UNSORTED, figures

PARITY = json.loads(TABLE.read_text(encoding="utf-8"))
EPSILON = 1e-6
"""What the public code adds to its divisor."""


def xy(points):
    return np.array([p["xy"] for p in points], dtype=np.float64).reshape(-1, 2)


def kinds(things):
    return tuple(t["type"] for t in things)


def masks_of(instances):
    def mask(pixels):
        image = np.zeros((SIDE, SIDE), dtype=bool)
        image[tuple(np.transpose(pixels))] = True
        return Mask.from_array(image)

    return tuple(mask(i["pixels"]) for i in instances)


def labelled(image):
    masks = masks_of(image["true"])
    points = np.array([m.centroid_xy for m in masks], dtype=np.float64).reshape(-1, 2)
    return LabelledImage(
        *("case", None, 0.5, "user", points, kinds(image["true"]), "val", "nobody"),
        masks=masks,
        tissue=image["tissue"],
    )


def predicted(image):
    masks, said = masks_of(image["pred"]), kinds(image["pred"])
    points = np.zeros((len(masks), 2))
    return Prediction(points, said, tuple(zip(masks, said, strict=True)) or None)


def test_the_table_is_what_the_definitions_give():
    assert figures(PARITY["points"], PARITY["masks"]) == PARITY["figures"]


def test_the_cases_have_what_goes_wrong():
    points, masks = PARITY["points"], PARITY["masks"]
    for images in (points, masks):
        assert any(not i["pred"] and i["true"] for i in images)
        assert any(i["pred"] and not i["true"] for i in images)
        assert any(UNSORTED in kinds(i["true"]) for i in images)
    covered = [
        {tuple(p) for p in a["pixels"]} & {tuple(p) for p in b["pixels"]}
        for i in masks
        for a in i["pred"]
        for b in i["pred"]
        if a is not b and a["type"] != b["type"]
    ]
    assert any(covered)
    gated, eq_13 = (PARITY["figures"]["points"][name]["counts"] for name in ("gated", "hungarian"))
    assert gated[0] > eq_13[0]


@pytest.mark.parametrize("method", ["gated", "hungarian"])
def test_matching_and_type_f1_are_hovernets(method):
    cases = [
        DetectionCase(xy(i["pred"]), xy(i["true"]), 1.0, kinds(i["pred"]), kinds(i["true"]))
        for i in PARITY["points"]
    ]
    report = score_detections(cases, radius_um=RADIUS, method=method, categories=KINDS, both=True)
    for name, found in report.by_matching.items():
        expected = PARITY["figures"]["points"][name]
        assert [found.overall.tp, found.overall.fp, found.overall.fn] == expected["counts"]
        for kind in KINDS:
            assert found.by_type[kind].f1 == pytest.approx(expected["type_f1"][kind], abs=1e-9)
    assert set(report.by_matching) == {"gated", "hungarian"}


def test_instance_figures_are_pannukes_and_hovernets():
    report = score_instances(
        instance_case(labelled(i), predicted(i), width_px=SIDE, height_px=SIDE)
        for i in PARITY["masks"]
    )
    expected = PARITY["figures"]["masks"]
    for name in ("aji", "dq", "sq", "pq", "bpq", "mpq"):
        assert getattr(report, name) == pytest.approx(expected[name], abs=EPSILON), name
    assert dict(report.pq_by_category) == pytest.approx(expected["pq_by_category"], abs=EPSILON)
    assert report.images == expected["images"]
