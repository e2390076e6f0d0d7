"""Scores of a checkpoint, of the classical detector, or of somebody's predictions.

Models see the images through the windows and the seam merging that the server uses. Every result
says which matching it used: precision and recall without it cannot be compared. Instances are
scored where the truth and the predictions have masks; a segmenter can draw the latter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.core.scores.instance_scores import score_instances
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM, DetectionCase, score_detections
from napari_nunext.core.spelling import alike_words, one_spelling
from napari_nunext.models.whole_image.search import detect_image
from nunext_training.data.labelled import rename_categories
from nunext_training.evaluation.instances import draw_instances, instance_case
from nunext_training.evaluation.intervals import intervals_of
from nunext_training.evaluation.placement import placement_of
from nunext_training.evaluation.predictions import (
    Outcome,
    Prediction,
    predictions_of,
    read_prediction,
)
from nunext_training.evaluation.reliability import reliability_of
from nunext_training.evaluation.scores import (
    TRUE_CENTROIDS,
    VALIDATION_MATCHING,
    Evaluation,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.scores.instance_scores import InstanceCase, InstanceReport
    from napari_nunext.core.scores.matching import Method
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.data.labelled import LabelledImage

NOTHING = Prediction(np.empty((0, 2)), ())
"""What counts as predicted for an image that no file belongs to."""


def evaluate_detector(
    detector: Detector,
    images: Sequence[LabelledImage],
    *,
    radius_um: float,
    method: Method,
    data: Mapping[str, Any],
    segmenter: Segmenter | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Detect every image whole, and score.

    Categories are scored where the detector knows any of those in the truth, in its spelling of
    them. Instances are scored where a segmenter is given and the truth has masks: those at the
    points that were found, and beside them those at the true centroids, the segmenter's own share.
    """
    info = detector.info
    known = [c.name for c in info.categories if c.name != UNCATEGORISED]
    cut_off = 0
    outcomes, at_centroids = [], []
    for done, image in enumerate(images, start=1):
        opened = image.open()
        found = detect_image(opened, detector, mpp=image.mpp)
        cut_off += found.windows_cut_off
        instances = None
        if segmenter is not None and image.complete_masks is not None:
            instances = draw_instances(
                opened, found.points_xy, found.categories, segmenter, mpp=image.mpp
            )
            at_centroids.append(_at_centroids(image, segmenter))
        outcomes.append(
            Outcome(
                image,
                Prediction(
                    found.points_xy,
                    tuple(found.categories),
                    instances,
                    confidence=np.asarray(found.confidence),
                    position_error_um=found.position_error_um,
                ),
            )
        )
        progress(done, len(images))
    subject = {
        "model": info.name,
        "family": info.family,
        "checkpoint_sha256": info.checkpoint_sha256,
        "decoding": info.decoding,
        "provenance": info.provenance,
        **_segmenter_subject(segmenter),
    }
    notes = (f"{cut_off} windows held more nuclei than the model may write.",) if cut_off else ()
    evaluation = _score(
        outcomes,
        known,
        subject,
        data,
        notes,
        outlined=segmenter is not None,
        radius_um=radius_um,
        method=method,
    )
    return replace(evaluation, instances_at_centroids=_score_instances(at_centroids)[1])


def _at_centroids(image: LabelledImage, segmenter: Segmenter) -> Outcome:
    """What a segmenter draws at the true centroids."""
    drawn = draw_instances(
        image.open(), image.points_xy, image.categories, segmenter, mpp=image.mpp
    )
    return Outcome(image, Prediction(image.points_xy, image.categories, drawn))


def evaluate_predictions(
    files: Mapping[str, Path],
    images: Sequence[LabelledImage],
    *,
    radius_um: float,
    method: Method,
    data: Mapping[str, Any],
    segmenter: Segmenter | None = None,
) -> Evaluation:
    """Score files of predictions.

    Parameters
    ----------
    files : mapping
        GeoJSON files or label images by stem; a stem is the file name without suffix of an image or
        of the one that it was imported from, or the content hash (`predictions_of`).
    images : sequence of LabelledImage
        An image that no file belongs to counts as one in which nothing was found, and is noted.
    segmenter : Segmenter, optional
        Draws the instances of predictions that are points alone.

    Raises
    ------
    RecordError
        If no file belongs to any image, or a file does not read.
    """
    found = predictions_of(images, files)
    missing = tuple(i.name for i, path in zip(images, found, strict=True) if path is None)
    if len(missing) == len(images):
        raise RecordError(
            f"None of the {len(files)} prediction files is named as one of the {len(images)} "
            f"images; expected for example {images[0].path.stem}.geojson."
        )
    outcomes = []
    notes: tuple[str, ...] = ()
    for image, path in zip(images, found, strict=True):
        prediction = NOTHING if path is None else read_prediction(path, image.open())
        notes += prediction.notes
        if prediction.instances is None and segmenter is not None:
            instances = draw_instances(
                image.open(),
                prediction.points_xy,
                prediction.categories,
                segmenter,
                mpp=image.mpp,
            )
            prediction = Prediction(prediction.points_xy, prediction.categories, instances)
        outcomes.append(Outcome(image, prediction))
    truth = [c for image in images for c in image.categories]
    said = [c for outcome in outcomes for c in outcome.prediction.categories]
    known = [c for c in dict.fromkeys((*truth, *said)) if c != UNCATEGORISED] if said else []
    subject = {"predictions": len(images) - len(missing), **_segmenter_subject(segmenter)}
    return _score(
        outcomes,
        known,
        subject,
        data,
        notes,
        outlined=segmenter is not None or any(o.prediction.instances for o in outcomes),
        radius_um=radius_um,
        method=method,
        without_predictions=missing,
    )


def evaluate_segmenter(
    segmenter: Segmenter,
    images: Sequence[LabelledImage],
    *,
    data: Mapping[str, Any],
    radius_um: float = MATCH_RADIUS_UM,
    method: Method = VALIDATION_MATCHING,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Prompt a segmenter with the true centroids, and score what it draws.

    So the figures of instances are those of the segmenter alone; those of detection are of the
    truth against itself.
    """
    outcomes = []
    for done, image in enumerate(images, start=1):
        outcomes.append(_at_centroids(image, segmenter))
        progress(done, len(images))
    subject = {"model": TRUE_CENTROIDS, **_segmenter_subject(segmenter)}
    notes = ("Prompted with the true centroids: the figures of detection say nothing.",)
    return _score(
        outcomes, [], subject, data, notes, outlined=True, radius_um=radius_um, method=method
    )


def _score(
    outcomes: Sequence[Outcome],
    known: Sequence[str],
    subject: dict[str, Any],
    data: Mapping[str, Any],
    notes: tuple[str, ...] = (),
    *,
    outlined: bool,
    radius_um: float,
    method: Method,
    without_predictions: tuple[str, ...] = (),
) -> Evaluation:
    """Score outcomes, in the spelling of the categories that `known` has."""
    outcomes, said = _in_one_spelling(outcomes, known)
    report = score_detections(
        [
            DetectionCase(
                pred_xy=o.prediction.points_xy,
                true_xy=o.image.points_xy,
                mpp=o.image.mpp,
                pred_categories=o.prediction.categories if known else None,
                true_categories=o.image.categories,
            )
            for o in outcomes
        ],
        radius_um=radius_um,
        method=method,
        categories=_scored_categories([o.image for o in outcomes], known),
        both=True,
    )
    if report.other is None:
        said += ("An image has too many points to match it by Eq. 13 as well.",)
    outcomes, instances = _score_instances(outcomes) if outlined else (outcomes, None)
    unmasked = sum(o.image.complete_masks is None for o in outcomes)
    if outlined and unmasked:
        said += (f"Instances: {unmasked} images lack true masks and are left out.",)
    if instances is not None and instances.without_nuclei:
        said += (f"Instances: {instances.without_nuclei} images without nuclei are left out.",)
    gated = [image.matching for image in report.by_matching["gated"].per_image]
    return Evaluation(
        subject,
        dict(data),
        report,
        intervals_of(report, instances),
        notes + said,
        instances,
        tuple(outcomes),
        without_predictions,
        reliability=reliability_of(outcomes, gated),
        placement=placement_of(outcomes, gated),
    )


def _in_one_spelling(
    outcomes: Sequence[Outcome], known: Sequence[str]
) -> tuple[list[Outcome], tuple[str, ...]]:
    """Outcomes whose categories differ in more than capitals, and a note of what was alike."""
    used = [
        name
        for outcome in outcomes
        for name in (*outcome.image.categories, *outcome.prediction.categories)
    ]
    spelling = one_spelling(used, (UNCATEGORISED, *known))
    words = alike_words(spelling, used)
    if not words:
        return list(outcomes), ()
    spelled = []
    for outcome in outcomes:
        (image,) = rename_categories([outcome.image], spelling)
        prediction = outcome.prediction.renamed(spelling)
        spelled.append(replace(outcome, image=image, prediction=prediction))
    return spelled, (words,)


def _score_instances(
    outcomes: Sequence[Outcome],
) -> tuple[list[Outcome], InstanceReport | None]:
    """The report, and the outcomes with the PQ of each image."""
    scored: list[int] = []

    def cases() -> Iterator[InstanceCase]:
        for index, outcome in enumerate(outcomes):
            opened = outcome.image.open()
            case = instance_case(
                outcome.image,
                outcome.prediction,
                width_px=opened.width_px,
                height_px=opened.height_px,
            )
            if case is not None:
                scored.append(index)
                yield case

    report = score_instances(cases())
    if report is None:
        return list(outcomes), None
    pq = {i: s.pq for i, s in zip(scored, report.per_image, strict=True) if s is not None}
    return [replace(outcome, pq=pq.get(i)) for i, outcome in enumerate(outcomes)], report


def _segmenter_subject(segmenter: Segmenter | None) -> dict[str, Any]:
    if segmenter is None:
        return {}
    info = segmenter.info
    return {"segmenter": {"name": info.name, "checkpoint_sha256": info.checkpoint_sha256}}


def _scored_categories(images: Sequence[LabelledImage], known: Sequence[str]) -> tuple[str, ...]:
    """Categories of the truth, sorted; none where the subject knows none of them.

    Nuclei that nobody sorted are no category.
    """
    truth = {c for image in images for c in image.categories} - {UNCATEGORISED}
    return tuple(sorted(truth)) if truth & set(known) else ()
