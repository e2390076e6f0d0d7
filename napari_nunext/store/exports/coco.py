"""COCO instances, and COCO results.

Coordinates are pixels of the image, corner origin, as COCO's are. A nucleus with a mask has an
uncompressed RLE over the whole image, its box and its area; one without has one of no pixel
and a box without extent at its centroid. Every annotation carries the centroid as its one keypoint,
and what the review says of it as its attributes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.formats.coco import compressed
from napari_nunext.core.nuclei import Category, default_categories
from napari_nunext.store.exports.files import as_marked, replacing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.marks import MarkedNucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.exports.files import ImageNuclei


def write_coco(
    path: Path, images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> None:
    """Write `coco_instances`, whole or not at all.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    data = coco_instances(images, categories=categories)
    _write(path, data)


def write_coco_results(
    path: Path, images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> int:
    """Write `coco_results`, whole or not at all, and return how many nuclei have no outline.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    results = coco_results(images, categories=categories)
    _write(path, results)
    standing = sum(n.marks.stands for image in images for n in as_marked(image.nuclei))
    return standing - len(results)


def _write(path: Path, data: Any) -> None:
    with replacing(path) as file:
        json.dump(data, file, ensure_ascii=False, allow_nan=False)
        file.write("\n")


def coco_results(
    images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> list[dict[str, Any]]:
    """The nuclei that stand as COCO results, the form in which detections are scored.

    Ids are those of `coco_instances` of the same images and categories. Masks are compressed run
    lengths, as pycocotools writes them. The score is the model's confidence, and 1 where a person
    placed the nucleus. One without a mask in its image is left out: the form has no room for it.
    """
    marked = [(image.entry, as_marked(image.nuclei)) for image in images]
    names = _names(marked, categories)
    results = []
    for image_id, (entry, nuclei) in enumerate(marked, start=1):
        for n in nuclei:
            said = _annotation(n, entry.width_px, entry.height_px)
            if not (n.marks.stands and said["area"]):
                continue
            rle = said["segmentation"]
            results.append(
                {
                    "image_id": image_id,
                    "category_id": names.index(n.nucleus.category) + 1,
                    "segmentation": {"size": rle["size"], "counts": compressed(rle["counts"])},
                    "bbox": said["bbox"],
                    "score": said.get("score", 1.0),
                }
            )
    return results


def _names(
    marked: Sequence[tuple[ImageEntry, Sequence[MarkedNucleus]]], categories: Sequence[Category]
) -> list[str]:
    """Categories in the order of their ids, from 1."""
    used = (n.nucleus.category for _, nuclei in marked for n in nuclei)
    return list(dict.fromkeys((*(c.name for c in categories), *used)))


def coco_instances(
    images: Sequence[ImageNuclei], *, categories: Sequence[Category] = ()
) -> dict[str, Any]:
    """Images and nuclei as a COCO instances document.

    Rejected nuclei are no annotations, which every reader takes for truth; they stand in a list of
    their own, ``rejected``, of the same form. Ids count from 1 in the order given; a category that
    only nuclei know comes after those of `categories`.
    """
    marked = [(image.entry, as_marked(image.nuclei)) for image in images]
    names = _names(marked, categories)
    colors = {c.name: c.color for c in (*default_categories(names), *categories)}
    annotations: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for image_id, (entry, nuclei) in enumerate(marked, start=1):
        for n in nuclei:
            category_id = names.index(n.nucleus.category) + 1
            listed = annotations if n.marks.stands else rejected
            ids = {"id": len(listed) + 1, "image_id": image_id, "category_id": category_id}
            listed.append(ids | _annotation(n, entry.width_px, entry.height_px))
    return {
        "info": {"description": "Nuclei reviewed with napari-nunext"},
        "images": [
            {
                "id": image_id,
                "file_name": entry.name,
                "width": entry.width_px,
                "height": entry.height_px,
                "mpp": entry.mpp,
            }
            for image_id, (entry, _) in enumerate(marked, start=1)
        ],
        "annotations": annotations,
        "rejected": rejected,
        "categories": [
            {
                "id": i,
                "name": name,
                "supercategory": "nucleus",
                "keypoints": ["centroid"],
                "skeleton": [],
                "color": list(colors[name]),
            }
            for i, name in enumerate(names, start=1)
        ],
    }


def _annotation(n: MarkedNucleus, width_px: int, height_px: int) -> dict[str, Any]:
    nucleus = n.nucleus
    data: dict[str, Any] = {
        "uid": str(nucleus.uid),
        "iscrowd": 0,
        "attributes": n.marks.to_text(),
        "keypoints": [nucleus.x_px, nucleus.y_px, 2],
        "num_keypoints": 1,
    }
    if nucleus.confidence is not None:
        data["score"] = nucleus.confidence
    rows, columns = _pixels_inside(nucleus.mask, width_px, height_px)
    if rows.size == 0:  # no mask, or none of it inside the image; pycocotools takes no empty list
        nothing = {"size": [height_px, width_px], "counts": [width_px * height_px]}
        box = [nucleus.x_px, nucleus.y_px, 0, 0]
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
