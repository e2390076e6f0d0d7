"""Make the pictures of docs/models.md: a good and a bad field of each stain.

The bundled detector searches them.  The fields are drawn, or painted over drawn ones, because these
may be shown to anybody, and their truth is exact.  Nobody picks them: of each stain they are those
with the highest and the lowest F1.  Of your own tissue, ``nunext-train evaluate --out`` draws the
same.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM, DetectionScore
from napari_nunext.models.catalog import Catalog
from nunext_training.data.importers.synthetic import MPP, DrawnTiles
from nunext_training.data.painted.sections import PaintedSections
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.reports.drawings import tile
from nunext_training.runs.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.scores.matching import Matching
    from nunext_training.data.labelled import LabelledImage
    from nunext_training.evaluation.scores import Outcome

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIDE_PX = 256
SEED = 2026
"""Of the fields: nothing that is bundled was trained or chosen with it."""


def main() -> None:
    """Draw the fields, search them, and keep the best and the worst of each stain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nunext-small")
    parser.add_argument("--fields", type=int, default=16)
    args = parser.parse_args()
    drawn = DrawnTiles(args.fields, size_px=SIDE_PX, mpp=MPP, seed=SEED, split="test")
    painted = PaintedSections(drawn[:], sections=1, seed=SEED)
    for stain, fields in (("he", drawn[:]), ("ihc", painted[:])):
        make_pictures(stain, fields, args.model)


def make_pictures(stain: str, fields: Sequence[LabelledImage], model: str) -> None:
    """Write ``cases-STAIN-good.svg`` and ``-bad.svg``, and print what they show."""
    evaluation = evaluate_detector(
        Catalog().load_detector(model), fields, radius_um=MATCH_RADIUS_UM, method="gated", data={}
    )
    ranked = sorted(evaluation.outcomes, key=lambda outcome: score_of(outcome).f1)
    print(f"{stain}: F1 {evaluation.report.overall.f1:.3f} of {len(fields)} fields")
    for name, outcome in (("bad", ranked[0]), ("good", ranked[-1])):
        score = score_of(outcome)
        print(f"  {name}: F1 {score.f1:.3f}; {score.tp} found, {score.fp} false, {score.fn} missed")
        write_text(IMAGES / f"cases-{stain}-{name}.svg", picture(outcome))


def matching_of(outcome: Outcome) -> Matching:
    """What was found of a field, and what was there."""
    return match_points(
        outcome.prediction.points_xy,
        outcome.image.points_xy,
        radius_px=MATCH_RADIUS_UM / outcome.image.mpp,
    )


def score_of(outcome: Outcome) -> DetectionScore:
    """Of one field."""
    return DetectionScore.of(matching_of(outcome))


def picture(outcome: Outcome) -> str:
    """The field with what was found, invented and missed."""
    image = outcome.image
    found_xy = outcome.prediction.points_xy
    drawn = tile(image.open().rgb, found_xy, image.points_xy, matching_of(outcome))
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


if __name__ == "__main__":
    main()
