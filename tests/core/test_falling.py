"""Which figures have fallen, by the figures that people see."""

from __future__ import annotations

import pytest

from napari_nunext.core.scores.falling import falls, has_fallen
from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore


def score(f1: float, nuclei: int = 100) -> DetectionScore:
    found = round(f1 * nuclei)
    return DetectionScore(found, nuclei - found, nuclei - found)


def report(f1: float, **by_category: DetectionScore) -> DetectionReport:
    return DetectionReport(score(f1), by_category, 1, 3.0, "gated")


@pytest.mark.parametrize(
    ("before", "after", "forgiven", "fallen"),
    [
        (0.754, 0.746, 0, False),
        (0.755, 0.744, 0, True),
        (0.75, 0.74, 1, False),
        (0.75, 0.73, 1, True),
        (0.57, 0.56, 1, False),  # floats: 0.57 - 0.56 is a little more than 0.01
        (0.5, 0.9, 0, False),
    ],
)
def test_a_figure_has_fallen_where_people_see_it(before, after, forgiven, fallen):
    assert has_fallen(before, after, forgiven) is fallen


def test_the_deepest_fall_is_said_first_with_its_loss():
    before = report(0.8, Lymphocyte=score(0.57), Stromal=score(0.6), New=score(0.9))
    after = report(0.79, Lymphocyte=score(0.39), Stromal=score(0.7))
    first, second = falls(before, after)
    assert first.category == "Lymphocyte"
    assert first.loss == "0.18"
    assert first.words("here") == "fewer Lymphocyte nuclei right here: F1 0.39, before 0.57"
    assert (second.category, second.loss) == (None, "0.01")
    assert [fall.category for fall in falls(before, after, forgiven=1)] == ["Lymphocyte"]


def test_a_category_without_a_nucleus_cannot_fall():
    empty = DetectionScore(0, 0, 0)
    assert falls(report(0.8, Pale=empty), report(0.8, Pale=DetectionScore(0, 5, 0))) == ()
