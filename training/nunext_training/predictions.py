"""What was predicted for an image, and folders of that from this project, QuPath or other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geojson import read_noted_geojson
from napari_nunext.core.nuclei import UNCATEGORISED, points_of
from nunext_training.importers.reading import (
    CELLPOSE_MASKS,
    CELLPOSE_PROJECT,
    nuclei_of_labels,
    read_label_image,
    split_binary,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.masks import Mask

GEOJSON_SUFFIXES = (".geojson", ".json", ".geojson.gz", ".json.gz")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
SUFFIXES = GEOJSON_SUFFIXES + LABEL_SUFFIXES


@dataclass(frozen=True, eq=False, slots=True)
class Prediction:
    """The nuclei that were found in one image."""

    points_xy: PointsXY
    """Shape (N, 2), level-0 px."""
    categories: tuple[str, ...]
    """One for each point; `UNCATEGORISED` where none is known."""
    instances: tuple[tuple[Mask, str], ...] | None = None
    """Masks and their categories in the order in which they are painted, later over earlier; None
    where nothing was outlined."""
    notes: tuple[str, ...] = ()
    """How the file was read, where that is not plain: a sentence for each."""


def prediction_files(folder: Path) -> dict[str, Path]:
    """Files of predictions by stem: the file name without its suffix.

    Raises
    ------
    RecordError
        If the folder holds none, or two of one stem.
    """
    files: dict[str, Path] = {}
    projects: list[Path] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is None or path.name.startswith("."):
            continue
        if path.name.endswith(CELLPOSE_PROJECT):
            projects.append(path)
            continue
        stem = path.name[: -len(suffix)]
        for added in CELLPOSE_MASKS if suffix in LABEL_SUFFIXES else ():
            stem = stem.removesuffix(added)
        if stem in files:
            raise RecordError(f"{folder} holds {files[stem].name} and {path.name}; keep one.")
        files[stem] = path
    for path in projects:  # beside masks it is not needed; alone, reading it says what to do
        files.setdefault(path.name.removesuffix(CELLPOSE_PROJECT), path)
    if not files:
        raise RecordError(
            f"{folder} holds no GeoJSON; expected one <image name>.geojson for each image, or a "
            "label image as PNG, TIFF or NPY."
        )
    return files


def read_prediction(path: Path) -> Prediction:
    """Read GeoJSON (points and polygons) or a label image, whose points are its centroids.

    Raises
    ------
    RecordError
        If the file does not read.
    """
    if path.suffix.lower() in LABEL_SUFFIXES:
        labels, note = split_binary(read_label_image(path))
        found = nuclei_of_labels(labels)
        instances = tuple((mask, UNCATEGORISED) for mask in found.masks)
        notes = () if note is None else (f"{path.name}: {note}.",)
        return Prediction(found.points_xy, found.categories, instances, notes)
    read = read_noted_geojson(path, masks=True)
    nuclei = [n.nucleus for n in read.nuclei if n.marks.stands]
    outlined = tuple((n.mask, n.category) for n in nuclei if n.mask is not None)
    return Prediction(
        points_of(nuclei),
        tuple(n.category for n in nuclei),
        outlined or None,
        tuple(f"{path.name}: {note}." for note in read.notes),
    )
