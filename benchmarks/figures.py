"""The figures that README, cards and `nunext.json` state of the bundled models, measured again.

Each is measured as it is served, once in each arithmetic that is stated. One data set is evaluated
twice more, once while other work keeps all cores busy: the reports must be the same bytes. Needs
the published data sets, in the folder that `NAPARI_NUNEXT_DATA` names.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._harness import Claim, published, report
from napari_nunext.core.scores.metrics import MATCH_RADIUS_UM
from napari_nunext.models.catalog import Catalog
from napari_nunext.places import BUNDLED_WEIGHTS
from nunext_training.data.importers import IMPORTERS
from nunext_training.data.labelled import select_split
from nunext_training.evaluation.evaluate import evaluate_detector, evaluate_segmenter
from nunext_training.evaluation.scores import VALIDATION_MATCHING
from nunext_training.release.cards import figures_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from napari_nunext.core.process.precision import Precision
    from nunext_training.evaluation.scores import Evaluation

FOLDERS = {"brca-m2c": "brca_m2c", "dsb2018": "dsb2018_stained", "endonuke": "endonuke"}
"""Of the published data sets, by importer."""
NAMES = frozenset(["precision", "recall", "f1", "f1_mean_of_categories", "aji", "dq", "sq", "pq"])
TOLERANCE = 0.0005
"""What is stated is rounded to so much, and rounding on another processor may shift a nucleus."""


@dataclass(frozen=True, slots=True)
class Stated:
    """The figures of a bundled model on one split of a data set, in one arithmetic."""

    model: str
    importer: str
    split: Split
    dtype: Precision
    figures: dict[str, float]

    @property
    def name(self) -> str:
        """For the claim."""
        parts = (self.model, self.importer, self.split, self.dtype)
        return "_".join(parts).replace("-", "_")


def main() -> None:
    """Measure all that is stated, and the repeated evaluation."""
    claims: list[Claim] = []
    details: dict[str, object] = {}
    for each in stated():
        measured = numbers_of(figures_of(evaluate(each)))
        off = max(abs(measured[name] - value) for name, value in each.figures.items())
        claims.append(Claim(f"true.figures_{each.name}_off", off, TOLERANCE, "lower"))
        details[each.name] = {"stated": each.figures, "measured": measured}
    claims.append(Claim("true.figures_reports_differ", reports_differ(), 0, "lower"))
    report("figures", claims, details=details)


def stated() -> list[Stated]:
    """All that the bundled models' descriptions say, one for each arithmetic."""
    found = []
    for path in sorted(BUNDLED_WEIGHTS.glob("*/nunext.json")):
        for entry in json.loads(path.read_text(encoding="utf-8"))["metrics"]:
            importer = entry["data"][0]["importer"]
            by_dtype = {entry["dtype"]: entry} | entry.get("other_arithmetic", {})
            for dtype, figures in by_dtype.items():
                numbers = numbers_of(figures)
                found.append(Stated(path.parent.name, importer, entry["split"], dtype, numbers))
    return found


def numbers_of(figures: dict[str, Any]) -> dict[str, float]:
    """Of what is stated, the figures that are of the model itself, by name."""
    by_matching = {f"f1_{m}": value for m, value in figures.get("f1_by_matching", {}).items()}
    return {name: value for name, value in figures.items() if name in NAMES} | by_matching


def evaluate(each: Stated) -> Evaluation:
    """The model on its data, as it is served."""
    catalog = Catalog(precision=each.dtype)
    images = select_split(IMPORTERS[each.importer].read(folder_of(each.importer)), each.split)
    data = {"importer": each.importer, "split": each.split}
    segmenter = catalog.load_segmenter()
    if each.model == catalog.default_segmenter_id:
        return evaluate_segmenter(segmenter, images, data=data)
    return evaluate_detector(
        catalog.load_detector(each.model),
        images,
        radius_um=MATCH_RADIUS_UM,
        method=VALIDATION_MATCHING,
        data=data,
        segmenter=segmenter if "pq" in each.figures else None,
    )


def reports_differ() -> int:
    """1 if an evaluation beside other work says anything else than one alone, else 0."""
    each = next(e for e in stated() if e.importer == "dsb2018" and "f1" in e.figures)
    alone = json.dumps(evaluate(each).to_json())
    with busy_cores():
        beside = json.dumps(evaluate(each).to_json())
    return int(alone != beside)


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core at work meanwhile."""
    ended = threading.Event()

    def work() -> None:
        matrix = np.ones((512, 512))
        while not ended.is_set():
            matrix = matrix @ matrix
            matrix /= matrix.max()

    workers = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()


def folder_of(importer: str) -> Path:
    """The published data set, among the openly licensed images."""
    folders = published(FOLDERS[importer])
    if folders is None:
        raise SystemExit(1)
    return folders[0]


if __name__ == "__main__":
    main()
