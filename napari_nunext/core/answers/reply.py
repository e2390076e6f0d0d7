"""The grammar of a reply: ``<think> reasoning </think> <answer> answer </answer>``.

The one place that takes replies apart. What does not follow the grammar is read as far as it goes,
and why it fails is a value, because a reward must score it and a person wants to see it anyway.
A reply that is still being written is read the same way: it is one that was cut off.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Reason: TypeAlias = Literal[
    "no tags",
    "no thought",
    "no answer",
    "no opening tag",
    "no closing tag",
    "two thoughts",
    "two answers",
    "thought after answer",
    "nested tags",
    "stray tag",
    "text outside tags",
    "cut off",
]

Thought: TypeAlias = Literal["tags", "opened", "gemma"]
"""How a model marks what it thinks; see `THOUGHTS`."""

THOUGHTS: Mapping[Thought, tuple[tuple[str, str], ...]] = {
    "tags": (),
    # The chat template has written the opening tag already.
    "opened": (("", "<think>"),),
    # MedGemma's own marks.
    "gemma": (
        ("<unused94>thought", "<think>"),
        ("<unused94>", "<think>"),
        ("<unused95>", "</think>"),
    ),
}
"""What stands for which tag. The empty text is the beginning of the reply."""

_TAG = re.compile(r"<(/?)(think|answer)>")
_LETTER = re.compile(r"\(?([A-Za-z])\)?(?:[.:)\s]|$)")


@dataclass(frozen=True, slots=True)
class ReplyFailure:
    """Why a reply does not follow the grammar: the first reason there is."""

    reason: Reason
    position: int
    """Index of the character where it shows, after thoughts were given their tags."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply says."""

    think: str
    answer: str
    """The last one, if there are several; all of the text, if it has no tags."""
    failure: ReplyFailure | None = None

    @property
    def exact(self) -> bool:
        """Whether it is a thought and an answer and nothing else: the format reward's question."""
        return self.failure is None


def parse_reply(raw: str, *, reasoning: str = "", thought: Thought = "tags") -> Reply:
    """Read a reply, as far as it follows the grammar.

    Parameters
    ----------
    raw : str
        What the model wrote.
    reasoning : str
        What a server sent apart from it as the model's thought.
    thought : str
        How the model marks its thoughts.
    """
    reader = _Reader(_with_tags(raw, thought), reasoning)
    return reader.reply()


def _with_tags(raw: str, thought: Thought) -> str:
    for mark, tag in THOUGHTS[thought]:
        if mark:
            raw = raw.replace(mark, tag)
        elif not raw.lstrip().startswith(tag):
            raw = tag + raw
    return raw


def reply_text(think: str, answer: str) -> str:
    """A reply that `parse_reply` reads as this; tags within are left out."""
    inside = (_TAG.sub("", text).strip() for text in (think, answer))
    return "<think>{}</think><answer>{}</answer>".format(*inside)


class _Reader:
    """Goes from tag to tag."""

    def __init__(self, text: str, reasoning: str) -> None:
        self._text = text
        self._failure: ReplyFailure | None = None
        self._inside = ""
        self._begun = 0
        self._thoughts = [reasoning.strip()] if reasoning.strip() else []
        self._answers: list[str] = []
        self._outside: list[str] = []
        self._last_close = {name: text.rfind(f"</{name}>") for name in ("think", "answer")}

    def reply(self) -> Reply:
        tagged = False
        for tag in _TAG.finditer(self._text):
            tagged, closes, name = True, bool(tag[1]), tag[2]
            if closes:
                self._close(name, tag)
            else:
                self._open(name, tag)
        end = len(self._text)
        if self._inside:
            self._fail("cut off", end)
            self._take(end)
        elif not self._answers:
            self._fail("no answer" if tagged else "no tags", end)
        self._outside_to(end)
        if not self._answers:
            self._answers.append(" ".join(self._outside))
        elif not self._thoughts:
            self._fail("no thought", 0)
        return Reply("\n".join(self._thoughts), self._answers[-1], self._failure)

    def _open(self, name: str, tag: re.Match[str]) -> None:
        at = tag.start()
        if self._inside:
            # Within a thought that is closed later it is part of the thought.
            if self._inside == name or self._last_close[self._inside] > at:
                self._fail("nested tags", at)
                return
            self._fail("no closing tag", at)
            self._take(at)
        else:
            self._outside_to(at)
        if name == "think" and self._answers:
            self._fail("thought after answer", at)
        elif name == "think" and self._thoughts:
            self._fail("two thoughts", at)
        elif name == "answer" and self._answers:
            self._fail("two answers", at)
        self._inside, self._begun = name, tag.end()

    def _close(self, name: str, tag: re.Match[str]) -> None:
        at = tag.start()
        if self._inside == name:
            self._take(at)
        elif self._inside:
            self._fail("nested tags", at)
            return
        elif name == "think" and not (self._thoughts or self._answers or self._outside):
            self._fail("no opening tag", at)
            self._inside = name
            self._take(at)
        else:
            self._fail("stray tag", at)
            self._outside_to(at)
        self._begun = tag.end()

    def _take(self, to: int) -> None:
        """What was inside the tag ends here."""
        kept = self._thoughts if self._inside == "think" else self._answers
        kept.append(self._text[self._begun : to].strip())
        self._inside, self._begun = "", to

    def _outside_to(self, to: int) -> None:
        """What was outside of tags ends here."""
        if text := self._text[self._begun : to].strip():
            self._fail("text outside tags", self._begun)
            self._outside.append(text)

    def _fail(self, reason: Reason, at: int) -> None:
        if self._failure is None:
            self._failure = ReplyFailure(reason, at)


def folded(text: str) -> str:
    """Text as answers are compared: Unicode, case, articles and punctuation folded."""
    text = unicodedata.normalize("NFKC", text).casefold()
    words = re.findall(r"\d+(?:[.,]\d+)*|\w+|%", text)
    return " ".join(w for w in words if w not in {"a", "an", "the"})


def choice_of(answer: str, options: Sequence[str]) -> int | None:
    """Index of the option that an answer names, by its text or its letter; None for none or two."""
    if not options:
        return None
    said, spelled = folded(answer), [folded(option) for option in options]
    if said in spelled:
        return spelled.index(said)
    letter = _LETTER.match(answer.strip())
    if letter and (index := ord(letter[1].upper()) - 65) < len(options):
        rest = folded(answer.strip()[letter.end() :])
        # "A lymphocyte" begins with an article, not with a letter.
        if not rest or spelled[index] in rest:
            return index
    named = {i for i, text in enumerate(spelled) if text and f" {text} " in f" {said} "}
    # "non-neoplastic" names "neoplastic" as well; the longer one is meant.
    named = {i for i in named if not any(spelled[i] in spelled[j] for j in named - {i})}
    return named.pop() if len(named) == 1 else None
