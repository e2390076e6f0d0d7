"""ESCA: tissue of the oesophagus in eleven classes, from four institutes (Tolkach et al., 2023).

Layout, as the archives unpack::

    VALSET4_CHA_FULL/<class>/<patch>.jpg    Charite; and VALSET1_UKK, VALSET2_WNS, VALSET3_TCGA

with patches of 256 px. As in "Bilateral pathology reasoning" (Appendix B), the Charite trains and
the others test: no patient is on both sides. The files do not say which patches are of one patient
(TCGA's barcodes apart): each stands for one. Their scale is not in the files either; it is taken to
be 0.78 um a pixel.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.images import image_stem, open_tile
from napari_nunext.images.formats import is_image_name
from nunext_training.data.importers.questions.base import (
    AnsweredImage,
    QuestionImporter,
    known_answer,
)
from nunext_training.data.importers.reading import patient_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.questions.base import KnownAnswer, Member

INSTITUTES: dict[str, Split] = {
    "VALSET4_CHA_FULL": "train",
    "VALSET1_UKK": "test",
    "VALSET2_WNS": "test",
    "VALSET3_TCGA": "test",
}
"""Which side each is on."""

CLASSES = {
    "ADVENT": "Adventitia",
    "LAM_PROP": "Lamina propria mucosae",
    "MUSC_MUC": "Muscularis mucosae",
    "MUSC_PROP": "Muscularis propria",
    "REGR_TU": "Regression tissue",
    "SH_MAG": "Gastric mucosa",
    "SH_OES": "Esophageal mucosa",
    "SUBMUC": "Submucosa",
    "SUB_GL": "Submucosal glands",
    "TUMOR": "Tumor",
    "ULCUS": "Ulceration",
}
"""What the folders stand for, in the paper's words and order."""


def _recognises(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in INSTITUTES)


def _members(folder: Path) -> list[Member]:
    answers = {
        label: known_answer(label, meant, task="subtype", options=tuple(CLASSES.values()))
        for label, meant in CLASSES.items()
    }
    members: list[Member] = []
    for institute, split in INSTITUTES.items():
        for classed in sorted(p for p in (folder / institute).glob("*") if p.is_dir()):
            if classed.name not in CLASSES:
                raise RecordError(
                    f"{institute} has the class {classed.name!r}; expected {', '.join(CLASSES)}."
                )
            members += [
                partial(_read_patch, path, split, answers[classed.name])
                for path in sorted(classed.iterdir())
                if is_image_name(path.name)
            ]
    return members


def _read_patch(path: Path, split: Split, answer: KnownAnswer) -> list[AnsweredImage]:
    institute = path.parent.parent.name
    name = f"{institute}-{path.parent.name}-{image_stem(path)}"
    return [
        AnsweredImage(
            name=name,
            rgb=open_tile(path).rgb,
            split=split,
            answers=(answer,),
            patient=patient_of(name, f"esca/{name}"),
            tissue="Oesophagus",
        )
    ]


ESCA = QuestionImporter(
    name="esca",
    title="ESCA, tissue of the oesophagus in eleven classes (Tolkach et al., 2023)",
    recognises=_recognises,
    members=_members,
    mpp=0.78,
    mpp_is_said=False,
    licence="see the link",
    link="https://zenodo.org/records/7548828",
)
