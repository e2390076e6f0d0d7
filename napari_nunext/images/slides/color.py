"""Colours as a scanner's profile (ICC) means them, in sRGB."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageCms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Recolor: TypeAlias = "Callable[[NDArray[np.uint8]], NDArray[np.uint8]]"
"""Pixels of shape (H, W, 3) to others of that shape."""

NOTE = "colours turned into sRGB by the scanner's profile"
UNREADABLE_NOTE = "its colour profile cannot be read: colours are shown as they are stored"
_UNSEEN = 1
"""Grey levels by which a profile may differ from sRGB and count as sRGB."""


def recolor_by(profile: bytes) -> tuple[Recolor | None, tuple[str, ...]]:
    """What turns a slide's pixels into sRGB, made once for all of its tiles; and a note on it.

    None where there is nothing to do: the profile is sRGB, or is none that can be used. The result
    may be shared by threads.
    """
    if not profile:
        return None, ()
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None, (UNREADABLE_NOTE,)

    def recolor(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = Image.fromarray(np.ascontiguousarray(rgb))
        ImageCms.applyTransform(image, transform, inPlace=True)
        return np.array(image)

    colors = _some_colors()
    if np.abs(recolor(colors).astype(int) - colors).max() <= _UNSEEN:
        return None, ()
    return recolor, (NOTE,)


def _some_colors() -> NDArray[np.uint8]:
    """A grid through all colours, shape (1, 729, 3)."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
