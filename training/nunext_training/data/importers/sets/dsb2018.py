"""The stained tiles of the Data Science Bowl 2018 (BBBC038), as label images.

Layout::

    images/<name>.png
    labels/<name>.png                          a label image, 0 for background

The set says neither scale nor patient nor split, so all of these are ours. A tile's scale is the
one at which its median nucleus is `NUCLEUS_UM` across: magnifications are mixed, and a segmenter
wants nuclei of one size. Each tile stands for a patient, though some were cut from one slide. Tiles
are dealt out by the hash of their names: one in four is kept for tests, one in eight validates. The
tissue is the kind of image, told by its colours, so that figures come by kind.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nunext_training.data.importers.base import NO_CATEGORIES, Importer
from nunext_training.data.importers.folder import folder_members, recognises_folder
from nunext_training.data.importers.reading import pseudonym

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.formats.records import Split
    from nunext_training.data.importers.base import Member
    from nunext_training.data.labelled import LabelledImage

NUCLEUS_UM = 7.0
"""Diameter of the median nucleus; see the module."""
MPP_RANGE = (0.1, 1.0)
"""Estimates beyond it are cut off: a tile with few, odd nuclei."""

ON_WHITE, ON_PURPLE, PINK = "Purple on white", "Purple on purple", "Pink"
_WHITE_SATURATION = 40 / 255
"""Median saturation of a tile, as the lexicon of colours HSV has it, below which it is white."""

_PARTS: dict[int, Split] = {0: "test", 1: "test", 2: "val"}
_OF_PARTS = 8


def _members(folder: Path, mpp: float | None = None) -> list[Member]:
    return [partial(_read_tile, m, mpp) for m in folder_members(folder, mpp or 1.0)]


def _read_tile(member: Member, mpp: float | None) -> LabelledImage:
    tile = member()
    return replace(
        tile,
        mpp=tile.mpp if mpp is not None else estimated_mpp(tile),
        mpp_source="assumed" if mpp is None else "user",
        split=part_of(tile.name),
        patient=pseudonym(tile.name),
        tissue=kind_of(tile.open().rgb),
    )


def part_of(name: str) -> Split:
    """Training, validation or test, by the hash of a tile's name."""
    return _PARTS.get(int(pseudonym(name), 16) % _OF_PARTS, "train")


def estimated_mpp(tile: LabelledImage) -> float:
    """Micrometres per pixel at which the median nucleus is `NUCLEUS_UM` across; 0.5 without one.

    The diameter is that of a disc of the same area.
    """
    areas = [mask.area_px for mask in tile.masks if mask is not None]
    if not areas:
        return 0.5
    return float(np.clip(NUCLEUS_UM / np.sqrt(4 * np.median(areas) / np.pi), *MPP_RANGE))


def kind_of(rgb: np.ndarray) -> str:
    """Which of three kinds of image a tile (H, W, 3) is."""
    red, _, blue = rgb.reshape(-1, 3).mean(axis=0)
    if red > blue:
        return PINK
    most, least = rgb.max(axis=2).astype(float), rgb.min(axis=2)
    saturation = np.median((most - least) / np.maximum(most, 1))
    return ON_WHITE if saturation < _WHITE_SATURATION else ON_PURPLE


DSB2018 = Importer(
    name="dsb2018",
    title="stained tiles of the Data Science Bowl 2018 (BBBC038; Caicedo et al., 2019)",
    categories=NO_CATEGORIES,
    recognises=recognises_folder,
    members=_members,
    licence="CC0",
    link="https://bbbc.broadinstitute.org/BBBC038",
    not_carried="the tiles of fluorescence",
)
