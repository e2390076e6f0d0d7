"""Whether an answer follows from what it goes by: nuclei that it was told, or figures it wrote.

It follows where the rule (`napari_nunext.core.answers.counts`) says the same of the same evidence;
whether it is true is another figure. Of boxes it is not said: how near is near enough is average
precision's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from napari_nunext.core.answers.questions import Asked, Measure, understand
from napari_nunext.core.answers.reply import choice_of, folded
from napari_nunext.core.nuclei import UNCATEGORISED
from nunext_training.method.answer_rewards import as_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.core.answers.reply import Reply
    from napari_nunext.core.formats.answer_records import NamedPoint
    from napari_nunext.core.geometry import Box
    from nunext_training.data.answers.evidence import Evidence

MOST_WRITTEN = 512
"""Nuclei that one figure is believed to count."""
_TALLIED: frozenset[Measure] = frozenset({"count", "dominant", "present", "more", "share", "where"})
"""Measures whose figures are nuclei by category, or by quadrant."""
_QUADRANTS = {
    "upper left": (0.25, 0.25),
    "upper right": (0.75, 0.25),
    "lower left": (0.25, 0.75),
    "lower right": (0.75, 0.75),
}
"""Middles, in parts of the region."""


def follows(reply: Reply, evidence: Evidence) -> float | None:
    """1 where the answer is what the nuclei say, else 0; None where they do not say."""
    question, asked = evidence.question, _asked(evidence)
    found = evidence.counts()
    if question is None or asked is None or found is None or asked.measure == "clusters":
        return None
    if question.options:
        return float(choice_of(reply.answer, question.options) == found.choice)
    number = as_number(found.answer)
    if number is not None:
        return float(as_number(reply.answer) == number)
    return float(folded(reply.answer) == folded(found.answer))


def written(reply: Reply, evidence: Evidence) -> Evidence | None:
    """The nuclei that a thought tells of in figures; None where it tells of none in ours.

    ``Lymphocyte 12, Stromal 3.`` are nuclei somewhere, ``upper left 3`` nuclei of what is asked in
    that quadrant.
    """
    asked = _asked(evidence)
    if asked is None or asked.measure not in _TALLIED:
        return None
    figures = dict(_figures(reply.think, evidence, asked))
    if not figures:
        return None
    nuclei = tuple(point for point, count in figures.items() for _ in range(count))
    return evidence.telling(nuclei)


def _asked(evidence: Evidence) -> Asked | None:
    question = evidence.question
    if question is None or question.task != "question":
        return None
    asked = understand(question.text, evidence.categories)
    return asked if isinstance(asked, Asked) else None


def _figures(think: str, evidence: Evidence, asked: Asked) -> Iterator[tuple[NamedPoint, int]]:
    """Nuclei at a place, and how many are written of them."""
    of_what = next(iter((*asked.categories, *evidence.categories)), UNCATEGORISED)
    parts: dict[str, tuple[float, float, str]] = (
        {name: (*middle, of_what) for name, middle in _QUADRANTS.items()}
        if asked.measure == "where"
        else {name: (0.5, 0.5, name) for name in evidence.categories}
    )
    region: Box = evidence.region
    for name, (across, down, category) in parts.items():
        said = re.search(rf"(?<!\w){re.escape(name)} (\d{{1,4}})(?!\d)", think)
        if said is not None:
            place = (region.x0 + across * region.width, region.y0 + down * region.height)
            yield (*place, category), min(int(said[1]), MOST_WRITTEN)
