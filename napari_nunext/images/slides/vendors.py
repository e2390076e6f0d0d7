"""Scanners' own formats, by OpenSlide: NDPI, MRXS, SCN, BIF, VMS, Philips TIFF, DICOM.

OpenSlide knows them from years of files that we have not seen. It reads a region of a level by
level-0 pixels of its own, whose origin may lie off the scanned part: ours begins where that does
(``openslide.bounds``), as QuPath's does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import tifffile
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.images.picture import quiet_readers
from napari_nunext.images.scale import mpp_of_pixel_size
from napari_nunext.images.slides.color import recolor_by
from napari_nunext.images.slides.reader import Level, SlideHeader, factor_of, sampled
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.wanted import wanted_package

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.images.slides.slide import Slide

_KEPT = (
    "openslide.background-color",
    "openslide.bounds-height",
    "openslide.bounds-width",
    "openslide.bounds-x",
    "openslide.bounds-y",
    "openslide.mpp-x",
    "openslide.mpp-y",
    "openslide.quickhash-1",
    "openslide.vendor",
)
"""Of what a slide says of itself. The rest may name patients, users and files."""
_APERIO_YCBCR = 33003
"""JPEG 2000 whose colours are stored as YCbCr without saying so; tifffile takes them for RGB."""
_TILE_PX = 512
"""Least side of what is read at once; whole tiles of the file, where it says how large they are."""
_MOST_SIDE_PX = 2048
_CACHE_BYTES = 32 << 20
"""Of OpenSlide's own, for tiles of which ours cut a part."""


def is_vendors_tiff(path: Path) -> bool:
    """Whether a TIFF is of a scanner whose layout OpenSlide knows better than tifffile."""
    try:
        with quiet_readers(), tifffile.TiffFile(path) as tif:
            is_odd_svs = tif.is_svs and tif.pages.first.compression == _APERIO_YCBCR
            return bool(tif.is_ndpi or tif.is_scn or tif.is_bif or tif.is_philips or is_odd_svs)
    except Exception:  # noqa: BLE001
        return False


def open_vendors_slide(path: Path) -> Slide:
    """Open a slide by OpenSlide.

    Raises
    ------
    ImageError
        If it cannot be read, lacks its companion files, or OpenSlide is not installed.
    """
    wanted_package("openslide", path)
    _check_companions(path)
    return slide_of(path, lambda: OpenSlideReader(path))


def _check_companions(path: Path) -> None:
    """MRXS files hold a thumbnail; the slide lies in a folder of their name."""
    if path.suffix.lower() != ".mrxs":
        return
    if not (path.with_suffix("") / "Slidedat.ini").is_file():
        raise ImageError(
            f"The folder {path.stem} beside {path.name}, which holds its pixels (Slidedat.ini and "
            "others), is missing or incomplete. Copy both, side by side."
        )


class OpenSlideReader:
    """Reads tiles by OpenSlide; a `SlideReader`.

    Raises
    ------
    ImageError
        If OpenSlide does not know the file.
    """

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError as error:
            raise ImageError(
                f"{path.name} is no slide that OpenSlide reads, or lacks files that belong to it. "
                "Copy it again with all that lies beside it, or export it as OME-TIFF."
            ) from error
        self._slide.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
        properties: Mapping[str, str] = self._slide.properties
        self._kept = {key: properties[key] for key in _KEPT if key in properties}
        self._background = _color(self._kept.get("openslide.background-color", ""))
        self._own = self._slide.level_downsamples
        profile = self._slide.color_profile
        self._recolor, color_notes = recolor_by(profile.tobytes() if profile else b"")
        self._left, self._top, wide, high = self._scanned()
        levels = []
        for number, own in enumerate(self._own):
            tile = [
                _tile_side(properties.get(f"openslide.level[{number}].tile-{side}"))
                for side in ("width", "height")
            ]
            width, height = (max(math.ceil(side / own), 1) for side in (wide, high))
            if (wide, high) == self._slide.dimensions:
                width, height = self._slide.level_dimensions[number]
            factor = factor_of(self._slide.level_dimensions, number)
            levels.append(Level(width, height, tile[0], tile[1], factor))
        x_um, y_um = (_number(self._kept.get(f"openslide.mpp-{axis}")) for axis in "xy")
        mpp, notes = mpp_of_pixel_size(x_um, y_um)
        self.header = SlideHeader(tuple(levels), mpp, (*color_notes, *notes))

    def read_tile(self, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """See `SlideReader.read_tile`."""
        at, own = self.header.levels[level], self._own[level]
        left, top = column * at.tile_width_px, row * at.tile_height_px
        location = (self._left + round(left * own), self._top + round(top * own))
        width = min(at.tile_width_px, at.width_px - left)
        height = min(at.tile_height_px, at.height_px - top)
        rgba = self._slide.read_region(location, level, (width, height))
        rgb = np.asarray(self._on_background(rgba))
        return np.array(rgb) if self._recolor is None else self._recolor(rgb)

    def canonical(self) -> Iterator[bytes]:
        """Vendor, levels, and OpenSlide's hash of what the file stores; some tiles without that."""
        yield b"openslide"
        for key in ("openslide.vendor", "openslide.quickhash-1"):
            yield self._kept.get(key, "").encode()
        for level in self.header.levels:
            yield f"{level.width_px} {level.height_px} {level.factor}".encode()
        if "openslide.quickhash-1" not in self._kept:
            for number, level in enumerate(self.header.levels):
                for column, row in sampled(level):
                    yield self.read_tile(number, column, row).tobytes()

    def _on_background(self, rgba: Image.Image) -> Image.Image:
        """What was not scanned is transparent."""
        if rgba.getchannel("A").getextrema() != (255, 255):
            rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, self._background), rgba)
        return rgba.convert("RGB")

    def _scanned(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of what was scanned, in OpenSlide's level-0 pixels."""
        width, height = self._slide.dimensions
        left, top, wide, high = (
            _number(self._kept.get(f"openslide.bounds-{side}"))
            for side in ("x", "y", "width", "height")
        )
        if not (0 <= left < width and 0 <= top < height and wide >= 1 and high >= 1):
            return 0, 0, width, height
        x0, y0 = int(left), int(top)
        return x0, y0, min(int(wide), width - x0), min(int(high), height - y0)


def _number(text: str | None) -> float:
    """A number that a slide says; not a number where it says none."""
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _color(text: str) -> tuple[int, int, int, int]:
    """Red, green, blue and no transparency of ``"FFEEDD"``; white where it is none."""
    try:
        red, green, blue = bytes.fromhex(text)
    except ValueError:
        return (255, 255, 255, 255)
    return (red, green, blue, 255)


def _tile_side(text: str | None) -> int:
    said = _number(text)
    if not 16 <= said <= _MOST_SIDE_PX:
        return _TILE_PX
    return int(said) * math.ceil(_TILE_PX / int(said))
