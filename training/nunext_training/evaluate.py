"""Scores of a checkpoint, of the classical detector, or of somebody's predictions.

Models see the images through the windows and the seam merging that the server uses. Every result
says which matching it used: precision and recall without it cannot be compared. Instances are
scored where the truth and the predictions have masks; a segmenter can draw the latter.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.core.instances import score_instances
from napari_nunext.core.metrics import MATCH_RADIUS_UM, DetectionCase, score_detections
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.models.whole_image import detect_image
from nunext_training.datasets.labelled import rename_categories
from nunext_training.instances import draw_instances, instance_case
from nunext_training.predictions import Prediction, read_prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.instances import InstanceCase, InstanceReport
    from napari_nunext.core.matching import Method
    from napari_nunext.core.metrics import DetectionReport
    from napari_nunext.models.detector import Detector
    from napari_nunext.models.segmenter import Segmenter
    from nunext_training.datasets.labelled import LabelledImage

VALIDATION_MATCHING: Method = "gated"
"""How the F1 of validation during training is matched."""


TRUE_CENTROIDS = "centroids"
"""In place of a detector: the truth's own points."""

NOTHING = Prediction(np.empty((0, 2)), ())
"""What counts as predicted for an image that no file belongs to."""


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """One image and what was predicted for it."""

    image: LabelledImage
    prediction: Prediction
    pq: float | None = None
    """Panoptic quality; None where there is none, or the truth has no nucleus."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and what they are scores of."""

    subject: dict[str, Any]
    """What was evaluated: a model with its hash, or a folder of predictions."""
    data: dict[str, Any]
    report: DetectionReport
    notes: tuple[str, ...] = field(default=())
    """What a reader of the figures must know; names no image."""
    instances: InstanceReport | None = None
    """None where the truth or the predictions have no masks."""
    outcomes: tuple[Outcome, ...] = ()
    """In the order of the images."""
    without_predictions: tuple[str, ...] = ()
    """Names of images that count as empty."""
    iou_by_clicks: tuple[float, ...] = ()
    """Mean IoU after no, one, ... corrections of each outline; empty where it was not asked for."""

    @property
    def prompted_with_truth(self) -> bool:
        """Whether a segmenter alone was evaluated: the points were given, not found."""
        return self.subject.get("model") == TRUE_CENTROIDS

    def to_json(self) -> dict[str, Any]:
        """Everything but the single images, for a report; names none of them."""
        return {
            "subject": self.subject,
            "data": self.data,
            **self.report.to_json(),
            "instances": None if self.instances is None else self.instances.to_json(),
            "iou_by_clicks": list(self.iou_by_clicks),
            "notes": list(self.notes),
            "images_without_predictions": len(self.without_predictions),
        }

    def table(self) -> str:
        """The figures for people."""
        rows = [("all nuclei", self.report.overall), *self.report.by_category.items()]
        width = max(len(name) for name, _ in rows)
        lines = [
            f"{'':{width}}  precision  recall     F1      tp      fp      fn",
            *(
                f"{name:{width}}  {s.precision:9.4f}  {s.recall:6.4f} {s.f1:6.4f}"
                f" {s.tp:7d} {s.fp:7d} {s.fn:7d}"
                for name, s in rows
            ),
        ]
        report = self.report
        mean_f1 = report.mean_category_f1
        if mean_f1 is not None:
            lines.append(f"Mean F1 of the categories: {mean_f1:.4f}")
        if self.instances is not None:
            lines += _instance_lines(self.instances)
        if self.iou_by_clicks:
            means = ", ".join(f"{iou:.4f}" for iou in self.iou_by_clicks)
            lines.append(f"Mean IoU after 0 to {len(self.iou_by_clicks) - 1} clicks: {means}")
        lines.append(
            f"{report.images} images; {report.method} matching within {report.radius_um:g} um, "
            "one to one."
        )
        if self.without_predictions:
            names = ", ".join(self.without_predictions)
            lines.append(
                f"{len(self.without_predictions)} images have no predictions and count as empty: "
                f"{names}."
            )
        return "\n".join([*lines, *self.notes])


def _instance_lines(report: InstanceReport) -> list[str]:
    figures = {"AJI": report.aji, "DQ": report.dq, "SQ": report.sq, "PQ": report.pq}
    figures["bPQ"] = report.bpq
    if report.mpq is not None:
        figures["mPQ"] = report.mpq
    return [
        f"Instances ({report.images} images, {len(report.by_tissue)} tissues): "
        + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    ]


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
    them: letter case does not count. Instances are scored where a segmenter is given and the truth
    has masks.
    """
    info = detector.info
    known = {c.name for c in info.categories} - {UNCATEGORISED}
    images = _spelled(images, known)
    cut_off = 0
    outcomes = []
    for done, image in enumerate(images, start=1):
        opened = image.open()
        found = detect_image(opened, detector, mpp=image.mpp)
        cut_off += found.windows_cut_off
        instances = None
        if segmenter is not None and image.complete_masks is not None:
            instances = draw_instances(
                opened, found.points_xy, found.categories, segmenter, mpp=image.mpp
            )
        outcomes.append(
            Outcome(image, Prediction(found.points_xy, tuple(found.categories), instances))
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
    return _score(
        outcomes,
        known,
        subject,
        data,
        notes,
        outlined=segmenter is not None,
        radius_um=radius_um,
        method=method,
    )


def _spelled(images: Sequence[LabelledImage], known: set[str]) -> tuple[LabelledImage, ...]:
    spelling = {name.casefold(): name for name in known}
    names = {name for image in images for name in image.categories}
    return rename_categories(images, {name: spelling.get(name.casefold(), name) for name in names})


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
        GeoJSON files or label images by stem; a stem is an image's file name without suffix, or its
        content hash.
    images : sequence of LabelledImage
        An image that no file belongs to counts as one in which nothing was found, and is noted.
    segmenter : Segmenter, optional
        Draws the instances of predictions that are points alone.

    Raises
    ------
    RecordError
        If no file belongs to any image, or a file does not read.
    """
    found = [_file_of(image, files) for image in images]
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
    known = {c for outcome in outcomes for c in outcome.prediction.categories} - {UNCATEGORISED}
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
        drawn = draw_instances(
            image.open(), image.points_xy, image.categories, segmenter, mpp=image.mpp
        )
        outcomes.append(Outcome(image, Prediction(image.points_xy, image.categories, drawn)))
        progress(done, len(images))
    subject = {"model": TRUE_CENTROIDS, **_segmenter_subject(segmenter)}
    notes = ("Prompted with the true centroids: the figures of detection say nothing.",)
    return _score(
        outcomes, set(), subject, data, notes, outlined=True, radius_um=radius_um, method=method
    )


def _score(
    outcomes: Sequence[Outcome],
    known: set[str],
    subject: dict[str, Any],
    data: Mapping[str, Any],
    notes: tuple[str, ...] = (),
    *,
    outlined: bool,
    radius_um: float,
    method: Method,
    without_predictions: tuple[str, ...] = (),
) -> Evaluation:
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
    )
    outcomes, instances = _score_instances(outcomes) if outlined else (outcomes, None)
    unmasked = sum(o.image.complete_masks is None for o in outcomes)
    if outlined and unmasked:
        notes += (f"Instances: {unmasked} images lack true masks and are left out.",)
    if instances is not None and instances.without_nuclei:
        notes += (f"Instances: {instances.without_nuclei} images without nuclei are left out.",)
    return Evaluation(
        subject, dict(data), report, notes, instances, tuple(outcomes), without_predictions
    )


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


def _scored_categories(images: Sequence[LabelledImage], known: set[str]) -> tuple[str, ...]:
    """Categories of the truth, sorted; none where the subject knows none of them."""
    truth = {c for image in images for c in image.categories}
    return tuple(sorted(truth)) if known & truth else ()


def _file_of(image: LabelledImage, files: Mapping[str, Path]) -> Path | None:
    stems = (image.path.stem, image.name, image.image_sha256 or "")
    return next((files[stem] for stem in stems if stem in files), None)
