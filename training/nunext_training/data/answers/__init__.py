"""Judged answers of exports as what trainers and evaluations read.

Inside: `rows` (records as rows of TRL, each picture at the budget), `evidence` (what nuclei say to
a question, and what an answerer is told of them), `packing` (all questions of a picture behind it)
and `reward_table` (what a performer's answers are worth at each budget). It may import `method` and
what of `data` reads exports; the next reader is a module here.
"""

from __future__ import annotations

from nunext_training.data.answers.rows import (
    COLUMNS,
    FILES,
    AnswerData,
    AnswerMethod,
    ShownPicture,
    read_answers,
    seen_reply,
)

__all__ = [
    "COLUMNS",
    "FILES",
    "AnswerData",
    "AnswerMethod",
    "ShownPicture",
    "read_answers",
    "seen_reply",
]
