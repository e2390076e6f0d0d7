"""A picture of an image with its nuclei and a scale bar, for slides of talks and reports.

Drawn from the image's own pixels, not from the screen: nothing of the window is in it, nothing of a
slide's label, and the file says nothing but pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.nuclei import default_categories
from napari_nunext.store.exports.files import replacing_file
from napari_nunext.store.exports.outlines import polygons_of
from napari_nunext.store.exports.rows import categories_in, standing_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.core.nuclei import Category
    from napari_nunext.store.exports.files import ImageNuclei
    from napari_nunext.store.exports.rows import Row

LONGEST_PX, SHORTEST_PX = 2048, 1024
"""Of a picture's longer side: a larger view is made smaller, a smaller one up to `LARGEST` times
larger."""
LARGEST = 8.0
DOT_UM = 3.0
"""Diameter of a nucleus without an outline; it never gets smaller than `_LEAST_DOT_PX`."""
_LEAST_DOT_PX = 2.0
_OUTLINED_PX = 5.0
"""An outline that is smaller in the picture is a dot."""
_BAR_PART = 0.25
"""Of the width that a scale bar may take."""


def write_snapshot(
    path: Path,
    source: ImageSource,
    image: ImageNuclei,
    categories: Sequence[Category],
    *,
    view: Box | None = None,
) -> None:
    """Write `snapshot` as PNG, whole or not at all; parameters as there.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written.
    """
    pixels = snapshot(source, image, categories, view=view)
    with replacing_file(path) as sibling:
        Image.fromarray(pixels).save(sibling, format="PNG")


def snapshot(
    source: ImageSource,
    image: ImageNuclei,
    categories: Sequence[Category],
    *,
    view: Box | None = None,
) -> NDArray[np.uint8]:
    """Pixels with the nuclei that stand in the colours of their categories, shape (H, W, 3).

    Parameters
    ----------
    source : ImageSource
        The image.
    image : ImageNuclei
        Its nuclei, and its scale.
    categories : sequence of Category
    view : Box, optional
        Which part, level-0 px; all by default. What hangs over the image's edge is left out.

    Raises
    ------
    InputError
        If the view has nothing of the image.
    CalibrationError
        If the image's scale is implausible.
    """
    mpp = check_mpp(image.entry.mpp)
    box = source.box if view is None else view.clipped_to(source.box)
    if min(box.width, box.height) <= 0:
        raise InputError("The view shows nothing of the image. Move it back over the image.")
    longer = max(box.width, box.height)
    factor = min(LONGEST_PX, max(longer, min(SHORTEST_PX, LARGEST * longer))) / longer
    width, height = (max(1, round(side * factor)) for side in (box.width, box.height))
    side = max(width, height)
    square = Box(box.x0, box.y0, box.x0 + side / factor, box.y0 + side / factor)
    picture = Image.fromarray(source.read_window(square, side)[:height, :width])
    draw = ImageDraw.Draw(picture)
    known = {c.name: c.color for c in categories}
    names = dict.fromkeys((*known, *categories_in(image.nuclei)))
    colors = {c.name: known.get(c.name, c.color) for c in default_categories(names)}
    dot_px = max(DOT_UM / mpp * factor, _LEAST_DOT_PX) / 2
    for row in _near(image, box.grown(100 / mpp)):
        _draw(draw, row, colors[row[3]], box, factor, dot_px)
    said = "" if image.entry.mpp_source != "default" else " (scale assumed)"
    _bar(draw, width, height, mpp / factor, said)
    return np.asarray(picture)


def bar_um(most_um: float) -> float:
    """The longest of 1, 2, 5, 10, 20, ... um that fits into a length."""
    power = 10.0 ** math.floor(math.log10(most_um))
    return next(step * power for step in (5, 2, 1) if step * power <= most_um * (1 + 1e-9))


def bar_words(length_um: float) -> str:
    """A length as a scale bar says it. The font that Pillow brings has no letter for micro."""
    if length_um >= 1000:
        return f"{length_um / 1000:g} mm"
    return f"{length_um:g} um" if length_um >= 1 else f"{length_um * 1000:g} nm"


def _near(image: ImageNuclei, box: Box) -> Iterator[Row]:
    for rows in standing_in(image.nuclei):
        places = np.array([rows.x_px, rows.y_px], dtype=np.float64).T.reshape(-1, 2)
        yield from rows.where(box.contains(places).tolist())


def _draw(
    draw: ImageDraw.ImageDraw,
    row: Row,
    color: tuple[int, int, int],
    box: Box,
    factor: float,
    dot_px: float,
) -> None:
    _, x_px, y_px, _, _, _, mask, _ = row
    corner = np.array([box.x0, box.y0])
    if mask is not None and max(mask.width_px, mask.height_px) * factor >= _OUTLINED_PX:
        for rings in polygons_of(mask):
            for ring in rings:
                places = (ring - corner) * factor - 0.5  # Pillow counts from the centres of pixels
                draw.line([tuple(place) for place in places.tolist()], fill=color, width=2)
        return
    x, y = (x_px - box.x0) * factor - 0.5, (y_px - box.y0) * factor - 0.5
    draw.ellipse((x - dot_px, y - dot_px, x + dot_px, y + dot_px), fill=color)


def _bar(draw: ImageDraw.ImageDraw, width: int, height: int, um_a_px: float, said: str) -> None:
    """A bar at the lower right, black on white, with its length."""
    length_um = bar_um(max(width * _BAR_PART, 1.0) * um_a_px)
    length_px = length_um / um_a_px
    text = bar_words(length_um) + said
    font = ImageFont.load_default(size=max(10.0, height / 45))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    margin = max(4.0, height / 100)
    wide = max(length_px, right - left) + 2 * margin
    tall = (bottom - top) + 4 * margin
    x1, y1 = width - margin, height - margin
    draw.rectangle((x1 - wide, y1 - tall, x1, y1), fill=(255, 255, 255))
    middle = x1 - wide / 2
    draw.text((middle - (right + left) / 2, y1 - tall + margin - top), text, (0, 0, 0), font=font)
    begin = round(middle - length_px / 2)
    draw.rectangle(
        (begin, y1 - 2 * margin, begin + round(length_px) - 1, y1 - margin), fill=(0, 0, 0)
    )
