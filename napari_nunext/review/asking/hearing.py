"""What has been heard of one answer of a model, from its first piece to its end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.reading import read_answer
from napari_nunext.core.geometry import Box
from napari_nunext.review.shown.ask import Draft
from napari_nunext.serving.ask_protocol import Answered, AskStarted, AskText
from napari_nunext.serving.protocol import Failed
from napari_nunext.store.answers import Answer, AnsweredBy, Asked, Evidence, Said

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.answers.boxes import LeftOut
    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.core.answers.reading import Reading
    from napari_nunext.serving.ask_protocol import AskEvent, AskRequest
    from napari_nunext.store.answers import AnswerFinish


class Hearing:
    """Gathers the events of one answer. Safe to share between threads.

    Parameters
    ----------
    question : Question
    request : AskRequest
        How it was put.
    told : Evidence, optional
        The nuclei that were sent with it.
    """

    def __init__(
        self, question: Question, request: AskRequest, told: Evidence | None = None
    ) -> None:
        self._question = question
        self._told = told
        self._request = request
        self._lock = threading.Lock()
        self._started: AskStarted | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._answered: Answered | None = None
        self.failed = ""
        """What the model server said of its failing; a sentence."""

    def take(self, event: AskEvent) -> None:
        """Hear one more event."""
        with self._lock:
            if isinstance(event, AskStarted):
                self._started = event
            elif isinstance(event, AskText):
                (self._reasoning if event.part == "reasoning" else self._text).append(event.text)
            elif isinstance(event, Answered):
                self._answered = event
            elif isinstance(event, Failed):
                self.failed = event.message

    def draft(self) -> Draft:
        """The answer as far as it is written."""
        with self._lock:
            started, raw, reasoning = self._started, "".join(self._text), "".join(self._reasoning)
        if started is None:
            return Draft(self._request.answerer)
        read = _read(self._question, started, raw, reasoning)
        return Draft(
            self._request.answerer,
            read.reply.answer,
            read.reply.think,
            raw,
            read.boxes.boxes,
            self._evidence(started),
            started.image_tokens,
            started.region_tokens,
            started.allocated,
            started.look_tokens,
        )

    def answer(self, image_sha256: str, ends_as: AnswerFinish) -> Answer | None:
        """The answer that is over; None where nothing was said.

        Parameters
        ----------
        image_sha256 : str
        ends_as : str
            How it ended, where its server did not say.
        """
        with self._lock:
            started = self._started
            if started is None:
                return None
            said = self._said(started, ends_as)
        if not (said.raw or said.reasoning):
            return None
        return Answer(
            answer_id=str(uuid4()),
            image_sha256=image_sha256,
            asked=self._asked(started),
            by=_by(started),
            said=said,
            evidence=self._evidence(started),
        )

    def _evidence(self, started: AskStarted) -> Evidence:
        """The nuclei that it was told, if it was."""
        is_told = started.answerer.reads_nuclei and self._told is not None
        return self._told if is_told and self._told is not None else Evidence()

    def _said(self, started: AskStarted, ends_as: AnswerFinish) -> Said:
        over = self._answered
        if over is None:
            raw, reasoning = "".join(self._text), "".join(self._reasoning)
            read = _read(self._question, started, raw, reasoning)
            reply = read.reply
            return Said(
                answer=reply.answer,
                think=reply.think,
                raw=raw,
                reasoning=reasoning,
                failure=None if reply.failure is None else reply.failure.reason,
                choice=read.choice,
                boxes=read.boxes.boxes,
                boxes_left_out=_by_reason(read.boxes.left_out),
                finish=ends_as,
                notes=(self.failed,) if self.failed else (),
            )
        notes = (*over.notes, self.failed) if self.failed else tuple(over.notes)
        return Said(
            answer=over.answer,
            think=over.think,
            raw=over.raw,
            reasoning=over.reasoning,
            failure=over.failure,
            choice=over.choice,
            boxes=tuple(AnswerBox(Box.from_sequence(b.box), b.label) for b in over.boxes),
            boxes_left_out=_by_reason(over.boxes_left_out),
            finish=over.finish,
            prompt_tokens=over.prompt_tokens,
            output_tokens=over.output_tokens,
            notes=notes,
        )

    def _asked(self, started: AskStarted) -> Asked:
        request = self._request
        return Asked(
            question=self._question,
            region=Box.from_sequence(started.region),
            mpp=request.mpp,
            prompt=started.prompt,
            system=started.system,
            sent_px=started.sent_px,
            budget=request.budget,
            image_tokens=started.image_tokens,
            region_tokens=started.region_tokens,
            allocated=started.allocated,
            look_tokens=started.look_tokens if request.allocate else None,
            temperature=request.temperature,
            seed=request.seed,
            max_tokens=started.max_tokens or request.max_tokens,
        )


def _by_reason(left_out: Mapping[LeftOut, int]) -> dict[str, int]:
    return {str(reason): times for reason, times in left_out.items()}


def _by(started: AskStarted) -> AnsweredBy:
    info = started.answerer
    return AnsweredBy(
        name=info.id,
        model=info.model,
        host=info.host,
        may_train=info.may_train,
        boxes=info.boxes,
        thought=info.thought,
        patch_px=info.patch_px,
        reads_nuclei=info.reads_nuclei,
    )


def _read(question: Question, started: AskStarted, raw: str, reasoning: str) -> Reading:
    info = started.answerer
    sent = SentPicture(Box.from_sequence(started.region), *started.sent_px, info.patch_px)
    return read_answer(
        raw,
        sent,
        options=question.options,
        reasoning=reasoning,
        thought=info.thought,
        boxes=info.boxes,
    )
