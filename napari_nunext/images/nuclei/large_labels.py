"""Label images that are too large for the memory: OME-Zarr, and tiled TIFF of a slide.

They are read tile by tile. A nucleus on a seam of tiles is put together of its parts, by its label.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import NunextError, RecordError
from napari_nunext.core.process.installed import installed
from napari_nunext.core.shapes.masks import Mask, in_common_crop
from napari_nunext.images.nuclei.label_images import LabelImage
from napari_nunext.images.picture import quiet_readers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Tiles = Iterable[tuple[int, int, NDArray[Any]]]
    """Left, top and labels (H, W) of each tile."""

SUFFIXES = (".zarr",)
LARGE_PX = 64 * 2**20
"""Tiled TIFF of more pixels is read so, others as a whole."""
EXTRA = "napari-nunext[slides]"
_TILE_PX = 2048
"""Of OME-Zarr, at least: chunks are read some at a time."""


def is_label_folder(path: Path) -> bool:
    """Whether a folder is an OME-Zarr of labels, or of an image with labels."""
    if path.suffix.lower() not in SUFFIXES or not path.is_dir():
        return False
    try:
        _label_group(path)
    except RecordError:
        return False
    return True


def read_label_folder(path: Path) -> LabelImage:
    """The nuclei of an OME-Zarr of labels: its finest level; of several label images the first.

    Raises
    ------
    RecordError
        If zarr is not installed, or there are no labels in it.
    """
    group, attributes = _label_group(path)
    try:
        array = group[attributes["multiscales"][0]["datasets"][0]["path"]]
        tall, wide = _planar(path, array.shape, array.dtype)
        step_y, step_x = (_step(chunk) for chunk in array.chunks[-2:])
        flat = (0,) * (array.ndim - 2)
        tiles = (
            (x, y, np.asarray(array[(*flat, slice(y, y + step_y), slice(x, x + step_x))]))
            for y in range(0, tall, step_y)
            for x in range(0, wide, step_x)
        )
        return LabelImage(_masks(tiles), (wide, tall), ())
    except NunextError:
        raise
    except Exception as error:  # zarr and its codecs raise anything at damaged chunks
        raise RecordError(f"{path.name} cannot be read as OME-Zarr labels ({error}).") from error


def read_large_label_tiff(path: Path) -> LabelImage | None:
    """The nuclei of a tiled TIFF of more than `LARGE_PX`; None for any other file.

    Raises
    ------
    RecordError
        If it is damaged, or holds colours or fractions.
    """
    import tifffile

    try:
        with quiet_readers(), tifffile.TiffFile(path) as tif:
            page = tif.pages.first
            if not page.is_tiled or page.imagewidth * page.imagelength <= LARGE_PX:
                return None
            _planar(path, page.shape, page.dtype)
            return LabelImage(_masks(_tiles(page)), (page.imagewidth, page.imagelength), ())
    except NunextError:
        raise
    except Exception as error:  # decoders raise anything at broken files
        raise RecordError(f"{path.name} cannot be read as a label image ({error}).") from error


def _tiles(page: Any) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Tiles of a page that hold labels. Of a slide most hold none, and are stored alike."""
    file, empty = page.parent.filehandle, b""
    for index, (offset, count) in enumerate(
        zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        if count == 0:  # a tile that is not stored
            continue
        file.seek(offset)
        data = file.read(count)
        if data == empty:
            continue
        tile, (*_, y, x, _), shape = page.decode(data, index)
        labels = tile[0, : shape[1], : shape[2], 0]
        if labels.any():
            yield x, y, labels
        else:
            empty = data


def _label_group(path: Path) -> tuple[Any, dict[str, Any]]:
    """The group of a label image, and what it says of itself."""
    zarr: Any = installed("zarr", f"To read {path.name}", EXTRA, RecordError)
    try:
        group: Any = zarr.open_group(path, mode="r")
        attributes = _ome(group)
        if "image-label" not in attributes:
            group = group["labels"]
            group = group[str(_ome(group)["labels"][0])]
            attributes = _ome(group)
    except Exception as error:  # whatever a folder is that is none
        raise RecordError(
            f"{path.name} holds no labels; expected an OME-Zarr label image, or an image with "
            "labels."
        ) from error
    return group, attributes


def _ome(group: Any) -> dict[str, Any]:
    """Attributes of 0.5 stand under ``ome``, those of 0.4 by themselves."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return dict(ome) if isinstance(ome, dict) else attributes


def _planar(path: Path, shape: tuple[int, ...], dtype: Any) -> tuple[int, int]:
    """Height and width of one plane of whole numbers."""
    if len(shape) < 2 or max((1, *shape[:-2])) > 1 or np.dtype(dtype).kind not in "iu":
        raise RecordError(
            f"{path.name} is {dtype} of shape {shape}; expected a label image (H, W) of whole "
            "numbers, 0 for background and one number for each nucleus."
        )
    return shape[-2], shape[-1]


def _step(chunk: int) -> int:
    return chunk * max(1, _TILE_PX // chunk)


def _masks(tiles: Tiles) -> tuple[Mask, ...]:
    """The mask of each label, ascending."""
    parts: dict[int, list[Mask]] = {}
    for x, y, labels in tiles:
        for label, mask in _masks_in(labels):
            parts.setdefault(label, []).append(mask.moved(x, y))
    return tuple(reduce(_joined, parts[label]) for label in sorted(parts))


def _masks_in(labels: NDArray[Any]) -> Iterator[tuple[int, Mask]]:
    """The label and mask of each nucleus in a tile: costs their pixels, not the tile's."""
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return
    values = labels[rows, columns]
    order = np.argsort(values, kind="stable")
    rows, columns, values = rows[order], columns[order], values[order]
    ends = np.flatnonzero(np.append(np.diff(values.astype(np.int64)), 1)) + 1
    for start, end in zip((0, *ends[:-1].tolist()), ends.tolist(), strict=True):
        label = int(values[start])
        if label < 0:
            raise RecordError(f"A label image has the label {label}; expected 0 and up.")
        y, x = rows[start:end], columns[start:end]
        y0, x0 = int(y.min()), int(x.min())
        pixels = np.zeros((int(y.max()) + 1 - y0, int(x.max()) + 1 - x0), dtype=bool)
        pixels[y - y0, x - x0] = True
        yield label, Mask.from_array(pixels, x0, y0)


def _joined(one: Mask, other: Mask) -> Mask:
    first, second, (x0_px, y0_px) = in_common_crop(one, other)
    return Mask.from_array(first | second, x0_px, y0_px)
