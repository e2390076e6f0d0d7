"""Asking a performer every question at every budget, for an allocator to learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import InputError
from nunext_training.data.answers.packing import pictures_of
from nunext_training.data.answers.reward_table import (
    TabledQuestion,
    append_questions,
    open_table,
    read_table,
)
from nunext_training.evaluation.answering.answers import ask_all
from nunext_training.method.answer_rewards import score_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from napari_nunext.models.answerers.answerer import AnswerSampling
    from napari_nunext.models.answerers.loaded import LoadedAnswerer
    from nunext_training.data.answers.reward_table import RewardTable, TableOf


def tabulate(
    path: Path,
    of: TableOf,
    answerer: LoadedAnswerer,
    at_budget: Mapping[int, Sequence[dict[str, Any]]],
    sampling: AnswerSampling,
    weights: Mapping[str, float],
    *,
    patch_px: int,
    tell: Callable[[int, int], None],
) -> RewardTable:
    """Ask what the table does not have yet, picture by picture.

    Parameters
    ----------
    path : Path
        Gets a line for each question as soon as its picture is done.
    of : TableOf
    answerer : LoadedAnswerer
    at_budget : mapping of int to rows
        The same questions at each budget (`nunext_training.data.answers`).
    sampling : AnswerSampling
    weights : mapping of str to float
        Of the rewards, by name. The format's is not one of the task, and is left out.
    patch_px : int
        Side of one image token.
    tell : callable
        Told how many pictures of how many are done.

    Raises
    ------
    InputError
        If the file is the table of something else, or a question has no reward.
    """
    weights = {name: weight for name, weight in weights.items() if name != "format"}
    if not weights:
        raise InputError("The recipe weighs no reward but the format's; add one of the task.")
    there = open_table(path, of).by_id()
    first = at_budget[of.budgets[0]]
    pictures = pictures_of(first)
    for done, picture in enumerate(pictures, start=1):
        places = [place for place in picture.rows if first[place]["id"] not in there]
        if places:
            found = [
                ask_all(
                    answerer,
                    [at_budget[budget][place] for place in places],
                    sampling,
                    patch_px=patch_px,
                    tell=lambda done, total: None,
                )
                for budget in of.budgets
            ]
            append_questions(
                path,
                [
                    TabledQuestion(
                        str(first[place]["id"]),
                        str(first[place]["image"]),
                        str(first[place].get("kind") or first[place]["task"]),
                        tuple(each.image_tokens for each in answers),
                        tuple(score_answer(each.seen, weights).reward for each in answers),
                    )
                    for place, answers in zip(places, zip(*found, strict=True), strict=True)
                ],
            )
        tell(done, len(pictures))
    return read_table(path)
