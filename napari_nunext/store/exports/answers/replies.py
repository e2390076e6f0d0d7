"""What an answer says, and what it should have said, in the words of a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.answers.reply import reply_text
from napari_nunext.core.answers.rewriting import in_pixels_of, with_boxes
from napari_nunext.core.formats.answer_records import message

if TYPE_CHECKING:
    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.core.answers.opinions import Correction
    from napari_nunext.core.formats.records import Message
    from napari_nunext.store.answers import Answer, Said
    from napari_nunext.store.exports.answers.pictures import Picture


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in the words and boxes of a picture."""

    think: str
    answer: str
    boxes: tuple[AnswerBox, ...]

    @property
    def messages(self) -> tuple[Message, ...]:
        """As a model should write it."""
        return (message("assistant", reply_text(self.think, self.answer)),)

    @property
    def without_thought(self) -> tuple[Message, ...]:
        """The same with nothing thought."""
        return replace(self, think="").messages


@dataclass(frozen=True, slots=True)
class Words:
    """The words of an answer, whose boxes are of the picture that was sent."""

    answer: Answer

    def said_in(self, picture: Picture) -> Reply | None:
        """What was said.

        None where there is nothing to learn from: an answerer that says that it cannot answer.
        """
        said = self.answer.said
        if not said.answered or not said.answer.strip():
            return None
        think, answer = (self._in(picture, text) for text in (said.think, said.answer))
        return Reply(think, answer, picture.answer_boxes(said.boxes))

    def corrected_in(self, picture: Picture, correction: Correction) -> Reply | None:
        """What it should have been. Its thought led elsewhere, so it has none."""
        said = self.answer.said
        text = said.answer if correction.text is None else correction.text
        words, boxes = self._in(picture, text), said.boxes
        if correction.boxes is not None:
            boxes = tuple(b for b in correction.boxes if picture.answer_boxes((b,)))
            words = with_boxes(picture.shown, words, [b.box for b in boxes])
        return Reply("", words, picture.answer_boxes(boxes)) if words.strip() else None

    def all_in(self, picture: Picture) -> Said:
        """All that was said, of a picture that is an image of its own.

        Words that name boxes of the picture that was sent stay as they are: they are read by it.
        """
        said = self.answer.said
        said = replace(said, boxes=tuple(map(picture.answer_box, said.boxes)))
        if self.answer.asked.sent_px is not None:
            return said
        return replace(
            said,
            answer=self._in(picture, said.answer),
            think=self._in(picture, said.think),
            raw=self._in(picture, said.raw),
        )

    def correction_in(self, picture: Picture, correction: Correction) -> Correction:
        """A correction, of a picture that is an image of its own."""
        text, boxes = correction.text, correction.boxes
        if text is not None and self.answer.asked.sent_px is None:
            text = self._in(picture, text)
        if boxes is not None:
            boxes = tuple(map(picture.answer_box, boxes))
        return replace(correction, text=text, boxes=boxes)

    def _in(self, picture: Picture, text: str) -> str:
        return in_pixels_of(picture.shown, text, *self.answer.read_by)
