"""What was predicted for an image, and folders of that from this project, QuPath or other tools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import points_of
from napari_nunext.images.formats import image_stem
from napari_nunext.images.nuclei.label_images import SUFFIXES as LABEL_SUFFIXES
from napari_nunext.images.nuclei_files import nuclei_files, read_nuclei_of_one
from nunext_training.data.importers.reading import pseudonym

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.images import Tile
    from nunext_training.data.labelled import LabelledImage


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
    confidence: NDArray[np.float64] | None = None
    """Of each point, shape (N,); None where nobody says."""
    position_error_um: NDArray[np.float64] | None = None
    """The same of how far off it may be, NaN where only that is not said."""

    def renamed(self, names: Mapping[str, str]) -> Prediction:
        """With other names for categories; those that are not in `names` keep theirs."""
        instances = self.instances and tuple((m, names.get(c, c)) for m, c in self.instances)
        categories = tuple(names.get(c, c) for c in self.categories)
        return replace(self, categories=categories, instances=instances)


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """One image and what was predicted for it."""

    image: LabelledImage
    prediction: Prediction
    pq: float | None = None
    """Panoptic quality; None where there is none, or the truth has no nucleus."""


def prediction_files(folder: Path) -> dict[str, Path]:
    """Files of predictions by the image that each is named after; see `nuclei_files`."""
    return nuclei_files(folder)


def predictions_of(images: Sequence[LabelledImage], files: Mapping[str, Path]) -> list[Path | None]:
    """The file of each image: named as the image is, as its original was, or by its content.

    An export may know of an original's name only what stands for it (`pseudonym`).
    """
    by_pseudonym = {pseudonym(stem): path for stem, path in files.items()}

    def of(image: LabelledImage) -> Path | None:
        stems = (image_stem(image.path), image.name, image.image_sha256 or "")
        return next(
            (files[stem] for stem in stems if stem in files),
            by_pseudonym.get(image_stem(image.path)),
        )

    return [of(image) for image in images]


def read_prediction(path: Path, image: Tile | None = None) -> Prediction:
    """Read GeoJSON (points and polygons) or a label image, whose points are its centroids.

    Parameters
    ----------
    path : Path
    image : Tile, optional
        The image that it is of: labels are turned as that is, and have its size.

    Raises
    ------
    RecordError
        If the file does not read.
    """
    read = read_nuclei_of_one(path, image)
    nuclei = [n.nucleus for n in read.nuclei if n.marks.stands]
    outlined = tuple((n.mask, n.category) for n in nuclei if n.mask is not None)
    return Prediction(
        points_of(nuclei),
        tuple(n.category for n in nuclei),
        outlined if outlined or path.suffix.lower() in LABEL_SUFFIXES else None,
        tuple(f"{path.name}: {note}." for note in read.notes),
    )
