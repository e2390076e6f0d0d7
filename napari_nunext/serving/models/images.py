"""Images that callers have sent or named, by their ids."""

from __future__ import annotations

import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images import open_image, open_tile
from napari_nunext.images.formats import OUR_FORMATS, is_image_folder
from napari_nunext.images.picture import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.image.source import ImageSource

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
        upload = Upload.of_body(body)
        try:
            image = upload.image
            self.check_size(round(image.box.width), round(image.box.height), image.held_bytes)
        except BaseException:
            upload.close()
            raise
        return upload

    def take_file(self, path: Path) -> Upload:
        """Look at the header of a file of this machine, as `take_in` does.

        Raises
        ------
        ImageError
            Also if it is no regular file, or named from a folder of ours.
        OSError
            If it is not there, or may not be read.
        """
        # Anything else may never end, or wait for somebody.
        is_file = path.is_absolute() and stat.S_ISREG(path.stat().st_mode)
        if not (is_file or (path.is_absolute() and is_image_folder(path))):
            raise ImageError("What was named is no regular file by its whole path.")
        image = open_image(path)
        if image.held_bytes > self._images.capacity_bytes:
            raise ImageError("The image does not fit into the memory for images.")
        return Upload(image)

    def check_size(self, width_px: int, height_px: int, held_bytes: int) -> None:
        """Refuse an image that is larger than allowed, or than there is room for.

        Raises
        ------
        ImageError
        """
        if width_px * height_px > self._max_pixels:
            raise ImageError(
                f"The image of {width_px} x {height_px} pixels is larger than the "
                f"{self._max_pixels / 1e6:g} million pixels that this server takes. "
                "Name its file: napari-nunext then sends windows of it. Or save the region as a "
                "TIFF, and open that."
            )
        room_bytes = self._images.capacity_bytes
        if held_bytes > room_bytes:
            raise ImageError(
                f"The image of {width_px} x {height_px} pixels does not fit into "
                f"the {room_bytes / MIB:.0f} MiB that this server keeps images in. "
                "Send a smaller region of it."
            )


class Upload:
    """An image that was sent or named, until its id is checked. To be closed.

    Parameters
    ----------
    image : ImageSource
    close : callable
        Removes what it was sent as.
    """

    def __init__(self, image: ImageSource, close: Callable[[], None] = lambda: None) -> None:
        self.image = image
        self.close = close

    @classmethod
    def of_body(cls, body: bytes) -> Upload:
        """An image file that was sent, kept as a file until it is decoded."""
        folder = TemporaryDirectory(prefix="nunext-", ignore_cleanup_errors=True)
        try:
            path = Path(folder.name, "the upload")
            path.write_bytes(body)
            return cls(open_tile(path, among=OUR_FORMATS), folder.cleanup)
        except BaseException:
            folder.cleanup()
            raise

    def decode(self, sha256: str) -> ImageSource:
        """Read what it is known by, check that, and close it.

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
