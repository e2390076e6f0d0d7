"""DigestPath 2019, the part on tissue: malignant lesions of the colon (Da et al., MedIA 2022).

Layout::

    tissue-train-pos-v1/<slide>-lv1-<x>-<y>-<width>-<height>.jpg    with malignant tissue
    tissue-train-pos-v1/<the same>_mask.jpg                         its mask, white
    tissue-train-neg/<slide>-lv1-....jpg                            without, and without a mask

A mask is a JPEG: what is lighter than half is lesion, and each separate piece is one (`tiles` finds
their boxes). The challenge kept its test set: patients are dealt out by their hash, and one in five
validates. A slide's name begins with the number of its case, and perhaps the letter of a block,
before the date; these are numbers of a hospital, so that an export has pseudonyms of the names. The
files do not say their scale: it is taken to be 0.5 um a pixel.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import RecordError
from napari_nunext.images import image_stem, open_tile
from napari_nunext.images.formats import is_image_name
from napari_nunext.images.nuclei.label_images import split_binary
from nunext_training.data.importers.questions.base import QuestionImporter
from nunext_training.data.importers.questions.tiles import tiles_with_boxes
from nunext_training.data.importers.reading import dealt, pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from napari_nunext.images import Tile
    from nunext_training.data.importers.questions.base import AnsweredImage, Member

WITH_LESIONS, WITHOUT = "tissue-train-pos*", "tissue-train-neg*"
_MASK = "_mask"
_LIGHT = 128
_LEVEL = re.compile(r"-lv\d")
_DATE = re.compile(r"[ _-]*20\d\d-\d\d-\d\d")
_BLOCK = re.compile(r"(?<=\d)[A-Z]$")


def case_of(name: str) -> str:
    """What tells a case from others: the slide's name up to its date, without a block's letter."""
    slide = _LEVEL.split(name)[0]
    case = _DATE.split(slide)[0]
    return _BLOCK.sub("", case) or slide


def _images(folder: Path) -> list[tuple[Path, bool]]:
    """Images, and whether they must have a mask."""
    return [
        (path, has_lesions)
        for pattern, has_lesions in ((WITH_LESIONS, True), (WITHOUT, False))
        for depth in ("", "*/")
        for path in sorted(folder.glob(f"{depth}{pattern}/*"))
        if is_image_name(path.name) and not path.stem.endswith(_MASK)
    ]


def _recognises(folder: Path) -> bool:
    return bool(_images(folder))


def _members(folder: Path) -> list[Member]:
    return [partial(_read_image, path, has) for path, has in _images(folder)]


def _read_image(path: Path, has_lesions: bool) -> Iterator[AnsweredImage]:
    name = image_stem(path)
    mask = path.with_name(f"{name}{_MASK}{path.suffix}")
    image = open_tile(path)
    patient = pseudonym(f"digestpath/{case_of(name)}")
    return tiles_with_boxes(
        image,
        _labels(image, mask, has_lesions),
        f"{path.parent.name}/{mask.name}",
        name=name,
        category="malignant lesions",
        organ="colon",
        split=dealt(patient),
        patient=patient,
    )


def _labels(image: Tile, mask: Path, has_lesions: bool) -> NDArray[Any]:
    if not has_lesions:
        return np.zeros((image.height_px, image.width_px), dtype=np.uint8)
    if not mask.is_file():
        raise RecordError(f"{mask.parent.name}/{mask.name} is missing.")
    light = (open_tile(mask).rgb[..., 0] >= _LIGHT).astype(np.uint8)
    return split_binary(light)[0]


DIGESTPATH = QuestionImporter(
    name="digestpath",
    title="DigestPath 2019, malignant lesions of the colon (Da et al., 2022)",
    recognises=_recognises,
    members=_members,
    mpp=0.5,
    mpp_is_said=False,
    licence="see the link",
    link="https://digestpath2019.grand-challenge.org",
    names_are_public=False,
)
