"""Plots and tiles of a report as inline SVG: nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.scores.matching import Matching

GREEN, VERMILION, BLUE = "#009e73", "#d55e00", "#0072b2"
"""Of true positives, false positives and false negatives: Okabe and Ito's, for the colour-blind.
The marks differ in shape as well."""

PLOT_W, PLOT_H = 420, 260
MARGIN = 46
TILE_SIDE_PX = 560
JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a plot."""

    name: str
    low: float
    high: float

    def place(self, value: float, length: float) -> float:
        """Distance of a value from the low end."""
        span = self.high - self.low or 1.0
        return (value - self.low) / span * length


def plot(
    title: str,
    x: Axis,
    y: Axis,
    points: Sequence[tuple[float, float]],
    *,
    line: bool,
    diagonal: bool,
    marks: Sequence[tuple[float, float]] = (),
) -> str:
    """Points, joined in their order if `line`, with the line x = y if `diagonal`.

    `marks` are points of a second kind, joined, over the first.
    """
    width, height = PLOT_W - 2 * MARGIN, PLOT_H - 2 * MARGIN

    def at(px: float, py: float) -> tuple[float, float]:
        return MARGIN + x.place(px, width), PLOT_H - MARGIN - y.place(py, height)

    places = [at(*point) for point in points]
    parts = [
        f'<text x="{PLOT_W / 2}" y="18" class="title">{escape(title)}</text>',
        f'<text x="{PLOT_W / 2}" y="{PLOT_H - 8}" class="axis">{escape(x.name)}</text>',
        f'<text x="12" y="{PLOT_H / 2}" class="axis" transform="rotate(-90 12 {PLOT_H / 2})">'
        f"{escape(y.name)}</text>",
        f'<rect x="{MARGIN}" y="{MARGIN}" width="{width}" height="{height}" class="frame"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        x_value, y_value = x.low + share * (x.high - x.low), y.low + share * (y.high - y.low)
        (x_at, _), (_, y_at) = at(x_value, y.low), at(x.low, y_value)
        parts.append(
            f'<text x="{x_at:.1f}" y="{PLOT_H - MARGIN + 14}" class="tick">{x_value:g}</text>'
        )
        parts.append(
            f'<text x="{MARGIN - 4}" y="{y_at + 4:.1f}" class="tick end">{y_value:g}</text>'
        )
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        (x0, y0), (x1, y1) = at(low, low), at(high, high)
        parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" class="guide"/>')
    if line and places:
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in places)
        parts.append(f'<path d="M{path}" class="line"/>')
    parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" class="dot"/>' for px, py in places]
    seen = [at(*mark) for mark in marks]
    if seen:
        path = "L".join(f"{px:.1f} {py:.1f}" for px, py in seen)
        parts.append(f'<path d="M{path}" class="line mark"/>')
    parts += [
        f'<path d="M{px:.1f} {py - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z" class="diamond"/>'
        for px, py in seen
    ]
    return (
        f'<svg class="plot" viewBox="0 0 {PLOT_W} {PLOT_H}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )


def tile(rgb: NDArray[np.uint8], pred_xy: PointsXY, true_xy: PointsXY, matching: Matching) -> str:
    """A tile with what was found (circles), invented (crosses) and missed (squares)."""
    height, width = rgb.shape[:2]
    missed = np.ones(len(true_xy), dtype=bool)
    missed[matching.true_index] = False
    right = matching.is_true_positive
    r = matching.radius_px / 2
    marks = [
        *(
            _mark(f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0", GREEN)
            for x, y in np.round(pred_xy[right], 1).tolist()
        ),
        *(
            _mark(f"M{x - r} {y - r}l{2 * r} {2 * r}m0 {-2 * r}l{-2 * r} {2 * r}", VERMILION)
            for x, y in np.round(pred_xy[~right], 1).tolist()
        ),
        *(
            _mark(f"M{x - r} {y - r}h{2 * r}v{2 * r}h{-2 * r}z", BLUE)
            for x, y in np.round(true_xy[missed], 1).tolist()
        ),
    ]
    return (
        f'<svg class="tile" viewBox="0 0 {width} {height}" role="img">'
        f'<image width="{width}" height="{height}" href="{_jpeg(rgb)}"/>{"".join(marks)}</svg>'
    )


def _mark(path: str, color: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="#fff" stroke-width="3" '
        'vector-effect="non-scaling-stroke"/>'
        f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke"/>'
    )


def _jpeg(rgb: NDArray[np.uint8]) -> str:
    """A data address of the image, at most `TILE_SIDE_PX` on its longer side, without metadata."""
    from PIL import Image

    image = Image.fromarray(rgb)
    image.thumbnail((TILE_SIDE_PX, TILE_SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
