"""TIFF, through tifffile."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import (
    ORIENTATION_NOTE,
    Picture,
    check_size,
    oriented,
    reading,
)
from napari_nunext.images.samples import cmyk_to_rgb, grey_to_rgb, on_white, to_8bit
from napari_nunext.images.stains import check_ome
from napari_nunext.images.tiff_scale import mpp_of_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_COLOUR_MODELS = (
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.SEPARATED,
    PHOTOMETRIC.YCBCR,
)
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_NO_TISSUE = re.compile(r"\b(label|macro|thumbnail|probe)\b|label_image", re.IGNORECASE)
_STACK_AXES = {"Z": "depth", "T": "time"}
_PAGE_AXES = frozenset("IQ")
"""Axes that tifffile gives to pages of which the file does not say what they are."""


def read_tiff(path: Path) -> Picture:
    """Read the header of a TIFF file.

    Of several pages the first is shown that is no reduced copy, mask or photograph of the label.
    A stack in depth or time, or channels that are not grey, RGB or RGBA, are refused: which plane
    was meant is not for us to guess.

    Raises
    ------
    ImageError
        If it is damaged, empty, too large, or not of a kind that can be shown as one RGB image.
    """
    with opened_tiff(path) as tif:
        first = tif.pages.first
        check_size(path, first.imagewidth, first.imagelength)  # before series are looked for
        series, page = shown_in(tif)
        check_shows_stain(path, tif, series, page)
        channels = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
        needed = _check_memory(path, page, channels)
        _check_complete(path, series)
        orientation = orientation_of(page)
        width, height = page.imagewidth, page.imagelength
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        mpp, scale_notes = mpp_of_tiff(tif, page)
        notes = _notes(page, tif, series, orientation)
    notes += scale_notes
    return Picture(width, height, mpp, notes, lambda: _decode(path), orientation, needed)


@contextmanager
def opened_tiff(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF for as long as its header is read."""
    with reading(path), tifffile.TiffFile(path) as tif:
        # Finds pages that lead back to each other: a walk through them would not end.
        len(tif.pages)
        yield tif


def shown_in(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, tifffile.TiffPage]:
    """The first series that is an image of its own, and its first page.

    Copies at a lower resolution, masks, and photographs of the slide's label are none.
    """
    for series in tif.series:
        page = series.keyframe
        if not (page.is_reduced or page.is_mask or _NO_TISSUE.search(_called(series, page))):
            return series, page
    return tif.series[0], tif.series[0].keyframe


def _called(series: tifffile.TiffPageSeries, page: tifffile.TiffPage) -> str:
    """What a series calls itself: its name, and a description that is but a few words."""
    return f"{series.name} {page.description if len(page.description) < 40 else ''}"


def _check_memory(path: Path, page: tifffile.TiffPage, channels: int) -> int:
    """Refuse what would take much memory to decode: the page, or one tile of it; else how much."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    bytes_per_px = max(channels, page.samplesperpixel) * -(-bits // 8)
    needed = check_size(path, page.imagewidth, page.imagelength, bytes_per_px)
    if page.is_tiled:
        needed += check_size(path, page.tilewidth, page.tilelength, bytes_per_px)
    return needed


def read_samples(path: Path) -> NDArray[Any]:
    """The samples of a TIFF's first series as they are stored, for what is no picture: labels.

    Raises
    ------
    ImageError
        If it is damaged, incomplete, or would take too much memory.
    """
    with opened_tiff(path) as tif:
        check_size(path, tif.pages.first.imagewidth, tif.pages.first.imagelength)
        series = tif.series[0]
        _check_memory(path, series.keyframe, max(len(series.pages), 1))
        _check_complete(path, series)
        return series.asarray()


def check_shows_stain(
    path: Path,
    tif: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    page: tifffile.TiffPage,
) -> None:
    """Refuse what is no single plane of a stained section, or has samples that are not read.

    Raises
    ------
    ImageError
    """
    _check_colours(path, page)
    _check_axes(path, series.axes, series.shape)
    if tif.is_ome and tif.ome_metadata:
        check_ome(path.name, tif.ome_metadata)


def _check_colours(path: Path, page: tifffile.TiffPage) -> None:
    subsampled = page.photometric == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG
    if page.photometric not in _COLOUR_MODELS or subsampled:
        name = PHOTOMETRIC(page.photometric).name
        raise ImageError(
            f"{path.name} has the colour model {name}; expected RGB, grey, palette or CMYK. "
            "Export it as RGB."
        )
    if page.dtype is None:
        raise ImageError(
            f"{path.name} has samples of {page.bitspersample} bits, which are not read. "
            "Export it as 8-bit RGB."
        )


def _check_axes(path: Path, axes: str, shape: tuple[int, ...]) -> None:
    sizes = dict(zip(axes, shape, strict=True))
    for axis, meaning in _STACK_AXES.items():
        if sizes.get(axis, 1) > 1:
            raise ImageError(
                f"{path.name} is a stack of {sizes[axis]} planes in {meaning}; expected one plane. "
                "Export the plane to review, or a projection."
            )
    channels = sizes.get("C", 1)
    if channels not in (1, 3, 4):
        raise ImageError(
            f"{path.name} has {channels} channels; expected grey, RGB or RGBA of a stained "
            "section. Export it as RGB."
        )
    unknown = {a for a, size in sizes.items() if size > 1} - set("YXSC") - _PAGE_AXES
    if unknown:
        raise ImageError(
            f"{path.name} has axes {axes} of sizes {shape}; expected one plane. Export it as RGB."
        )


def _check_complete(path: Path, series: tifffile.TiffPageSeries) -> None:
    """Refuse strips or tiles that are missing or cut off: readers fill them with black or grey.

    Tiles that a page leaves out on purpose, as scanners do where there is glass, are no fault.
    """
    left_out = set(_absent(series.keyframe)) if len(series.pages) == 1 else set()
    for page in series.pages:
        if page is None:  # a frame that follows the one before without a gap
            continue
        file_size = page.parent.filehandle.size
        spans = zip(page.dataoffsets, page.databytecounts, strict=True)
        for index, (start, count) in enumerate(spans):
            if index not in left_out and (start <= 0 or count <= 0 or start + count > file_size):
                raise ImageError(
                    f"{path.name} is incomplete: parts of its pixels are missing. "
                    "Copy or export it again."
                )


def _absent(page: tifffile.TiffPage) -> list[int]:
    """Tiles of a sparse page that hold nothing: place and length are 0. Not where all are."""
    if not page.is_tiled:
        return []
    spans = zip(page.dataoffsets, page.databytecounts, strict=True)
    absent = [index for index, span in enumerate(spans) if span == (0, 0)]
    return absent if len(absent) < len(page.dataoffsets) else []


def _blank(rgb: NDArray[np.uint8], page: tifffile.TiffPage) -> None:
    """Show tiles that hold nothing as glass."""
    across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
    down = -(-page.imagelength // page.tilelength) if page.is_tiled else 1
    for index in _absent(page):
        row, column = divmod(index % (across * down), across)
        y, x = row * page.tilelength, column * page.tilewidth
        rgb[y : y + page.tilelength, x : x + page.tilewidth] = 255


def orientation_of(page: tifffile.TiffPage) -> int:
    """How stored pixels are turned to be shown, as TIFF numbers it; 1 for not."""
    value = page.tags.valueof("Orientation", default=1)
    return int(value)


def _notes(
    page: tifffile.TiffPage,
    tif: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    orientation: int,
) -> tuple[str, ...]:
    notes = []
    shown = len(series.pages) if "C" in series.axes else 1
    # An Aperio slide has pages for its thumbnail, label and room: nobody asks for these.
    if len(tif.pages) > shown and not tif.is_svs:
        which = "first" if page.index == 0 else "first of full size"
        notes.append(f"{len(tif.pages)} pages, the {which} is shown")
    if 2 <= orientation <= 8:
        notes.append(ORIENTATION_NOTE)
    return (*pixel_notes(page, series), *notes)


def pixel_notes(page: tifffile.TiffPage, series: tifffile.TiffPageSeries) -> tuple[str, ...]:
    """What is done to pixels to show them, a phrase each."""
    notes = []
    kind = _kind(page, series)
    depth = "" if page.dtype == np.uint8 else f" {_depth(np.dtype(page.dtype))}"
    if kind != "RGB" or depth:
        notes.append(f"{kind}{depth}, shown as RGB 8-bit")
    if len(page.extrasamples):
        alpha = page.extrasamples[0] in _ALPHA
        notes.append("transparent pixels put on white" if alpha else "extra channels left out")
    if _absent(page):
        notes.append("tiles without data shown white")
    return tuple(notes)


def _kind(page: tifffile.TiffPage, series: tifffile.TiffPageSeries) -> str:
    if page.photometric == PHOTOMETRIC.PALETTE:
        return "palette colours"
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return "CMYK"
    sizes = dict(zip(series.axes, series.shape, strict=True))
    if sizes.get("C", 1) > 1 and "S" not in sizes:
        return f"{sizes['C']} channels, taken as red, green and blue"
    return "RGB" if page.samplesperpixel >= 3 else "greyscale"


def _depth(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return "1-bit"
    return f"{dtype.itemsize * 8}-bit" + (" float" if dtype.kind == "f" else "")


def _decode(path: Path) -> NDArray[np.uint8]:
    """Read the pixels as RGB, in upright orientation."""
    with opened_tiff(path) as tif:
        series, page = shown_in(tif)
        if "C" in series.axes:
            samples = _channels_last(series.asarray(), series.axes)
        else:
            samples = _channels_last(page.asarray(), page.axes)
        rgb = to_rgb(samples, page)
        _blank(rgb, page)
        orientation = orientation_of(page)
    return oriented(rgb, orientation)


def _channels_last(samples: NDArray[Any], axes: str) -> NDArray[Any]:
    """Shape (H, W, channels) from any order of axes; of unnamed pages, the first."""
    for axis in [a for a in axes if a not in "YXSC"]:
        samples = samples.take(0, axis=axes.index(axis))
        axes = axes.replace(axis, "", 1)
    for axis in "SC":
        if axis not in axes:
            samples, axes = samples[..., np.newaxis], axes + axis
    samples = samples.transpose([axes.index(axis) for axis in "YXCS"])
    return samples.reshape(*samples.shape[:2], -1)


def to_rgb(samples: NDArray[Any], page: tifffile.TiffPage) -> NDArray[np.uint8]:
    """Shape (H, W, channels) to RGB by the page's colour model."""
    if page.photometric == PHOTOMETRIC.PALETTE:
        palette = np.asarray(page.colormap)  # (3, entries), 16 bits
        return (palette[:, samples[..., 0]] >> 8).astype(np.uint8).transpose(1, 2, 0)
    values = to_8bit(samples)
    if page.photometric == PHOTOMETRIC.SEPARATED:
        return cmyk_to_rgb(values[..., :4])
    colours = 3 if values.shape[2] >= 3 else 1
    if colours == 3:
        rgb = values[..., :3]
    else:
        grey = values[..., 0]
        rgb = grey_to_rgb(255 - grey if page.photometric == PHOTOMETRIC.MINISWHITE else grey)
    if len(page.extrasamples) and page.extrasamples[0] in _ALPHA:
        premultiplied = page.extrasamples[0] == EXTRASAMPLE.ASSOCALPHA
        return on_white(rgb, values[..., colours], premultiplied=premultiplied)
    return rgb
