"""TIFF, through tifffile."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, RESUNIT

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import (
    ORIENTATION_NOTE,
    Picture,
    check_size,
    damaged,
    oriented,
    quiet_readers,
)
from napari_nunext.images.samples import cmyk_to_rgb, grey_to_rgb, on_white, to_8bit
from napari_nunext.images.scale import mpp_of_pixel_size, um_of_unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_READ_ERRORS = (OSError, ValueError, RuntimeError, LookupError, TypeError, struct.error)
"""What tifffile and the decoders of imagecodecs raise on bad data (`TiffFileError` is a ValueError,
decoding errors are RuntimeErrors)."""

_COLOUR_MODELS = (
    PHOTOMETRIC.MINISWHITE,
    PHOTOMETRIC.MINISBLACK,
    PHOTOMETRIC.RGB,
    PHOTOMETRIC.PALETTE,
    PHOTOMETRIC.SEPARATED,
    PHOTOMETRIC.YCBCR,
)
_ALPHA = (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA)
_UM_OF_RESUNIT: dict[int | None, float] = {
    RESUNIT.INCH: 25_400.0,
    RESUNIT.CENTIMETER: 1e4,
    RESUNIT.MILLIMETER: 1e3,
    RESUNIT.MICROMETER: 1.0,
}
_STACK_AXES = {"Z": "depth", "T": "time"}
_PAGE_AXES = frozenset("IQ")
"""Axes that tifffile gives to pages of which the file does not say what they are."""


def read_tiff(path: Path) -> Picture:
    """Read the header of a TIFF file.

    Of several pages without a meaning the first is shown. A stack in depth or time, or channels
    that are not grey, RGB or RGBA, are refused: which plane was meant is not for us to guess.

    Raises
    ------
    ImageError
        If it is damaged, empty, too large, or not of a kind that can be shown as one RGB image.
    """
    with _opened(path) as tif:
        page = tif.pages.first
        check_size(path, page.imagewidth, page.imagelength)
        _check_colours(path, page)
        series = tif.series[0]
        _check_axes(path, series.axes, series.shape)
        _check_complete(path, series)
        orientation = _orientation(page)
        width, height = page.imagewidth, page.imagelength
        if orientation in (5, 6, 7, 8):
            width, height = height, width
        mpp, scale_notes = _mpp(tif, page)
        notes = _notes(page, len(tif.pages), series, orientation)
    return Picture(width, height, mpp, notes + scale_notes, lambda: _decode(path))


@contextmanager
def _opened(path: Path) -> Iterator[tifffile.TiffFile]:
    try:
        with quiet_readers(), tifffile.TiffFile(path) as tif:
            yield tif
    except ImageError:
        raise
    except _READ_ERRORS as error:
        raise damaged(path, error) from error


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
    """Refuse strips or tiles that are missing or cut off: readers fill them with black or grey."""
    for page in series.pages:
        if page is None:  # a frame that follows the one before without a gap
            continue
        file_size = page.parent.filehandle.size
        for start, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if start <= 0 or count <= 0 or start + count > file_size:
                raise ImageError(
                    f"{path.name} is incomplete: parts of its pixels are missing. "
                    "Copy or export it again."
                )


def _orientation(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof("Orientation", default=1)
    return int(value)


def _notes(
    page: tifffile.TiffPage, n_pages: int, series: tifffile.TiffPageSeries, orientation: int
) -> tuple[str, ...]:
    notes = []
    kind = _kind(page, series)
    depth = "" if page.dtype == np.uint8 else f" {_depth(np.dtype(page.dtype))}"
    if kind != "RGB" or depth:
        notes.append(f"{kind}{depth}, shown as RGB 8-bit")
    if len(page.extrasamples):
        alpha = page.extrasamples[0] in _ALPHA
        notes.append("transparent pixels put on white" if alpha else "extra channels left out")
    shown = len(series.pages) if "C" in series.axes else 1
    if n_pages > shown:
        notes.append(f"{n_pages} pages, the first is shown")
    if 2 <= orientation <= 8:
        notes.append(ORIENTATION_NOTE)
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


def _mpp(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[float | None, tuple[str, ...]]:
    """Scale from OME-XML, else ImageJ's unit, else the resolution tags."""
    if tif.is_ome and tif.ome_metadata:
        return _ome_mpp(tif.ome_metadata)
    x, y = page.get_resolution()  # pixels per unit
    if "XResolution" not in page.tags or not (x > 0 and y > 0):
        return None, ()
    imagej: dict[str, Any] = (tif.imagej_metadata if tif.is_imagej else None) or {}
    unit_um = um_of_unit(str(imagej.get("unit", ""))) or _UM_OF_RESUNIT.get(page.resolutionunit)
    return (None, ()) if unit_um is None else mpp_of_pixel_size(unit_um / x, unit_um / y)


def _ome_mpp(xml: str) -> tuple[float | None, tuple[str, ...]]:
    """Physical size of the first image's pixels; um unless a unit is given, as OME has it."""
    try:
        pixels = ET.fromstring(xml).find(".//{*}Pixels")
    except ET.ParseError:
        return None, ("its OME metadata is not valid XML: the scale was not taken",)
    if pixels is None:
        return None, ()
    size_um = []
    for axis in "XY":
        unit_um = um_of_unit(pixels.get(f"PhysicalSize{axis}Unit", "um"))
        size = pixels.get(f"PhysicalSize{axis}")
        if unit_um is None or size is None:
            return None, ()
        try:
            size_um.append(float(size) * unit_um)
        except ValueError:
            return None, (f"its OME pixel size {size!r} is no number: the scale was not taken",)
    return mpp_of_pixel_size(*size_um)


def _decode(path: Path) -> NDArray[np.uint8]:
    """Read the pixels as RGB, in upright orientation."""
    with _opened(path) as tif:
        page, series = tif.pages.first, tif.series[0]
        if "C" in series.axes:
            samples = _channels_last(series.asarray(), series.axes)
        else:
            samples = _channels_last(page.asarray(), page.axes)
        rgb = _to_rgb(samples, page)
        orientation = _orientation(page)
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


def _to_rgb(samples: NDArray[Any], page: tifffile.TiffPage) -> NDArray[np.uint8]:
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
