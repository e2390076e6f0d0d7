"""The figures of ``nunext-train ask evaluate``: how they are told, and those of rules."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nunext.core.answers.budget import PATCH_PX
from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from nunext_training.evaluation.answering.answer_scores import Answered, Figure

RULES = ("majority", "constant", "counts")
"""Those of `nunext_training.evaluation.answering.rules`, whose import takes seconds."""


def by_rule(args: argparse.Namespace) -> int:
    """Answer by a rule instead of a model."""
    from nunext_training.data.answers import read_answers
    from nunext_training.evaluation.answering.rules import answer_by_rule

    for option, given in (("--adapter", args.adapter), ("--allocator", args.allocator)):
        if given is not None:
            raise InputError(
                f"{option} is of a checkpoint, and --rule has none. Leave one of them out."
            )
    read = partial(
        read_answers,
        method="grpo",
        budget=args.budget,
        patch_px=PATCH_PX,
        strict=args.strict,
        allow_loss=args.allow_loss,
        accepted=True,
    )
    data = read(args.data)
    rows = getattr(data, args.split)
    if not rows:
        raise InputError(
            f"The {args.split} split of the exports has no question whose answer is known. Choose "
            "another --split, or correct answers of more images and export again."
        )
    learnt = data.train if args.learn is None else read(args.learn).train
    answered = answer_by_rule(args.rule, learnt, rows)
    tell_figures(args, answered, {"split": args.split, "rule": args.rule}, data.origins)
    return 0


def tell_figures(
    args: argparse.Namespace,
    answered: Sequence[Answered],
    asked: Mapping[str, Any],
    origins: Sequence[Mapping[str, Any]],
    more: Mapping[str, Figure] | None = None,
) -> None:
    """Print the figures for people, and write them where ``--out`` says.

    Parameters
    ----------
    args : Namespace
    answered : sequence of Answered
    asked : mapping
        How it was asked.
    origins : sequence of mapping
        What the questions come from.
    more : mapping, optional
        Further figures.
    """
    from nunext_training.evaluation.answering.answer_scores import (
        score_answers,
        score_subsets,
        table_of,
    )
    from nunext_training.evaluation.answering.kinds import score_values, table_of_kinds, values_of
    from nunext_training.evaluation.answering.whole_set import score_whole_set
    from nunext_training.runs.files import write_json

    figures = score_answers(answered) | score_whole_set(answered) | dict(more or {})
    valued = values_of(answered)
    kinds = score_values(valued)
    if args.progress == "bar":
        sys.stdout.write(table_of(figures).to_markdown())
        if len(kinds) > 2:  # several, and their mean
            sys.stdout.write("\n" + table_of_kinds(kinds).to_markdown())
    if args.out is not None:
        written = {**asked, "data": list(origins), "figures": _json(figures)}
        if subsets := score_subsets(answered):
            written["subsets"] = {name: _json(of) for name, of in subsets.items()}
        if kinds:
            written["kinds"] = _json(kinds)
            written["values"] = [list(each) for each in valued]
        write_json(args.out, written)


def _json(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in figures.items()}
