"""Eight ways that a picture can lie, and its boxes with it (ours).

Tissue has no up and down; words such as "left" have. So only pictures are turned whose right answer
is boxes alone.
"""

from __future__ import annotations

from napari_nunext.core.geometry import Box

ORIENTATIONS = (1, 2, 3, 4, 5, 6, 7, 8)
"""As EXIF numbers them, and `napari_nunext.images.picture.oriented` turns; 1 is as it is."""


def lies_in(region: Box, orientation: int) -> Box:
    """Extent of a turned picture, px; `region` begins at (0, 0)."""
    sides = (region.width, region.height)
    return Box.of_image(*(sides[::-1] if orientation >= 5 else sides))


def turned(box: Box, region: Box, orientation: int) -> Box:
    """A box of a picture in the picture that is turned, px; `region` begins at (0, 0)."""
    extent = lies_in(region, orientation)
    (x0, x1), (y0, y1) = (box.x0, box.x1), (box.y0, box.y1)
    if orientation >= 5:
        (x0, x1), (y0, y1) = (y0, y1), (x0, x1)
    if orientation in (2, 3, 6, 7):
        x0, x1 = extent.x1 - x1, extent.x1 - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = extent.y1 - y1, extent.y1 - y0
    return Box(x0, y0, x1, y1)
