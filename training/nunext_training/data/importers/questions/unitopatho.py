"""UniToPatho: polyps of the colon and rectum in six classes (Barbano et al., 2021).

Layout::

    800/train.csv, 800/test.csv      columns image_id and top_label_name, perhaps wsi
    800/<top_label_name>/<image_id>  patches of 800 um, 1812 px
    7000/                            not read

at 0.4415 um a pixel. Each slide is of another patient: its name stands in the column ``wsi``, or
before ``.ndpi`` in the patch's.
"""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import read_rows
from napari_nunext.images import image_stem, open_tile
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    QuestionImporter,
    known_answer,
)
from nunext_training.data.importers.reading import pseudonym

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.questions.base import Member

PATCHES = "800"

CLASSES = {
    "NORM": "Normal tissue",
    "HP": "Hyperplastic polyp",
    "TA.HG": "Tubular adenoma with high-grade dysplasia",
    "TA.LG": "Tubular adenoma with low-grade dysplasia",
    "TVA.HG": "Tubulo-villous adenoma with high-grade dysplasia",
    "TVA.LG": "Tubulo-villous adenoma with low-grade dysplasia",
}
"""What the folders stand for, in the paper's order."""

_LISTS: dict[str, Split] = {"train.csv": "train", "test.csv": "test"}
_COLUMNS = ("image_id", "top_label_name")


def _patches(folder: Path) -> Path:
    return folder if folder.name == PATCHES else folder / PATCHES


def _recognises(folder: Path) -> bool:
    patches = _patches(folder)
    listed = any((patches / name).is_file() for name in _LISTS)
    return listed and any((patches / name).is_dir() for name in CLASSES)


def _members(folder: Path) -> list[Member]:
    patches = _patches(folder)
    members: list[Member] = []
    for name, split in _LISTS.items():
        if not (patches / name).is_file():
            raise RecordError(f"{PATCHES}/{name} is missing. Unpack UniToPatho again.")
        rows = read_rows(patches / name)
        if missing := [c for c in _COLUMNS if rows and c not in rows[0]]:
            raise RecordError(
                f"{PATCHES}/{name} has no column {', '.join(missing)}; it has {', '.join(rows[0])}."
            )
        members += [
            partial(_read_patch, patches, f"{PATCHES}/{name} line {line}", row, split)
            for line, row in enumerate(rows, start=2)
        ]
    return members


def _read_patch(patches: Path, what: str, row: dict[str, str], split: Split) -> list[AnsweredImage]:
    name, label = (row[column] for column in _COLUMNS)
    if label not in CLASSES:
        raise RecordError(f"{what} has the class {label!r}; expected {', '.join(CLASSES)}.")
    path = patches / label / PurePath(name).name
    answer = known_answer(what, CLASSES[label], task="subtype", options=tuple(CLASSES.values()))
    slide = row.get("wsi") or name.partition(".ndpi")[0]
    return [
        AnsweredImage(
            name=image_stem(path),
            rgb=open_tile(path).rgb,
            split=split,
            answers=(answer,),
            patient=pseudonym(f"unitopatho/{PurePath(slide).name.removesuffix('.ndpi')}"),
            tissue="Colon and rectum",
        )
    ]


UNITOPATHO = QuestionImporter(
    name="unitopatho",
    title="UniToPatho, polyps of the colon in six classes (Barbano et al., 2021)",
    recognises=_recognises,
    members=_members,
    mpp=0.4415,
    mpp_is_said=True,
    licence="CC BY 4.0",
    link="https://ieee-dataport.org/open-access/unitopatho",
    not_carried="patches of 7000 um",
)
