"""What a small answerer reads and writes as one token: phrases of the prompts, words, numbers.

A small detector's tokenizer has bytes and a few words; the paper's system prompt alone is 500 of
its tokens. The phrases are those of the code that writes prompts and replies, asked of that code.
Any other text keeps its bytes, and every text is read back as it was (ours).
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.answers.points import nuclei_text
from napari_nunext.core.answers.prompts import SYSTEM, Question, allocation_prompt, lettered
from napari_nunext.core.answers.questions import MEASURES
from napari_nunext.core.answers.reply import reply_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NUMBERS = range(257)
"""Counts, and pixels of a picture of 256 tokens of a window."""
_MARK = "@@"
_ROLES = ("system\n", "user\n", "assistant\n")
"""As chat templates of this family open a turn."""
_FIGURES = (
    *("upper left", "upper right", "lower left", "lower right"),
    *("yes", "no", "none", "nothing", "alike", "No nuclei", "clusters", "nuclei", "per mm2"),
    *("mm2", "low", "medium", "high", "few", "many", "and", "of"),
)
"""Words of replies that follow from nuclei; see `napari_nunext.core.answers.counts`."""
_WORD = re.compile(r" ?[^\W\d_]{2,}")


def answer_words(categories: Sequence[str], more: Iterable[str] = ()) -> tuple[str, ...]:
    """Texts that are to be tokens, each once.

    Parameters
    ----------
    categories : sequence of str
        Of nuclei, as they are named in prompts and answers.
    more : iterable of str
        Further words, with or without a space before them.
    """
    words = [*_phrases(), *_ROLES]
    for name in dict.fromkeys((*categories, *_FIGURES, *_measures())):
        words += [name, f" {name}"]
    words += [f" {' '.join(name.split())};" for name in categories]
    words += [f" ({chr(65 + i)})" for i in range(8)] + [","]
    words += [f" {number}" for number in NUMBERS] + [str(number) for number in NUMBERS]
    words += more
    return tuple(dict.fromkeys(word for word in words if _can_be_one(word)))


def frequent_words(texts: Iterable[str], *, least: int, most: int) -> tuple[str, ...]:
    """The commonest words of texts, those of which one token is worth a row.

    Parameters
    ----------
    texts : iterable of str
    least : int
        How often a word has to be there.
    most : int
        How many words at most, the commonest first; of equals by the alphabet.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(text))
    common = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(word for word, count in common[:most] if count >= least)


def size_of(word: str) -> int | None:
    """The number that a word is; None of any other."""
    digits = word.removeprefix(" ")
    return int(digits) if digits.isascii() and digits.isdecimal() else None


def _phrases() -> list[str]:
    """The fixed parts of prompts and replies."""
    written = [
        Question("lesions", text=_MARK, organ=_MARK).prompt,
        Question("subtype", options=(_MARK, _MARK)).prompt.replace(lettered((_MARK,) * 2), _MARK),
        allocation_prompt(
            Question("question", text=_MARK), current_tokens=10**6, most_tokens=10**6
        ).replace(str(10**6), _MARK),
        nuclei_text(np.zeros((1, 2)), [_MARK]).replace("0 0", _MARK),
        nuclei_text(np.zeros((0, 2)), []),
        reply_text(_MARK, _MARK),
        reply_text("", _MARK),
    ]
    parts = (part.rstrip(" ") for text in written for part in text.split(_MARK))
    return [SYSTEM, *parts, "<think>", "</think>", "<answer>", "</answer>"]


def _measures() -> list[str]:
    """Words of the questions that nuclei answer."""
    return list(frequent_words(MEASURES.values(), least=1, most=10**3))


def _can_be_one(word: str) -> bool:
    """Whether a text can be an added token that reads back as it was.

    One character has its byte already. Beyond ASCII, tokenizers of bytes read an added token as
    text only where a space is in it.
    """
    return len(word) > 1 and word.strip() != "" and (word.isascii() or " " in word)
