"""Answering from nuclei: how long it takes, and how often it is right on questions held out.

The time is that of 2,000 nuclei, every kind of question, none remembered. The questions are those
of `benchmarks._held_out`, put as sentences, on the nuclei of the bundled detector and on the true
ones; these need BRCA-M2C, and are left out where it is not there.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from benchmarks._harness import Claim, measure, published, report
from benchmarks._held_out import MPP, NAMES, questions_of, score
from napari_nunext.core.answers.counts import answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.answers.questions import MEASURES
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.whole_image.search import detect_image
from nunext_training.data.importers import IMPORTERS
from nunext_training.data.labelled import select_split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_nunext.core.geometry import PointsXY
    from nunext_training.data.derived.window import DerivedQuestion

N_NUCLEI = 2_000
SIDE_PX = 1_000
CATEGORIES = ("Lymphocyte", "Tumour or epithelial", "Stromal", "Positive", "Negative")
BY_RULE = 0.762
"""Mean over tasks of the same rules written as a program, which guess where there is a tie."""


def main() -> None:
    """Measure the slowest kind of question, and the scores where there are data."""
    by_measure_ms = milliseconds()
    claims = [Claim("ask.counts_ms", max(by_measure_ms.values()), goal=100.0, better="lower")]
    details: dict[str, object] = {"milliseconds": by_measure_ms}
    if folders := published("brca_m2c"):
        images = select_split(IMPORTERS["brca-m2c"].read(folders[0]), "val")
        opened = [image.open() for image in images]
        asked = list(
            questions_of(
                [(o.box, i.points_xy, i.categories) for o, i in zip(opened, images, strict=True)]
            )
        )
        detector = Catalog().load_detector()
        found = [detect_image(o, detector, mpp=MPP) for o in opened]
        for name, goal, tiles in (
            ("true", 1.0, [nuclei_of(i.points_xy, i.categories) for i in images]),
            ("found", BY_RULE, [nuclei_of(f.points_xy, f.categories) for f in found]),
        ):
            by_task, declined = scores(asked, tiles)
            mean = statistics.mean(by_task.values())
            claims.append(Claim(f"ask.counts_held_out_{name}", mean, goal, "higher"))
            details[name] = {"by task": by_task, "declined": declined, "asked": len(asked)}
    report("counts", claims, details=details)


def milliseconds() -> dict[str, float]:
    """How long each kind of question takes, with the nuclei taken in anew each time."""
    rng = np.random.default_rng(0)
    region = Box.of_image(SIDE_PX, SIDE_PX)
    nuclei = nuclei_of(rng.uniform(0, SIDE_PX, (N_NUCLEI, 2)), rng.choice(CATEGORIES, N_NUCLEI))

    def ask(question: Question) -> None:
        said = answer_from_counts(question, NucleusField.of(nuclei, region, MPP, CATEGORIES))
        assert said.answered

    return {
        name: 1000 * measure(partial(ask, Question("question", text)), repeats=5).median_s
        for name, text in MEASURES.items()
    }


def nuclei_of(points_xy: PointsXY, categories: Iterable[str]) -> list[Nucleus]:
    """As a field takes them in."""
    return [
        Nucleus(UUID(int=i), x_px, y_px, str(category))
        for i, ((x_px, y_px), category) in enumerate(
            zip(points_xy.tolist(), categories, strict=True)
        )
    ]


def scores(
    asked: Sequence[tuple[int, Box, DerivedQuestion]], tiles: Sequence[list[Nucleus]]
) -> tuple[dict[str, float], dict[str, int]]:
    """Mean of each task, and how many questions of it Counts declines: these are wrong."""
    by_task: dict[str, list[float]] = defaultdict(list)
    declined: dict[str, int] = defaultdict(int)
    for tile, region, made in asked:
        field = NucleusField.of(tiles[tile], region, MPP, NAMES)
        said = answer_from_counts(made.question, field)
        by_task[made.kind].append(score(made, said))
        declined[made.kind] += not said.answered
    return {task: statistics.mean(values) for task, values in by_task.items()}, dict(declined)


if __name__ == "__main__":
    main()
