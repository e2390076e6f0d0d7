"""What is said of an answer besides itself."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from napari_nunext.core.answers.prompts import lettered
from napari_nunext.core.answers.rewriting import without_boxes
from napari_nunext.core.sentences import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.answers.prompts import Question
    from napari_nunext.review.shown.answers import ShownAnswer, Since
    from napari_nunext.review.shown.ask import Answerer
    from napari_nunext.store.answers import AnswerFinish, Said

NOT_FOR_TRAINING = "not for training"
FINISHES: Mapping[AnswerFinish, str] = {
    "length": "It was cut off at the most that it may write.",
    "cancelled": "You stopped it; what came stays.",
    "broken": "Its server broke off; what came stays.",
}
LEFT_OUT: Mapping[str, str] = {
    "not numbers": "no numbers",
    "outside": "outside the picture",
    "no area": "without an area",
    "too many": "too many",
}


def tokens_words(
    tokens: int, budget: int | None, *, chosen: bool = False, look: int | None = None
) -> str:
    """``113 of 256 image tokens, chosen by the model, 16 to look``."""
    said = [f"{tokens} image tokens" if budget is None else f"{tokens} of {budget} image tokens"]
    if chosen:
        said.append("chosen by the model")
    if look:
        said.append(f"{look} to look")
    return ", ".join(said)


def answerer_words(answerer: Answerer) -> str:
    """Where the picture goes, and whether its answers may be learned from."""
    if not answerer.needs_picture:
        return "Counts the nuclei that were found and corrected; no picture is sent"
    said = [*filter(None, [answerer.model]), f"the picture {answerer.where}"]
    if answerer.reads_nuclei:
        said.append("reads the nuclei there, as corrected")
    if not answerer.may_train:
        said.append(NOT_FOR_TRAINING)
    return " \N{MIDDLE DOT} ".join(said)


def question_words(question: Question) -> str:
    """What was asked, as people say it."""
    match question.task:
        case "subtype":
            return f"Which subtype? {lettered(question.options)}"
        case "lesions":
            return f"Find {question.text} in {question.organ}"
        case "question" if question.options:
            return f"{question.text} {lettered(question.options)}"
    return question.text


def notes_on(said: Said) -> list[str]:
    """What a reader should know of an answer, a sentence each."""
    notes = list(said.notes)
    if not notes and said.finish in FINISHES:  # as a rule its server has said so
        notes.append(FINISHES[said.finish])
    if left_out := sum(said.boxes_left_out.values()):
        why = ", ".join(
            f"{count} {LEFT_OUT.get(reason, reason)}"
            for reason, count in said.boxes_left_out.items()
        )
        notes.append(f"{left_out} {'box is' if left_out == 1 else 'boxes are'} left out: {why}.")
    return notes


def answer_words(text: str, boxes: int) -> str:
    """An answer as people read it: coordinates are on the image, and in the raw text."""
    if not boxes:
        return text
    return without_boxes(text) or f"{counted(boxes, 'place')} on the image"


def corrected_words(shown: ShownAnswer) -> str:
    """What of it I corrected; nothing where I did not."""
    if shown.correction.text is not None:
        return f"You corrected it. It said: {shown.answer.said.answer}"
    return "" if shown.correction.boxes is None else "You corrected its boxes."


def name_of(shown: ShownAnswer) -> str:
    """Who answered, as people read it; "hidden" while that is hidden."""
    if shown.hides_name:
        return "hidden"
    return "Counts" if shown.answer.by.kind == "counts" else shown.answer.by.name


def made_by(shown: ShownAnswer) -> str:
    """Who answered, and with what; nothing while that is hidden."""
    if shown.hides_name:
        return ""
    answer = shown.answer
    said = [name_of(shown)]
    if answer.by.host:
        said.append(answer.by.host)
    asked = answer.asked
    if asked.image_tokens is not None:
        is_chosen, look = asked.allocated is not None, asked.look_tokens
        said.append(tokens_words(asked.image_tokens, asked.budget, chosen=is_chosen, look=look))
    if answer.by.reads_nuclei and not len(answer.evidence):
        said.append("there were no nuclei to read")
    if not answer.by.may_train:
        said.append(NOT_FOR_TRAINING)
    return " \N{MIDDLE DOT} ".join(said)


def done_with_nuclei(reads: bool) -> str:
    """What an answerer did with the nuclei that its answer rests on."""
    return "read" if reads else "counted"


def since_words(since: Since, reads: bool) -> str:
    """What became of the nuclei of an answer; one sentence."""
    if since.says_other:
        return "The nuclei say something else now."
    said = []
    if since.changed:
        which = "the one nucleus" if since.of == 1 else f"{since.changed} of the {since.of} nuclei"
        have = "has" if since.changed == 1 else "have"
        said.append(f"{which} that it {done_with_nuclei(reads)} {have} changed since")
    if since.new:
        new = "1 is new" if since.new == 1 else f"{since.new} are new"
        said.append(new if said else f"{counted(since.new, 'nucleus', 'nuclei')} came since")
    sentence = ", and ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def line_of(shown: ShownAnswer) -> str:
    """Two lines for a list: the question with my stars, and the answer with who gave it."""
    stars = "\N{BLACK STAR}" * (shown.rating.stars or 0)
    question = shorten(question_words(shown.answer.asked.question), 200)
    corrected = "" if shown.correction.says_nothing else " (corrected)"
    answer = shorten(answer_words(shown.text, len(shown.boxes)), 200) or "no answer"
    return f"{stars} {question}\n{name_of(shown)}{corrected}: {answer}".lstrip()
