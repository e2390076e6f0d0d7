"""The prompts of "Bilateral pathology reasoning" (arXiv 2505.15687, Appendix A), word for word."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.core.sentences import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.process.asked import AskTask

SYSTEM = (
    "A conversation between User and Assistant. The user asks a question, and the assistant solves "
    "it. The assistant first thinks about the reasoning process in the mind and then provides the "
    "user with the answer. The reasoning process and answer are enclosed within <think> </think> "
    "and <answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> "
    "<answer> answer here </answer>."
)
"""The system prompt of every task."""

MOST_CHARACTERS = 8_000
"""Of a question. The longest of the public sets have 2,000."""
MOST_OPTIONS = 26
"""As many as there are letters."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of an image.

    Raises
    ------
    InputError
        If there is nothing to ask, too much, or it is no text.
    """

    task: AskTask
    text: str = ""
    """The question; of a search for lesions, their category."""
    options: tuple[str, ...] = ()
    """What to choose from; of a subtype, the categories."""
    organ: str = ""
    """Of a search for lesions."""

    def __post_init__(self) -> None:
        needed = {
            "question": ("a question", self.text.strip("? ")),
            "subtype": ("two categories or more", "".join(self.options[1:])),
            "lesions": ("a category of lesions and an organ", self.text and self.organ),
        }
        if self.task not in needed:
            raise InputError(f"The task is {self.task!r}; expected one of {', '.join(needed)}.")
        what, there = needed[self.task]
        if not there.strip():
            raise InputError(f"Nothing can be asked yet; give {what}.")
        if not all(option.strip() for option in self.options):
            raise InputError("An option is empty; write it, or take it out.")
        if len(self.options) > MOST_OPTIONS:
            raise InputError(
                f"There are {len(self.options)} options; expected {MOST_OPTIONS} or fewer, one for "
                "each letter."
            )
        said = (self.text, self.organ, *self.options)
        if (length := sum(map(len, said))) > MOST_CHARACTERS:
            raise InputError(
                f"The question has {length} characters; expected {MOST_CHARACTERS} or fewer. "
                "Shorten it."
            )
        if not all(map(is_text, said)):
            raise InputError("The question holds halves of characters. Type it again.")

    @property
    def prompt(self) -> str:
        """What the model is asked, after the picture."""
        if self.task == "subtype":
            return (
                "Classify this pathological image into one of these categories: "
                f"{lettered(self.options)}"
            )
        if self.task == "lesions":
            return (
                f"Detect {_line(self.text)} in pathology {_line(self.organ)}. Output bounding "
                "boxes in [[x_min, y_min, x_max, y_max],...] format."
            )
        # The template is `{user_question}?`; its options are lettered as those of a subtype (ours).
        question = f"{_line(self.text).rstrip('? ')}?"
        return f"{question} {lettered(self.options)}" if self.options else question


def allocation_prompt(question: Question, *, current_tokens: int, most_tokens: int) -> str:
    """Ask how many image tokens a question deserves."""
    return (
        "Allocate the optimal token number for the image based on the pathological task. "
        "Generally, simple images and tasks receive fewer tokens and complex ones receive more "
        f"tokens. The current input token number is {current_tokens} and a maximum limit is "
        f"{most_tokens}. The pathological task is: {question.prompt}. The answer should be a "
        "positive integer of the image token number."
    )


def after_nuclei(nuclei: str, prompt: str) -> str:
    """A prompt behind what the answerer is told of nuclei: all questions of a picture share that.

    Parameters
    ----------
    nuclei : str
        As `core.answers.points.nuclei_text` writes them.
    prompt : str
    """
    return f"{nuclei}\n{prompt}"


def lettered(options: Sequence[str]) -> str:
    """``(A) first, (B) second``."""
    return ", ".join(f"({chr(65 + i)}) {_line(option)}" for i, option in enumerate(options))


def _line(text: str) -> str:
    """Text as one line, without characters that steer rather than write.

    Marks of direction stay: languages written from right to left need them.
    """
    shown = (c if c.isspace() or unicodedata.category(c) != "Cc" else " " for c in text)
    return " ".join("".join(shown).split())
