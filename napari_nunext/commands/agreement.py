"""``napari-nunext agreement``: whether readers agree, and which answerer they prefer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari_nunext.commands.export import reader_name
from napari_nunext.core.answers.enough import NotEnough
from napari_nunext.places import check_is_there
from napari_nunext.review.asking.agreeing import judgements_of
from napari_nunext.store import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.answers.agreement import Agreement
    from napari_nunext.core.answers.ranking import Ranking


def say_agreement(path: Path, *, as_json: bool, tell: Callable[[str], None]) -> None:
    """Tell what the judgements of a project add up to: a sentence a line, or one JSON object.

    Raises
    ------
    NunextError
        If there is no such project, or it cannot be read.
    """
    check_is_there(path)
    with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
        found = judgements_of(project)
    if not as_json:
        for sentence in found.in_words:
            tell(sentence)
        return
    told = {
        "ratings": _agreement(found.ratings),
        "choices": None if found.choices is None else _agreement(found.choices),
        "ranking": _ranking(found.ranking),
    }
    tell(json.dumps(told, ensure_ascii=False))


def _agreement(found: Agreement | NotEnough) -> dict[str, Any]:
    if isinstance(found, NotEnough):
        return {"not_enough": found.why}
    return {
        "alpha": found.alpha,
        "interval": None if found.interval is None else found.interval.to_json(),
        "scale": found.scale,
        "answers": found.answers,
        "readers": found.readers,
    }


def _ranking(found: Ranking | NotEnough) -> dict[str, Any]:
    if isinstance(found, NotEnough):
        return {"not_enough": found.why}
    return {
        "answerers": [
            {"name": each.name, "share": each.share, "interval": each.interval.to_json()}
            for each in found.standings
        ],
        "votes": found.votes,
        "ties": found.ties,
        "both_bad": found.both_bad,
        "named": found.named,
        "readers": found.readers,
    }
