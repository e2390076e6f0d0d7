"""Answering from the nuclei of a field: 2,000 of them, every kind of question, none remembered."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from benchmarks._harness import Claim, measure, report
from napari_nunext.core.answers.counts import answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.answers.questions import MEASURES
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus

N_NUCLEI = 2_000
SIDE_PX = 1_000
MPP = 0.5
CATEGORIES = ("Lymphocyte", "Tumour or epithelial", "Stromal", "Positive", "Negative")


def main() -> None:
    """Measure the slowest kind of question, with the nuclei taken in anew each time."""
    rng = np.random.default_rng(0)
    region = Box.of_image(SIDE_PX, SIDE_PX)
    nuclei = [
        Nucleus(UUID(int=i), x_px, y_px, str(rng.choice(CATEGORIES)), 0.8)
        for i, (x_px, y_px) in enumerate(rng.uniform(0, SIDE_PX, (N_NUCLEI, 2)).tolist())
    ]
    slowest_ms: dict[str, float] = {}
    for name, text in MEASURES.items():
        question = Question("question", text)

        def ask(question: Question = question) -> None:
            said = answer_from_counts(question, NucleusField.of(nuclei, region, MPP, CATEGORIES))
            assert said.answered

        slowest_ms[name] = 1000 * measure(ask, repeats=5).median_s
    worst_ms = max(slowest_ms.values())
    report(
        "counts",
        [Claim("ask.counts_ms", worst_ms, goal=100.0, better="lower")],
        details={**slowest_ms},
    )


if __name__ == "__main__":
    main()
