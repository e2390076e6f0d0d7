"""Answers from the nuclei of the open image, as people have corrected them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.answers.counts import answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.geometry import as_points_xy
from napari_nunext.core.uids import as_uids
from napari_nunext.store.answers import COUNTS, Answer, Asked, Evidence, Said

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.geometry import Box
    from napari_nunext.review.table import NucleusTable
    from napari_nunext.store import ImageEntry


def counted_answer(
    entry: ImageEntry,
    table: NucleusTable,
    categories: Sequence[str],
    question: Question,
    region: Box,
) -> Answer:
    """What the nuclei that stand in a region say, with them as its evidence.

    Parameters
    ----------
    entry : ImageEntry
    table : NucleusTable
        Its nuclei.
    categories : sequence of str
        All that the project tells apart.
    question : Question
    region : Box
        Level-0 px, within the image.
    """
    field = NucleusField.of(table.standing(), region, entry.mpp, categories)
    counted = answer_from_counts(question, field)
    uids = as_uids(counted.evidence)
    return Answer(
        answer_id=str(uuid4()),
        image_sha256=entry.sha256,
        asked=Asked(question=question, region=region, mpp=entry.mpp, prompt=question.prompt),
        by=COUNTS,
        said=Said(
            answer=counted.answer,
            think=counted.think,
            raw=counted.raw,
            choice=counted.choice,
            boxes=counted.boxes,
            answered=counted.answered,
        ),
        evidence=Evidence(
            uids=uids,
            places_xy=as_points_xy(counted.places_xy),
            categories=field.nuclei.categories_at(field.nuclei.rows_of(uids)),
        ),
    )
