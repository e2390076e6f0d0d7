"""Arrays as files, nothing lost: what is reviewed has to be found again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import tifffile

from napari_nunext.core.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_UM_PER_CM = 1e4
_DTYPES = "buif"


def write_tiff(path: Path, samples: NDArray[Any], *, mpp: float | None = None) -> None:
    """Write one plane as a TIFF that `open_image` reads; depth and values are kept.

    Parameters
    ----------
    path : Path
        Replaced when it exists, once all is written.
    samples : ndarray, shape (H, W) or (H, W, 3) or (H, W, 4)
        Grey, RGB or RGBA.
    mpp : float, optional
        Micrometres per pixel, written as the file's resolution.

    Raises
    ------
    ImageError
        If the array is no such plane, or cannot be written.
    """
    channels = samples.shape[2] if samples.ndim == 3 else 1
    if samples.ndim not in (2, 3) or channels not in (1, 3, 4) or samples.dtype.kind not in _DTYPES:
        raise ImageError(
            f"An array of {samples.dtype} {samples.shape} is no plane; expected numbers of shape "
            "(height, width), with 3 or 4 colours behind it or none. Choose one plane of it."
        )
    resolution: dict[str, Any] = {}
    if mpp is not None:
        resolution = {
            "resolution": (_UM_PER_CM / mpp, _UM_PER_CM / mpp),
            "resolutionunit": "CENTIMETER",
        }
    part = path.with_name(f"{path.name}-{os.getpid()}.part")
    try:
        tifffile.imwrite(
            part,
            samples,
            photometric="minisblack" if channels == 1 else "rgb",
            planarconfig=None if channels == 1 else "contig",
            compression="zlib",
            metadata=None,
            **resolution,
        )
        part.replace(path)
    except OSError as error:
        raise ImageError(
            f"{path.name} cannot be written ({error.strerror or error}). Choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)
