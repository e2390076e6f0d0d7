"""The stain of an image's nuclei, for formats that carry densities or figures of it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.stains.counting import that_count
from napari_nunext.core.stains.figures import STAIN_COLUMNS, stain_cells, stain_figures
from napari_nunext.core.stains.measuring import DAB_OD, dab_od_of
from napari_nunext.store.exports.by_region.region_table import WHOLE
from napari_nunext.store.exports.files import replacing
from napari_nunext.store.exports.rows import in_chunks
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.stains.counting import CutOffs
    from napari_nunext.core.stains.measuring import RegionReader
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.exports.files import ImageNuclei
    from napari_nunext.store.state.state import FieldState


@dataclass(frozen=True, eq=False, slots=True)
class ImageStain:
    """How brown the N nuclei of an image are, in their order, and where positive begins."""

    points_xy: PointsXY
    od: NDArray[np.float64]
    """NaN of those that do not count: rejected, left out, or outside of the image."""
    cut_offs: CutOffs

    @property
    def measurements(self) -> Mapping[str, NDArray[np.float64]]:
        """The densities under the name that QuPath gives them."""
        return {DAB_OD: self.od}


def measured_stain(
    source: RegionReader, entry: ImageEntry, state: FieldState, cut_offs: CutOffs
) -> ImageStain:
    """Measure all nuclei of an image; those that people rejected have no density.

    Parameters
    ----------
    source : ImageSource
        The image.
    entry : ImageEntry
        Its scale.
    state : FieldState
        Its nuclei and regions.
    cut_offs : CutOffs
    """
    places, masks, stand = [], [], []
    for rows in in_chunks(state.nuclei.values()):
        places += list(zip(rows.x_px, rows.y_px, strict=True))
        masks += rows.masks
        stand += rows.stand
    points_xy = np.array(places, dtype=np.float64).reshape(-1, 2)
    od = dab_od_of(source, points_xy, masks, mpp=entry.mpp)
    od = that_count(od, points_xy, regions_of(state).values())
    return ImageStain(points_xy, np.where(stand, od, np.nan), cut_offs)


def write_stain_table(path: Path, image: ImageNuclei) -> None:
    """Write labelling index and H-score of an image and its regions as CSV, whole or not at all.

    Raises
    ------
    InputError
        If its stain was not measured.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    stain = image.stain
    if stain is None:
        raise InputError(
            f"The stain of {image.entry.name} cannot be measured without its pixels. Put the image "
            "back, or say where it is (--images DIR)."
        )
    parts = [(WHOLE, stain.od)]
    parts += [(each.name, stain.od[each.contains(stain.points_xy)]) for each in image.regions]
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("image", *STAIN_COLUMNS))
        for name, od in parts:
            cells = stain_cells(stain_figures(name, od, stain.cut_offs))
            table.writerow((image.entry.name, *cells))
