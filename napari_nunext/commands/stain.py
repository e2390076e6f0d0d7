"""``napari-nunext stain``: how brown the nuclei of an image are, and what share is positive."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_nunext.commands.export import reader_name
from napari_nunext.commands.scales import scale_of
from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import nuclei_in_words, points_of
from napari_nunext.core.stains.counting import CutOffs, that_count
from napari_nunext.core.stains.measuring import DAB_OD, RADIUS_UM, dab_od_of
from napari_nunext.core.stains.positivity import (
    check_cut_offs,
    h_score,
    labelling_index,
    suggested_cut_off,
)
from napari_nunext.images import open_image
from napari_nunext.images.nuclei_files import read_nuclei_of_one
from napari_nunext.places import check_is_there
from napari_nunext.store import Project
from napari_nunext.store.exports.by_region.region_table import WHOLE, counted_regions
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import as_marked, nucleus_of
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.kinds.regions import regions_of
from napari_nunext.store.kinds.settings import cut_offs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.nuclei import Category
    from napari_nunext.core.shapes.regions import Region
    from napari_nunext.store.exports.files import CountedRegion, Exportable

CutOff: TypeAlias = float | Literal["suggested"]
SUFFIXES = (".csv", ".geojson")


@dataclass(frozen=True, slots=True)
class StainOptions:
    """What to measure and where to write it."""

    project: Path | None = None
    """Whose nuclei and regions; else those of a file."""
    nuclei: Path | None = None
    mpp: float | None = None
    radius_um: float = RADIUS_UM
    cut_off: CutOff | None = None
    """None: the project's, else 0.2."""
    grades: Sequence[float] | None = None
    """The same of weak, moderate and strong."""
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class _Given:
    """The nuclei of an image that stand."""

    nuclei: tuple[Exportable, ...]
    mpp: float
    regions: tuple[CountedRegion, ...] = ()
    drawn: tuple[Region, ...] = ()
    """Of all kinds."""
    cut_offs: CutOffs = field(default_factory=CutOffs)
    categories: tuple[Category, ...] = ()


def stain_image(
    path: Path,
    options: StainOptions,
    *,
    as_json: bool,
    tell: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    """Measure the nuclei of an image, tell the figures of it and its regions, and write them.

    Parameters
    ----------
    path : Path
        The image.
    options : StainOptions
    as_json : bool
        One JSON object in the place of sentences.
    tell : callable
        Told a line of the result.
    say : callable
        Told what else a person should know.

    Raises
    ------
    NunextError
        If the image, the project or the file cannot be read, the image is not in the project, or a
        cut-off will not do.
    """
    if options.grades is not None:
        check_cut_offs(options.grades)
    if options.out is not None and options.out.suffix.lower() not in SUFFIXES:
        raise InputError(f"--out {options.out.name} is neither .csv nor .geojson. Name it so.")
    image = open_image(path)
    if options.project is not None:
        given = _of_project(options.project, image, options.mpp)
    else:
        assert options.nuclei is not None  # the command line wants one of both
        found = read_nuclei_of_one(options.nuclei)
        standing = tuple(each.nucleus for each in found.nuclei if each.marks.stands)
        given = _Given(standing, scale_of(image, options.mpp, say))
    nuclei = [nucleus_of(each) for each in given.nuclei]
    points_xy, masks = points_of(nuclei), (nucleus.mask for nucleus in nuclei)
    od = dab_od_of(image, points_xy, masks, mpp=given.mpp, radius_um=options.radius_um)
    if outside := int(np.isnan(od).sum()):
        say(f"{nuclei_in_words(outside)} outside of {image.name} cannot be measured.")
    od = that_count(od, points_xy, given.drawn)
    if left_out := int(np.isnan(od).sum()) - outside:
        is_ = "is" if left_out == 1 else "are"
        say(f"{nuclei_in_words(left_out)} in regions that are left out {is_} not counted.")
    wanted = given.cut_offs.positive if options.cut_off is None else options.cut_off
    grades = given.cut_offs.grades if options.grades is None else check_cut_offs(options.grades)
    measured = not np.isnan(od).all()
    suggested = suggested_cut_off(od) if measured or wanted == "suggested" else None
    cut_off = suggested if wanted == "suggested" else wanted
    assert cut_off is not None  # one that was wanted is there, or was refused
    figures = {WHOLE: od}
    for region in given.regions:
        figures[_unused(region.name, figures)] = od[region.contains(points_xy)]
    _tell(image.name, figures, cut_off, grades, suggested, as_json, tell)
    if options.out is not None:
        _write(options.out, image.name, given, od)


def _of_project(path: Path, image: ImageSource, mpp: float | None) -> _Given:
    check_is_there(path)
    with Project.open(path, annotator=reader_name(), mode="r", create=False) as project:
        entries = [each for each in project.images() if each.sha256 == image.id]
        if not entries:
            names = ", ".join(entry.name for entry in project.images()[:10]) or "none"
            raise InputError(
                f"{image.name} is not in {path.name}, or its pixels are others; it has {names}. "
                "Open the image in the project first, or give --nuclei FILE."
            )
        entry = project.with_scale_of_all(entries[0])
        state = project.state(entry.sha256)
        reviewed = tuple(state.nuclei.values())
        marked = as_marked(reviewed)
        standing = (n for n, m in zip(reviewed, marked, strict=True) if m.marks.stands)
        return _Given(
            tuple(standing),
            mpp or entry.mpp,
            counted_regions(state),
            tuple(regions_of(state).values()),
            cut_offs_in(project.journal_of_project()) or CutOffs(),
            project.categories(),
        )


def _unused(name: str, taken: dict[str, Any]) -> str:
    """Two regions may have one name."""
    number, unused = 1, name
    while unused in taken:
        number += 1
        unused = f"{name} ({number})"
    return unused


def _tell(
    image: str,
    figures: dict[str, NDArray[np.float64]],
    cut_off: float,
    grades: Sequence[float],
    suggested: float | None,
    as_json: bool,
    tell: Callable[[str], None],
) -> None:
    said = {
        name: (labelling_index(od, cut_off), h_score(od, grades)) for name, od in figures.items()
    }
    if as_json:
        regions = [
            {"region": name, "labelling_index": index.to_json(), "h_score": score.to_json()}
            for name, (index, score) in said.items()
        ]
        told = {"image": image, "suggested_cut_off": suggested, "regions": regions}
        tell(json.dumps(told, ensure_ascii=False))
        return
    for name, (index, score) in said.items():
        tell(f"{name}: {index}; {score}" if index.nuclei else f"{name}: {index}")
    if suggested not in (None, cut_off):
        tell(f"Suggested cut-off: {labelling_index(figures[WHOLE], suggested)}")


def _write(path: Path, image: str, given: _Given, od: NDArray[np.float64]) -> None:
    measurements = {DAB_OD: od}
    if path.suffix.lower() == ".csv":
        write_csv(path, given.nuclei, mpp=given.mpp, image=image, measurements=measurements)
        return
    write_geojson(
        path,
        given.nuclei,
        categories=given.categories,
        masks=True,
        measurements=measurements,
    )
