"""COCO instances, and COCO results.

Coordinates are pixels of the image, corner origin, as COCO's are. A nucleus with a mask has an
uncompressed RLE over the whole image, its box and its area; one without has one of no pixel
and a box without extent at its centroid. Every annotation carries the centroid as its one keypoint,
and what the review says of it as its attributes.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.formats.coco import compressed
from napari_nunext.core.formats.json_text import json_text
from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.store.exports.files import replacing
from napari_nunext.store.exports.rows import categories_in, in_chunks, standing_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from numpy.typing import NDArray

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.exports.files import ImageNuclei
    from napari_nunext.store.exports.rows import Row


def write_coco(
    path: Path, images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> None:
    """Write `coco_instances`, whole or not at all, some thousand nuclei at a time.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    with replacing(path) as file:
        file.writelines(_instances(images, categories))
        file.write("\n")


def write_coco_results(
    path: Path, images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> int:
    """Write `coco_results`, whole or not at all, and return how many nuclei have no outline.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    with replacing(path) as file:
        left_out = _write_results(file, images, categories)
        file.write("\n")
    return left_out


def coco_results(
    images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> list[dict[str, Any]]:
    """The nuclei that stand as COCO results, the form in which detections are scored.

    Ids are those of `coco_instances` of the same images and categories. Masks are compressed run
    lengths, as pycocotools writes them. The score is the model's confidence, and 1 where a person
    placed the nucleus. One without a mask in its image is left out: the form has no room for it.
    """
    text = io.StringIO()
    _write_results(text, images, categories)
    return list(json.loads(text.getvalue()))


def coco_instances(
    images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> dict[str, Any]:
    """Images and nuclei as a COCO instances document.

    Rejected nuclei are no annotations, which every reader takes for truth; they stand in a list of
    their own, ``rejected``, of the same form. Ids count from 1 in the order given; a category that
    only nuclei know comes after those of `categories`.
    """
    return dict(json.loads("".join(_instances(images, categories))))


def _write_results(
    file: TextIO, images: Sequence[ImageNuclei], categories: Sequence[Category]
) -> int:
    """Write results, and return how many nuclei that stand have no outline in their image."""
    ids = _ids(images, categories)
    left_out = 0
    between = "["
    for image_id, image in enumerate(images, start=1):
        for rows in standing_in(image.nuclei):
            for row in rows:
                said = _annotation(row, image.entry.width_px, image.entry.height_px)
                if not said["area"]:
                    left_out += 1
                    continue
                rle = said["segmentation"]
                result = {
                    "image_id": image_id,
                    "category_id": ids[row[3]],
                    "segmentation": {"size": rle["size"], "counts": compressed(rle["counts"])},
                    "bbox": said["bbox"],
                    "score": said.get("score", 1.0),
                }
                file.write(between + json_text(result))
                between = ", "
    file.write("[]" if between == "[" else "]")
    return left_out


def _instances(images: Sequence[ImageNuclei], categories: Sequence[Category]) -> Iterator[str]:
    """The document's text, piece by piece."""
    ids = _ids(images, categories)
    colors = {c.name: c.color for c in (*default_categories(ids), *categories)}
    listed = [
        {
            "id": image_id,
            "file_name": image.entry.name,
            "width": image.entry.width_px,
            "height": image.entry.height_px,
            "mpp": image.entry.mpp,
        }
        for image_id, image in enumerate(images, start=1)
    ]
    named = [
        {
            "id": i,
            "name": name,
            "supercategory": "nucleus",
            "keypoints": ["centroid"],
            "skeleton": [],
            "color": list(colors[name]),
        }
        for name, i in ids.items()
    ]
    info = {"description": "Nuclei reviewed with napari-nunext"}
    yield f'{{"info": {json_text(info)}, "images": {json_text(listed)}, "annotations": ['
    yield from _annotations(images, ids, stand=True)
    yield '], "rejected": ['
    yield from _annotations(images, ids, stand=False)
    yield f'], "categories": {json_text(named)}}}'


def _annotations(
    images: Sequence[ImageNuclei], ids: Mapping[str, int], *, stand: bool
) -> Iterator[str]:
    """A text for each nucleus that stands, or for each that somebody rejected."""
    number = 0
    for image_id, image in enumerate(images, start=1):
        for rows in in_chunks(image.nuclei):
            for row in rows.where([stands is stand for stands in rows.stand]):
                number += 1
                numbers = {"id": number, "image_id": image_id, "category_id": ids[row[3]]}
                said = _annotation(row, image.entry.width_px, image.entry.height_px)
                yield (", " if number > 1 else "") + json_text(numbers | said)


def _ids(images: Sequence[ImageNuclei], categories: Sequence[Category]) -> dict[str, int]:
    """Id of each category, from 1: those given, then those that only nuclei know."""
    used = (name for image in images for name in categories_in(image.nuclei))
    names = dict.fromkeys((*(c.name for c in categories), *used))
    return {name: i for i, name in enumerate(names, start=1)}


def _annotation(row: Row, width_px: int, height_px: int) -> dict[str, Any]:
    uid, x_px, y_px, _, confidence, _, mask, marks = row
    data: dict[str, Any] = {
        "uid": uid,
        "iscrowd": 0,
        "attributes": marks.to_text(),
        "keypoints": [x_px, y_px, 2],
        "num_keypoints": 1,
    }
    if confidence is not None:
        data["score"] = confidence
    rows, columns = _pixels_inside(mask, width_px, height_px)
    if rows.size == 0:  # no mask, or none of it inside the image; pycocotools takes no empty list
        nothing = {"size": [height_px, width_px], "counts": [width_px * height_px]}
        box = [x_px, y_px, 0, 0]
        return data | {"segmentation": nothing, "bbox": box, "area": 0}
    x0, y0 = int(columns.min()), int(rows.min())
    return data | {
        "segmentation": {
            "size": [height_px, width_px],
            "counts": _counts(rows, columns, width_px, height_px),
        },
        "bbox": [x0, y0, int(columns.max()) + 1 - x0, int(rows.max()) + 1 - y0],
        "area": int(rows.size),
    }


def _pixels_inside(
    mask: Mask | None, width_px: int, height_px: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the mask's pixels in its image; what hangs over the edge is cut off."""
    if mask is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rows, columns = np.nonzero(mask.to_array())
    rows, columns = rows + mask.y0_px, columns + mask.x0_px
    inside = (rows >= 0) & (rows < height_px) & (columns >= 0) & (columns < width_px)
    return rows[inside], columns[inside]


def _counts(
    rows: NDArray[np.int64], columns: NDArray[np.int64], width_px: int, height_px: int
) -> list[int]:
    """Run lengths of at least one pixel over the whole image, column by column, zeros first.

    Costs the mask's size, not the image's.
    """
    flat = np.sort(columns * height_px + rows)
    breaks = np.flatnonzero(np.diff(flat) > 1)
    starts = flat[np.concatenate(([0], breaks + 1))]
    stops = flat[np.concatenate((breaks, [flat.size - 1]))] + 1
    edges = np.column_stack((starts, stops)).ravel()
    counts = [int(c) for c in np.diff(edges, prepend=0, append=width_px * height_px)]
    return counts if counts[-1] else counts[:-1]
