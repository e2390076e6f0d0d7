"""Content hashes: an image or checkpoint is known by what it holds, not by where it lies.

The id of an image has 64 characters. That of a tile is the SHA-256 of its pixels (`pixels_sha256`),
hex. That of an image of another kind, whose pixels are too many to be hashed, begins with a tag
that says what was hashed, and a hyphen: ``ab1-3f02...``. So two kinds are never taken for another.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import ImageError, OtherImageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray


IMAGE_ID = "(?:[a-z][a-z0-9]*-)?[0-9a-f]+"
"""Pattern of an image's id, which has `IMAGE_ID_LENGTH` characters."""
IMAGE_ID_LENGTH = 64


def pixels_sha256(rgb: NDArray[np.uint8]) -> str:
    """SHA-256 of an image's pixels, hex.

    Hashed are ``b"rgb8"``, width and height as little-endian uint32, and the RGB bytes row by row:
    a renamed or losslessly re-encoded copy is the same image.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ImageError(f"Pixels are {rgb.dtype} {rgb.shape}; expected uint8 (height, width, 3).")
    height, width = rgb.shape[:2]
    return pixels_sha256_of([np.ascontiguousarray(rgb).data], width, height)


def pixels_sha256_of(rows: Iterable[bytes | memoryview], width_px: int, height_px: int) -> str:
    """`pixels_sha256` of an image that comes in parts.

    Parameters
    ----------
    rows : iterable of bytes-like
        The RGB bytes row by row, cut wherever it may be.
    width_px, height_px : int
        Of the whole image.
    """
    digest = hashlib.sha256(b"rgb8" + struct.pack("<II", width_px, height_px))
    for part in rows:
        digest.update(part)
    return digest.hexdigest()


def is_image_id(text: str) -> bool:
    """Whether a text may be the id of an image."""
    return len(text) == IMAGE_ID_LENGTH and re.fullmatch(IMAGE_ID, text) is not None


def check_identity(found_id: str, known_id: str, name: str) -> None:
    """Raise `OtherImageError` unless an image that was found is the one that is known.

    Parameters
    ----------
    found_id, known_id : str
        Their ids (`napari_nunext.core.image.source.ImageSource.id`).
    name : str
        The file that was found, as the person knows it.
    """
    if found_id != known_id:
        raise OtherImageError(
            f"{name} is not the image that was reviewed: its pixels are others (it was changed, "
            "overwritten, or swapped with another). Put the original image back."
        )


def content_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, or of the names and bytes of all files in a folder, hex."""
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{file_sha256(file)}\n".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
