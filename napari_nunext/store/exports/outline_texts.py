"""Outlines as the text of GeoJSON, some thousand masks at a time.

A million outlines have some seventy million corners: each of them as a Python value would take
minutes. What is written is what `json.dumps` gives for `polygons_of`, corners with two decimals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.store.exports.outlines import polygons_of, rings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask

MASKS_AT_ONCE = 2500
PIXELS_AT_ONCE = 2**22
"""Of the image that masks are drawn into together."""
FARTHEST = 10**8
"""Half pixels: masks with corners beyond are written one by one."""


def geometry_texts(
    masks: Sequence[Mask | None], offset_xy: tuple[float, float]
) -> list[str | None]:
    """The GeoJSON geometry of each mask; None for no mask, and for an empty one.

    Parameters
    ----------
    masks : sequence of Mask or None
    offset_xy : tuple of float
        Subtracted from every corner, level-0 px.
    """
    texts: list[str | None] = [None] * len(masks)
    for group in _groups(masks):
        together = [masks[at] for at in group]
        for at, text in zip(group, _texts(together, offset_xy), strict=True):  # type: ignore[arg-type]
            texts[at] = text
    return texts


def _groups(masks: Sequence[Mask | None]) -> Iterator[list[int]]:
    """Places of masks of about one width, few enough to be drawn together."""
    sizes = [
        (mask.width_px + 2, mask.height_px + 2, at)
        for at, mask in enumerate(masks)
        if mask is not None
    ]
    group: list[int] = []
    rows = 0
    for width, height, at in sorted(sizes):
        rows += height
        if group and (len(group) == MASKS_AT_ONCE or rows * width > PIXELS_AT_ONCE):
            yield group
            group, rows = [], height
        group.append(at)
    if group:
        yield group


def _texts(masks: Sequence[Mask], offset_xy: tuple[float, float]) -> Iterator[str | None]:
    rings = rings_of(masks)
    halves = (rings.corners_xy - offset_xy) * 2
    whole = np.clip(halves, 0, FARTHEST).astype(np.int64)
    text, ends = _corners(whole, rings.starts)
    first = np.searchsorted(rings.mask, np.arange(len(masks) + 1)).tolist()
    is_hole = rings.is_hole.tolist()
    # Of some, corners lie before the image, very far away, or not at halves.
    is_other = np.repeat(rings.mask, np.diff(rings.starts))[(whole != halves).any(axis=1)]
    others = set(is_other.tolist())
    for at, mask in enumerate(masks):
        mine = range(first[at], first[at + 1])
        said = [f"[{text[ends[i] : ends[i + 1]]}]" for i in mine]
        holes = sum(is_hole[i] for i in mine)
        if at in others or (holes and len(mine) - holes > 1):  # which piece has which hole
            yield _one_by_one(mask, offset_xy)
        elif holes:  # the line round it is the first that is met
            yield _geometry([f"[{', '.join(said)}]"])
        else:
            yield _geometry([f"[{ring}]" for ring in said])


def _geometry(parts: Sequence[str]) -> str | None:
    if not parts:
        return None
    if len(parts) == 1:
        return f'{{"type": "Polygon", "coordinates": {parts[0]}}}'
    return f'{{"type": "MultiPolygon", "coordinates": [{", ".join(parts)}]}}'


def _one_by_one(mask: Mask, offset_xy: tuple[float, float]) -> str | None:
    corner = np.array(offset_xy, dtype=np.float64)
    parts = [[_places(ring - corner) for ring in rings] for rings in polygons_of(mask)]
    return _geometry([repr(part) for part in parts])


def _places(ring_xy: PointsXY) -> list[list[float]]:
    """Corners with two decimals; of pixels they lie at halves, which need no rounding."""
    places: list[list[float]] = ring_xy.tolist()
    if (ring_xy * 2 % 1 == 0).all():
        return places
    return [[round(x, 2), round(y, 2)] for x, y in places]


def _corners(halves: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[str, list[int]]:
    """Corners in half pixels as ``[x, y], [x, y]``, and where the text of each ring begins.

    Rings follow each other without anything between.
    """
    digits = len(str(int(halves.max(initial=0)) // 2))
    letters = np.empty((len(halves), 2 * digits + 10), dtype=np.uint8)
    kept = np.ones(letters.shape, dtype=bool)
    letters[:, 0] = ord("[")
    _number(halves[:, 0], letters[:, 1 : digits + 3], kept[:, 1 : digits + 3])
    letters[:, digits + 3 : digits + 5] = np.frombuffer(b", ", dtype=np.uint8)
    _number(halves[:, 1], letters[:, digits + 5 : -3], kept[:, digits + 5 : -3])
    letters[:, -3:] = np.frombuffer(b"], ", dtype=np.uint8)
    kept[starts[1:] - 1, -2:] = False
    length = np.append(0, np.cumsum(kept.sum(axis=1)))
    return letters[kept].tobytes().decode("ascii"), length[starts].tolist()


def _number(halves: NDArray[np.int64], letters: NDArray[np.uint8], kept: NDArray[np.bool_]) -> None:
    """Write numbers of half pixels with one decimal, as ``repr`` does, leading noughts not kept."""
    whole = (halves >> 1).astype(np.int32)
    digits = letters.shape[1] - 2
    for place in range(digits):
        power = 10 ** (digits - 1 - place)
        letters[:, place] = whole // power % 10 + ord("0")
        if power > 1:
            kept[:, place] = whole >= power
    letters[:, -2] = ord(".")
    letters[:, -1] = ord("0") + 5 * (halves & 1)
