"""Answers without a model: what any model has to beat.

``majority``
    what was most often right where one learns, of a question in the same words;
``constant``
    what would have been worth most there, said of every question in these words: of numbers
    something like the median, where the majority is 0;
``counts``
    what the nuclei say that an answerer is told (`napari_nunext.core.answers.counts`); where they
    do not say, nothing.

The first two never look at what is scored. A question that nobody learnt from, in these words, has
the answer of its kind, or of its task.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from napari_nunext.core.answers.budget import SentPicture
from napari_nunext.core.answers.reply import reply_text
from napari_nunext.core.answers.rewriting import in_pixels_of, with_boxes
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from nunext_training.data.answers import COLUMNS, seen_reply
from nunext_training.evaluation.answering.answer_scores import Answered
from nunext_training.evaluation.answering.kinds import worth

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from nunext_training.method.answer_rewards import SeenAnswer

Rule: TypeAlias = Literal["majority", "constant", "counts"]
RULES: tuple[Rule, ...] = get_args(Rule)
MOST_TRIED = 32
"""Answers that may be the best constant: those that are right most often."""

Row: TypeAlias = "dict[str, Any]"


def answer_by_rule(rule: Rule, learnt: Sequence[Row], rows: Sequence[Row]) -> list[Answered]:
    """Answer questions whose answers are known.

    Parameters
    ----------
    rule : {"majority", "constant", "counts"}
    learnt : sequence of dict
        Rows to learn from (`nunext_training.data.answers`), for the first two.
    rows : sequence of dict
        Rows to answer.

    Raises
    ------
    InputError
        If there is nothing to learn from, and the rule needs it.
    """
    if rule != "counts" and not learnt:
        raise InputError(
            f"The rule {rule} learns from the train split of the exports, which is empty. Give "
            "exports that have one, or choose counts."
        )
    say = _from_counts if rule == "counts" else _learnt(rule, learnt)
    return [
        Answered(
            row["image"],
            row["task"],
            _seen(say(row), row),
            0,
            kind=row.get("kind"),
            subset=row.get("subset"),
        )
        for row in rows
    ]


def _seen(reply: str, row: Row) -> SeenAnswer:
    return seen_reply(reply, *(row[each] for each in COLUMNS))


def _from_counts(row: Row) -> str:
    evidence = row["evidence"]
    said = evidence.counts()
    if said is None:
        return reply_text("", "")
    region = evidence.region
    whole = SentPicture(region, round(region.width), round(region.height))
    sent = SentPicture(region, *row["size_px"])
    return in_pixels_of(sent, said.raw, whole, "pixels")


def _learnt(rule: Rule, learnt: Sequence[Row]) -> Callable[[Row], str]:
    """Says of each row what the rule found in those to learn from."""
    choose = _most_frequent if rule == "majority" else _worth_most
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in learnt:
        for words in _words(row):
            groups[words].append(row)
    chosen: dict[Hashable, str] = {}

    def say(row: Row) -> str:
        words = next((each for each in _words(row) if each in groups), None)
        if words is None:
            return reply_text("", "")
        if words not in chosen:
            chosen[words] = choose(groups[words])
        return reply_text("", chosen[words])

    return say


def _words(row: Row) -> Iterable[Hashable]:
    """What a question is told by, from its words, without the order of its options, to its task."""
    question = row["evidence"].question
    kind = (row["task"], row.get("kind"))
    if question is not None:
        yield (*kind, question.text, question.organ, tuple(sorted(question.options)))
    yield kind
    yield row["task"]


def _truth(row: Row) -> str:
    """As an answer says it."""
    if row["truth"] is not None:
        return str(row["truth"])
    width_px, height_px = row["size_px"]
    whole = SentPicture(Box.of_image(width_px, height_px), width_px, height_px)
    return with_boxes(whole, "", tuple(map(Box.from_sequence, row["boxes"] or ())))


def _most_frequent(rows: Sequence[Row]) -> str:
    return Counter(map(_truth, rows)).most_common(1)[0][0]


def _worth_most(rows: Sequence[Row]) -> str:
    """Of the answers that are right most often, the one worth most over the rows."""
    # Rows that any answer is worth the same for are looked at once.
    alike: dict[Hashable, tuple[Row, int]] = {}
    for row in rows:
        key = (row["truth"], tuple(sorted(row["options"])), repr(row["boxes"]), *row["size_px"])
        alike[key] = (row, alike.get(key, (row, 0))[1] + 1)
    tried = [said for said, _ in Counter(map(_truth, rows)).most_common(MOST_TRIED)]

    def total(said: str) -> float:
        reply = reply_text("", said)
        return sum(n * worth(row["task"], _seen(reply, row)) for row, n in alike.values())

    return max(tried, key=total)
