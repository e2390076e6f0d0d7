"""The classical floor: F1 of points on H&E, PQ of masks prompted with true centroids, and time.

F1 is on the validation tiles of BRCA-M2C, at 3 um, one-to-one, all nuclei together. Its label files
count pixels from 0, so half a pixel is added. Constants of the detector were chosen on the training
tiles alone, whose F1 is in the details.

PQ is on the stained tiles of the 2018 Data Science Bowl. Their scale is unknown and mixed: each is
taken to show a median nucleus 7.5 um wide, which looks at the truth, as the prompts do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks._harness import Claim, measure, published, report
from napari_nunext.core.scores.metrics import DetectionCase, score_detections
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.images import open_tile
from napari_nunext.models.classical.masks import segment_points
from napari_nunext.models.classical.points import detect_nuclei

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

BRCA_MPP = 0.5
MEDIAN_NUCLEUS_UM = 7.5


@dataclass(slots=True)
class PanopticScore:
    """Sums over images, from which PQ follows; a match is an IoU over 0.5."""

    tp: int = 0
    iou: float = 0.0
    n_pred: int = 0
    n_true: int = 0

    def add(self, pred: NDArray[np.int32], true: NDArray[np.intp]) -> None:
        """Count one image: labels 1, 2, ... of shape (H, W), 0 is background."""
        n_pred, n_true = int(pred.max()), int(true.max())
        pairs = pred.ravel().astype(np.int64) * (n_true + 1) + true.ravel()
        overlap = np.bincount(pairs, minlength=(n_pred + 1) * (n_true + 1))
        overlap = overlap.reshape(n_pred + 1, n_true + 1)
        pred_area, true_area = overlap.sum(axis=1)[1:], overlap.sum(axis=0)[1:]
        both = overlap[1:, 1:]
        iou = both / np.maximum(pred_area[:, None] + true_area - both, 1)
        self.tp += int((iou > 0.5).sum())
        self.iou += float(iou[iou > 0.5].sum())
        self.n_pred += int((pred_area > 0).sum())
        self.n_true += n_true

    @property
    def pq(self) -> float:
        """Panoptic quality: mean IoU of matches times their F1."""
        return 2 * self.iou / (self.n_pred + self.n_true)


def brca_cases(root: Path, split: str) -> Iterator[DetectionCase]:
    """Detections beside truth for each tile of a split of BRCA-M2C."""
    for name in (root / f"{split}.txt").read_text(encoding="utf-8").split():
        rows = np.loadtxt(root / "labels" / f"{name}_gt_class_coords.txt", ndmin=2)
        tile = open_tile(root / "images" / f"{name}.png", mpp=BRCA_MPP)
        points_xy, _ = detect_nuclei(tile.rgb, mpp=BRCA_MPP)
        yield DetectionCase(points_xy, rows[:, 1::-1] + 0.5, BRCA_MPP)


def mask_floor(root: Path) -> PanopticScore:
    """Outline every true centroid of the stained Data Science Bowl tiles."""
    score = PanopticScore()
    for path in sorted((root / "images").iterdir()):
        with Image.open(root / "labels" / path.name) as labels:
            ids, true = np.unique(np.asarray(labels), return_inverse=True)
        true = true.reshape(labels.size[::-1])
        wanted = np.arange(1, len(ids))
        centres_rc = np.array(ndimage.center_of_mass(true > 0, true, wanted))
        areas = np.bincount(true.ravel())[1:]
        mpp = MEDIAN_NUCLEUS_UM / float(np.median(2 * np.sqrt(areas / np.pi)))
        rgb = open_tile(path).rgb
        masks = segment_points(rgb, centres_rc[:, ::-1] + 0.5, mpp=mpp)
        score.add(label_image([m.mask for m in masks], *true.shape), true)
    return score


def main() -> None:
    """Measure all of it."""
    folders = published("brca_m2c", "dsb2018_stained")
    if folders is None:
        raise SystemExit(1)
    brca, bowl = folders
    val = list(brca_cases(brca, "val"))
    scores = {
        "val, gated": score_detections(val),
        "val, hungarian": score_detections(val, method="hungarian"),
        "train, gated": score_detections(brca_cases(brca, "train")),
    }
    masks = mask_floor(bowl)
    first = (brca / "val.txt").read_text(encoding="utf-8").split()[0]
    field = np.tile(open_tile(brca / "images" / f"{first}.png").rgb, (3, 3, 1))[:1000, :1000]
    timing = measure(lambda: detect_nuclei(field, mpp=BRCA_MPP), repeats=5)
    val_f1 = scores["val, gated"].overall.f1
    report(
        "classical",
        [
            Claim("loop.classical_f1_val", val_f1, goal=0.72, better="higher"),
            Claim("loop.classical_mask_pq", masks.pq, goal=0.6, better="higher"),
            Claim("loop.classical_megapixel_s", timing.median_s, goal=1.0, better="lower"),
        ],
        details={name: score.to_json() for name, score in scores.items()},
    )


if __name__ == "__main__":
    main()
