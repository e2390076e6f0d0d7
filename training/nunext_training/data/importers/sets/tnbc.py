"""TNBC: triple-negative breast cancer, 11 patients at 40x (Naylor et al., TMI 2019).

Layout (``TNBC_NucleiSegmentation``)::

    Slide_01/01_1.png                          image; one folder for each patient
    GT_01/01_1.png                             its nuclei, not black

Nuclei do not touch in the masks: each 8-connected part is one. There is no split: all is for tests.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_nunext.core.errors import RecordError
from napari_nunext.images import open_tile
from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.reading import check_fits, nuclei_of_labels, pseudonym
from nunext_training.data.labelled import LabelledImage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from nunext_training.data.importers.base import Member

MPP = 0.25

_SLIDES = "Slide_*/*.png"


def _recognises(folder: Path) -> bool:
    return any(folder.glob(_SLIDES)) and any(folder.glob("GT_*/*.png"))


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    paths = sorted(folder.glob(_SLIDES))
    if not paths:
        raise RecordError(f"{folder} has no slides; expected Slide_01/01_1.png and so on.")
    return [partial(_read_image, path, mpp) for path in paths]


def _read_image(path: Path, mpp: float | None) -> LabelledImage:
    slide = path.parent.name.removeprefix("Slide_")
    truth = path.parent.parent / f"GT_{slide}" / path.name
    mask = _read_mask(truth)
    check_fits(mask, open_tile(path), f"{truth.parent.name}/{truth.name}")
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    nuclei = nuclei_of_labels(labels)
    return LabelledImage(
        name=path.stem,
        path=path,
        mpp=MPP if mpp is None else mpp,
        mpp_source="user",
        points_xy=nuclei.points_xy,
        categories=nuclei.categories,
        split="test",
        patient=pseudonym(f"tnbc/{slide}"),
        masks=nuclei.masks,
        tissue="Breast",
    )


def _read_mask(path: Path) -> NDArray[np.bool_]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise RecordError(
            f"{path.parent.name}/{path.name} cannot be read ({error}); expected the mask of "
            f"{path.name}."
        ) from error
    return np.asarray(rgb.any(axis=2))


TNBC = Importer(
    name="tnbc",
    title="TNBC, breast cancer at 40x, no kinds (Naylor et al., TMI 2019)",
    categories=NO_CATEGORIES,
    recognises=_recognises,
    members=_members,
    licence="see the link",
    link="https://zenodo.org/records/1175282",
)
