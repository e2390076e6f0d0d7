"""Average precision of boxes over a whole set of pictures, by pycocotools where that is installed.

The figures that `answer_scores` has are of each picture, and averaged. COCO ranks the boxes of all
pictures together by their scores, and language models give none: here all have the same, and stand
in the order written, picture after picture. So the order of the pictures decides as well, and there
is no interval over them.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from nunext_training.evaluation.answering.answer_scores import IOUS, Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from napari_nunext.core.geometry import Box
    from nunext_training.evaluation.answering.answer_scores import Answered

PACKAGE = "pycocotools"
COCO_MAP = "coco_map"
"""Name of the mean over `IOUS`; that at each of them ends in it, as ``coco_map_0.5``."""
MOST_A_PICTURE = 100
"""Boxes of a picture that COCO looks at."""


def score_whole_set(answered: Sequence[Answered]) -> dict[str, Figure]:
    """``coco_map`` and the one at each IoU of the answers whose true boxes are known.

    Nothing where pycocotools is not installed, or no picture has a true box: COCO has no figure
    then.
    """
    shown = [each.seen for each in answered if each.seen.truth.boxes is not None]
    if find_spec(PACKAGE) is None or not any(seen.truth.boxes for seen in shown):
        return {}
    precisions = _precisions(
        [seen.truth.boxes or () for seen in shown],
        [seen.boxes[:MOST_A_PICTURE] for seen in shown],
    )
    named = {f"{COCO_MAP}_{iou}": value for iou, value in zip(IOUS, precisions, strict=True)}
    return {
        name: Figure(value, None, len(shown))
        for name, value in (named | {COCO_MAP: float(np.mean(precisions))}).items()
    }


def _precisions(truth: Sequence[Sequence[Box]], said: Sequence[Sequence[Box]]) -> list[float]:
    """Of each IoU, of the true boxes and those that were said of each picture."""
    found = [box | {"score": 1.0} for box in _annotations(said)]
    if not found:  # pycocotools takes no empty list
        return [0.0] * len(IOUS)
    there = [box | {"id": i, "iscrowd": 0} for i, box in enumerate(_annotations(truth), start=1)]
    coco, judging = (import_module(f"{PACKAGE}.{name}") for name in ("coco", "cocoeval"))
    with redirect_stdout(io.StringIO()):  # it tells how it gets on
        known: Any = coco.COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": 1}],
            "annotations": there,
        }
        known.createIndex()
        judge: Any = judging.COCOeval(known, known.loadRes(found), "bbox")
        judge.params.iouThrs = np.array(IOUS)
        judge.params.maxDets = [MOST_A_PICTURE]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, np.inf]], ["all"]
        judge.evaluate()
        judge.accumulate()
    # By IoU, recall, category, size and number of boxes.
    return [float(value) for value in judge.eval["precision"][:, :, 0, 0, 0].mean(axis=1)]


def _annotations(boxes: Iterable[Sequence[Box]]) -> Iterator[dict[str, Any]]:
    for image, of_image in enumerate(boxes):
        for box in of_image:
            yield {
                "image_id": image,
                "category_id": 1,
                "bbox": [box.x0, box.y0, box.width, box.height],
                "area": box.width * box.height,
            }
