"""Intervals against figures that are computed anew from each drawing's images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_nunext.core.bootstrap import Drawings, interval_of
from napari_nunext.core.scores.instance_scores import InstanceCase, score_instances
from napari_nunext.core.scores.metrics import DetectionCase, score_detections
from nunext_training.evaluation.intervals import Intervals, intervals_of

NAMES = ("a", "b")


@pytest.fixture
def cases(rng):
    """Eight images with points and kinds at random; one is empty on both sides."""

    def side():
        n = int(rng.integers(1, 12))
        return rng.uniform(0, 40, (n, 2)), list(rng.choice(NAMES, n))

    drawn = []
    for _ in range(7):
        (pred, said), (true, is_) = side(), side()
        drawn.append(DetectionCase(pred, true, 0.5, said, is_))
    nothing = np.empty((0, 2))
    return [*drawn, DetectionCase(nothing, nothing, 0.5, [], [])]


def drawn_figures(images, figure):
    """The figure of each drawing, from a list of the images that it has."""
    times = Drawings(images).sums(np.eye(images, dtype=np.int64))
    return np.array([figure(np.repeat(np.arange(images), row)) for row in times])


def test_intervals_of_detection_are_those_of_the_drawn_images(cases):
    report = score_detections(cases, categories=NAMES, both=True)
    found = intervals_of(report, None)
    assert set(found.by_matching) == {"gated", "hungarian"}
    for name, part in report.by_matching.items():
        intervals = found.by_matching[name]

        def pooled(which, part=part):
            images = [part.per_image[i] for i in which]
            return sum((i.overall for i in images[1:]), images[0].overall)

        def type_f1(which, part=part):
            images = [part.per_image[i].by_type["a"] for i in which]
            return sum(images[1:], images[0]).f1

        for figure in ("precision", "recall", "f1"):
            expected = interval_of(
                drawn_figures(len(cases), lambda w, f=figure: getattr(pooled(w), f))
            )
            assert intervals.figures[figure] == expected
        assert intervals.by_type["a"] == interval_of(drawn_figures(len(cases), type_f1))


def test_intervals_of_instances_go_over_images_and_then_over_tissues(rng):
    cases = []
    for i in range(6):
        true = np.repeat(np.repeat(rng.integers(0, 5, (6, 6)), 4, axis=0), 4, axis=1)
        pred = np.where(rng.random(true.shape) < 0.25, 0, true)
        kinds = {label: NAMES[label % 2] for label in range(1, 5)}
        cases.append(InstanceCase(pred, true, kinds, kinds, "Colon" if i % 3 else "Skin"))
    report = score_instances(cases)
    detection = score_detections([DetectionCase(np.empty((0, 2)), np.empty((0, 2)), 0.5)] * 2)
    found = intervals_of(detection, report).instances

    def mean(which, figure):
        return np.mean([getattr(report.per_image[i], figure) for i in which])

    def over_tissues(which, figure):
        groups = [[i for i in which if report.tissues[i] == t] for t in ("Colon", "Skin")]
        return np.mean([mean(group, figure) for group in groups if group])

    expected = {
        "pq": lambda w: mean(w, "pq"),
        "aji": lambda w: mean(w, "aji"),
        "bpq": lambda w: over_tissues(w, "pq"),
        "mpq": lambda w: over_tissues(w, "mpq"),
    }
    for name, figure in expected.items():
        interval = interval_of(drawn_figures(len(cases), figure))
        assert (found[name].low, found[name].high) == pytest.approx((interval.low, interval.high))


def test_one_image_says_nothing_of_others(cases):
    assert intervals_of(score_detections(cases[:1]), None) == Intervals()
