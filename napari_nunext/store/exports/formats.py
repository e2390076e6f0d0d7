"""Formats in which nuclei leave a project, declared once each.

A format is an `ExportFormat` in `_OURS`, or in a package of its own that names it in the entry
point group `GROUP`. The command line and the window read them from here. Training data is none of
them: it is a folder with images and a manifest (`store.exports.training`). Nor is a picture, for
which an image's pixels are read (`store.exports.snapshot`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.errors import InputError, NunextError, StoreError
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.process.offered import offered
from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.store.exports.by_region.region_table import counted_regions, write_region_table
from napari_nunext.store.exports.by_region.stain import measured_stain, write_stain_table
from napari_nunext.store.exports.coco import write_coco, write_coco_results
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.exports.labels.files import write_label_tiff, write_label_zarr
from napari_nunext.store.exports.labels.painting import left_out_words
from napari_nunext.store.exports.rows import count_rejected
from napari_nunext.store.exports.spatial.anndata import write_anndata
from napari_nunext.store.exports.spatial.parquet import write_parquet
from napari_nunext.store.kinds.settings import cut_offs_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.nuclei import Category
    from napari_nunext.core.stains.measuring import RegionReader
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.state import FieldState

GROUP = "napari_nunext.exports"
"""Entry points of other packages, each an `ExportFormat`."""


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A kind of file that holds nuclei."""

    name: str
    """On the command line: ``"csv"``."""
    words: str
    """For people: ``"Table (CSV)"``."""
    suffix: str
    """Of its files, in lower case with the dot."""
    write: Callable[[Path, Sequence[ImageNuclei], Sequence[Category]], str]
    """Write a file whole or not at all (`files.replacing`), and say what it has no room for; empty
    where it holds everything. The categories are the project's, with their colours."""
    one_file: str = ""
    """Name of the file that holds all images of a project; empty where each image has a file of its
    own, and `write` is given one image at a time."""
    stain: Literal["no", "where set", "always"] = "no"
    """Whether it wants `ImageNuclei.stain`: only where the project has cut-offs, or without."""

    def cut_offs(self, of_project: Iterable[Event]) -> CutOffs | None:
        """The cut-offs to measure the stain for; None where it is not to be measured.

        `of_project` are the events about the project as a whole.
        """
        if self.stain == "no":
            return None
        return cut_offs_in(of_project) or (CutOffs() if self.stain == "always" else None)


def export_formats() -> tuple[ExportFormat, ...]:
    """All of them: ours, then those of other packages by name."""
    return _OURS + _others()[0]


def export_format(name: str) -> ExportFormat:
    """The format of this name.

    Raises
    ------
    InputError
        If there is none.
    """
    for each in export_formats():
        if each.name == name:
            return each
    known = ", ".join(each.name for each in export_formats())
    raise InputError(" ".join((f"There is no export format {name!r}; use {known}.", *_others()[1])))


def image_nuclei(
    entry: ImageEntry,
    state: FieldState,
    source: RegionReader | None = None,
    cut_offs: CutOffs | None = None,
) -> ImageNuclei:
    """What a format is given of an image; its stain where pixels and cut-offs are given."""
    stain = None
    if source is not None and cut_offs is not None:
        stain = measured_stain(source, entry, state, cut_offs)
    return ImageNuclei(entry, state.nuclei.values(), counted_regions(state), stain)


def write_nuclei(
    format_: ExportFormat,
    path: Path,
    images: Sequence[ImageNuclei],
    categories: Sequence[Category],
) -> str:
    """Write a file of nuclei, and return what it has no room for, in words.

    Raises
    ------
    StoreError
        If the file cannot be written, or the format fails in whatever way.
    """
    try:
        return format_.write(path, images, categories)
    except NunextError:
        raise
    except Exception as error:  # may be somebody else's code
        raise StoreError(
            f"{path.name} was not written: the export format {format_.name} failed "
            f"({type(error).__name__}: {error}). Choose another format."
        ) from error


@lru_cache(maxsize=1)
def _others() -> tuple[tuple[ExportFormat, ...], tuple[str, ...]]:
    """The formats of other packages, and a sentence on each that cannot be used."""
    return offered(GROUP, "export format", _checked)


def _checked(made: object) -> ExportFormat:
    if not isinstance(made, ExportFormat):
        raise TypeError(f"it is a {type(made).__name__}, not an ExportFormat")
    if made.name in {"training", *(each.name for each in _OURS)}:
        raise ValueError(f"its name {made.name!r} is taken")
    if len(made.suffix) < 2 or not made.suffix.startswith("."):
        raise ValueError(f"its suffix is {made.suffix!r}; expected one like '.csv'")
    return made


def _measurements(image: ImageNuclei) -> Mapping[str, NDArray[np.float64]] | None:
    return None if image.stain is None else image.stain.measurements


def _geojson(path: Path, images: Sequence[ImageNuclei], categories: Sequence[Category]) -> str:
    (image,) = images
    measurements = _measurements(image)
    write_geojson(path, image.nuclei, categories=categories, masks=True, measurements=measurements)
    return ""


def _geojson_points(
    path: Path, images: Sequence[ImageNuclei], categories: Sequence[Category]
) -> str:
    (image,) = images
    write_geojson(path, image.nuclei, categories=categories, points_as="multipoint annotations")
    return _rejected_words(image)


def _rejected_words(image: ImageNuclei) -> str:
    rejected = count_rejected(image.nuclei)
    return f"{nuclei_in_words(rejected)} that people rejected left out" if rejected else ""


def _csv(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    write_csv(
        path,
        image.nuclei,
        mpp=image.entry.mpp,
        image=image.entry.name,
        measurements=_measurements(image),
    )
    return ""


def _region_table(path: Path, images: Sequence[ImageNuclei], categories: Sequence[Category]) -> str:
    (image,) = images
    write_region_table(path, image, categories=categories)
    return ""


def _stain_table(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    write_stain_table(path, image)
    return ""


def _parquet(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    write_parquet(path, image.nuclei, mpp=image.entry.mpp, image=image.entry.name)
    return ""


def _anndata(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    write_anndata(path, image.nuclei, mpp=image.entry.mpp, image=image.entry.name)
    return _rejected_words(image)


def _label_tiff(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    return left_out_words(write_label_tiff(path, image))


def _label_zarr(path: Path, images: Sequence[ImageNuclei], _: Sequence[Category]) -> str:
    (image,) = images
    return left_out_words(write_label_zarr(path, image))


def _coco(path: Path, images: Sequence[ImageNuclei], categories: Sequence[Category]) -> str:
    write_coco(path, images, categories=categories)
    return ""


def _coco_results(path: Path, images: Sequence[ImageNuclei], categories: Sequence[Category]) -> str:
    left_out = write_coco_results(path, images, categories=categories)
    return f"{left_out} nuclei without an outline are left out" if left_out else ""


_OURS = (
    ExportFormat("geojson", "QuPath (GeoJSON)", ".geojson", _geojson, stain="where set"),
    ExportFormat(
        "geojson-points",
        "QuPath, points by category (GeoJSON)",
        ".geojson",
        _geojson_points,
    ),
    ExportFormat("csv", "Table (CSV)", ".csv", _csv, stain="where set"),
    ExportFormat("regions", "Counts and densities by region (CSV)", ".regions.csv", _region_table),
    ExportFormat(
        "stain",
        "Labelling index and H-score by region (CSV)",
        ".stain.csv",
        _stain_table,
        stain="always",
    ),
    ExportFormat("parquet", "Table (Parquet)", ".parquet", _parquet),
    ExportFormat("anndata", "Spatial biology (AnnData)", ".h5ad", _anndata),
    ExportFormat("labels-tiff", "Label image (OME-TIFF)", ".labels.ome.tif", _label_tiff),
    ExportFormat("labels-zarr", "Label image (OME-Zarr)", ".labels.zarr", _label_zarr),
    ExportFormat("coco", "COCO instances", ".json", _coco, "instances.json"),
    ExportFormat("coco-results", "COCO results", ".json", _coco_results, "results.json"),
)
