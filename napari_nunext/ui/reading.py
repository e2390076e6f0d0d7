"""napari's File > Open and Save.

napari asks plugins to read a file into layers. Nuclei are no layers of their own: they join the
review of their image, in the dock. What is saved of our layers is the review's nuclei, whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import napari
import numpy as np
from napari.layers import Labels

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus, measured_um
from napari_nunext.core.shapes.masks import masks_of
from napari_nunext.images import open_image
from napari_nunext.images.formats import SLIDE_FORMATS
from napari_nunext.images.nuclei_files import JSON_SUFFIXES, is_of_nuclei, suffix_of
from napari_nunext.store.exports.formats import export_format
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.ui.canvas.layers import from_napari, placement
from napari_nunext.ui.canvas.nuclei_points import NucleiPoints
from napari_nunext.ui.samples import SOURCE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

    Reader: TypeAlias = Callable[[str | Sequence[str]], list[tuple[None]]]

SLIDE_SUFFIXES = (".svs", *(suffix for each in SLIDE_FORMATS for suffix in each.suffixes))
"""Of files that napari's own readers would not read, or not as slides."""
NO_LAYER: list[tuple[None]] = [(None,)]
"""How a reader says that it read the file and made no layer."""


def nuclei_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[tuple[None]]] | None:
    """The reader of GeoJSON and other JSON of nuclei; None for other files."""
    if all(suffix_of(file, JSON_SUFFIXES) is not None for file in _paths(path)):
        return take_nuclei
    return None


def take_nuclei(path: str | Sequence[str]) -> list[tuple[None]]:
    """Take files into the review of the current window; makes no layer."""
    from napari_nunext.ui.docks import open_dock

    viewer = napari.current_viewer()
    if viewer is not None:
        if open_dock(viewer) is None:
            viewer.window.add_plugin_dock_widget("napari-nunext", "NuNext")
        dock = open_dock(viewer)
        if dock is not None:
            dock.controller.imports.take(_paths(path))
    return NO_LAYER


def slide_reader(
    path: str | Sequence[str],
) -> Callable[[str | Sequence[str]], list[tuple[Any, ...]]] | Reader | None:
    """The reader of slides, told by their suffix, and of folders of labels; None for others."""
    if all(map(is_of_nuclei, _paths(path))):
        return take_nuclei
    if all(file.suffix.lower() in SLIDE_SUFFIXES for file in _paths(path)):
        return read_slides
    return None


def read_slides(path: str | Sequence[str]) -> list[tuple[Any, ...]]:
    """Slides as layers that are read as far as they are in view, and other images whole.

    Raises
    ------
    ImageError
        If one cannot be read.
    """
    from napari_nunext.images.slides.slide import Slide
    from napari_nunext.ui.canvas.image.pyramid import slide_layer

    layers: list[tuple[Any, ...]] = []
    for file in _paths(path):
        image = open_image(file)
        if isinstance(image, Slide):
            layers.append(slide_layer(image))
            continue
        keywords: dict[str, Any] = {"name": image.name, "rgb": True}
        keywords["metadata"] = {SOURCE_KEY: str(image.path)}
        if image.scale.mpp is not None:
            keywords |= placement(image.scale.mpp)
        layers.append((image.read_region(image.box), keywords, "image"))
    return layers


def write_points(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Points layer as nuclei, GeoJSON: ours as the review has them, others as points.

    A column ``category`` or ``class`` among the features is the category, ``confidence`` how sure,
    ``position_error_um`` how far off.
    """
    if _is_reviewed(attributes, NucleiPoints):
        return _export_review(path)
    features = attributes.get("features")
    columns = {} if features is None else {str(c).lower(): list(features[c]) for c in features}
    named = columns.get("category", columns.get("class"))
    sure, errors_um = columns.get("confidence"), columns.get("position_error_um")
    nuclei = [
        Nucleus(
            uuid4(),
            x_px,
            y_px,
            UNCATEGORISED if named is None else str(named[row]),
            None if sure is None or not 0 <= sure[row] <= 1 else float(sure[row]),
            position_error_um=None if errors_um is None else measured_um(errors_um[row]),
        )
        for row, (x_px, y_px) in enumerate(from_napari(_flat(data)).tolist())
    ]
    write_geojson(Path(path), nuclei)
    return [path]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a Labels layer as nuclei with outlines, GeoJSON: a nucleus for each label.

    Of our layer of outlines, the nuclei as the review has them.
    """
    if _is_reviewed(attributes, Labels):
        return _export_review(path)
    finest = data[0] if attributes.get("multiscale") else data
    nuclei = [
        Nucleus(uuid4(), *mask.centroid_xy, mask=mask)
        for mask in masks_of(np.asarray(finest)).values()
    ]
    write_geojson(Path(path), nuclei, masks=True)
    return [path]


def _flat(places: Any) -> NDArray[np.float64]:
    """Places (row, column) of points, shape (N, 2); points in a stack are refused."""
    found = np.asarray(places, dtype=np.float64)
    if found.size == 0:
        return np.empty((0, 2))
    if found.shape[1] != 2:
        raise RecordError(
            f"The points have {found.shape[1]} coordinates; expected 2, rows and columns of one "
            "image. Save the points of one plane."
        )
    return found


def _is_reviewed(attributes: dict[str, Any], kind: type[Layer]) -> bool:
    """Whether a layer shows the nuclei of the review of the current window."""
    from napari_nunext.ui.docks import open_dock

    viewer = napari.current_viewer()
    name = attributes.get("name")
    if viewer is None or open_dock(viewer) is None or name not in ("Nuclei", "Outlines"):
        return False
    return name in viewer.layers and isinstance(viewer.layers[name], kind)


def _export_review(path: str) -> list[str]:
    """Write the open image's nuclei in the background; the dock says when it is done."""
    from napari_nunext.ui.docks import open_dock

    dock = open_dock(napari.current_viewer())
    if dock is not None:
        dock.controller.export.nuclei(Path(path), export_format("geojson"))
    return [path]


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
