"""Content hashes: an image or checkpoint is known by what it holds, not by where it lies."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import ImageError, OtherImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


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
    digest = hashlib.sha256(b"rgb8" + struct.pack("<II", width, height))
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def check_identity(rgb: NDArray[np.uint8], sha256: str, name: str) -> None:
    """Raise `OtherImageError`, naming the file, unless these are the pixels of `sha256`.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (H, W, 3)
    sha256 : str
        What `pixels_sha256` gave for the image that is meant.
    name : str
        The file, as the person knows it.
    """
    if pixels_sha256(rgb) != sha256:
        raise OtherImageError(
            f"{name} is not the image that was reviewed: its pixels are others (it was changed, "
            "overwritten, or swapped with another). Put the original image back."
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
