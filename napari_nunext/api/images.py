"""Whatever a caller has as an image, as an `ImageSource`."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

import numpy as np

from napari_nunext.core.errors import CalibrationError, InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.identity import pixels_sha256_of
from napari_nunext.core.image.source import Scale
from napari_nunext.images import open_image
from napari_nunext.images.picture import MAX_PIXELS
from napari_nunext.images.samples import rgb_of
from napari_nunext.images.tile import image_from_pixels
from napari_nunext.images.window import margin_px, read_window

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource, ScaleSource

NAME = "image"
"""What an array is called, which has no name."""
_ROWS_AT_ONCE = 1024


@runtime_checkable
class PixelArray(Protocol):
    """An array of numpy, dask, zarr, or anything that is cut and converted as these are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W), (H, W, 3) or (H, W, 4)."""
        ...

    @property
    def dtype(self) -> Any:
        """Of its samples."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """A part of it."""
        ...


ImageLike: TypeAlias = "ImageSource | PixelArray | str | os.PathLike[str]"
"""A path, an array, or an image that was opened before."""


def source_of(image: ImageLike, mpp: float | None = None) -> ImageSource:
    """An image that can be searched, whatever it is given as.

    Arrays are shown as files are: grey and 16-bit samples become 8-bit RGB, transparent pixels lie
    on white (`napari_nunext.images.samples`). One of 8-bit RGB that is too large for memory is read
    where it is needed.

    Parameters
    ----------
    image : path, array or ImageSource
        An array has the shape (H, W), (H, W, 3) or (H, W, 4).
    mpp : float, optional
        Micrometres per pixel; it prevails over what a file says.

    Raises
    ------
    InputError
        If it is no image, or one of channels that are no colours.
    ImageError
        If a file cannot be read, or its samples cannot be shown.
    CalibrationError
        If nobody says the scale, or it is implausible.
    """
    if isinstance(image, (str, os.PathLike)):
        opened: ImageSource = open_image(image)
    elif hasattr(image, "read_window"):
        opened = cast("ImageSource", image)
    else:
        opened = _of_array(image)
    if mpp is not None:
        return opened.with_scale(check_mpp(mpp, opened.name), "user")
    if opened.scale.mpp is None:
        raise CalibrationError(
            f"{opened.name} does not say its scale. Give mpp, the micrometres per pixel: about "
            "0.25 for a 40x objective, 0.5 for 20x."
        )
    return opened


def mpp_of(source: ImageSource) -> float:
    """The scale of what `source_of` gave."""
    assert source.scale.mpp is not None
    return source.scale.mpp


def _of_array(image: object) -> ImageSource:
    array = image if isinstance(image, PixelArray) else np.asarray(image)  # as Pillow's images
    shape = tuple(map(int, array.shape))
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 2, 3, 4)):
        raise InputError(
            f"The image has the shape {shape}; expected (height, width), or (height, width, 3) for "
            f"colours.{_hint(shape)}"
        )
    height_px, width_px = shape[:2]
    if height_px == 0 or width_px == 0:
        raise InputError(f"The image has the shape {shape}: it holds no pixels.")
    if height_px * width_px <= MAX_PIXELS:
        return image_from_pixels(NAME, width_px, height_px, lambda: rgb_of(np.array(array[:])))
    if np.dtype(array.dtype) != np.uint8 or shape[2:] != (3,):
        raise InputError(
            f"The image has {width_px} x {height_px} px of {array.dtype}, shape {shape}; expected "
            f"8-bit RGB beyond {MAX_PIXELS // 1_000_000} million pixels, since brightness cannot "
            "be judged without reading all. Convert it lazily first, for example "
            "(image / 256).astype('uint8')."
        )
    return LazyArray(array, width_px, height_px)


def _hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 3 and shape[0] in (3, 4):
        return " Its colours are the first axis: numpy.moveaxis(image, 0, -1) moves them."
    if len(shape) == 3:
        return " Of fluorescence choose the channel of the nuclei: image[..., channel]."
    return " Choose one plane of it, for example image[0]."


@dataclass(frozen=True, slots=True, eq=False)
class LazyArray:
    """An array of 8-bit RGB that is read where it is needed; an `ImageSource`.

    Parameters
    ----------
    array : PixelArray
        Shape (height_px, width_px, 3), uint8; cut by several threads at once.
    width_px, height_px : int
    """

    array: PixelArray
    width_px: int
    height_px: int
    scale: Scale = field(default_factory=Scale)
    name: str = NAME
    path: Path | None = None
    notes: tuple[str, ...] = ()
    levels: tuple[float, ...] = (1.0,)
    reading_bytes: int = 0
    held_bytes: int = 0

    @property
    def id(self) -> str:
        """Hash of size and pixels, for which all are read; see `pixels_sha256`."""
        rows = (
            np.ascontiguousarray(self._pixels(0, y, self.width_px, y + _ROWS_AT_ONCE)).data
            for y in range(0, self.height_px, _ROWS_AT_ONCE)
        )
        return pixels_sha256_of(rows, self.width_px, self.height_px)

    @property
    def box(self) -> Box:
        """The whole image."""
        return Box.of_image(self.width_px, self.height_px)

    def read_window(self, box: Box, out_px: int) -> NDArray[np.uint8]:
        """Pixels of `box` as ``(out_px, out_px, 3)``; see `napari_nunext.images.window`."""
        around = box.grown(margin_px(box, out_px) + 1)
        x0, y0 = max(math.floor(around.x0), 0), max(math.floor(around.y0), 0)
        pixels = self._pixels(x0, y0, max(math.ceil(around.x1), x0), max(math.ceil(around.y1), y0))
        at_pixels = Box(box.x0 - x0, box.y0 - y0, box.x1 - x0, box.y1 - y0)
        return read_window(pixels, at_pixels, out_px)

    def read_region(self, box: Box, level: int = 0) -> NDArray[np.uint8]:
        """Pixels that `box` touches; see `ImageSource.read_region`."""
        inside = box.clipped_to(self.box)
        if level != 0 or not (inside.width and inside.height):
            raise InputError(
                f"{self.name} has no pixels in {box.as_tuple()} at level {level}; expected a part "
                f"of {self.box.as_tuple()} at level 0."
            )
        x0, y0 = math.floor(inside.x0), math.floor(inside.y0)
        return self._pixels(x0, y0, math.ceil(inside.x1), math.ceil(inside.y1))

    def with_scale(self, mpp: float, source: ScaleSource) -> LazyArray:
        """The same image at another scale; see `ImageSource.with_scale`."""
        return replace(self, scale=Scale(check_mpp(mpp, self.name), source))

    def _pixels(self, x0: int, y0: int, x1: int, y1: int) -> NDArray[np.uint8]:
        return np.asarray(self.array[y0:y1, x0:x1])
