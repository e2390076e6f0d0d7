"""All questions of a picture behind it: computed once, read by each of them (ours).

Questions about one picture begin alike: the system's words, the picture, what is told of nuclei.
What they have in common is the prefix; what is left of each, with its right answer, is a block. A
block sees the prefix and itself, and its positions go on behind the prefix, so that each question
is read as if it stood alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.models.answerers.together import shared_length

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from nunext_training.data.answers.rows import ShownPicture

PREFIX = 0
"""Owner of a token that all blocks see; those of blocks are 1, 2, and so on."""
PADDING = -1


@dataclass(frozen=True, eq=False, slots=True)
class Tokens:
    """A question with its right answer."""

    prompt: NDArray[np.int64]
    """The picture's tokens among them, as when it is asked."""
    reply: NDArray[np.int64]
    """To the token that ends it, which is the last."""
    weights: NDArray[np.float32]
    """Of each of the reply's in the loss."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """Prompt and reply."""
        return np.concatenate([self.prompt, self.reply])


@dataclass(frozen=True, slots=True)
class AskedPicture:
    """A picture and what is asked of it."""

    picture: ShownPicture
    rows: tuple[int, ...]
    """Places of its questions among the rows."""


def pictures_of(rows: Sequence[Mapping[str, Any]]) -> tuple[AskedPicture, ...]:
    """Rows by what they share up to the picture's last token, in the order of the first of each."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(rows):
        before = tuple(m["content"] for m in row["prompt"] if m["role"] == "system")
        groups.setdefault((row["images"][0], *before), []).append(i)
    return tuple(AskedPicture(key[0], tuple(places)) for key, places in groups.items())


@dataclass(frozen=True, slots=True)
class PackedQuestions:
    """A picture with some of its questions: an example."""

    picture: Image.Image
    questions: tuple[Tokens, ...]


class PackedExamples:
    """So many pictures with questions drawn by lot; the i-th is a function of the seed and i.

    Every picture is shown once before any is shown again.

    Parameters
    ----------
    at_budget : mapping of int to rows
        The same rows at each budget.
    tokens_of : callable
        `Tokens` of a row.
    count : int
    seed : int
    questions : int
        At most, of a picture; 0: all of them.
    per_step : int
        Examples of a step, which share a budget.
    in_order : bool
        Pictures as they come: to validate.
    """

    def __init__(
        self,
        at_budget: Mapping[int, Sequence[Mapping[str, Any]]],
        tokens_of: Callable[[Mapping[str, Any]], Tokens],
        *,
        count: int,
        seed: int,
        questions: int,
        per_step: int,
        in_order: bool = False,
    ) -> None:
        self._budgets = tuple(at_budget)
        self._rows = dict(at_budget)
        self._pictures = {budget: pictures_of(rows) for budget, rows in at_budget.items()}
        self._tokens_of = tokens_of
        self._count, self._seed = count, seed
        self._questions, self._per_step = questions, per_step
        self._in_order = in_order
        self._order = lru_cache(maxsize=2)(self._order_of)

    def __len__(self) -> int:
        """Number of examples."""
        return self._count

    def __getitem__(self, index: int) -> PackedQuestions:
        """The example at `index`; IndexError beyond the last."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        step = np.random.default_rng((self._seed, 0, index // self._per_step))
        budget = self._budgets[int(step.integers(len(self._budgets)))]
        pictures = self._pictures[budget]
        epoch, place = divmod(index, len(pictures))
        asked = pictures[place if self._in_order else int(self._order(epoch)[place])]
        chosen = asked.rows
        if 0 < self._questions < len(chosen):
            draw = np.random.default_rng((self._seed, 1, index))
            chosen = tuple(draw.choice(chosen, self._questions, replace=False).tolist())
        rows = self._rows[budget]
        return PackedQuestions(
            asked.picture.open(), tuple(self._tokens_of(rows[i]) for i in chosen)
        )

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        pictures = len(next(iter(self._pictures.values())))
        return np.random.default_rng((self._seed, 2, epoch)).permutation(pictures)


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """A prefix with its blocks."""

    ids: NDArray[np.int64]
    owners: NDArray[np.int64]
    """`PREFIX`, or which block, shape as `ids`."""
    places: NDArray[np.int64]
    """Where a token stands in its own question, shape as `ids`."""
    weights: NDArray[np.float32]
    """Of each token in the loss, 0 where it is given; shape as `ids`."""
    prefix: int
    """Length of what is shared."""


def pack(questions: Sequence[Tokens]) -> Packed:
    """Put questions of one picture behind what they share.

    What they share is as `shared_length` has it.
    """
    first = questions[0].prompt
    prefix = shared_length([question.prompt.tolist() for question in questions])
    ids, owners, places = [first[:prefix]], [np.zeros(prefix, int)], [np.arange(prefix)]
    weights = [np.zeros(prefix, np.float32)]
    for owner, question in enumerate(questions, start=1):
        block = question.ids[prefix:]
        ids.append(block)
        owners.append(np.full(len(block), owner))
        places.append(np.arange(prefix, prefix + len(block)))
        given = np.zeros(len(question.prompt) - prefix, np.float32)
        weights.append(np.concatenate([given, question.weights]))
    return Packed(
        np.concatenate(ids),
        np.concatenate(owners),
        np.concatenate(places),
        np.concatenate(weights),
        prefix,
    )
