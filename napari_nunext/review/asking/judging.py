"""What a person says of an answer: stars, reasons, a line, and what it should have said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.answers.boxes import boxes_of
from napari_nunext.core.answers.opinions import Correction, Rating
from napari_nunext.core.errors import InputError
from napari_nunext.review.background import in_words
from napari_nunext.store import events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.answers.opinions import Tag
    from napari_nunext.review.asking.book import AnswerBook
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.answers import ShownAnswer
    from napari_nunext.review.shown.ask import AskModel
    from napari_nunext.store import Event


class Judge:
    """Rates and corrects answers; each call is one gesture, and says all that is said then.

    Every verb is about the selected answer, unless it is told another one's id. What changes
    nothing is no gesture.
    """

    def __init__(self, session: Session, model: AskModel, book: AnswerBook) -> None:
        self._session = session
        self._model = model
        self._book = book

    def rate(self, stars: int, answer_id: str = "") -> None:
        """Give stars, 1 to 5; the same again takes them back. Reasons that they contradict go."""
        self._rate(answer_id, lambda rating: rating.with_stars(stars))

    def tag(self, tag: Tag, answer_id: str = "") -> None:
        """Give a reason; the same again takes it back. Stars that it contradicts go."""
        self._rate(answer_id, lambda rating: rating.with_tag(tag))

    def comment(self, text: str, answer_id: str = "") -> None:
        """Say something of it in a line; an empty one takes it back."""
        self._rate(answer_id, lambda rating: replace(rating, comment=text.strip()))

    def _rate(self, answer_id: str, change: Callable[[Rating], Rating]) -> None:
        def make(shown: ShownAnswer) -> list[Event]:
            rating = change(shown.rating)
            if rating == shown.rating:
                return []
            rating = replace(rating, blind=shown.hides_name)
            return [events.rate_answer(shown.answer.image_sha256, shown.id, rating)]

        self._commit(answer_id, make)

    def correct_text(self, text: str, answer_id: str = "") -> None:
        """Say what the answer should have been; what it was takes the correction back.

        Where it names other boxes than before, or none any more, the boxes follow it: a text and
        boxes that contradict each other teach nothing. Boxes that were corrected otherwise stay.
        """

        def correction(shown: ShownAnswer) -> Correction:
            said, boxes = shown.answer.said, shown.boxes
            before, now = (
                boxes_of(each, *shown.answer.read_by).boxes for each in (shown.text, text)
            )
            if now != before and (shown.correction.boxes is None or boxes == before):
                boxes = said.boxes if text == said.answer else now
            return Correction(
                None if text == said.answer else text, None if boxes == said.boxes else boxes
            )

        self._correct(answer_id, correction)

    def correct_boxes(self, boxes: Sequence[AnswerBox] | None, answer_id: str = "") -> None:
        """Say where the boxes should have been, all of them, level-0 px; None: as they were."""

        def correction(shown: ShownAnswer) -> Correction:
            said = shown.answer.said.boxes
            wanted = None if boxes is None or tuple(boxes) == said else tuple(boxes)
            return replace(shown.correction, boxes=wanted)

        self._correct(answer_id, correction)

    def _correct(self, answer_id: str, make_one: Callable[[ShownAnswer], Correction]) -> None:
        def make(shown: ShownAnswer) -> list[Event]:
            correction = make_one(shown)
            if correction == shown.correction:
                return []
            return [events.correct_answer(shown.answer.image_sha256, shown.id, correction)]

        self._commit(answer_id, make)

    def as_said(self, answer_id: str = "") -> None:
        """Take the correction back, text and boxes."""
        self._correct(answer_id, lambda _: Correction())

    def take_back(self, answer_id: str = "") -> None:
        """Say nothing of the answer any more: no rating, no correction."""

        def make(shown: ShownAnswer) -> list[Event]:
            sha256, said = shown.answer.image_sha256, []
            if not shown.rating.says_nothing:
                said.append(events.rate_answer(sha256, shown.id, Rating()))
            if not shown.correction.says_nothing:
                said.append(events.correct_answer(sha256, shown.id, Correction()))
            return list(events.grouped(said))

        self._commit(answer_id, make)

    def _commit(self, answer_id: str, make: Callable[[ShownAnswer], list[Event]]) -> None:
        chosen = self._model.selected
        shown = self._book.shown(answer_id or (chosen.id if chosen is not None else ""))
        if shown is None:
            return
        try:
            said = make(shown)
        except InputError as error:
            self._session.notify(in_words(error))
            return
        self._session.commit(shown.answer.image_sha256, said)
