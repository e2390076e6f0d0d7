"""What a question in English asks of nuclei, as far as nuclei can answer it.

A question is understood if its words name one of `MEASURES`, and every other word is a category, a
number, or one of the few `PLAIN` words that change nothing. A word beyond these might change
everything ("How many nuclei are *not* round?"): the question is declined then, and the word named.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Measure: TypeAlias = Literal[
    "ki67",
    "density",
    "share",
    "cluster_count",
    "cluster_present",
    "clusters",
    "more",
    "dominant",
    "where",
    "present",
    "count",
]


def _all_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ALIKE = (
    _all_of("tumour tumor neoplastic neoplasm"),
    _all_of("lymphocyte lymphocytic lymphoid"),
    _all_of("stroma stromal fibroblast connective"),
    _all_of("epithelium epithelial"),
    _all_of("inflammatory inflammation immune"),
    _all_of("necrotic necrosis dead"),
    _all_of("positive pos immunopositive"),
    _all_of("negative neg immunonegative"),
)
"""Words that mean the same in the names of categories."""

_YES_OR_NO = "^(is|are|do|does)"
_CLUSTER = "(cluster|clump|nest|aggregate)"
_PLACE = "(quadrant|corner|part|side|area|half)"
_OFTEN = "(common|frequent|numerous|abundant|prevalent)"

_MEASURES: tuple[tuple[Measure, str], ...] = (
    ("ki67", r"ki 67|(labelling|labeling|proliferation) (index|rate)"),
    (
        "density",
        r"density|how (dense|densely)|cellularity|per (mm2|square (millimetre|millimeter|mm))",
    ),
    ("share", r"percent|percentage|proportion|fraction|share"),
    ("cluster_count", rf"(how-many|number of|count)( \S+){{0,3}} {_CLUSTER}"),
    ("cluster_present", rf"{_YES_OR_NO} .*{_CLUSTER}"),
    ("clusters", _CLUSTER),
    ("more", rf"{_YES_OR_NO} .*more .+ than (?!\d)"),
    (
        "dominant",
        r"dominate|dominant|dominating|predominate|predominant|majority"
        rf"|(most|more) {_OFTEN}|more .+ or",
    ),
    ("where", rf"where|which {_PLACE}|{_PLACE} .*most"),
    ("count", r"how-many|number of|count|total"),
    ("present", rf"{_YES_OR_NO} .*(there|any|at least|at most|than|see|contain|have|show)|present"),
)
"""In this order: the first that is found in a question is what it asks for."""

MEASURES: Mapping[Measure, str] = {
    "count": "How many lymphocytes are there?",
    "dominant": "Which category dominates?",
    "present": "Are there at least 5 lymphocytes?",
    "more": "Are there more lymphocytes than stromal nuclei?",
    "share": "What percentage of the nuclei are lymphocytes?",
    "density": "What is the density of nuclei per mm2?",
    "where": "Where are most lymphocytes?",
    "clusters": "Where are clusters of lymphocytes?",
    "cluster_count": "How many clusters of lymphocytes are there?",
    "cluster_present": "Are there clusters of lymphocytes?",
    "ki67": "What is the Ki-67 index?",
}
"""An example of each."""

PLAIN = _all_of(
    "a all also an and any approximately are as at be by can category cell cellular class contain "
    "contained count detect detected do does each estimate fewer field find for found give has "
    "have here highest i image in index is it kind least less lie located location main mainly "
    "me mm mm2 millimeter millimetre more most mostly nuclear nucleus number of on one or out "
    "over overall per picture please present rate region see seen show slide square tell than that "
    "the their there these they this tile to total type view visible was were what which with you "
    "your"
)
"""Words that do not change what is counted."""
_OF_MEASURES = frozenset(re.findall(r"[a-z0-9-]+", " ".join(pattern for _, pattern in _MEASURES)))
_NUMBERS = {word: i for i, word in enumerate(("two", "three", "four", "five", "six"), start=2)}
# More digits count nothing that there is.
_BOUND = re.compile(r"(at least|at most|more than|over|fewer than|less than) (\d{1,12})(?!\d)")
MOST_WORDS = 100
"""Of a question that is looked at."""
_JOINING = _all_of("and or than")
_COMPARING = _all_of("more fewer less least than over")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a question asks of nuclei."""

    measure: Measure
    categories: tuple[str, ...] = ()
    """In the order named; none means all nuclei."""
    bound: str = "at least"
    """Of `number`, where it asks whether there are so many."""
    number: int = 1
    loosely: tuple[tuple[str, str], ...] = ()
    """Words that name but a part of a category: (word, category)."""


@dataclass(frozen=True, slots=True)
class Declined:
    """A question that nuclei do not answer."""

    why: str
    """One sentence."""


def understand(question: str, categories: Sequence[str]) -> Asked | Declined:
    """What `question` asks, where these categories are told apart."""
    words = _words(question)
    if len(words) > MOST_WORDS:
        return Declined(f"The question has {len(words)} words; Counts reads {MOST_WORDS} or fewer.")
    spoken = _spoken(words, categories)
    named = tuple(dict.fromkeys(name for kind in spoken.kinds for name in kind))
    text = " ".join(words)
    measure = next((m for m, pattern in _MEASURES if re.search(rf"\b({pattern})\b", text)), None)
    if measure is None:
        return Declined("The question asks for nothing that nuclei can be counted for.")
    bounds = _BOUND.findall(text)
    bound = bounds[0] if len(bounds) == 1 else None
    known = PLAIN | _OF_MEASURES | {number for _, number in bounds}
    if unknown := [word for word in spoken.rest if word not in known]:
        quoted = _first_of([f'"{word[:40]}"' for word in dict.fromkeys(unknown)], 5)
        told_apart = _first_of(categories, 20) or "none"
        return Declined(f"What does {quoted} mean here? The categories are: {told_apart}.")
    if len(set(spoken.kinds)) > 1 and (len(bounds) > 1 or words.count("how-many") > 1):
        # The sum of both would answer neither.
        return Declined("These are two questions in one; ask them one by one.")
    compares = _COMPARING & set(words)
    if (
        (measure == "more" and len(named) != 2)
        or (bound and measure != "present")
        or (compares and not bound and measure not in ("more", "dominant"))
    ):
        return Declined("What is to be compared? Name two categories, or a category and a number.")
    if len(set(spoken.kinds)) > 1 and not _JOINING & set(spoken.rest):
        # "positive tumour nuclei" are those that are both, and no category says so.
        return Declined(f"Nuclei that are both are not told apart: {', '.join(named)}.")
    if bound is None:
        return Asked(measure, named, loosely=spoken.loosely)
    return Asked(measure, named, bound[0], int(bound[1]), spoken.loosely)


def _first_of(things: Sequence[str], most: int) -> str:
    further = [f"{len(things) - most} more"] if len(things) > most else []
    return ", ".join([*things[:most], *further])


def with_plain_numbers(text: str) -> str:
    """Text in one spelling of letters and digits, in lower case, no commas between thousands."""
    return re.sub(r"(?<=\d),(?=\d{3}\b)", "", unicodedata.normalize("NFKC", text).casefold())


def _words(text: str) -> list[str]:
    """Words in lower case and singular; numbers in digits."""
    text = with_plain_numbers(text).replace("%", " percent ")
    text = re.sub(r"\bki[ -]?67\b", "ki 67", text).replace("how many", "how-many")
    text = re.sub(r"(?<=least |.than |.most )one\b", "1", text)
    found = re.findall(r"\d+(?=\D|$)|[^\W\d_]+(?:-[^\W\d_]+)*(?:2\b)?", text)
    return [str(_NUMBERS[w]) if w in _NUMBERS else _singular(w) for w in found]


def _singular(word: str) -> str:
    if word == "nuclei":
        return "nucleus"
    if word in {"does", "is", "this", "was", "has"} or word.endswith("ss") or len(word) < 4:
        return word
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if word.endswith("s") and not word.endswith(("us", "is")) else word


def _concept(word: str) -> frozenset[str]:
    return next((alike for alike in _ALIKE if word in alike), frozenset({word}))


def telling_words(name: str) -> list[str]:
    """Words of a category's name that tell it from others."""
    return [
        w for w in _words(name) if w not in {"or", "and", "cell", "nucleus", "other"}
    ] or _words(name)


@lru_cache(maxsize=1024)
def _concepts(name: str) -> frozenset[frozenset[str]]:
    return frozenset(map(_concept, telling_words(name)))


def means(name: str, word: str) -> bool:
    """Whether a word means a category, or a part of it."""
    return _concept(word) in _concepts(name)


@dataclass(frozen=True, slots=True)
class _Spoken:
    """The words of a question, by what they do."""

    kinds: tuple[tuple[str, ...], ...]
    """The categories that each word names which names some."""
    loosely: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]
    """Words that name none."""


def _spoken(words: list[str], categories: Sequence[str]) -> _Spoken:
    kinds: list[tuple[str, ...]] = []
    loosely: list[tuple[str, str]] = []
    rest: list[str] = []
    left = list(words)
    # Whole names first: the longest of those that begin here.
    spelled = sorted(((_words(name), name) for name in categories), key=lambda pair: -len(pair[0]))
    while left:
        whole = next(((n, name) for n, name in spelled if n and left[: len(n)] == n), None)
        if whole is not None and whole[0] != ["nucleus"]:
            kinds.append((whole[1],))
            del left[: len(whole[0])]
            continue
        word = left.pop(0)
        meant = () if word in PLAIN else tuple(name for name in categories if means(name, word))
        for name in meant:
            if len(_concepts(name)) > 1:
                loosely.append((word, name))
        if meant:
            kinds.append(meant)
        else:
            rest.append(word)
    return _Spoken(tuple(kinds), tuple(dict.fromkeys(loosely)), tuple(rest))
