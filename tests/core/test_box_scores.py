"""Boxes against boxes, beside pycocotools."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from napari_nunext.core.geometry import Box
from napari_nunext.core.scores.boxes import average_precision, box_iou

A, B, C = Box(0, 0, 10, 10), Box(20, 20, 30, 30), Box(100, 100, 104, 104)


def test_iou_of_every_pair():
    boxes = np.array([(0, 0, 10, 10), (5, 0, 15, 10), (3, 3, 3, 9)], dtype=np.float64)
    assert box_iou(boxes, boxes) == pytest.approx(np.array([[1, 1 / 3, 0], [1 / 3, 1, 0], [0] * 3]))
    assert box_iou(boxes, boxes[:0]).shape == (3, 0)


def coco_ap(said, truth, iou):
    """What pycocotools gives one image whose boxes have falling scores."""

    def xywh(box):
        return [box.x0, box.y0, box.width, box.height]

    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO()
        there.dataset = {
            "info": {},
            "images": [{"id": 0}],
            "categories": [{"id": 1, "name": "lesion"}],
            "annotations": [
                {
                    "id": i + 1,
                    "image_id": 0,
                    "category_id": 1,
                    "bbox": xywh(box),
                    "area": box.width * box.height,
                    "iscrowd": 0,
                }
                for i, box in enumerate(truth)
            ],
        }
        there.createIndex()
        found = there.loadRes(
            [
                {"image_id": 0, "category_id": 1, "bbox": xywh(box), "score": 1 - i / 100}
                for i, box in enumerate(said)
            ]
        )
        judge = COCOeval(there, found, "bbox")
        judge.params.iouThrs = np.array([iou])
        judge.params.maxDets = [1, 10, 100]
        judge.evaluate()
        judge.accumulate()
    return float(judge.eval["precision"][0, :, 0, 0, -1].mean())


side = st.floats(0, 60)
box = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h), side, side, st.floats(1, 40), st.floats(1, 40)
)


@given(st.lists(box, min_size=1, max_size=8), st.lists(box, min_size=1, max_size=5))
def test_eq_9_average_precision_is_that_of_pycocotools(said, truth):
    # Of its own truths too, moved a little: else nothing would match.
    said = [*said, *(Box(b.x0, b.y0, b.x1 + 0.25, b.y1) for b in truth)]
    for iou in (0.1, 0.3, 0.5):
        ours = average_precision(said, truth, iou)
        assert ours == pytest.approx(coco_ap(said, truth, iou), abs=1e-6)


@pytest.mark.parametrize(
    ("said", "truth", "worth"),
    [
        ((), (), 1),
        ((A,), (), 0),
        ((), (A,), 0),
        ((A,), (A,), 1),
        ((A, C), (A,), 1),  # what comes after all was found costs nothing
        ((C, A), (A,), 0.5),  # what was written before does
        ((A, A), (A, B), 51 / 101),  # a truth is taken once
    ],
)
def test_eq_9_in_the_order_written(said, truth, worth):
    assert average_precision(said, truth) == pytest.approx(worth)
