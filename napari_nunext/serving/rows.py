"""An image on its way to a server, some rows at a time, so that neither side holds it twice.

The body is the width and the height, little-endian unsigned 32-bit integers, then blocks from top
to bottom: the length of a PNG file, as such an integer, and the file, which has the next rows.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.core.errors import ImageError
from napari_nunext.core.geometry import Box
from napari_nunext.images.picture import reading
from napari_nunext.images.tile import image_from_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.images import Tile

MEDIA_TYPE = "application/vnd.napari-nunext.rows"
BLOCK_PX = 1 << 19
"""Pixels of a block; a row is not cut."""
_SIZE, _LENGTH = struct.Struct("<II"), struct.Struct("<I")
_BYTES_PER_PX = 20
"""What a block takes at most for each of its pixels, as it was sent and while it is decoded."""


def is_one_block(image: ImageSource) -> bool:
    """Whether cutting it up is not worth while: then it goes as a PNG file."""
    return image.box.width * image.box.height <= BLOCK_PX


def png_of(rgb: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, shape (H, W, 3)."""
    file = io.BytesIO()
    # The fastest compression: to a server on this machine, encoding is most of the upload.
    Image.fromarray(rgb).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def rows_of(image: ImageSource) -> Iterator[bytes]:
    """The body that carries an image."""
    width, height = round(image.box.width), round(image.box.height)
    yield _SIZE.pack(width, height)
    step = max(BLOCK_PX // width, 1)
    for top in range(0, height, step):
        box = Box(0, top, width, min(top + step, height))
        block = png_of(np.ascontiguousarray(image.read_region(box)))
        yield _LENGTH.pack(len(block)) + block


class ArrivingRows:
    """Takes a body apart as it comes, then holds the pixels. What is wrong raises `ImageError`."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._size_px: tuple[int, int] | None = None
        self._rgb: NDArray[np.uint8] | None = None
        self._done = 0

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height, once they have come."""
        return self._size_px

    @property
    def needed_bytes(self) -> int:
        """Memory for all of it and for decoding a block."""
        width, height = self._known_size()
        return 3 * width * height + _BYTES_PER_PX * self._most_px()

    def add(self, more: bytes) -> None:
        """Keep what has come."""
        self._bytes += more
        if self._size_px is None and len(self._bytes) >= _SIZE.size:
            self._size_px = _SIZE.unpack(self._cut(_SIZE.size))
            if not all(self._size_px):
                raise ImageError("The image that was sent has no pixels. Send another.")

    @property
    def has_block(self) -> bool:
        """Whether there is a whole block to decode."""
        if len(self._bytes) < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._bytes)
        if length > 4 * self._most_px() + 4096:
            raise ImageError(
                f"A block of {length} bytes was sent; expected rows of at most "
                f"{self._most_px()} pixels. Send fewer rows at a time."
            )
        return len(self._bytes) >= _LENGTH.size + int(length)

    def decode(self) -> None:
        """Decode the blocks that are there."""
        while self.has_block:
            (length,) = _LENGTH.unpack(self._cut(_LENGTH.size))
            self._place(self._cut(length))

    def image(self) -> Tile:
        """The whole image, once all of it has come."""
        width, height = self._known_size()
        if self._done != height or self._bytes or self._rgb is None:
            raise ImageError(
                f"{self._done} of {height} rows of the image were sent"
                f"{' and something else' if self._bytes else ''}. Send it again."
            )
        rgb = self._rgb
        return image_from_pixels("the upload", width, height, lambda: rgb)

    def _place(self, block: bytes) -> None:
        width, height = self._known_size()
        with reading(Path("the upload")), Image.open(io.BytesIO(block), formats=("PNG",)) as png:
            rows = png.height
            if png.mode != "RGB" or png.width != width or rows > height - self._done:
                raise ImageError(
                    f"A block of {png.width} x {rows} pixels ({png.mode}) was sent; expected RGB, "
                    f"{width} wide, at most {height - self._done} high. Send the image again."
                )
            if rows > 1 and rows * width > self._most_px():
                raise ImageError(
                    f"A block has {rows} rows; expected at most {self._most_px()} pixels. "
                    "Send fewer rows at a time."
                )
            if self._rgb is None:
                self._rgb = np.empty((height, width, 3), np.uint8)
            self._rgb[self._done : self._done + rows] = np.asarray(png)
        self._done += rows

    def _known_size(self) -> tuple[int, int]:
        if self._size_px is None:
            raise ImageError("The upload ended before it said the image's size. Send it again.")
        return self._size_px

    def _most_px(self) -> int:
        return max(BLOCK_PX, self._known_size()[0])

    def _cut(self, length: int) -> bytes:
        """The first bytes, taken away."""
        cut = bytes(self._bytes[:length])
        del self._bytes[:length]
        return cut
