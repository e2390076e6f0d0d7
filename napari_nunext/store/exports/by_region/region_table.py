"""How many nuclei of each category lie in each region of an image, and in the whole, as a table.

Areas are of the regions as they were drawn, so a density counts glass in a region like tissue.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.geometry import check_mpp
from napari_nunext.store.exports.files import replacing
from napari_nunext.store.exports.rows import categories_in, standing_in
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Category
    from napari_nunext.store.exports.files import CountedRegion, Exportable, ImageNuclei
    from napari_nunext.store.state.state import FieldState

REGION_COLUMNS = ("image", "region", "category", "count", "area_mm2", "density_per_mm2")
WHOLE = "whole image"
ALL = "all"
"""In the place of a category: the sum of them."""


@dataclass(frozen=True, slots=True)
class BoxRegion:
    """A rectangle with a name; a `CountedRegion`."""

    name: str
    box: Box

    def area_um2(self, mpp: float) -> float:
        """Its area."""
        return self.box.width * self.box.height * mpp**2

    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which points lie in it."""
        return self.box.contains(points_xy)


@dataclass(frozen=True, slots=True)
class _WholeImage(BoxRegion):
    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """All: a nucleus whose centre lies a little beyond the edge is of the image, too."""
        return np.ones(len(points_xy), dtype=np.bool_)


@dataclass(frozen=True, slots=True)
class RegionCount:
    """The nuclei of a category in a region."""

    region: str
    category: str
    count: int
    area_mm2: float

    @property
    def density_per_mm2(self) -> float:
        """Nuclei per square millimetre; 0 where there is no area."""
        return self.count / self.area_mm2 if self.area_mm2 else 0.0


def counted_regions(state: FieldState) -> tuple[CountedRegion, ...]:
    """The regions of an image that exports count in: those drawn, and those that are complete.

    What is left out is no region to count in.
    """
    drawn = [each for each in regions_of(state).values() if each.kind != "leave_out"]
    complete = (BoxRegion(f"complete {n}", box) for n, box in enumerate(state.complete, start=1))
    return (*drawn, *complete)


def count_in_regions(
    nuclei: Collection[Exportable],
    regions: Sequence[CountedRegion],
    *,
    mpp: float,
    categories: Sequence[str] = (),
) -> list[RegionCount]:
    """Count the nuclei that stand, by region and category.

    Parameters
    ----------
    nuclei : collection of Nucleus or ReviewedNucleus
        Rejected ones do not count.
    regions : sequence of CountedRegion
        In the order of the answer. One nucleus may lie in several.
    mpp : float
        Micrometres per level-0 pixel.
    categories : sequence of str
        Those that are listed even if nothing is of them, first.

    Returns
    -------
    list of RegionCount
        Of each region its sum, under `ALL`, then each category.
    """
    names = list(dict.fromkeys((*categories, *categories_in(nuclei))))
    code = {name: at for at, name in enumerate(names)}
    counts = np.zeros((len(regions), len(names)), dtype=np.int64)
    for rows in standing_in(nuclei):
        points_xy = np.array([rows.x_px, rows.y_px], dtype=np.float64).T.reshape(-1, 2)
        codes = np.array([code[name] for name in rows.categories], dtype=np.int64)
        for at, region in enumerate(regions):
            here = codes[region.contains(points_xy)]
            counts[at] += np.bincount(here, minlength=len(names))
    counted = []
    for region, of_region in zip(regions, counts.tolist(), strict=True):
        area_mm2 = region.area_um2(mpp) / 1e6
        counted.append(RegionCount(region.name, ALL, sum(of_region), area_mm2))
        counted += [
            RegionCount(region.name, name, n, area_mm2)
            for name, n in zip(names, of_region, strict=True)
        ]
    return counted


def write_region_table(path: Path, image: ImageNuclei, *, categories: Sequence[Category]) -> None:
    """Write `count_in_regions` of an image and its regions as CSV, whole or not at all.

    Raises
    ------
    CalibrationError
        If the image's scale is implausible.
    StoreError
        If the disk is full or the folder cannot be written.
    """
    entry = image.entry
    check_mpp(entry.mpp)
    regions: list[CountedRegion] = [_WholeImage(WHOLE, entry.box), *image.regions]
    names = [category.name for category in categories]
    counted = count_in_regions(image.nuclei, regions, mpp=entry.mpp, categories=names)
    with replacing(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(REGION_COLUMNS)
        table.writerows(_lines(entry.name, counted))


def _lines(image: str, counted: Sequence[RegionCount]) -> Iterator[tuple[str, ...]]:
    for one in counted:
        area, density = f"{one.area_mm2:.6f}", f"{one.density_per_mm2:.2f}"
        yield (image, one.region, one.category, str(one.count), area, density)
