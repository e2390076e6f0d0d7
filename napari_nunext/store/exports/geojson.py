"""GeoJSON as QuPath reads it.

Coordinates are level-0 pixels (x, y) with two decimals, as QuPath's own. A feature's id is the
nucleus' uid, so that what comes back can be matched. A classification always carries its colour:
QuPath refuses a whole file over one without.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from uuid import UUID, uuid5

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.formats.geojson import CONFIDENCE, POSITION_ERROR
from napari_nunext.core.formats.json_text import json_text
from napari_nunext.core.marks import STATUS_IN_GEOJSON
from napari_nunext.core.nuclei import default_categories
from napari_nunext.store.exports.files import replacing
from napari_nunext.store.exports.outline_texts import geometry_texts
from napari_nunext.store.exports.rows import categories_in, in_chunks, standing_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

    from napari_nunext.core.marks import Marks
    from napari_nunext.core.nuclei import Category
    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.exports.rows import Rows

PointsAs: TypeAlias = Literal["detections", "multipoint annotations"]
Measurements: TypeAlias = "Mapping[str, ArrayLike]"

_CATEGORY_NAMESPACE = UUID("6f2b7c1e-0d3a-5f4e-9c58-3b1d2a7e4f60")
"""So that a category's MultiPoint keeps its id from one export to the next."""


def feature_collection(
    nuclei: Collection[Exportable],
    *,
    categories: Sequence[Category] = (),
    points_as: PointsAs = "detections",
    masks: bool = False,
    offset_xy: tuple[float, float] = (0.0, 0.0),
    metadata: Mapping[str, str] | None = None,
    measurements: Measurements | None = None,
) -> dict[str, Any]:
    """Nuclei as a GeoJSON FeatureCollection.

    Parameters
    ----------
    nuclei : collection of Nucleus or ReviewedNucleus
        In the order they are to be written. May be empty.
    categories : sequence of Category
        For their colours; a category that is missing here gets a default colour.
    points_as : {"detections", "multipoint annotations"}
        One Point detection for each nucleus, or one MultiPoint annotation for each category, as
        QuPath's counting tool has it (which has no room for uid, confidence or review: rejected
        nuclei are left out).
    masks : bool
        Write a nucleus that has a mask as a Polygon detection instead of a Point.
    offset_xy : tuple of float
        Subtracted from every coordinate, level-0 px: QuPath crops some slides to their bounds.
    metadata : mapping of str to str
        Added to the metadata of every detection, for example the model.
    measurements : mapping of str to sequence of float, optional
        By name a number for each nucleus, in their order; NaN is left out.
    """
    texts = _texts(
        nuclei,
        categories=categories,
        points_as=points_as,
        masks=masks,
        offset_xy=offset_xy,
        metadata=metadata,
        measurements=measurements,
    )
    return dict(json.loads("".join(texts)))


def write_geojson(
    path: Path,
    nuclei: Collection[Exportable],
    *,
    categories: Sequence[Category] = (),
    points_as: PointsAs = "detections",
    masks: bool = False,
    offset_xy: tuple[float, float] = (0.0, 0.0),
    metadata: Mapping[str, str] | None = None,
    measurements: Measurements | None = None,
) -> None:
    """Write `feature_collection`, whole or not at all, some thousand nuclei at a time.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    with replacing(path) as file:
        file.writelines(
            _texts(
                nuclei,
                categories=categories,
                points_as=points_as,
                masks=masks,
                offset_xy=offset_xy,
                metadata=metadata,
                measurements=measurements,
            )
        )
        file.write("\n")


def _texts(
    nuclei: Collection[Exportable],
    *,
    categories: Sequence[Category],
    points_as: PointsAs,
    masks: bool,
    offset_xy: tuple[float, float],
    metadata: Mapping[str, str] | None,
    measurements: Measurements | None,
) -> Iterator[str]:
    """The file's text, piece by piece."""
    yield '{"type": "FeatureCollection", "features": ['
    said = _Said(_colors(nuclei, categories), metadata or {})
    measured = measured_texts(measurements or {}, len(nuclei))
    if points_as == "multipoint annotations":
        yield from _multipoints(nuclei, said, offset_xy)
    else:
        between = ""
        for rows in in_chunks(nuclei):
            rows.check_finite()
            if features := ", ".join(_detections(rows, said, masks, offset_xy, measured)):
                yield between + features
                between = ", "
    yield "]}"


class _Said:
    """Texts that many features share."""

    def __init__(
        self, colors: Mapping[str, tuple[int, int, int]], metadata: Mapping[str, str]
    ) -> None:
        self.classification = {
            name: json_text({"name": name, "color": list(color)}) for name, color in colors.items()
        }
        self._metadata = metadata
        self._of_marks: dict[Marks, str] = {}

    def of(self, marks: Marks) -> str:
        """The metadata of a feature."""
        if marks not in self._of_marks:
            text = marks.to_text(status_name=STATUS_IN_GEOJSON)
            self._of_marks[marks] = json_text({**self._metadata, **text})
        return self._of_marks[marks]


def _colors(
    nuclei: Collection[Exportable], categories: Sequence[Category]
) -> dict[str, tuple[int, int, int]]:
    known = {c.name: c.color for c in categories}
    names = dict.fromkeys((*known, *categories_in(nuclei)))
    return {c.name: known.get(c.name, c.color) for c in default_categories(names)}


def _detections(
    rows: Rows,
    said: _Said,
    with_mask: bool,
    offset_xy: tuple[float, float],
    measured: Iterator[str],
) -> Iterator[str]:
    """A feature for each row. Put together from texts: a million dicts would take minutes."""
    left, top = map(float, offset_xy)
    outlines = geometry_texts(rows.masks, (left, top)) if with_mask else [None] * len(rows)
    for row, geometry in zip(rows, outlines, strict=True):
        uid, x_px, y_px, category, confidence, error_um, _, marks = row
        if geometry is None:
            x, y = round(float(x_px) - left, 2), round(float(y_px) - top, 2)
            geometry = f'{{"type": "Point", "coordinates": [{x!r}, {y!r}]}}'
        numbers = next(measured)
        for name, value in ((POSITION_ERROR, error_um), (CONFIDENCE, confidence)):
            if value is not None:
                first = f'"{name}": {round(float(value), 6)!r}'
                numbers = f"{first}, {numbers}" if numbers else first
        if numbers:
            numbers = f'"measurements": {{{numbers}}}, '
        yield (
            f'{{"type": "Feature", "id": "{uid}", "geometry": {geometry}, "properties": '
            f'{{"objectType": "detection", "classification": {said.classification[category]}, '
            f'{numbers}"metadata": {said.of(marks)}}}}}'
        )


def measured_texts(measurements: Measurements, count: int) -> Iterator[str]:
    """What each of `count` nuclei measures, as members of a JSON object; empty for nothing."""
    columns = [np.asarray(numbers, dtype=np.float64) for numbers in measurements.values()]
    for name, column in zip(measurements, columns, strict=True):
        if column.shape != (count,):
            raise InputError(
                f"{name!r} has {column.size} numbers; expected one for each of {count} nuclei."
            )
    names = [json_text(name) for name in measurements]
    for row in zip(*columns, strict=True) if columns else repeat((), count):
        said = zip(names, row, strict=True)
        yield ", ".join(f"{name}: {round(float(x), 6)!r}" for name, x in said if np.isfinite(x))


def _multipoints(
    nuclei: Iterable[Exportable], said: _Said, offset_xy: tuple[float, float]
) -> Iterator[str]:
    """A feature for each category, whose points alone are kept until it is written."""
    left, top = map(float, offset_xy)
    by_category: dict[str, list[str]] = defaultdict(list)
    for rows in standing_in(nuclei):
        rows.check_finite()
        for x_px, y_px, category in zip(rows.x_px, rows.y_px, rows.categories, strict=True):
            x, y = round(float(x_px) - left, 2), round(float(y_px) - top, 2)
            by_category[category].append(f"[{x!r}, {y!r}]")
    between = ""
    for category, points in by_category.items():
        uid = uuid5(_CATEGORY_NAMESPACE, category)
        yield (
            f'{between}{{"type": "Feature", "id": "{uid}", "geometry": {{"type": "MultiPoint", '
            f'"coordinates": [{", ".join(points)}]}}, "properties": {{"objectType": "annotation", '
            f'"name": {json_text(category)}, "classification": {said.classification[category]}}}}}'
        )
        between = ", "
