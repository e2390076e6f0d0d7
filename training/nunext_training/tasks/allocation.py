"""Choices of image tokens as a task: questions of a table, each with every choice as its reply.

All questions of a picture stand behind one thumbnail, and of each question all choices: a block is
a question with one choice (`nunext_training.data.answers.packing`). The likelihoods of a question's
blocks are the allocator's policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nunext.core.answers.prompts import SYSTEM, allocation_prompt
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.allocator import reply_ids, said
from nunext_training.data.answers.packing import AskedPicture, PackedQuestions, Tokens, pictures_of
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
class ChoicesOfPicture:
    """A thumbnail, its questions each with every choice, and what these are worth."""

    packed: PackedQuestions
    """Of each question a block for each choice, in the order of the menu."""
    worth: NDArray[np.float64]
    """Eq. 10 of each, shape (questions, choices)."""
    tokens: NDArray[np.int64]
    """Of the picture at each choice, shape (questions, choices)."""
    rows: tuple[int, ...]
    """Places of its questions among the rows."""


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
        self._pictures = pictures_of(rows)
        self._cached: dict[int, tuple[Tokens, ...]] = {}

    @property
    def validation(self) -> None:
        """See `Task`: a table has one split, and all of it teaches."""
        return

    def examples(self, count: int) -> AllocationExamples:
        """See `Task`."""
        return AllocationExamples(self, self._pictures, count, self._recipe.seed)

    def score(self, model: Any) -> dict[str, float]:
        """See `Task`: nothing; `nunext-train ask evaluate` asks."""
        del model
        return {}

    def example(self, asked: AskedPicture) -> ChoicesOfPicture:
        """A picture with all of its questions."""
        tabled = [self._tabled[place] for place in asked.rows]
        blocks = [block for place in asked.rows for block in self._blocks(place)]
        return ChoicesOfPicture(
            PackedQuestions(asked.picture.open(), tuple(blocks)),
            np.array([worth_of(each, self._recipe.allocator.mu) for each in tabled]),
            np.array([each.tokens for each in tabled]),
            asked.rows,
        )

    def rows_of(self, example: ChoicesOfPicture) -> list[dict[str, Any]]:
        """The questions of an example, as they were read."""
        return [self._rows[place] for place in example.rows]

    def encode(self, examples: Sequence[ChoicesOfPicture]) -> dict[str, torch.Tensor]:
        """See `Task`: as `PackedAnswers`, and of each choice its picture, question and worth."""
        inputs = self._encoder.encode([example.packed for example in examples])
        most = max(len(example.worth) for example in examples)
        filled = np.full((2, len(examples), most, len(self._menu)), np.nan)
        for i, example in enumerate(examples):
            filled[:, i, : len(example.worth)] = example.worth, example.tokens
        worth, tokens = torch.from_numpy(filled)
        return inputs | {"worth": worth, "choice_tokens": tokens}

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
    """So many pictures, in an order drawn anew each time that all were shown.

    Parameters
    ----------
    task : Allocations
    pictures : sequence of AskedPicture
    count, seed : int
    """

    def __init__(
        self, task: Allocations, pictures: Sequence[AskedPicture], count: int, seed: int
    ) -> None:
        self._task, self._pictures = task, pictures
        self._count, self._seed = count, seed

    def __len__(self) -> int:
        """Number of examples."""
        return self._count

    def __getitem__(self, index: int) -> ChoicesOfPicture:
        """The example at `index`; IndexError beyond the last."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        epoch, place = divmod(index, len(self._pictures))
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._pictures))
        return self._task.example(self._pictures[order[place]])
