"""A table of nuclei that never changes, and what it can be turned into."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_nunext.core.errors import InputError, MissingPackageError
from napari_nunext.core.nuclei import Category, default_categories, nuclei_in_words
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.masks import label_image
from napari_nunext.core.uids import as_uids

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike
    from types import ModuleType

    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.geometry import Box, PointsXY
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask


@dataclass(frozen=True, eq=False)
class Nuclei:
    """N nuclei of an image, row by row. Never changes.

    Coordinates are level-0 pixels (x, y), the corner of the image being (0, 0).
    """

    predictions: Predictions
    """The nuclei as columns; each has a uid for life."""
    palette: tuple[Category, ...]
    """The categories that are told apart, those without a nucleus too, and their colours."""
    mpp: float
    """Micrometres per pixel."""
    region: Box
    """What was searched, level-0 px."""
    about: Mapping[str, str]
    """What they were found by."""

    @property
    def points_xy(self) -> PointsXY:
        """Centroids, shape (N, 2), level-0 px."""
        return self.predictions.points_xy

    @property
    def points_um(self) -> PointsXY:
        """Centroids, shape (N, 2), um from the corner of the image."""
        return self.predictions.points_xy * self.mpp

    @property
    def categories(self) -> tuple[str, ...]:
        """Of each its category."""
        return self.predictions.categories_at(np.arange(len(self)))

    @property
    def confidence(self) -> NDArray[np.float64]:
        """In [0, 1], NaN where nobody says; shape (N,)."""
        return self.predictions.confidence

    @property
    def position_error_um(self) -> NDArray[np.float64]:
        """How far from the centre, root mean square, points like each lie; shape (N,).

        NaN where nobody says: of other detectors, of checkpoints that were not measured.
        """
        return self.predictions.position_error_um

    @property
    def masks(self) -> tuple[Mask | None, ...]:
        """What each covers; None where nothing was drawn."""
        return tuple(self.predictions.masks)

    @property
    def area_um2(self) -> NDArray[np.float64]:
        """Of the masks, NaN without one; shape (N,)."""
        areas = [np.nan if mask is None else float(mask.area_px) for mask in self.masks]
        return np.array(areas, dtype=np.float64) * self.mpp**2

    @property
    def area_mm2(self) -> float:
        """Of what was searched."""
        return self.region.width * self.region.height * self.mpp**2 / 1e6

    @property
    def per_mm2(self) -> float:
        """Nuclei on a square millimetre of what was searched."""
        return len(self) / self.area_mm2

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each category, in the palette's order."""
        names, place = self.predictions.names, self.predictions.category
        known = dict(zip(names, np.bincount(place, minlength=len(names)).tolist(), strict=True))
        return {c.name: known.pop(c.name, 0) for c in self.palette} | known

    def __len__(self) -> int:
        return len(self.predictions)

    def __iter__(self) -> Iterator[Nucleus]:
        return iter(self.predictions)

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items() if n)
        return (
            f"<{nuclei_in_words(len(self))}{f': {counts}' if counts else ''}; "
            f"{self.mpp:g} um/px, {self.per_mm2:,.0f} per mm2>"
        )

    # Some of them

    def only(self, *names: str) -> Nuclei:
        """Those of some categories; `InputError` where there is no such category."""
        if unknown := [name for name in names if name not in self.counts]:
            raise InputError(
                f"There is no category {unknown[0]!r}; expected some of {', '.join(self.counts)}."
            )
        wanted = [i for i, name in enumerate(self.predictions.names) if name in names]
        return self.where(np.isin(self.predictions.category, wanted))

    def surer_than(self, confidence: float) -> Nuclei:
        """Those that are at least so sure; what says no confidence stays."""
        return self.where(~(self.confidence < confidence))

    def within(self, box: Box) -> Nuclei:
        """Those in a box, level-0 px, which is what was searched then."""
        part = self.where(box.contains(self.points_xy))
        return replace(part, region=box.clipped_to(self.region))

    def where(self, kept: NDArray[np.bool_]) -> Nuclei:
        """Those of which `kept`, shape (N,), says so."""
        return replace(self, predictions=self.predictions.at(np.flatnonzero(kept)))

    # As something else

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a nucleus a row.

        Columns are ``x_px``, ``y_px``, ``x_um``, ``y_um``, ``category``, ``confidence``,
        ``area_um2``, ``uid`` and ``position_error_um``, as in the CSV that the window exports.

        Raises
        ------
        MissingPackageError
            Without pandas.
        """
        pandas = imported("pandas")
        (x_px, y_px), (x_um, y_um) = self.points_xy.T, self.points_um.T
        names = [category.name for category in self.palette]
        categories = list(dict.fromkeys((*names, *self.predictions.names)))
        return pandas.DataFrame(
            {
                "x_px": x_px,
                "y_px": y_px,
                "x_um": x_um,
                "y_um": y_um,
                "category": pandas.Categorical(self.categories, categories),
                "confidence": self.confidence,
                "area_um2": self.area_um2,
                "uid": [str(nucleus.uid) for nucleus in self],
                "position_error_um": self.position_error_um,
            }
        )

    def to_geojson(
        self,
        path: str | PathLike[str] | None = None,
        *,
        measurements: Mapping[str, ArrayLike] | None = None,
    ) -> dict[str, Any]:
        """A GeoJSON FeatureCollection as QuPath reads it, written to `path` where there is one.

        Nuclei with masks are outlines, others points. `measurements` has by name a number for each.

        Raises
        ------
        InputError
            If a measurement has other than N numbers.
        StoreError
            If the file cannot be written.
        """
        from napari_nunext.store.exports.geojson import feature_collection, write_geojson

        nuclei, about = list(self), dict(self.about)
        how: Any = {"categories": self.palette, "masks": True, "metadata": about}
        how["measurements"] = measurements
        if path is not None:
            write_geojson(Path(path), nuclei, **how)
        return feature_collection(nuclei, **how)

    def to_labels(self) -> NDArray[np.int32]:
        """What was searched as a label image: 0 outside, ``i + 1`` on the mask of nucleus i.

        Shape (height, width) of `region` in whole pixels; later nuclei cover earlier ones.
        """
        x0, y0 = int(self.region.x0), int(self.region.y0)
        width, height = round(self.region.width), round(self.region.height)
        drawn = [i for i, mask in enumerate(self.masks) if mask is not None]
        moved = [mask.moved(-x0, -y0) for mask in self.masks if mask is not None]
        labels = label_image(moved, height, width)
        return np.array([0, *(i + 1 for i in drawn)], dtype=np.int32)[labels]

    def to_anndata(self) -> Any:
        """An `anndata.AnnData` without genes, for scanpy and squidpy.

        ``obs`` is `to_pandas`, ``obsm["spatial"]`` the centroids in um.

        Raises
        ------
        MissingPackageError
            Without anndata.
        """
        anndata = imported("anndata")
        obs = self.to_pandas().set_index("uid")
        made = anndata.AnnData(
            X=np.zeros((len(self), 0), dtype=np.float32),
            obs=obs,
            obsm={"spatial": self.points_um},
        )
        colors = {category.name: category.color for category in self._colored()}
        made.uns["category_colors"] = [
            "#{:02x}{:02x}{:02x}".format(*colors[name]) for name in obs["category"].cat.categories
        ]
        made.uns["nuclei"] = {"mpp": self.mpp, "unit": "um", **self.about}
        return made

    def to_spatialdata(self) -> Any:
        """A `spatialdata.SpatialData` with the points ``nuclei`` in um.

        Raises
        ------
        MissingPackageError
            Without spatialdata.
        """
        spatialdata = imported("spatialdata")
        models = imported("spatialdata.models")
        points = models.PointsModel.parse(
            self.to_pandas(),
            coordinates={"x": "x_um", "y": "y_um"},
            feature_key="category",
        )
        return spatialdata.SpatialData(points={"nuclei": points})

    def plot(self, image: Any = None, *, ax: Any = None, size: float = 8.0) -> Any:
        """Draw the nuclei with matplotlib, in the colours of their categories.

        Parameters
        ----------
        image : ndarray, optional
            The array that was searched, to draw them on.
        ax : matplotlib.axes.Axes, optional
            A new one by default.
        size : float
            Of a point, in matplotlib's points squared.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingPackageError
            Without matplotlib.
        """
        if ax is None:
            _, ax = imported("matplotlib.pyplot").subplots()
        if image is not None:
            height_px, width_px = image.shape[:2]
            # Corners, not centres of pixels, are whole numbers.
            ax.imshow(image, extent=(0, width_px, height_px, 0), cmap="gray")
        categories = np.array(self.categories)
        for category in self._colored():
            if len(here := self.points_xy[categories == category.name]):
                color = np.divide(category.color, 255)
                ax.scatter(*here.T, s=size, color=[color], label=f"{category.name} ({len(here)})")
        ax.set_aspect("equal")
        ax.set_xlim(self.region.x0, self.region.x1)
        ax.set_ylim(self.region.y1, self.region.y0)
        if len(self):
            ax.legend(loc="upper right")
        return ax

    def _colored(self) -> tuple[Category, ...]:
        """The palette, and what nuclei are called besides."""
        known = {category.name for category in self.palette}
        more = [name for name in self.predictions.names if name not in known]
        return (*self.palette, *default_categories(more))


def placed(
    points_xy: PointsXY,
    place: ArrayLike,
    names: tuple[str, ...],
    confidence: NDArray[np.float64],
    position_error_um: NDArray[np.float64],
) -> Predictions:
    """N new nuclei without masks; `place` says of each which of the names is its category."""
    count = len(points_xy)
    return Predictions(
        uids=as_uids(uuid4() for _ in range(count)),
        points_xy=points_xy,
        category=np.asarray(place, dtype=np.uint16),
        names=names,
        confidence=confidence,
        masks=MaskColumn.without_any(count),
        position_error_um=position_error_um,
    )


def imported(name: str) -> ModuleType:
    """A package that only some need.

    Raises
    ------
    MissingPackageError
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise MissingPackageError(
            f"This needs {package}, which is not installed ({error}). Run: pip install {package}"
        ) from error
