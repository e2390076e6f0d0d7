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

from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from napari_nunext.models.catalog import Catalog
from nunext_training.data.importers.synthetic import MPP, DrawnTiles
from nunext_training.data.painted.sections import IHC, PAS, PaintedSections
from nunext_training.evaluation.evaluate import evaluate_detector
from nunext_training.reports.evaluation import scored_images
from nunext_training.runs.files import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nunext_training.data.labelled import LabelledImage

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
    make_pictures("he", drawn[:], args.model)
    for stain in (IHC, PAS):
        painted = PaintedSections(drawn[:], stain=stain, sections=1, seed=SEED)
        make_pictures(stain.suffix, painted[:], args.model)


def make_pictures(stain: str, fields: Sequence[LabelledImage], model: str) -> None:
    """Write ``cases-STAIN-good.svg`` and ``-bad.svg``, and print what they show."""
    evaluation = evaluate_detector(
        Catalog().load_detector(model), fields, radius_um=MATCH_RADIUS_UM, method="gated", data={}
    )
    ranked = sorted(scored_images(evaluation), key=lambda image: image.score.f1)
    print(f"{stain}: F1 {evaluation.report.overall.f1:.3f} of {len(fields)} fields")
    for name, image in (("bad", ranked[0]), ("good", ranked[-1])):
        score = image.score
        print(f"  {name}: F1 {score.f1:.3f}; {score.tp} found, {score.fp} false, {score.fn} missed")
        write_text(IMAGES / f"cases-{stain}-{name}.svg", standing_alone(image.drawn))


def standing_alone(svg: str) -> str:
    """A drawing of a page as a file of its own."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


if __name__ == "__main__":
    main()
