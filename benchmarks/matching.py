"""Matching a whole slide's predictions to its nuclei: 100 000 to 100 000 points within 3 um.

There are 10 000 nuclei per mm2, as in dense tumour, half of them in clumps. A nucleus is predicted
with probability 0.9 and a micrometre off; as many false predictions are added as were missed.
"""

from __future__ import annotations

import numpy as np

from benchmarks._harness import Claim, measure, peak_memory_gb, report
from napari_nunext.core.scores.matching import match_points

N_POINTS = 100_000
DENSITY_PER_MM2 = 10_000
RADIUS_UM = 3.0
MPP = 0.25


def slide(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make predictions and nuclei of a slide, shape (N_POINTS, 2) each, level-0 px."""
    side_um = np.sqrt(N_POINTS / DENSITY_PER_MM2) * 1000
    scattered = rng.uniform(0, side_um, size=(N_POINTS // 2, 2))
    centres = rng.uniform(0, side_um, size=(500, 2))
    clumped = rng.normal(centres[rng.integers(500, size=N_POINTS // 2)], scale=60.0)
    true_um = np.concatenate((scattered, clumped))
    found = true_um[rng.random(N_POINTS) < 0.9]
    false_um = rng.uniform(0, side_um, size=(N_POINTS - len(found), 2))
    pred_um = np.concatenate((found + rng.normal(scale=1.0, size=found.shape), false_um))
    return rng.permutation(pred_um) / MPP, true_um / MPP


def main() -> None:
    """Measure time and memory."""
    pred_xy, true_xy = slide(np.random.default_rng(0))
    timing = measure(lambda: match_points(pred_xy, true_xy, radius_px=RADIUS_UM / MPP), repeats=5)
    matching = match_points(pred_xy, true_xy, radius_px=RADIUS_UM / MPP)
    report(
        "matching",
        [
            Claim("method.matching_100k_s", timing.median_s, goal=2.0, better="lower"),
            Claim("method.matching_100k_peak_gb", peak_memory_gb(), goal=1.0, better="lower"),
        ],
        details={"tp": matching.tp, "fp": matching.fp, "fn": matching.fn, "best_s": timing.best_s},
    )


if __name__ == "__main__":
    main()
