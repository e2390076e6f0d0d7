"""What a model is to learn: the seam between data and trainers.

A task gives examples, encodes them for the model, and scores what the model makes of those that
were held out. A trainer knows no more of it than this; `nunext_training.tasks` has the tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from nunext_training.data.windows import Example
    from nunext_training.method.rewards import ScoredReply

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Examples(Protocol[T_co]):
    """A map-style data set."""

    def __len__(self) -> int:
        """Number of examples."""
        ...

    def __getitem__(self, index: int) -> T_co:
        """The example at `index`; IndexError beyond the last."""
        ...


class Task(Protocol[T]):
    """Examples, their encoding, and the score of a model."""

    @property
    def encode(self) -> Callable[[Sequence[T]], dict[str, Tensor]]:
        """What makes a batch of examples: the model's inputs, and ``labels``.

        Processes that load data get a copy of it and of the examples: it holds no model.
        """
        ...

    @property
    def validation(self) -> Examples[T] | None:
        """What the loss, or the reward, of a validation is of; None where nothing is held out."""
        ...

    def examples(self, count: int) -> Examples[T]:
        """So many examples to learn from; the i-th is a function of the recipe's seed and i."""
        ...

    def score(self, model: Any) -> dict[str, float]:
        """Figures of a model in training, by their names in `nunext_training.runs.folder.Best`.

        What is held out is decoded as when serving; every process asks, each for its share. Empty
        where a recipe decodes nothing.
        """
        ...


class Scorer(Protocol):
    """What replies are worth."""

    def score(self, example: Example, reply: Sequence[int]) -> ScoredReply:
        """The reward of a reply, and the verdicts on its points."""
        ...

    def score_verdicts(self, example: Example) -> tuple[tuple[int, ...], ScoredReply] | None:
        """What people judged in a window, as a reply and its reward; None where they did not."""
        ...


class RewardedTask(Task["Example"], Protocol):
    """A task whose replies are worth something, each by itself."""

    @property
    def scorer(self) -> Scorer:
        """Called with the examples that it was decoded from."""
        ...
