"""Asking an allocator what budget each question deserves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.allocator import choose_tokens
from nunext_training.evaluation.answering.budgets import Way

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        if row is None or row["evidence"].question is None:
            raise InputError(
                f"The exports do not have the question {tabled.id} of the table in the words of "
                "our prompts. Name the exports that the table was made of."
            )
        choices.append(budgets.index(_chosen(answerer, row, menu, tabled.tokens[-1], budgets[-1])))
        looks.append(tokens_of(row, patch_px) if len(menu) > 1 else 0)
        tell(done, len(table.questions))
    return Way(name, np.array(choices), np.array(looks))


def rows_as_chosen(
    answerer: LoadedAnswerer,
    allocation: Allocation,
    rows_at: Callable[[int], Sequence[dict[str, Any]]],
    budget: int,
    *,
    patch_px: int,
    tell: Callable[[int, int], None],
) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows to ask a performer, each at the budget that its allocator chooses, as when serving.

    Parameters
    ----------
    answerer : LoadedAnswerer
        With an allocator.
    allocation : Allocation
        What it was taught.
    rows_at : callable
        The same rows at any budget (`nunext_training.data.answers`).
    budget : int
        The most that may be chosen.
    patch_px : int
        Side of one image token.
    tell : callable
        Told how many of how many are chosen for.

    Returns
    -------
    rows : list of dict
    look_tokens : list of int
        What the thumbnail of each cost; 0 where there was nothing to choose.

    Raises
    ------
    InputError
        If a question is not in the words of our prompts.
    """
    menu = allocation.within(budget)
    at = {tokens: rows_at(tokens) for tokens in {*menu, budget, allocation.look_tokens}}
    asked, looks = [], []
    pairs = list(zip(at[budget], at[allocation.look_tokens], strict=True))
    for place, (whole, thumbnail) in enumerate(pairs):
        most = tokens_of(whole, patch_px)
        if len(menu) < 2 or most <= menu[0]:
            asked.append(whole)
            looks.append(0)
        else:
            if whole["evidence"].question is None:
                raise InputError(
                    f"The question {whole['id']} is not in the words of our prompts, which an "
                    "allocator reads. Leave out --allocator."
                )
            asked.append(at[_chosen(answerer, thumbnail, menu, most, budget)][place])
            looks.append(tokens_of(thumbnail, patch_px))
        tell(place + 1, len(pairs))
    return asked, looks


def tokens_of(row: Mapping[str, Any], patch_px: int) -> int:
    """Image tokens of a row's picture."""
    width_px, height_px = row["size_px"]
    return int((width_px // patch_px) * (height_px // patch_px))


def _chosen(
    answerer: LoadedAnswerer,
    thumbnail: Mapping[str, Any],
    menu: Sequence[int],
    current_tokens: int,
    most_tokens: int,
) -> int:
    with answerer.allocating():
        return choose_tokens(
            answerer,
            np.asarray(thumbnail["images"][0].open()),
            thumbnail["evidence"].question,
            menu,
            current_tokens=current_tokens,
            most_tokens=most_tokens,
        )
