"""OME-Zarr 0.4 and 0.5 (Zarr 2 and 3, sharded or not), by zarr. A folder is one image."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import MALFORMED, ImageError
from napari_nunext.images.samples import grey_to_rgb, on_white
from napari_nunext.images.scale import mpp_of_pixel_size, um_of_unit
from napari_nunext.images.slides.reader import (
    Level,
    SlideHeader,
    check_tile_size,
    factor_of,
    sampled,
)
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.wanted import wanted_package
from napari_nunext.images.stains import check_bright_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.images.slides.slide import Slide

_METADATA = ("zarr.json", ".zattrs", ".zgroup")
_OF_IMAGES = ("multiscales", "bioformats2raw.layout", "plate")
_LEAST_TILE_PX = 256
"""Smaller chunks are read some at a time."""
_PRIMARY = {"FF0000", "00FF00", "0000FF"}


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a group of Zarr, of version 2 or 3."""
    return any((path / name).is_file() for name in _METADATA)


def holds_labels_alone(path: Path) -> bool:
    """Whether an OME-Zarr is labels, or holds nothing else, by its metadata; needs no zarr."""
    for name in ("zarr.json", ".zattrs"):
        with suppress(OSError, ValueError, AttributeError):
            said = json.loads((path / name).read_text(encoding="utf-8"))
            attributes = said.get("attributes", {}) if name == "zarr.json" else said
            ome = attributes.get("ome", attributes)
            is_image = any(
                each in ome for each in ("multiscales", "bioformats2raw.layout", "plate")
            )
            return "image-label" in ome or ("labels" in ome and not is_image)
    return False


def open_ome_zarr(path: Path) -> Slide:
    """Open a folder as a slide.

    Raises
    ------
    ImageError
        If it holds no image of a stained section, or zarr is not installed.
    """
    wanted_package("zarr", path)
    return slide_of(path, lambda: OmeZarrReader(path))


class OmeZarrReader:
    """Reads tiles of an OME-Zarr image; a `SlideReader`.

    Of a collection (``bioformats2raw.layout``) the first image is taken: others are photographs of
    the label, or of the whole glass. Groups of labels are none.

    Raises
    ------
    ImageError
        If it is none, or of a kind that cannot be shown.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            group, attributes = _image_group(path)
            multiscale = attributes["multiscales"][0]
            axes = _axes(multiscale)
            datasets = [each for each in multiscale["datasets"] if isinstance(each["path"], str)]
            self._arrays = [group[each["path"]] for each in datasets]
            scales = [_scale(each, multiscale, len(axes)) for each in datasets]
        except ImageError:
            raise
        except MALFORMED as error:
            raise ImageError(
                f"{path.name} is no OME-Zarr image of version 0.4 or 0.5 ({error!r}). "
                "Convert it anew, for example with bioformats2raw."
            ) from error
        names = [axis["name"] for axis in axes]
        self._axes = {name: names.index(name) for name in names}
        self._check(names, attributes)
        x, y = self._axes["x"], self._axes["y"]
        sizes = [(array.shape[x], array.shape[y]) for array in self._arrays]
        self._check_sizes(sizes)
        levels = []
        for number, array in enumerate(self._arrays):
            across, down = (_tile_side(array.chunks[axis]) for axis in (x, y))
            check_tile_size(path, across, down)
            factor = _factor(sizes, number, scales, x, y)
            levels.append(Level(*sizes[number], across, down, factor))
        mpp, notes = _mpp(scales[0], axes, x, y)
        self.header = SlideHeader(tuple(levels), mpp, (*self._notes, *notes))

    def read_tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """See `SlideReader.read_tile`."""
        at, array = self.header.levels[level], self._arrays[level]
        x, y = self._axes["x"], self._axes["y"]
        place: list[Any] = [0] * array.ndim
        left, top = column * at.tile_width_px, row * at.tile_height_px
        place[x] = slice(left, min(left + at.tile_width_px, at.width_px))
        place[y] = slice(top, min(top + at.tile_height_px, at.height_px))
        kept = [name for name in self._axes if name in "yx"]
        if "c" in self._axes:
            place[self._axes["c"]] = slice(None)
            kept = [name for name in self._axes if name in "cyx"]
        samples = np.asarray(array[tuple(place)])
        channels = samples.transpose([kept.index(name) for name in "yxc" if name in kept])
        if channels.ndim == 2:
            return grey_to_rgb(channels)
        if channels.shape[2] == 1:
            return grey_to_rgb(channels[..., 0])
        rgb = np.ascontiguousarray(channels[..., :3])
        return rgb if channels.shape[2] == 3 else on_white(rgb, channels[..., 3])

    def canonical(self) -> Iterator[bytes]:
        """Sizes, chunks and some tiles: chunks are lossless, so that pixels stay what they are."""
        yield b"ome-zarr"
        for number, (level, array) in enumerate(zip(self.header.levels, self._arrays, strict=True)):
            yield json.dumps([list(array.shape), list(array.chunks), str(array.dtype)]).encode()
            for column, row in sampled(level):
                yield np.ascontiguousarray(self.read_tile(number, column, row)).tobytes()

    def _check(self, names: Sequence[str], attributes: Mapping[str, Any]) -> None:
        """Refuse what is no single plane of a stained section in 8 bits."""
        name, first = self._path.name, self._arrays[0]
        if not {"x", "y"} <= set(names) or len(set(names)) < len(names):
            raise ImageError(
                f"{name} has axes {', '.join(names)}; expected y and x, or c, y and x."
            )
        if any(array.ndim != len(names) for array in self._arrays):
            raise ImageError(f"{name} has levels of other axes than it says. Convert it anew.")
        for axis, size in zip(names, first.shape, strict=True):
            if axis not in "cyx" and size > 1:
                raise ImageError(
                    f"{name} is a stack of {size} planes in {axis}; expected one plane. "
                    "Export the plane to review, or a projection."
                )
        channels = first.shape[self._axes["c"]] if "c" in names else 1
        described = _channels(attributes)
        check_bright_field(name, [channel["label"] for channel in described])
        if channels not in (1, 3, 4):
            raise ImageError(
                f"{name} has {channels} channels; expected grey, RGB or RGBA of a stained section. "
                "Export it as RGB."
            )
        if first.dtype != np.uint8 or any(array.dtype != first.dtype for array in self._arrays):
            raise ImageError(
                f"{name} has samples of {first.dtype}; expected 8 bits (uint8), as bright field "
                "has them. Export it as 8-bit RGB."
            )
        colors = {channel["color"] for channel in described if channel["color"]}
        if channels == 3 and len(described) == 3 and len(colors) == 3 and colors != _PRIMARY:
            raise ImageError(
                f"{name} has three channels in colours of their own, as fluorescence has; expected "
                "red, green and blue of a stained section. Open an H&E image, for example."
            )
        self._notes = (
            ("greyscale, shown as RGB 8-bit",)
            if channels == 1
            else ("transparent pixels put on white",)
            if channels == 4
            else ()
        )

    def _check_sizes(self, sizes: Sequence[tuple[int, int]]) -> None:
        if not sizes or any(min(size) < 1 for size in sizes):
            raise ImageError(f"{self._path.name} has a level without pixels. Convert it anew.")
        for finer, coarser in pairwise(sizes):
            if coarser[0] > finer[0] or coarser[1] > finer[1]:
                raise ImageError(
                    f"{self._path.name} has levels that do not go from fine to coarse. "
                    "Convert it anew."
                )


def _image_group(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """The group that holds the image, and what it says of it."""
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    attributes = _ome(group)
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        group = group["0"]
        attributes = _ome(group)
    if "image-label" in attributes:
        raise ImageError(
            f"{path.name} holds labels, not an image. Open the folder of the image they are of."
        )
    if "plate" in attributes or "well" in attributes:
        raise ImageError(
            f"{path.name} is a plate of many images; expected one. Open the folder of one of them."
        )
    if "multiscales" not in attributes:
        raise ImageError(
            f"{path.name} says of no image in it. Open the folder of the image (with multiscales)."
        )
    return group, attributes


def _ome(group: Any) -> Mapping[str, Any]:
    """Attributes of 0.5 stand under ``ome``, those of 0.4 by themselves."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _axes(multiscale: Mapping[str, Any]) -> list[dict[str, str]]:
    axes = [
        {"name": str(axis["name"]).lower(), "unit": str(axis.get("unit") or "")}
        for axis in multiscale["axes"]
    ]
    if len(axes) < 2:
        raise ValueError("fewer than two axes")
    return axes


def _scale(
    dataset: Mapping[str, Any], multiscale: Mapping[str, Any], count: int
) -> list[float] | None:
    """Size of a pixel along each axis, in its unit; None where it is not said."""
    factors = None
    for said in (dataset, multiscale):
        for transform in said.get("coordinateTransformations") or ():
            if transform.get("type") == "scale":
                values = [float(value) for value in transform["scale"]]
                if len(values) != count:
                    raise ValueError("a scale of another number of axes")
                factors = [a * b for a, b in zip(factors or [1.0] * count, values, strict=True)]
    if factors is not None and not all(math.isfinite(f) and f > 0 for f in factors):
        return None
    return factors


def _factor(
    sizes: Sequence[tuple[int, int]],
    number: int,
    scales: Sequence[list[float] | None],
    x: int,
    y: int,
) -> float:
    """By the scales that the levels say, where these fit the sizes; else by the sizes."""
    first, this = scales[0], scales[number]
    if first is not None and this is not None:
        said = this[x] / first[x]
        (width0, height0), (width, height) = sizes[0], sizes[number]
        fits = abs(width0 / said - width) < 1 and abs(height0 / said - height) < 1
        if fits and abs(this[y] / first[y] / said - 1) < 0.01:
            return said
    return factor_of(sizes, number)


def _mpp(
    scale: list[float] | None, axes: Sequence[Mapping[str, str]], x: int, y: int
) -> tuple[float | None, tuple[str, ...]]:
    """Micrometres per pixel; without a unit nobody knows what the scale counts in."""
    units = [um_of_unit(axes[axis]["unit"]) for axis in (x, y)]
    if scale is None or units[0] is None or units[1] is None:
        return None, ()
    return mpp_of_pixel_size(scale[x] * units[0], scale[y] * units[1])


def _channels(attributes: Mapping[str, Any]) -> list[dict[str, str]]:
    """Names and colours of channels, where they are said."""
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    return [
        {"label": str(each.get("label", "")), "color": str(each.get("color", "")).upper()}
        for each in (channels if isinstance(channels, list) else ())
        if isinstance(each, dict)
    ]


def _tile_side(chunk: int) -> int:
    return chunk * math.ceil(_LEAST_TILE_PX / chunk) if chunk > 0 else 0
