"""What a TIFF file says of its pixels' size."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any, TypeAlias

from tifffile import RESUNIT

from napari_nunext.images.scale import mpp_of_pixel_size, um_of_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tifffile

FoundScale: TypeAlias = tuple[float | None, tuple[str, ...]]
"""Micrometres per pixel, or None, and notes on why a scale was not taken."""

_UM_OF_RESUNIT: dict[int | None, float] = {
    RESUNIT.INCH: 25_400.0,
    RESUNIT.CENTIMETER: 1e4,
    RESUNIT.MILLIMETER: 1e3,
    RESUNIT.MICROMETER: 1.0,
}
_APERIO_MPP = re.compile(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)")


def mpp_of_tiff(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> FoundScale:
    """Scale of a page: the first that says one of OME-XML, Aperio's description, ImageJ, the tags.

    One that says nothing, or nothing that a microscope gives, leaves it to the next.
    """
    notes: tuple[str, ...] = ()
    for mpp, said in _sayings(tif, page):
        if mpp is not None:
            return mpp, ()
        notes += said
    return None, notes


def _sayings(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> Iterator[FoundScale]:
    if tif.is_ome and tif.ome_metadata:
        yield _of_ome(tif.ome_metadata)
    aperio = _APERIO_MPP.search(page.description if page.is_svs else "")
    if aperio is not None:
        yield _of_numbers("Aperio", aperio[1], aperio[1])
    yield _of_tags(tif, page)


def _of_ome(xml: str) -> FoundScale:
    """Physical size of the first image's pixels, in um unless a unit is given, as OME has it.

    Where one axis alone has a size, the pixels are taken to be square.
    """
    try:
        pixels = ET.fromstring(xml).find(".//{*}Pixels")
    except ET.ParseError:
        return None, ("its OME metadata is not valid XML: no scale was taken from it",)
    sizes: list[tuple[str, float]] = []
    for axis in "XY":
        unit_um = um_of_unit(
            "um" if pixels is None else pixels.get(f"PhysicalSize{axis}Unit", "um")
        )
        size = None if pixels is None else pixels.get(f"PhysicalSize{axis}")
        if unit_um is not None and size is not None:
            sizes.append((size, unit_um))
    if not sizes:
        return None, ()
    (x, x_unit_um), (y, y_unit_um) = sizes[0], sizes[-1]
    return _of_numbers("OME", x, y, x_unit_um, y_unit_um)


def _of_numbers(
    who: str, x: str, y: str, x_unit_um: float = 1.0, y_unit_um: float = 1.0
) -> FoundScale:
    try:
        return mpp_of_pixel_size(float(x) * x_unit_um, float(y) * y_unit_um)
    except ValueError:
        return None, (f"its {who} pixel size {x!r} is no number: no scale was taken from it",)


def _of_tags(tif: tifffile.TiffFile, page: tifffile.TiffPage) -> FoundScale:
    """The resolution tags, in ImageJ's unit where that is a length."""
    x, y = page.get_resolution()  # pixels per unit
    if "XResolution" not in page.tags or not (x > 0 and y > 0):
        return None, ()
    imagej: dict[str, Any] = (tif.imagej_metadata if tif.is_imagej else None) or {}
    unit_um = um_of_unit(str(imagej.get("unit", ""))) or _UM_OF_RESUNIT.get(page.resolutionunit)
    return (None, ()) if unit_um is None else mpp_of_pixel_size(unit_um / x, unit_um / y)
