from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.matching import HUNGARIAN_LIMIT
from napari_nunext.core.scores.metrics import (
    DetectionCase,
    DetectionReport,
    DetectionScore,
    score_detections,
)


def test_figures_of_a_hand_counted_field():
    score = DetectionScore(tp=6, fp=2, fn=3)
    assert score.precision == pytest.approx(0.75)
    assert score.recall == pytest.approx(2 / 3)
    assert score.f1 == pytest.approx(12 / 17)


def test_empty_against_empty_is_perfect():
    assert DetectionScore().f1 == 1


def test_predictions_where_there_is_nothing_score_zero():
    assert DetectionScore(fp=4).f1 == 0
    assert DetectionScore(fn=4).f1 == 0


def test_images_add_up_by_their_nuclei_not_by_their_means():
    far = np.array([[100.0, 100.0]])
    many = np.stack([np.arange(9) * 20.0, np.zeros(9)], axis=1)
    report = score_detections(
        [DetectionCase(many, many, mpp=0.5), DetectionCase(far, far + 50, mpp=0.5)]
    )
    assert (report.overall.tp, report.overall.fp, report.overall.fn) == (9, 1, 1)
    assert report.images == 2
    assert report.overall.f1 == pytest.approx(0.9)


def test_the_radius_is_physical():
    pred, true = np.array([[0.0, 0.0]]), np.array([[8.0, 0.0]])
    assert score_detections([DetectionCase(pred, true, mpp=0.5)]).overall.tp == 0  # 4 um
    assert score_detections([DetectionCase(pred, true, mpp=0.25)]).overall.tp == 1  # 2 um


def test_each_category_is_matched_on_its_own():
    points = np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0]])
    case = DetectionCase(points, points, 0.5, ["a", "b", "b"], ["a", "a", "b"])
    report = score_detections([case], categories=("a", "b"))
    assert report.overall.f1 == 1
    a, b = report.by_category["a"], report.by_category["b"]
    assert (a.tp, a.fp, a.fn) == (1, 0, 1)
    assert (b.tp, b.fp, b.fn) == (1, 1, 0)
    assert report.mean_category_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert report.to_json()["matching"] == "gated"
    assert DetectionReport.from_json(report.to_json()) == report


def test_types_are_compared_after_all_nuclei_were_matched():
    # By hand: a-a, b predicted on a, b-b, and an a that is missed: F_a = 2 / (2 + 2 + 1).
    pred = np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0]])
    true = np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0], [150.0, 0.0]])
    case = DetectionCase(pred, true, 0.5, ["a", "b", "b"], ["a", "a", "b", "a"])
    report = score_detections([case], categories=("a", "b"))
    assert report.by_type["a"].f1 == pytest.approx(2 / 5)
    assert report.by_type["b"].f1 == pytest.approx(2 / 4)
    assert report.mean_type_f1 == pytest.approx((2 / 5 + 2 / 4) / 2)


def test_a_nucleus_that_nobody_sorted_is_neither_for_nor_against_a_category():
    points = np.array([[0.0, 0.0], [50.0, 0.0], [100.0, 0.0]])
    case = DetectionCase(points, points, 0.5, ["a", "a", "a"], ["a", UNCATEGORISED, "b"])
    report = score_detections([case], categories=("a",))
    assert (report.by_category["a"].tp, report.by_category["a"].fp) == (1, 1)
    assert (report.by_type["a"].tp, report.by_type["a"].fp) == (1, 1)


def test_both_ways_to_match_are_given_side_by_side():
    # The far pair breaks the near one under Eq. 13: see docs/decisions/matching.md.
    pred, true = np.array([[0.0, 0.0], [10.0, 0.0]]), np.array([[9.0, 0.0], [14.0, 0.0]])
    report = score_detections([DetectionCase(pred, true, 1.0)], both=True)
    f1 = {method: part.overall.f1 for method, part in report.by_matching.items()}
    assert f1 == {"gated": 0.5, "hungarian": 0.0}
    assert DetectionReport.from_json(report.to_json()).by_matching == report.by_matching
    assert score_detections([DetectionCase(pred, true, 1.0)]).other is None


def test_an_image_too_large_for_eq_13_is_scored_by_the_other_way_alone():
    many = np.stack([np.arange(HUNGARIAN_LIMIT + 1) * 20.0, np.zeros(HUNGARIAN_LIMIT + 1)], axis=1)
    report = score_detections([DetectionCase(many, many, 0.5)], both=True)
    assert report.overall.f1 == 1
    assert report.other is None


def test_without_categories_there_is_no_category_mean():
    report = score_detections([DetectionCase(np.empty((0, 2)), np.empty((0, 2)), 0.5)])
    assert report.mean_category_f1 is None


def test_nothing_predicted_is_never_wrong_and_nothing_to_find_is_all_found():
    assert (DetectionScore(0, 0, 4).precision, DetectionScore(0, 0, 4).recall) == (1.0, 0.0)
    assert (DetectionScore(0, 4, 0).precision, DetectionScore(0, 4, 0).recall) == (0.0, 1.0)


def test_images_of_equal_counts_add_up():
    assert DetectionScore(3, 1, 2) + DetectionScore(3, 1, 2) == DetectionScore(6, 2, 4)
