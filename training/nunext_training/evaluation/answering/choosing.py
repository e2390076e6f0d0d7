"""Asking an allocator what budget each question of a table deserves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.allocator import choose_tokens
from nunext_training.evaluation.answering.budgets import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.models.answerers.about import Allocation
    from napari_nunext.models.answerers.loaded import LoadedAnswerer
    from nunext_training.data.answers.reward_table import RewardTable


def choices_of(
    name: str,
    table: RewardTable,
    answerer: LoadedAnswerer,
    allocation: Allocation,
    rows: Sequence[dict[str, Any]],
    *,
    patch_px: int,
    tell: Callable[[int, int], None],
) -> Way:
    """What an allocator chooses, as it chooses when serving.

    Parameters
    ----------
    name : str
        Of the way, in reports.
    table : RewardTable
    answerer : LoadedAnswerer
        With an allocator.
    allocation : Allocation
        What it was taught.
    rows : sequence of dict
        The table's questions with the thumbnails that it looks at.
    patch_px : int
        Side of one image token.
    tell : callable
        Told how many of how many are chosen for.

    Raises
    ------
    InputError
        If it chooses what the table has not, or rows or questions are missing.
    """
    budgets = table.of.budgets
    menu = allocation.within(budgets[-1])
    if not set(menu) <= set(budgets):
        raise InputError(
            f"The allocator chooses among {menu}, and the table has {budgets}. Make a table with "
            "--budgets " + " ".join(map(str, menu)) + "."
        )
    at = {row["id"]: row for row in rows}
    choices, looks = [], []
    for done, tabled in enumerate(table.questions, start=1):
        row = at.get(tabled.id)
        question = None if row is None else row["evidence"].question
        if row is None or question is None:
            raise InputError(
                f"The exports do not have the question {tabled.id} of the table in the words of "
                "our prompts. Name the exports that the table was made of."
            )
        with answerer.allocating():
            chosen = choose_tokens(
                answerer,
                np.asarray(row["images"][0].open()),
                question,
                menu,
                current_tokens=tabled.tokens[-1],
                most_tokens=budgets[-1],
            )
        width_px, height_px = row["size_px"]
        choices.append(budgets.index(chosen))
        looks.append((width_px // patch_px) * (height_px // patch_px) if len(menu) > 1 else 0)
        tell(done, len(table.questions))
    return Way(name, np.array(choices), np.array(looks))
