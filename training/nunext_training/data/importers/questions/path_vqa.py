"""PathVQA: 32,799 questions about 4,998 pictures of textbooks (He et al., 2020).

Layout, as Hugging Face has it (flaviagiammarino/path-vqa), in a folder, in ``data``, or as
converted in ``default/train``::

    train-00000-of-00007-<hash>.parquet        and validation-..., test-...

with the columns ``image`` (the bytes of a file), ``question`` and ``answer``, a question a row. The
files of the authors' own archive are pickles, which run code when they are opened: they are
refused.

The pictures are of textbooks and of any scale. Patients are not known: a picture stands for one.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from nunext_training.data.importers.parquet import ParquetRow, decoded, open_parquet, rows_of
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    QuestionImporter,
    known_answer,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.questions.base import Member

COLUMNS = ("image", "question", "answer")

_SPLITS: dict[str, Split] = {"train": "train", "validation": "val", "test": "test"}
_DEPTHS = ("*.parquet", "data/*.parquet", "*/*.parquet", "default/*/*.parquet")
_SPLIT = re.compile(rf"(?:^|/)({'|'.join(_SPLITS)})[-/.]")


def _files(folder: Path) -> list[tuple[Path, Split]]:
    """Files whose names or folders say their split, in order."""
    paths = sorted({path for depth in _DEPTHS for path in folder.glob(depth)})
    said = ((path, _SPLIT.search(path.relative_to(folder).as_posix())) for path in paths)
    return [(path, _SPLITS[found[1]]) for path, found in said if found]


def _pickles(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pkl"))


def _recognises(folder: Path) -> bool:
    return folder.is_dir() and bool(_files(folder) or _pickles(folder))


def _members(folder: Path) -> list[Member]:
    files = _files(folder)
    if not files and (pickles := _pickles(folder)):
        raise RecordError(
            f"{pickles[0].name} is a pickle, which runs code when it is opened, and is not read. "
            "Take PathVQA as Parquet, from Hugging Face (flaviagiammarino/path-vqa)."
        )
    members: list[Member] = []
    for path, split in files:
        file = open_parquet(path, COLUMNS, "flaviagiammarino/path-vqa")
        rows = rows_of(file, path, COLUMNS)
        members += [partial(_read_row, row, number, split) for number, row in enumerate(rows)]
    return members


def _read_row(row: ParquetRow, number: int, split: Split) -> list[AnsweredImage]:
    what = f"{row.path.name}, row {number}"
    question, answer = (str(row.cell(name) or "") for name in ("question", "answer"))
    return [
        AnsweredImage(
            name=f"{row.path.stem.split('-of-')[0]}-{number:05d}",
            rgb=decoded(row.cell("image"), what, "RGB"),
            split=split,
            answers=(known_answer(what, answer, text=question),),
        )
    ]


PATH_VQA = QuestionImporter(
    name="pathvqa",
    title="PathVQA, questions about pictures of textbooks (He et al., 2020)",
    recognises=_recognises,
    members=_members,
    mpp=0.5,
    mpp_is_said=False,
    licence="MIT",
    link="https://huggingface.co/datasets/flaviagiammarino/path-vqa",
)
