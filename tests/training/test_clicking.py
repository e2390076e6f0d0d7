"""Simulated corrections: where the next click goes, and that outlines get better by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.segmenter import Prompt, ScoredMask, SegmenterInfo
from nunext_training.cli import main
from nunext_training.evaluation.clicking import EMPTY, _corrected, ious_by_clicks

SIDE = 64
FAR = 1000.0


def rectangle(x0, y0, width, height):
    return Mask.from_array(np.ones((height, width), dtype=bool), x0, y0)


def asked(x, y):
    return Prompt(np.array([[x, y]]), (True,))


class Painter:
    """Draws a square around each positive click and takes one away around each other."""

    info = SegmenterInfo("painter", "fake", mpp=0.5, window_px=SIDE)

    def __init__(self, side_px):
        self._half = side_px / 2

    def segment(self, window, prompts, *, cancelled=lambda: False):
        y, x = np.mgrid[:SIDE, :SIDE] + 0.5
        for prompt in prompts:
            drawn = np.zeros((SIDE, SIDE), dtype=bool)
            for (px, py), positive in zip(prompt.points_xy, prompt.positive, strict=True):
                drawn[np.maximum(abs(x - px), abs(y - py)) <= self._half] = positive
            yield ScoredMask(Mask.from_array(drawn), 0.9)


@pytest.fixture
def tile(tmp_path, labelled_tile):
    """Two nuclei: a square that the painter draws right, and a bar that it does not."""
    made = labelled_tile(tmp_path, "a", [(14.5, 14.5), (41.5, 40.5)], width=SIDE, height=SIDE)
    return replace(made, masks=(rectangle(10, 10, 9, 9), rectangle(28, 36, 27, 9)))


def test_outlines_get_better_with_every_click(tile):
    ious = ious_by_clicks(Painter(9), [tile], clicks=3)
    assert ious[0] == pytest.approx((1 + 1 / 3) / 2)
    assert ious[0] < ious[1] < ious[2]
    assert ious[2] == pytest.approx(1.0)  # one on either side of the bar
    assert ious[3] == ious[2]


def test_the_click_goes_to_the_middle_of_the_largest_error_on_either_side():
    iou, prompt = _corrected(asked(4, 4), rectangle(0, 0, 9, 9), rectangle(0, 0, 18, 9), FAR)
    assert iou == pytest.approx(0.5)
    np.testing.assert_array_equal(prompt.points_xy, [(4, 4), (13.5, 4.5)])
    assert prompt.positive == (True, True)
    iou, prompt = _corrected(asked(4, 4), rectangle(-2, 3, 29, 9), rectangle(-2, 3, 20, 9), FAR)
    assert iou == pytest.approx(20 / 29)
    np.testing.assert_array_equal(prompt.points_xy, [(4, 4), (22.5, 7.5)])
    assert prompt.positive == (True, False)


def test_what_is_right_or_out_of_reach_is_not_clicked_on():
    right = rectangle(3, 3, 9, 9)
    iou, prompt = _corrected(asked(6, 6), right, right, FAR)
    assert (iou, len(prompt.points_xy)) == (1.0, 1)
    iou, prompt = _corrected(asked(6, 6), right, rectangle(3, 3, 90, 9), 5.0)
    assert (iou, len(prompt.points_xy)) == (pytest.approx(0.1), 1)


def test_nothing_drawn_is_clicked_in_the_middle_of_the_nucleus():
    iou, prompt = _corrected(asked(4, 4), EMPTY, rectangle(0, 0, 9, 9), FAR)
    assert iou == 0.0
    np.testing.assert_array_equal(prompt.points_xy[1], (4.5, 4.5))


def test_truth_without_masks_is_refused(tile):
    with pytest.raises(RecordError, match="without a mask"):
        ious_by_clicks(Painter(8), [replace(tile, masks=())], clicks=1)


def test_no_nuclei_have_no_mean(tmp_path, labelled_tile):
    empty = labelled_tile(tmp_path, "e", [], width=SIDE, height=SIDE)
    assert ious_by_clicks(Painter(8), [empty], clicks=2) == ()


def test_clicks_on_found_points_are_refused(tmp_path, capsys):
    command = ["evaluate", "--model", "classical", "--data", str(tmp_path), "--clicks", "2"]
    assert main(command) == 2
    assert "--model centroids" in capsys.readouterr().err
