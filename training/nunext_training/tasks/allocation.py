"""Choices of image tokens as a task: questions of a table, each with every choice as its reply.

The choices of a question stand behind what they share, its thumbnail and its prompt: a block is the
reply that makes one choice (`nunext_training.data.answers.packing`). The likelihoods of the blocks
are the allocator's policy. All questions of a picture behind one thumbnail would cost more: it is
short, the prompt is long, and attention is quadratic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nunext.core.answers.prompts import SYSTEM, allocation_prompt
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.allocator import reply_ids, said
from nunext_training.data.answers.packing import PackedQuestions, Tokens
from nunext_training.method.answer_rewards import allocation_reward

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.models.answerers.loaded import LoadedAnswerer
    from nunext_training.data.answers import AnswerData
    from nunext_training.data.answers.reward_table import RewardTable, TabledQuestion
    from nunext_training.recipes.recipe import Recipe
    from nunext_training.tasks.packed_answers import PackedAnswers


@dataclass(frozen=True, eq=False, slots=True)
class ChoicesOfQuestion:
    """A question with every choice, and what these are worth."""

    packed: PackedQuestions
    """A block for each choice, in the order of the menu."""
    worth: NDArray[np.float64]
    """Eq. 10 of each, shape (choices,)."""
    tokens: NDArray[np.int64]
    """Of the picture at each choice, shape (choices,)."""
    row: int
    """Place of the question among the rows."""
    lots: NDArray[np.float64]
    """By which choices are drawn, each in [0, 1); shape (rollouts,)."""


class Allocations:
    """A `nunext_training.data.task.Task` of choices.

    Parameters
    ----------
    answerer : LoadedAnswerer
    encoder : PackedAnswers
        Puts blocks behind what they share.
    data : AnswerData
        At the budget of the thumbnail.
    table : RewardTable
    recipe : Recipe

    Raises
    ------
    InputError
        If the table has no question of the data.
    """

    def __init__(
        self,
        answerer: LoadedAnswerer,
        encoder: PackedAnswers,
        data: AnswerData,
        table: RewardTable,
        recipe: Recipe,
    ) -> None:
        self._answerer, self._encoder, self._recipe = answerer, encoder, recipe
        self._menu = table.of.budgets
        known = table.by_id()
        rows = [row for row in getattr(data, table.of.split) if row["id"] in known]
        if not rows:
            raise InputError(
                f"None of the questions of the table is in the {table.of.split} split of the data. "
                "Name the exports that the table was made of."
            )
        self._rows = rows
        self._tabled = [known[row["id"]] for row in rows]
        self._cached: dict[int, tuple[Tokens, ...]] = {}

    @property
    def validation(self) -> None:
        """See `Task`: a table has one split, and all of it teaches."""
        return

    def examples(self, count: int) -> AllocationExamples:
        """See `Task`."""
        return AllocationExamples(self, len(self._rows), count, self._recipe.seed)

    def score(self, model: Any) -> dict[str, float]:
        """See `Task`: nothing; `nunext-train ask evaluate` asks."""
        del model
        return {}

    def example(self, place: int, index: int) -> ChoicesOfQuestion:
        """The question at a place among the rows, as the example at an index."""
        tabled = self._tabled[place]
        lots = np.random.default_rng((self._recipe.seed, 1, index))
        return ChoicesOfQuestion(
            PackedQuestions(self._rows[place]["images"][0].open(), self._blocks(place)),
            np.array(worth_of(tabled, self._recipe.allocator.mu)),
            np.array(tabled.tokens),
            place,
            lots.random(self._recipe.allocator.rollouts),
        )

    def row_of(self, example: ChoicesOfQuestion) -> dict[str, Any]:
        """The question of an example, as it was read."""
        row: dict[str, Any] = self._rows[example.row]
        return row

    def encode(self, examples: Sequence[ChoicesOfQuestion]) -> dict[str, torch.Tensor]:
        """See `Task`: as `PackedAnswers`, and of each choice its worth and tokens, and the lots."""
        inputs = self._encoder.encode([example.packed for example in examples])
        return inputs | {
            "worth": torch.from_numpy(np.stack([example.worth for example in examples])),
            "choice_tokens": torch.from_numpy(np.stack([example.tokens for example in examples])),
            "lots": torch.from_numpy(np.stack([example.lots for example in examples])),
        }

    def _blocks(self, place: int) -> tuple[Tokens, ...]:
        """A question with each choice."""
        if place not in self._cached:
            row, tabled = self._rows[place], self._tabled[place]
            prompt = self._prompt(row, tabled)
            self._cached[place] = tuple(
                Tokens(prompt, np.array(reply), np.ones(len(reply), dtype=np.float32))
                for reply in (reply_ids(self._answerer, said(tokens)) for tokens in self._menu)
            )
        return self._cached[place]

    def _prompt(self, row: dict[str, Any], tabled: TabledQuestion) -> NDArray[np.int64]:
        question = row["evidence"].question
        if question is None:
            raise InputError(
                f"The question of {tabled.id} is not in the words of our prompts, and an allocator "
                "is asked in those. Leave it out of the data."
            )
        asked = allocation_prompt(
            question, current_tokens=tabled.tokens[-1], most_tokens=self._menu[-1]
        )
        sent = row["images"][0].sent
        blank = np.zeros((sent.height_px, sent.width_px, 3), dtype=np.uint8)
        ids: NDArray[np.int64] = self._answerer.read(blank, asked, SYSTEM)["input_ids"][0].numpy()
        return ids


def worth_of(question: TabledQuestion, mu: float) -> list[float]:
    """Eq. 10 of every choice, beside the last: the picture under the whole budget."""
    whole, tokens = question.rewards[-1], question.tokens[-1]
    return [
        allocation_reward(reward, whole, spent, tokens, mu)
        for reward, spent in zip(question.rewards, question.tokens, strict=True)
    ]


class AllocationExamples:
    """So many questions, in an order drawn anew each time that all were shown.

    The i-th is a function of the seed and i, the choices that are drawn for it among it: so it
    matters neither how many processes there are nor where a run was stopped.

    Parameters
    ----------
    task : Allocations
    questions : int
        How many there are.
    count, seed : int
    """

    def __init__(self, task: Allocations, questions: int, count: int, seed: int) -> None:
        self._task, self._questions = task, questions
        self._count, self._seed = count, seed
        self._order = lru_cache(maxsize=2)(self._order_of)

    def __len__(self) -> int:
        """Number of examples."""
        return self._count

    def __getitem__(self, index: int) -> ChoicesOfQuestion:
        """The example at `index`; IndexError beyond the last."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        epoch, place = divmod(index, self._questions)
        return self._task.example(int(self._order(epoch)[place]), index)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((self._seed, epoch)).permutation(self._questions)
