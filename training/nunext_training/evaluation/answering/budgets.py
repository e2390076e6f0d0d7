"""What ways of choosing a budget of image tokens are worth, and what they cost.

All of them are looked up in a table of a performer's rewards
(`nunext_training.data.answers.reward_table`), so that no performer is asked: the same budget for
all, the best of each kind of question, an allocator's choices, and an oracle that knows the reward
of every choice beforehand.

Rewards and image tokens are means over the kinds of questions, each kind alike, so that both speak
of the same; tokens have those of an allocator's own look among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.bootstrap import Drawings, interval_of, ratio
from napari_nunext.core.errors import InputError
from nunext_training.evaluation.answering.answer_scores import Figure
from nunext_training.evaluation.tables import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.bootstrap import Interval
    from nunext_training.data.answers.reward_table import RewardTable


@dataclass(frozen=True, eq=False, slots=True)
class Way:
    """A way of choosing."""

    name: str
    choices: NDArray[np.int64]
    """Which of the table's budgets each question gets, shape (questions,)."""
    look_tokens: NDArray[np.int64] | int = 0
    """What looking before choosing costs, of each question or all alike."""
    is_fixed: bool = False
    """The same budget for all; a plot joins these."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What a way of choosing came to."""

    name: str
    reward: Figure
    tokens: Figure
    look_tokens: float
    """Part of `tokens`."""
    gain: Figure
    """Reward above that of the whole budget for all, by the same drawings."""
    by_kind: dict[str, tuple[float, float]]
    """Reward and image tokens of each kind."""
    is_fixed: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "reward": self.reward.to_json(),
            "tokens_per_image": self.tokens.to_json(),
            "look_tokens": self.look_tokens,
            "gain": self.gain.to_json(),
            "by_kind": {
                kind: {"reward": reward, "tokens_per_image": tokens}
                for kind, (reward, tokens) in self.by_kind.items()
            },
        }


def fixed_ways(table: RewardTable) -> list[Way]:
    """Each budget for all questions."""
    return [
        Way(f"{budget} for all", np.full(len(table.questions), i), is_fixed=True)
        for i, budget in enumerate(table.of.budgets)
    ]


def oracle(table: RewardTable, mu: float) -> Way:
    """The choice of the highest reward of Eq. 10, question by question; the least of equals."""
    return Way("oracle", np.argmax(net_worth(table, mu), axis=1))


def best_of_kinds(table: RewardTable, chosen_by: RewardTable, mu: float) -> Way:
    """For each kind, the budget that was best by Eq. 10 in another table.

    Raises
    ------
    InputError
        If the other table has not the budgets and kinds of this one, or is of the same questions.
    """
    if chosen_by.of.budgets != table.of.budgets:
        raise InputError(
            f"One table has the budgets {table.of.budgets}, the other {chosen_by.of.budgets}. Make "
            "both with the same --budgets."
        )
    shared = len(table.by_id().keys() & chosen_by.by_id().keys())
    if shared:
        raise InputError(
            f"The tables share {shared} questions: budgets would be chosen by what they are tried "
            "on. Make the table to choose by of another split."
        )
    worth, kinds = net_worth(chosen_by, mu), _kinds(chosen_by)
    best = {kind: int(worth[kinds == kind].mean(axis=0).argmax()) for kind in set(kinds.tolist())}
    wanted = _kinds(table).tolist()
    if lacking := sorted(set(wanted) - best.keys()):
        raise InputError(
            f"The table to choose by has no question of the kind {lacking[0]}. Make it of data "
            "that has all kinds."
        )
    return Way("best budget of each kind", np.array([best[kind] for kind in wanted]))


def net_worth(table: RewardTable, mu: float) -> NDArray[np.float64]:
    """``r(n') - mu n' / n``: Eq. 10 but for what all choices of a question have in common.

    Shape (questions, budgets).
    """
    tokens = table.tokens
    worth: NDArray[np.float64] = table.rewards - mu * tokens / tokens[:, -1:]
    return worth


def spendings(table: RewardTable, ways: Sequence[Way]) -> list[Spending]:
    """What each way comes to.

    Intervals are over images, and all ways share their drawings.

    Raises
    ------
    InputError
        If the table has no question.
    """
    if not table.questions:
        raise InputError("The table has no question. Make it again, of data that has some.")
    groups = _Groups(table)
    rows = np.arange(len(table.questions))
    whole = table.rewards[:, -1]
    found = []
    for way in ways:
        reward = table.rewards[rows, way.choices]
        look = np.broadcast_to(way.look_tokens, rows.shape).astype(np.float64)
        tokens = table.tokens[rows, way.choices] + look
        rewards_K, tokens_K = groups.by_kind(reward), groups.by_kind(tokens)
        pairs = zip(rewards_K.tolist(), tokens_K.tolist(), strict=True)
        found.append(
            Spending(
                way.name,
                groups.figure(reward),
                groups.figure(tokens),
                float(groups.by_kind(look).mean()),
                groups.figure(reward - whole),
                dict(zip(groups.kinds, pairs, strict=True)),
                way.is_fixed,
            )
        )
    return found


def is_best_buy(spent: Sequence[Spending]) -> list[bool]:
    """Whether no other way has at least the reward for no more tokens, and is better in one."""
    points = [(each.tokens.value, each.reward.value) for each in spent]
    return [
        not any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )
        for point in points
    ]


def spending_table(spent: Sequence[Spending]) -> Table:
    """A row for each way."""
    rows = tuple(
        (
            each.name,
            each.reward.value,
            *_ends(each.reward.interval),
            f"{each.tokens.value:.1f}",
            f"{each.look_tokens:.1f}" if each.look_tokens else None,
            each.gain.value,
            *_ends(each.gain.interval),
            "yes" if best else "",
        )
        for each, best in zip(spent, is_best_buy(spent), strict=True)
    )
    header = ["Image tokens", "reward", "95 % from", "to", "tokens per image", "to look"]
    header += ["above the whole budget", "95 % from", "to", "none is better and cheaper"]
    return Table(None, "Reward and image tokens, mean of kinds", tuple(header), rows)


def kinds_table(spent: Sequence[Spending]) -> Table:
    """Reward at tokens, a row for each kind and a column for each way."""
    kinds = list(spent[0].by_kind)
    rows = tuple(
        (kind, *(f"{each.by_kind[kind][0]:.3f} at {each.by_kind[kind][1]:.0f}" for each in spent))
        for kind in kinds
    )
    header = ("Kind", *(each.name for each in spent))
    return Table(None, "Reward at image tokens, by kind of question", header, rows)


class _Groups:
    """Questions by image and kind."""

    def __init__(self, table: RewardTable) -> None:
        images = _places(question.image for question in table.questions)
        kinds = _places(question.kind for question in table.questions)
        self.kinds = tuple(kinds)
        self._at = (
            np.array([images[question.image] for question in table.questions]),
            np.array([kinds[question.kind] for question in table.questions]),
        )
        self._shape = (len(images), len(kinds))
        self._counts = self._sums(np.ones(len(table.questions)))
        self._drawings = Drawings(len(images)) if len(images) > 1 else None

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """By image and kind, shape (images, kinds)."""
        sums = np.zeros(self._shape)
        np.add.at(sums, self._at, values)
        return sums

    def by_kind(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of each kind."""
        means: NDArray[np.float64] = self._sums(values).sum(axis=0) / self._counts.sum(axis=0)
        return means

    def figure(self, values: NDArray[np.float64]) -> Figure:
        """The mean of the kinds' means, of those that a drawing has; there is always one."""
        interval = None
        if self._drawings is not None:
            drawn = ratio(
                self._drawings.sums(self._sums(values)),
                self._drawings.sums(self._counts),
                empty=np.nan,
            )
            interval = interval_of(np.nanmean(drawn, axis=1))
        return Figure(float(self.by_kind(values).mean()), interval, len(values))


def _places(names: Any) -> Mapping[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def _kinds(table: RewardTable) -> NDArray[np.str_]:
    return np.array([question.kind for question in table.questions], dtype=np.str_)


def _ends(interval: Interval | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval.low, interval.high)
