"""Panoptic quality of two label images of 1000 x 1000 px with 2000 nuclei each.

Nuclei are discs of 7 px radius on a jittered grid; a prediction is its nucleus moved a little.
"""

from __future__ import annotations

import numpy as np

from benchmarks._harness import Claim, measure, report
from napari_nunext.core.scores.instances import aji, match_instances
from napari_nunext.core.shapes.masks import Mask, label_image

SIDE_PX = 1000
N_NUCLEI = 2000
RADIUS_PX = 7


def label_images(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make predicted and true label images, shape (SIDE_PX, SIDE_PX) each."""
    y, x = np.mgrid[-RADIUS_PX : RADIUS_PX + 1, -RADIUS_PX : RADIUS_PX + 1]
    disc = Mask.from_array(x**2 + y**2 <= RADIUS_PX**2)
    per_side = int(np.ceil(np.sqrt(N_NUCLEI)))
    grid = np.stack(np.divmod(np.arange(N_NUCLEI), per_side), axis=1) * (SIDE_PX // per_side)
    places = grid + rng.integers(0, 6, grid.shape)
    moved = places + rng.integers(-3, 4, places.shape)
    pred, true = (
        label_image([disc.moved(px, py) for px, py in at.tolist()], SIDE_PX, SIDE_PX)
        for at in (moved, places)
    )
    return pred, true


def main() -> None:
    """Measure."""
    pred, true = label_images(np.random.default_rng(0))
    timing = measure(lambda: match_instances(pred, true), repeats=9)
    with_aji = measure(lambda: aji(pred, true), repeats=9)
    matching = match_instances(pred, true)
    report(
        "instances",
        [Claim("method.pq_1000px_2000_nuclei_ms", timing.median_s * 1e3, goal=100, better="lower")],
        details={
            "pq": matching.pq,
            "predicted": matching.n_pred,
            "true": matching.n_true,
            "aji_ms": with_aji.median_s * 1e3,
            "best_ms": timing.best_s * 1e3,
        },
    )


if __name__ == "__main__":
    main()
