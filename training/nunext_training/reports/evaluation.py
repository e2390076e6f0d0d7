"""An evaluation as ``report.json``, ``report.md`` and one self-contained ``report.html``.

Images are named by the beginning of their content's hash alone: names may tell patients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import DetectionCase, DetectionScore, score_detections
from nunext_training.evaluation.tables import tables
from nunext_training.reports.drawings import Axis, plot, tile
from nunext_training.reports.pages import html_table, markdown, page
from nunext_training.runs.files import write_json, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nunext.core.scores.matching import Matching
    from nunext_training.evaluation.predictions import Outcome
    from nunext_training.evaluation.scores import Evaluation
    from nunext_training.evaluation.tables import Table

WORST = 6
"""Tiles that are drawn."""

RADII_UM = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""At which F1 is plotted: whether points are missed or only misplaced."""


@dataclass(frozen=True, eq=False, slots=True)
class ScoredImage:
    """An image with its score."""

    outcome: Outcome
    pseudonym: str
    matching: Matching
    pq: float | None

    @property
    def score(self) -> DetectionScore:
        """What was found, invented and missed, as numbers."""
        return DetectionScore.of(self.matching)

    @property
    def drawn(self) -> str:
        """What was found, invented and missed, over the image: see `tile`."""
        image = self.outcome.image
        found_xy = self.outcome.prediction.points_xy
        return tile(image.open().rgb, found_xy, image.points_xy, self.matching)

    def to_json(self) -> dict[str, Any]:
        """Its row of the report; names nobody."""
        return {"image": self.pseudonym, **self.score.to_json(), "pq": self.pq}


def write_report(evaluation: Evaluation, folder: Path, *, method: str, data_set: str) -> None:
    """Write the three files into `folder`, which is made where it is missing.

    Parameters
    ----------
    evaluation : Evaluation
        With the outcome of each image.
    folder : Path
    method, data_set : str
        Names of what was evaluated, and on what, for the tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = tables(evaluation, method=method, data_set=data_set)
    images = scored_images(evaluation)
    worst = sorted(images, key=lambda i: (i.score.f1, -i.score.fp - i.score.fn, i.pseudonym))
    write_json(
        folder / "report.json",
        evaluation.to_json()
        | {
            "tables": [table.to_json() for table in found],
            "per_image": [image.to_json() for image in images],
        },
    )
    title = f"{method} on {data_set}"
    notes = _notes(evaluation)
    write_text(folder / "report.md", markdown(title, notes, found))
    write_text(
        folder / "report.html",
        page(title, notes, _parts(found, evaluation, images, worst[:WORST])),
    )


def scored_images(evaluation: Evaluation) -> list[ScoredImage]:
    """Each image with its score, in their order."""
    report = evaluation.report
    return [
        ScoredImage(
            outcome,
            (outcome.image.image_sha256 or outcome.image.open().id)[:16],
            match_points(
                outcome.prediction.points_xy,
                outcome.image.points_xy,
                radius_px=report.radius_um / outcome.image.mpp,
                method=report.method,
            ),
            outcome.pq,
        )
        for outcome in evaluation.outcomes
    ]


def _notes(evaluation: Evaluation) -> list[str]:
    notes = [*evaluation.facts]
    if evaluation.instances is not None:
        notes.append(
            "AJI, DQ, SQ and PQ are means over images; bPQ and mPQ means over the images of a "
            "tissue and then over tissues; pairs have an IoU above 0.5. Images without nuclei, and "
            "categories that an image lacks, are left out, as PanNuke's evaluation has it."
        )
    if evaluation.without_predictions:
        count = len(evaluation.without_predictions)
        notes.append(f"{count} images have no predictions and count as empty.")
    return [*notes, *evaluation.notes]


def _parts(
    found: Sequence[Table],
    evaluation: Evaluation,
    images: Sequence[ScoredImage],
    worst: Sequence[ScoredImage],
) -> list[str]:
    """What stands on the page below the notes."""
    legend = (
        '<p><span class="tp">&#9675; found</span> · <span class="fp">&#10005; no nucleus</span> · '
        '<span class="fn">&#9633; missed</span></p>'
    )
    return [
        *(html_table(table) for table in found),
        '<h3>Plots</h3><div class="plots">',
        *_plots(evaluation, images),
        "</div>",
        f'<h3>Worst tiles</h3>{legend}<div class="tiles">',
        *(_figure(image) for image in worst),
        "</div>",
    ]


def _plots(evaluation: Evaluation, images: Sequence[ScoredImage]) -> list[str]:
    f1 = sorted(image.score.f1 for image in images)
    counts = [(float(i.matching.n_true), float(i.matching.n_pred)) for i in images]
    most = max((max(pair) for pair in counts), default=1.0)
    unit = Axis("F1", 0.0, 1.0)
    return [
        plot(
            "F1 of each image, sorted",
            Axis("images", 0.0, max(len(f1) - 1.0, 1.0)),
            unit,
            list(zip(map(float, range(len(f1))), f1, strict=True)),
            line=False,
            diagonal=False,
        ),
        plot(
            "Nuclei of each image",
            Axis("true", 0.0, most),
            Axis("predicted", 0.0, most),
            counts,
            line=False,
            diagonal=True,
        ),
        plot(
            "F1 by the radius of matching",
            Axis("um", 0.0, RADII_UM[-1]),
            unit,
            [(radius, _f1_at(evaluation, radius)) for radius in RADII_UM],
            line=True,
            diagonal=False,
        ),
    ]


def _f1_at(evaluation: Evaluation, radius_um: float) -> float:
    cases = [
        DetectionCase(o.prediction.points_xy, o.image.points_xy, o.image.mpp)
        for o in evaluation.outcomes
    ]
    method = evaluation.report.method
    return score_detections(cases, radius_um=radius_um, method=method).overall.f1


def _figure(image: ScoredImage) -> str:
    score = image.score
    pq = "" if image.pq is None else f", PQ {image.pq:.4f}"
    return (
        f"<figure>{image.drawn}<figcaption>{image.pseudonym}: F1 {score.f1:.4f}{pq} "
        f"({score.tp} found, {score.fp} false, {score.fn} missed)</figcaption></figure>"
    )
