"""The records of a judged answer: the answer whole, and what trainers learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.prompts import SYSTEM
from napari_nunext.core.answers.reply import choice_of
from napari_nunext.core.formats.answer_records import (
    AnswerKtoRecord,
    AnswerPreferenceRecord,
    AnswerRftRecord,
    AnswerSftRecord,
    EvidenceNucleus,
    JudgedAnswerRecord,
    ReaderOpinion,
    message,
)
from napari_nunext.core.formats.records import IMAGES_FOLDER, Source
from napari_nunext.core.uids import as_uuids
from napari_nunext.store.exports.answers.judging import judge_answer
from napari_nunext.store.exports.answers.pictures import Picture
from napari_nunext.store.exports.answers.replies import Words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.formats.answer_records import NamedPoint, ReaderVote
    from napari_nunext.core.geometry import Box
    from napari_nunext.store.entries import Origin
    from napari_nunext.store.exports.answers.gathering import JudgedAnswer


class RecordsOf:
    """The records of one judged answer.

    Attributes
    ----------
    answer, opinions, entry, origin
        What they are made of.
    picture : Picture
        What it is about.
    verdict : AnswerVerdict
        What its readers say of it.
    """

    def __init__(self, judged: JudgedAnswer, origin: Origin) -> None:
        self.entry, self.answer, self.opinions = judged.entry, judged.answer, judged.opinions
        self.origin = origin
        self.picture = Picture.of(judged.entry, judged.answer)
        self.verdict = judge_answer(judged.opinions.values())
        self._words = Words(judged.answer)
        self._said = self._words.said_in(self.picture)
        correction = self.verdict.correction
        self._corrected = (
            None if correction is None else self._words.corrected_in(self.picture, correction)
        )

    # Of one answer

    def sft(self) -> AnswerSftRecord | None:
        """Corrected, or accepted as it is."""
        if self._corrected is not None:
            reply = self._corrected
        elif self.verdict.accepted and self._said is not None:
            reply = self._said
        else:
            return None
        return AnswerSftRecord(
            **self._common(),
            completion=reply.messages,
            boxes=reply.boxes,
            corrected=self._corrected is not None,
        )

    def rft(self) -> AnswerRftRecord | None:
        """A truth where there is one, and the rating of what was said."""
        truth, boxes = self._truth()
        rating = None if self._said is None else self.verdict.rating
        if truth is None and rating is None:
            return None
        return AnswerRftRecord(
            **self._common(),
            truth=truth,
            boxes=boxes,
            said=() if self._said is None else self._said.messages,
            rating=rating,
            tags=self.verdict.tags,
        )

    def _truth(self) -> tuple[str | None, tuple[AnswerBox, ...]]:
        options = self.answer.asked.question.options
        if self._corrected is not None:
            chosen = choice_of(self._corrected.answer, options)
            words = self._corrected.answer if chosen is None else options[chosen]
            return words, self._corrected.boxes
        chosen = self.answer.said.choice
        if self.verdict.accepted and self._said is not None and options and chosen is not None:
            return options[chosen], self._said.boxes
        return None, ()

    def corrected_pair(self) -> AnswerPreferenceRecord | None:
        """The corrected answer against the one that was said.

        Neither has its thought: having none must not be what makes an answer better.
        """
        if self._corrected is None or self._said is None:
            return None
        if (chosen := self._corrected.messages) == (rejected := self._said.without_thought):
            return None
        return AnswerPreferenceRecord(
            **self._common(), chosen=chosen, rejected=rejected, reason="corrected"
        )

    def compared_pair(
        self, worse: RecordsOf, blind: bool, readers: Iterable[str]
    ) -> AnswerPreferenceRecord | None:
        """The answer against one to the same question that readers found worse."""
        rejected = worse._words.said_in(self.picture)
        if self._said is None or rejected is None or self._asked != worse._asked:
            return None
        if self._was_told_otherwise(worse):
            return None
        if rejected.messages == self._said.messages:
            return None
        names = dict.fromkeys((self.answer.by.name, worse.answer.by.name))
        common = self._common() | {
            "id": f"{self.answer.answer_id}-{worse.answer.answer_id}",
            "answerers": tuple(names),
            "source": self._source(readers),
        }
        return AnswerPreferenceRecord(
            **common,
            chosen=self._said.messages,
            rejected=rejected.messages,
            reason="compared",
            blind=blind,
        )

    def _was_told_otherwise(self, other: RecordsOf) -> bool:
        """Whether both read nuclei, and not the same: each may be right about its own."""
        mine, its = self.answer, other.answer
        if not (mine.by.reads_nuclei and its.by.reads_nuclei):
            return False
        told, told_other = (each._told_in(self.picture) or () for each in (self, other))
        return sorted(told) != sorted(told_other)

    def kto(self, label: bool, readers: Iterable[str]) -> AnswerKtoRecord | None:
        """What was said, good or bad, as these readers say."""
        if self._said is None:
            return None
        common = self._common() | {"source": self._source(readers)}
        return AnswerKtoRecord(**common, completion=self._said.messages, label=label)

    def whole(self, votes: tuple[ReaderVote, ...]) -> JudgedAnswerRecord:
        """The answer with all that made it, and what readers say of it."""
        answer, picture = self.answer, self.picture
        asked = replace(
            answer.asked,
            region=picture.box(answer.asked.region),
            mpp=answer.asked.mpp * picture.px_per_px,
        )
        places = picture.points(answer.evidence.places_xy).tolist()
        categories = answer.evidence.categories or (None,) * len(places)
        return JudgedAnswerRecord(
            id=answer.answer_id,
            images=(self.image,),
            asked=asked.to_json(),
            by=replace(answer.by, host="").to_json(),
            said=self._words.all_in(picture).to_json(),
            evidence=tuple(
                EvidenceNucleus(str(uid), x, y, category)
                for uid, (x, y), category in zip(
                    as_uuids(answer.evidence.uids), places, categories, strict=True
                )
            ),
            asked_together=answer.asked_together,
            opinions=tuple(
                ReaderOpinion(
                    reader, opinion.rating, self._words.correction_in(picture, opinion.correction)
                )
                for reader, opinion in self.opinions.items()
            ),
            votes=votes,
            source=self._source((*self.opinions, *(vote.reader for vote in votes))),
        )

    # What all have

    @property
    def image(self) -> str:
        """Path of the picture in the export."""
        return f"{IMAGES_FOLDER}/{self.picture.name}.png"

    @property
    def _asked(self) -> tuple[str, Box, Question]:
        asked = self.answer.asked
        return self.entry.sha256, asked.region, asked.question

    def _common(self) -> dict[str, Any]:
        asked = self.answer.asked
        return {
            "id": self.answer.answer_id,
            "task": asked.question.task,
            "images": (self.image,),
            "prompt": (
                message("system", asked.system or SYSTEM),
                message("user", self._asked_words),
            ),
            "options": asked.question.options,
            "budget": asked.budget,
            "sent_px": asked.sent_px,
            "answerers": (self.answer.by.name,),
            "nuclei": self._told_in(self.picture),
            "source": self._source(self.opinions),
        }

    @property
    def _asked_words(self) -> str:
        """The user's words without what was told of nuclei, which the record has in numbers."""
        asked = self.answer.asked
        return (not self.answer.by.reads_nuclei and asked.prompt) or asked.question.prompt

    def _told_in(self, picture: Picture) -> tuple[NamedPoint, ...] | None:
        """The nuclei that were read, pixels of a picture; None where none were told."""
        evidence = self.answer.evidence
        if not self.answer.by.reads_nuclei or len(evidence.categories) != len(evidence):
            return None
        places = picture.points(evidence.places_xy).tolist()
        return tuple((x, y, c) for (x, y), c in zip(places, evidence.categories, strict=True))

    def _source(self, readers: Iterable[str]) -> Source:
        return Source(
            image_sha256=self.entry.sha256,
            region=self.picture.shown.region,
            mpp=self.entry.mpp * self.picture.px_per_px,
            mpp_source=self.entry.mpp_source,
            split=self.origin.split,
            patient=self.origin.patient,
            annotators=tuple(sorted(set(readers))),
            tissue=self.origin.tissue,
        )
