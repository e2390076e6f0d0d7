"""Images that callers have uploaded, in memory, by the hash of their pixels."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images import open_tile
from napari_nunext.images.picture import MAX_PIXELS

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.images import Tile

MIB = 2**20


class WrongHashError(ImageError):
    """The pixels are not those of the hash under which they were sent."""


class ImageStore:
    """Keeps the images used last, up to a number of bytes. Safe between threads.

    Parameters
    ----------
    capacity_bytes : int
        Decoded pixels kept.
    max_pixels : int, optional
        Largest image.
    """

    def __init__(self, capacity_bytes: int, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._images: BoundedCache[str, ImageSource] = BoundedCache(
            capacity_bytes, lambda image: image.held_bytes
        )

    def __len__(self) -> int:
        return len(self._images)

    @property
    def size_bytes(self) -> int:
        """Pixels kept now."""
        return self._images.size_bytes

    def get(self, sha256: str) -> ImageSource | None:
        """The image, or None where it is not there (any more)."""
        return self._images.get(sha256)

    def put(self, sha256: str, image: ImageSource) -> None:
        """Keep an image; those used longest ago make room."""
        self._images.put(sha256, image)

    def take_in(self, body: bytes) -> Upload:
        """Look at the header of a PNG, JPEG or TIFF file; its pixels are decoded later.

        Raises
        ------
        ImageError
            If it cannot be read, is larger than allowed, or than the store.
        """
        upload = Upload(body)
        try:
            self._check(upload.image)
        except BaseException:
            upload.close()
            raise
        return upload

    def _check(self, image: Tile) -> None:
        if image.width_px * image.height_px > self._max_pixels:
            raise ImageError(
                f"The image of {image.width_px} x {image.height_px} pixels is larger than the "
                f"{self._max_pixels / 1e6:g} million pixels that this server takes. "
                "Send a smaller region of it."
            )
        room_bytes = self._images.capacity_bytes
        if image.held_bytes > room_bytes:
            raise ImageError(
                f"The image of {image.width_px} x {image.height_px} pixels does not fit into "
                f"the {room_bytes / MIB:.0f} MiB that this server keeps images in. "
                "Send a smaller region of it."
            )


class Upload:
    """An image file that was sent, as a file until it is decoded. To be closed."""

    def __init__(self, body: bytes) -> None:
        self._folder = TemporaryDirectory(prefix="nunext-", ignore_cleanup_errors=True)
        try:
            path = Path(self._folder.name, "the upload")
            path.write_bytes(body)
            self.image = open_tile(path)
        except BaseException:
            self.close()
            raise

    def decode(self, sha256: str) -> Tile:
        """Decode it entirely, check what it is, and close it.

        Raises
        ------
        ImageError
            If it cannot be read.
        WrongHashError
            If it is not the image of `sha256`.
        """
        try:
            actual = self.image.id  # decodes: the file is not needed afterwards
        finally:
            self.close()
        if actual != sha256:
            raise WrongHashError(
                f"The pixels' hash begins with {actual[:12]}, but they were sent as "
                f"{sha256[:12]}. Hash the RGB pixels as napari_nunext.core.identity does."
            )
        return self.image

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()
