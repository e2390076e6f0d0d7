"""Questions about pictures, all of one picture at a time, as a task.

A prompt has the very tokens that it has when the answerer is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.together import can_share
from napari_nunext.models.families.pictures import inputs_of_pictures
from nunext_training.data.answers.packing import (
    PackedExamples,
    PackedQuestions,
    Tokens,
    pack,
    pictures_of,
)
from nunext_training.runs import processes
from nunext_training.trainers.answers.packed import packed_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from napari_nunext.models.answerers.loaded import LoadedAnswerer
    from nunext_training.data.answers import AnswerData
    from nunext_training.recipes.recipe import Recipe

ANSWER_TAG = "<answer>"


class PackedAnswers:
    """A `nunext_training.data.task.Task`: pictures, each with its questions.

    Parameters
    ----------
    answerer : LoadedAnswerer
        Whose tokens and positions these are.
    data : AnswerData
        Right answers.
    recipe : Recipe

    Raises
    ------
    InputError
        If the model counts positions in another way than packing needs.
    """

    def __init__(self, answerer: LoadedAnswerer, data: AnswerData, recipe: Recipe) -> None:
        if not can_share(answerer):
            raise InputError(
                f"{answerer.model.config.model_type} cannot be trained with ask.packed = true; "
                "expected a model of the Qwen-VL families. Set ask.packed = false in the recipe."
            )
        self._answerer, self._recipe = answerer, recipe
        options = recipe.ask
        budgets = options.budgets or (options.budget,)
        self._at = {budget: data.at(budget) for budget in budgets}
        self._cached: dict[int, Tokens] = {}
        self._answer_weight = options.answer_weight
        held_out = data.val
        self._validation = (
            PackedExamples(
                {options.budget: held_out},
                self.tokens,
                count=len(pictures_of(held_out)),
                seed=recipe.seed,
                questions=0,
                per_step=1,
                in_order=True,
            )
            if held_out
            else None
        )

    @property
    def validation(self) -> PackedExamples | None:
        """See `Task`: every question of what is held out, at the recipe's budget."""
        return self._validation

    def examples(self, count: int) -> PackedExamples:
        """See `Task`."""
        optimiser = self._recipe.optimiser
        return PackedExamples(
            {budget: data.train for budget, data in self._at.items()},
            self.tokens,
            count=count,
            seed=self._recipe.seed,
            questions=self._recipe.ask.questions,
            per_step=optimiser.batch_size * optimiser.accumulation * processes.count(),
        )

    def score(self, model: Any) -> dict[str, float]:
        """See `Task`: nothing but the loss; `nunext-train ask evaluate` asks."""
        del model
        return {}

    def tokens(self, row: Mapping[str, Any]) -> Tokens:
        """A row's question and right answer, made once."""
        key = id(row)
        if key not in self._cached:
            self._cached[key] = self._tokens(row)
        return self._cached[key]

    def _tokens(self, row: Mapping[str, Any]) -> Tokens:
        said = {message["role"]: message["content"] for message in row["prompt"]}
        picture = row["images"][0].sent
        blank = np.zeros((picture.height_px, picture.width_px, 3), dtype=np.uint8)
        read = self._answerer.read(blank, said["user"], said.get("system", ""))
        words = row["completion"][-1]["content"]
        tokenizer: Any = self._answerer.processor.tokenizer
        reply = [*tokenizer.encode(words, add_special_tokens=False), self._answerer.ends[0]]
        weights = np.ones(len(reply), dtype=np.float32)
        opened = next(
            (n for n in range(1, len(reply)) if ANSWER_TAG in tokenizer.decode(reply[:n])), 0
        )
        weights[opened:] = self._answer_weight
        return Tokens(read["input_ids"][0].numpy(), np.array(reply), weights)

    def encode(self, examples: Sequence[PackedQuestions]) -> dict[str, torch.Tensor]:
        """See `Task`: pictures, and prefixes with their blocks."""
        processor: Any = self._answerer.processor
        pictures = inputs_of_pictures(processor, [example.picture for example in examples])
        packed = [pack(example.questions) for example in examples]
        return packed_inputs(self._answerer.model, packed, pictures, self._answerer.image_id or 0)
