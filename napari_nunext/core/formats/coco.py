"""COCO instances: the reading side, ours and that of other tools, and their run lengths.

Coordinates are pixels of the image, corner origin, as GeoJSON has them here. Outlines are polygons
or run lengths, plain or compressed as pycocotools writes them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.feature_stream import (
    LARGE_BYTES,
    OtherJsonError,
    around_lists,
    list_in,
    opened,
)
from napari_nunext.core.formats.json_text import reading_json
from napari_nunext.core.marks import UNMARKED, MarkedNucleus, Marks
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus, identity_of
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.shapes.polygons import MAX_SIDE_PX, centroid_of, mask_of_rings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class CocoPart:
    """What a file holds of one image."""

    image: str
    """Its file's name, perhaps with folders."""
    size_px: tuple[int, int] | None
    """Width and height, where the file says so."""
    nuclei: tuple[MarkedNucleus, ...]
    """In the order of the file; those in its list of rejected ones come last."""
    notes: tuple[str, ...]
    """What was left out: a phrase for each."""


def is_coco(data: Any) -> bool:
    """Whether JSON is of COCO instances."""
    return isinstance(data, dict) and all(
        isinstance(data.get(key), list) for key in ("images", "annotations")
    )


def is_coco_results(data: Any) -> bool:
    """Whether JSON is a list of COCO results, which know their images by number alone."""
    return bool(isinstance(data, list) and data) and all(
        isinstance(one, dict) and "image_id" in one for one in data
    )


def read_coco(data: Any, name: str) -> tuple[CocoPart, ...]:
    """The nuclei of each image, in the file's order; rejected ones are among them, and say so.

    A nucleus lies at its one keypoint, or else at the centroid of its outline, or in the middle of
    its box. A ``uid`` that is a UUID stays. Crowds are no nuclei, and counted in the notes.

    Parameters
    ----------
    data : object
        JSON for which `is_coco` holds; its annotations may be any iterable.
    name : str
        The file's, for messages.

    Raises
    ------
    RecordError
        If it is malformed; names the annotation.
    """
    names: dict[Any, str] = {}
    try:
        names = {c["id"]: str(c["name"]) for c in data.get("categories") or ()}
        parts = {i["id"]: (str(i["file_name"]), _size(i)) for i in data["images"]}
    except MALFORMED as error:
        raise _malformed(name, error) from error
    nuclei: dict[Any, list[MarkedNucleus]] = {image: [] for image in parts}
    crowds: Counter[Any] = Counter()
    seen: set[UUID] = set()
    for annotation in _annotations(data):
        try:
            image = annotation["image_id"]
            if annotation.get("iscrowd"):
                crowds[image] += 1
            elif image in nuclei:
                nuclei[image].append(_nucleus(annotation, names, seen))
        except MALFORMED as error:
            raise _malformed(name, error, annotation) from error
    read = []
    for image, (file_name, size_px) in parts.items():
        notes = (f"left out {crowds[image]} crowds",) if crowds[image] else ()
        read.append(CocoPart(file_name, size_px, tuple(nuclei[image]), notes))
    return tuple(read)


def read_large_coco(path: Path) -> tuple[CocoPart, ...] | None:
    """The same of a large file, annotation by annotation; None for any other file.

    Raises
    ------
    RecordError
        If it is malformed; names the annotation.
    """
    with reading_json(path, "COCO", "Export it again."):
        if path.stat().st_size < LARGE_BYTES:
            return None
        try:
            with opened(path) as file:
                data = around_lists(file, _LISTS)
        except OtherJsonError:
            return None
        if not is_coco(data):
            return None
        there = {name: _OfFile(path, name) for name in _LISTS if name in data}
        return read_coco(data | there, path.name)


_LISTS = ("annotations", "rejected")


@dataclass(frozen=True, slots=True)
class _OfFile:
    """A list of a file, which is read when somebody goes through it."""

    path: Path
    name: str

    def __iter__(self) -> Iterator[Any]:
        with opened(self.path) as file:
            yield from list_in(file, self.name)


def mask_of_rle(size: Iterable[int], counts: str | list[int]) -> Mask:
    """The mask that COCO's run lengths over a whole image mean.

    Parameters
    ----------
    size : iterable of int
        Height and width of the image.
    counts : str or list of int
        Run lengths, column by column, zeros first; as text, compressed by pycocotools.

    Raises
    ------
    RecordError
        If the runs do not add up, or the mask spans more than `MAX_SIDE_PX`.
    """
    height_px, width_px = (int(side) for side in size)
    runs = list(_uncompressed(counts)) if isinstance(counts, str) else [int(c) for c in counts]
    if min(runs, default=0) < 0 or sum(runs) != height_px * width_px:
        raise RecordError(
            f"Run lengths add up to {sum(runs)}; expected {height_px} x {width_px} = "
            f"{height_px * width_px}."
        )
    stops = np.cumsum(np.array(runs, dtype=np.int64))[1::2]
    lengths = np.array(runs[1::2], dtype=np.int64)
    starts, lengths = (stops - lengths)[lengths > 0], lengths[lengths > 0]
    if len(starts) == 0:
        return Mask(0, 0, 0, 0, ())
    first, last = int(starts[0]) // height_px, int(starts[-1] + lengths[-1] - 1) // height_px
    if last - first < MAX_SIDE_PX and int(lengths.sum()) <= MAX_SIDE_PX**2:
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        columns, rows = np.divmod(np.repeat(starts, lengths) + within, height_px)
        top, bottom = int(rows.min()), int(rows.max())
        if bottom - top < MAX_SIDE_PX:
            pixels = np.zeros((bottom - top + 1, last - first + 1), dtype=bool)
            pixels[rows - top, columns - first] = True
            return Mask.from_array(pixels, first, top)
    raise RecordError(
        f"A mask spans more than {MAX_SIDE_PX} px; expected a nucleus. Leave out the outlines of "
        "tissue."
    )


def _uncompressed(text: str) -> Iterator[int]:
    """Run lengths of pycocotools' text: five bits a character, differences from the fourth on."""
    before: list[int] = []
    value = bits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise RecordError(f"Compressed run lengths hold {character!r}.")
        value |= (code & 0x1F) << bits
        bits += 5
        if bits > 64:
            raise RecordError("A compressed run length has more than 64 bits.")
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << bits
        if len(before) > 2:
            value += before[-2]
        before.append(value)
        yield value
        value = bits = 0
    if bits:
        raise RecordError("Compressed run lengths are cut off.")


def compressed(runs: Iterable[int]) -> str:
    """Run lengths as pycocotools' text, which COCO's results files hold; `mask_of_rle` reads it."""
    text: list[str] = []
    before: list[int] = []
    for run in runs:
        value = run - before[-2] if len(before) > 2 else run
        before.append(run)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(text)


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width_px, height_px = image.get("width"), image.get("height")
    return (int(width_px), int(height_px)) if width_px and height_px else None


def _annotations(data: dict[str, Any]) -> Iterator[Any]:
    yield from data["annotations"]
    for one in data.get("rejected") or ():  # ours; they are no annotations
        yield {**one, "attributes": {**(one.get("attributes") or {}), "status": "rejected"}}


def _nucleus(annotation: dict[str, Any], names: dict[Any, str], seen: set[UUID]) -> MarkedNucleus:
    rings, mask = _outline(annotation.get("segmentation"))
    x_px, y_px = _point(annotation, rings, mask)
    uid, identified = identity_of(annotation.get("uid"), seen)
    score = annotation.get("score")
    nucleus = Nucleus(
        uid,
        x_px,
        y_px,
        category=names.get(annotation.get("category_id")) or UNCATEGORISED,
        confidence=float(score) if score is not None and 0 <= float(score) <= 1 else None,
        mask=mask,
    )
    attributes = annotation.get("attributes")
    is_ours = identified and isinstance(attributes, dict)  # others' may say anything
    return MarkedNucleus(
        nucleus, Marks.from_text(attributes or {}) if is_ours else UNMARKED, identified
    )


def _outline(said: Any) -> tuple[list[list[tuple[float, float]]], Mask | None]:
    """Rings, which run lengths have none of, and the mask; None where it has no pixel."""
    if isinstance(said, dict):
        mask = mask_of_rle(said["size"], said["counts"])
        return [], mask if mask.area_px else None
    rings = [
        [(float(x), float(y)) for x, y in zip(part[::2], part[1::2], strict=True)]
        for part in said or ()
        if part
    ]
    mask = mask_of_rings(rings)
    return rings, mask if mask.area_px else None


def _point(
    annotation: dict[str, Any], rings: list[list[tuple[float, float]]], mask: Mask | None
) -> tuple[float, float]:
    keypoints = annotation.get("keypoints") or []
    if len(keypoints) == 3:
        x_px, y_px = float(keypoints[0]), float(keypoints[1])
    elif any(rings):
        x_px, y_px, _ = centroid_of([[ring] for ring in rings if ring])
    elif mask is not None:
        x_px, y_px = mask.centroid_xy
    else:
        left, top, width, height = (float(v) for v in annotation["bbox"])
        x_px, y_px = left + width / 2, top + height / 2
    if not np.isfinite((x_px, y_px)).all():
        raise RecordError(f"coordinates {x_px}, {y_px}")
    return x_px, y_px


def _malformed(name: str, error: Exception, annotation: Any = None) -> RecordError:
    number = annotation.get("id") if isinstance(annotation, dict) else None
    where = "" if number is None else f" annotation {number}"
    said = str(error) if isinstance(error, RecordError) else repr(error)
    return RecordError(
        f"{name} looks like JSON of COCO, but is malformed{where and ' at'}{where} ({said}). "
        "Write it again, or as GeoJSON."
    )
