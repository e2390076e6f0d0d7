"""PathMMU: multiple-choice questions about pathology, seen by pathologists (Sun et al., 2024).

Layout::

    data.json       {"PubMed": {"val": [...], "test": [...], "test_tiny": [...]}, "Atlas": ...}
    images/         the pictures that the questions name

A question has ``No``, ``img``, ``question``, ``options`` (``"A) ..."``), ``answer`` (the same, or
its letter) and an ``explanation``. The letter says which option is right, as in the authors' own
evaluation. Pictures of some subsets come from elsewhere (the authors' ``data/instructions.md``): a
question whose picture is missing is left out.

There is no training part. As in "Bilateral pathology reasoning" (Appendix B), ``test_tiny`` tests,
``val`` validates, the rest of ``test`` trains, and the subset SocialPath is not read. Several
questions share a picture, and it stands for a patient.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.json_text import parse_json
from napari_nunext.images import open_tile
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    QuestionImporter,
    known_answer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.questions.base import KnownAnswer, Member

LIST_FILE = "data.json"
NOT_READ = ("SocialPath",)

_SPLITS: dict[str, Split] = {"test": "train", "val": "val", "test_tiny": "test"}
"""What the paper does with each part."""
_LETTERED = re.compile(r"([A-Z])\s*(?:[).:]|$)\s*(.*)")


def _recognises(folder: Path) -> bool:
    return (folder / LIST_FILE).is_file() and (folder / "images").is_dir()


def _members(folder: Path) -> list[Member]:
    members: list[Member] = []
    for subset, parts in _read_list(folder / LIST_FILE).items():
        if subset in NOT_READ:
            continue
        for part, questions in parts.items():
            if part not in _SPLITS:
                raise RecordError(
                    f"{LIST_FILE} has the part {part!r} of {subset}; expected {', '.join(_SPLITS)}."
                )
            members += [partial(_read_question, folder, subset, part, asked) for asked in questions]
    return members


def _read_list(path: Path) -> dict[str, dict[str, list[Any]]]:
    try:
        data = parse_json(path.read_bytes())
        return {
            str(subset): {str(part): list(questions) for part, questions in parts.items()}
            for subset, parts in data.items()
        }
    except (OSError, *MALFORMED) as error:
        raise RecordError(
            f"{path.name} is not the list of PathMMU ({error}); expected subsets, each with "
            f"{', '.join(_SPLITS)}. Download it again."
        ) from error


def _read_question(folder: Path, subset: str, part: str, asked: Any) -> list[AnsweredImage]:
    where = f"{subset}, {part}"
    try:
        what = f"{where}, question {asked['No']}"
        answer = _answer(what, asked)
        name = PurePath(str(asked["img"]))
    except MALFORMED as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"A question of {where} is malformed ({error!r}).") from error
    path = folder / "images" / name
    if name.is_absolute() or ".." in name.parts or not path.is_file():
        raise RecordError(f"{what} has no picture: images/{name} is missing.")
    return [
        AnsweredImage(
            name=path.stem,
            rgb=open_tile(path).rgb,
            split=_SPLITS[part],
            answers=(answer,),
            subset=subset,
        )
    ]


def _answer(what: str, asked: dict[str, Any]) -> KnownAnswer:
    options = [" ".join(str(option).split()) for option in asked["options"]]
    lettered = [_LETTERED.match(option) for option in options]
    if all(found and ord(found[1]) - 65 == i for i, found in enumerate(lettered)):
        options = [found[2] for found in lettered if found]
    said = _LETTERED.match(str(asked["answer"]).strip())
    index = ord(said[1]) - 65 if said else len(options)
    if index >= len(options):
        raise RecordError(
            f"{what} has the answer {asked['answer']!r}; expected the letter of one of "
            f"{len(options)} options."
        )
    return known_answer(what, options[index], text=str(asked["question"]), options=tuple(options))


PATHMMU = QuestionImporter(
    name="pathmmu",
    title="PathMMU, multiple choice seen by pathologists (Sun et al., 2024)",
    recognises=_recognises,
    members=_members,
    mpp=0.5,
    mpp_is_said=False,
    licence="CC BY-ND 4.0",
    link="https://github.com/PathMMU-Benchmark/PathMMU",
    not_carried="explanations; SocialPath, whose pictures are not published",
)
