"""CRAG: glands of the colon with instance masks at 20x (Graham et al., MedIA 2019).

Layout::

    train/Images/train_1.png        and valid/ (test/)
    train/Annotation/train_1.png    instance labels; of the same name
    train/Overlay/                  not read

at 20x, which is taken as 0.5 um a pixel. ``valid``, which the publishers call the test set, tests.
Patients are not known: an image stands for one, with all its tiles (`tiles`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.images import image_stem, open_tile
from nunext_training.data.importers.questions.base import QuestionImporter
from nunext_training.data.importers.questions.tiles import tiles_with_boxes
from nunext_training.data.importers.reading import pseudonym, read_label_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.questions.base import AnsweredImage, Member

_SPLITS: dict[str, Split] = {"train": "train", "valid": "test", "test": "test"}
IMAGES, LABELS = "Images", ("Annotation", "Annotations")


def _images(folder: Path) -> list[tuple[Path, Split]]:
    """Images of each part, wherever the archive was unpacked."""
    return [
        (path, split)
        for part, split in _SPLITS.items()
        for depth in ("", "*/")
        for path in sorted(folder.glob(f"{depth}{part}/{IMAGES}/*.png"))
    ]


def _labels_of(image: Path) -> Path:
    part = image.parent.parent
    found = [part / labels / image.name for labels in LABELS]
    path = next((p for p in found if p.is_file()), None)
    if path is None:
        raise RecordError(f"{part.name}/{LABELS[0]}/{image.name} is missing.")
    return path


def _recognises(folder: Path) -> bool:
    return any(
        any((path.parent.parent / labels).is_dir() for labels in LABELS)
        for path, _ in _images(folder)[:1]
    )


def _members(folder: Path) -> list[Member]:
    return [partial(_read_image, path, split) for path, split in _images(folder)]


def _read_image(path: Path, split: Split) -> Iterator[AnsweredImage]:
    labels = _labels_of(path)
    name = image_stem(path)
    return tiles_with_boxes(
        open_tile(path),
        read_label_image(labels),
        f"{labels.parent.name}/{labels.name}",
        name=name,
        category="glands",
        organ="colon",
        split=split,
        patient=pseudonym(f"crag/{name}"),
    )


CRAG = QuestionImporter(
    name="crag",
    title="CRAG, glands of the colon at 20x (Graham et al., 2019)",
    recognises=_recognises,
    members=_members,
    mpp=0.5,
    mpp_is_said=True,
    licence="not stated",
    link="https://warwick.ac.uk/fac/cross_fac/tia/data/mildnet",
)
