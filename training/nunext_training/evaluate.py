"""Detection scores of a checkpoint, of the classical detector, or of somebody's predictions.

Models see the images through the windows and the seam merging that the server uses. Every result
says which matching it used: precision and recall without it cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geojson import read_geojson
from napari_nunext.core.metrics import DetectionCase, score_detections
from napari_nunext.core.nuclei import UNCATEGORISED, points_of
from napari_nunext.images import open_image
from napari_nunext.models.whole_image import detect_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.matching import Method
    from napari_nunext.core.metrics import DetectionReport
    from napari_nunext.models.detector import Detector
    from nunext_training.datasets.labelled import LabelledImage

VALIDATION_MATCHING: Method = "gated"
"""How the F1 of validation during training is matched."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores, and what they are scores of."""

    subject: dict[str, Any]
    """What was evaluated: a model with its hash, or a folder of predictions."""
    data: dict[str, Any]
    report: DetectionReport
    notes: tuple[str, ...] = field(default=())
    """What a reader of the figures must know."""

    def to_json(self) -> dict[str, Any]:
        """Everything, for a report."""
        return {
            "subject": self.subject,
            "data": self.data,
            **self.report.to_json(),
            "notes": list(self.notes),
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
        lines.append(
            f"{report.images} images; {report.method} matching within {report.radius_um:g} um, "
            "one to one."
        )
        return "\n".join([*lines, *self.notes])


def evaluate_detector(
    detector: Detector,
    images: Sequence[LabelledImage],
    *,
    radius_um: float,
    method: Method,
    data: Mapping[str, Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Detect every image whole, and score.

    Categories are scored where the detector knows any of those in the truth.
    """
    info = detector.info
    known = {c.name for c in info.categories} - {UNCATEGORISED}
    cut_off = 0

    def cases() -> Iterator[DetectionCase]:
        nonlocal cut_off
        for done, image in enumerate(images, start=1):
            found = detect_image(open_image(image.path, mpp=image.mpp), detector, mpp=image.mpp)
            cut_off += found.windows_cut_off
            yield _case(image, found.points_xy, found.categories if known else None)
            progress(done, len(images))

    report = score_detections(
        cases(),
        radius_um=radius_um,
        method=method,
        categories=_scored_categories(images, known),
    )
    notes = (f"{cut_off} windows held more nuclei than the model may write.",) if cut_off else ()
    subject = {
        "model": info.name,
        "family": info.family,
        "checkpoint_sha256": info.checkpoint_sha256,
        "decoding": info.decoding,
    }
    return Evaluation(subject, dict(data), report, notes)


def evaluate_predictions(
    files: Mapping[str, Path],
    images: Sequence[LabelledImage],
    *,
    radius_um: float,
    method: Method,
    data: Mapping[str, Any],
) -> Evaluation:
    """Score files of predictions.

    Parameters
    ----------
    files : mapping
        GeoJSON files by stem; a stem is an image's file name without suffix, or its content hash.
    images : sequence of LabelledImage
        An image that no file belongs to counts as one in which nothing was found, and is noted.

    Raises
    ------
    RecordError
        If no file belongs to any image, or a file does not read.
    """
    found = {image.name: _file_of(image, files) for image in images}
    missing = [name for name, path in found.items() if path is None]
    if len(missing) == len(images):
        raise RecordError(
            f"None of the {len(files)} prediction files is named as one of the {len(images)} "
            f"images; expected for example {images[0].path.stem}.geojson."
        )
    predictions = {name: read_geojson(path) for name, path in found.items() if path is not None}
    known = {n.category for nuclei in predictions.values() for n in nuclei} - {UNCATEGORISED}

    def cases() -> Iterator[DetectionCase]:
        for image in images:
            predicted = predictions.get(image.name)
            if predicted is None:
                yield _case(image, image.points_xy[:0], () if known else None)
            else:
                names = [n.category for n in predicted] if known else None
                yield _case(image, points_of(predicted), names)

    report = score_detections(
        cases(),
        radius_um=radius_um,
        method=method,
        categories=_scored_categories(images, known),
    )
    notes = (
        (f"{len(missing)} images have no predictions and count as empty: {', '.join(missing)}.",)
        if missing
        else ()
    )
    return Evaluation({"predictions": len(predictions)}, dict(data), report, notes)


def _case(
    image: LabelledImage, pred_xy: PointsXY, pred_categories: Sequence[str] | None
) -> DetectionCase:
    return DetectionCase(pred_xy, image.points_xy, image.mpp, pred_categories, image.categories)


def _scored_categories(images: Sequence[LabelledImage], known: set[str]) -> tuple[str, ...]:
    """Categories of the truth, sorted; none where the subject knows none of them."""
    truth = {c for image in images for c in image.categories}
    return tuple(sorted(truth)) if known & truth else ()


def _file_of(image: LabelledImage, files: Mapping[str, Path]) -> Path | None:
    stems = (image.path.stem, image.name, image.image_sha256 or "")
    return next((files[stem] for stem in stems if stem in files), None)
