"""What an answerer goes by: the nuclei of a record, as words before its question or in its thought.

Points as thought (ours): the answerer reads nuclei and answers. Prose: it writes the figures that
the answer follows from, in the words of `napari_nunext.core.answers.counts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from napari_nunext.core.answers.counts import answer_from_counts
from napari_nunext.core.answers.field import NucleusField
from napari_nunext.core.answers.points import nuclei_of_picture
from napari_nunext.core.answers.prompts import Question, lettered
from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import Nucleus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.answers.budget import SentPicture
    from napari_nunext.core.answers.counts import CountsAnswer
    from napari_nunext.core.formats.answer_records import AnswerRecord, NamedPoint
    from napari_nunext.core.geometry import Box

_MARK = "@"
_LESIONS = re.compile(
    re.escape(Question("lesions", text=_MARK, organ=_MARK).prompt).replace(_MARK, "(.+)")
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Nuclei that an answerer may be told, and the question that they are told for."""

    question: Question | None
    """None where the prompt is none of ours."""
    nuclei: tuple[NamedPoint, ...] | None
    """Pixels of the record's image; None where nobody has looked."""
    region: Box
    """The record's image, px."""
    mpp: float
    categories: tuple[str, ...]
    """All that are told apart."""

    @classmethod
    def of(cls, record: AnswerRecord, region: Box, categories: Sequence[str]) -> Evidence:
        """What a record has."""
        question = question_of(record)
        return cls(question, record.nuclei, region, record.source.mpp, tuple(categories))

    def text(self, sent: SentPicture) -> str:
        """The nuclei as an answerer reads them.

        Raises
        ------
        InputError
            If nobody has looked, or there are more than it reads.
        """
        if self.nuclei is None:
            raise InputError("The nuclei of the picture are not known; find them first.")
        points_xy = np.array([(x, y) for x, y, _ in self.nuclei]).reshape(-1, 2)
        return nuclei_of_picture(sent, points_xy, [name for *_, name in self.nuclei])

    def counts(self) -> CountsAnswer | None:
        """What the nuclei say to the question; None where they are not known or do not say."""
        if self.question is None or self.nuclei is None:
            return None
        nuclei = (
            Nucleus(UUID(int=i), x, y, name) for i, (x, y, name) in enumerate(self.nuclei, start=1)
        )
        try:
            field = NucleusField.of(nuclei, self.region, self.mpp, self.categories)
        except InputError:  # a scale that cannot be right
            return None
        found = answer_from_counts(self.question, field)
        return found if found.answered else None

    def telling(self, nuclei: tuple[NamedPoint, ...] | None) -> Evidence:
        """The same question with other nuclei."""
        return replace(self, nuclei=nuclei)


def question_of(record: AnswerRecord) -> Question | None:
    """The question that a record's prompt asks; None where it is not in the words of ours."""
    said = [message["content"] for message in record.prompt if message["role"] == "user"]
    if not said:
        return None
    prompt = said[-1]
    found: Question | None
    try:
        if record.task == "subtype":
            found = Question("subtype", options=record.options)
        elif record.task == "lesions":
            match = _LESIONS.fullmatch(prompt)
            found = Question("lesions", text=match[1], organ=match[2]) if match else None
        else:
            options = f" {lettered(record.options)}" if record.options else ""
            found = Question("question", prompt.removesuffix(options), record.options)
    except InputError:
        return None
    return found if found is not None and found.prompt == prompt else None
