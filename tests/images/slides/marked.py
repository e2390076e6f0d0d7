"""A slide with marks at known places, for every reader to be held to half a pixel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms

from napari_nunext.core.geometry import Box

if TYPE_CHECKING:
    from napari_nunext.core.image.source import ImageSource

WIDTH, HEIGHT = 1531, 1187
"""Odd, so that levels are rounded."""
RADIUS_PX = 40.0
MARKS_XY = np.array(
    [[71.3, 62.8], [1449.6, 75.1], [90.2, 1101.9], [1440.7, 1111.3], [766.4, 512.6], [512.0, 256.0]]
)
"""Centres, level-0 px, corner origin; near all corners, where a wrong factor shows most."""
GLASS, INK = 240, 60


def drawing(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Discs on glass, shape (H, W, 3), edges smooth."""
    y, x = np.mgrid[:height, :width] + 0.5
    near = np.min([np.hypot(x - mx, y - my) for mx, my in MARKS_XY], axis=0)
    cover = np.clip(RADIUS_PX + 0.5 - near, 0, 1)
    grey = np.round(GLASS + (INK - GLASS) * cover).astype(np.uint8)
    return np.stack([grey, grey // 2 + 100, grey], axis=-1)


def shrunk(rgb: np.ndarray, factor: int, *, up: bool = False) -> np.ndarray:
    """Means of squares; what is left over at the far edges is dropped, or fills its own pixels."""
    if up:
        beyond = [(0, -side % factor) for side in rgb.shape[:2]]
        rgb = np.pad(rgb, [*beyond, (0, 0)], mode="edge")
    height, width = (side // factor * factor for side in rgb.shape[:2])
    squares = rgb[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return np.round(squares.mean(axis=(1, 3))).astype(np.uint8)


def assert_overlay(
    image: ImageSource, *, levels: int, mpp: float | None, offset_xy: tuple[float, float] = (0, 0)
) -> None:
    """Every mark is found where it is, at each level and in windows of several scales.

    Parameters
    ----------
    offset_xy : tuple of float
        Where the image begins in the drawing.
    """
    assert len(image.levels) == levels
    if mpp is None:
        assert image.scale.mpp is None
    else:
        assert abs(image.scale.mpp / mpp - 1) < 1e-3
        assert image.scale.source == "file"
    for x, y in MARKS_XY - offset_xy:
        box = Box(x - 60.7, y - 55.2, x + 62.1, y + 58.8)
        for level, factor in enumerate(image.levels):
            found = middle_of(image.read_region(box, level))
            # Whole pixels of the level; the region begins within the first one.
            inside = box.clipped_to(image.box)
            begin = np.floor(np.array([inside.x0, inside.y0]) / factor)
            off = begin + found - np.array([x, y]) / factor
            assert np.abs(off).max() < 0.5, (level, (x, y), off)
        for out_px in (122, 61, 40):
            side = 122.0
            window = Box(x - 60.7, y - 55.2, x - 60.7 + side, y - 55.2 + side)
            found = middle_of(image.read_window(window, out_px)) * side / out_px
            off = (found - (60.7, 55.2)) / max(side / out_px, 1)
            assert np.abs(off).max() < 0.5, (out_px, (x, y), off)


def middle_of(rgb: np.ndarray) -> np.ndarray:
    """Middle of what is dark, (x, y), corner origin."""
    ink = np.clip(GLASS - 20 - rgb[..., 0].astype(float), 0, None)
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]] + 0.5
    assert ink.sum() > 0
    return np.array([(ink * x).sum(), (ink * y).sum()]) / ink.sum()


def jpeg_of(rgb: np.ndarray, *, restarts: bool = False) -> bytes:
    """A JPEG file of pixels; with a marker before each row of blocks if so wanted."""
    file = io.BytesIO()
    more = {"restart_marker_rows": 1} if restarts else {}
    Image.fromarray(rgb).save(file, format="JPEG", quality=95, subsampling=0, **more)
    return file.getvalue()


def swapped_profile() -> bytes:
    """An ICC profile that takes red for blue: sRGB's with the names of two of its tags changed."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for color in (b"XYZ", b"TRC"):
        red, blue = data.index(b"r" + color), data.index(b"b" + color)
        data = data[:red] + b"b" + data[red + 1 : blue] + b"r" + data[blue + 1 :]
    return data
