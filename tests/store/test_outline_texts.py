"""Outlines of many masks at once: the rings and the text that each gives alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.exports import outline_texts
from napari_nunext.store.exports.outline_texts import geometry_texts
from napari_nunext.store.exports.outlines import polygons_of, rings_of


def drawn(rng: np.random.Generator, count: int, *, low: int = 0, high: int = 90_000) -> list[Mask]:
    """Masks with holes, of many pieces, whose pixels touch by corners, of a pixel, of none."""
    masks = []
    for number in range(count):
        height, width = rng.integers(1, 24, 2)
        share = (0.05, 0.5, 0.9, 1.0, 0.0)[number % 5]
        image = rng.random((height, width)) < share
        x0_px, y0_px = rng.integers(low, high, 2).tolist()
        masks.append(Mask.from_array(image, x0_px, y0_px))
    return masks


def alone(mask: Mask | None, offset_xy: tuple[float, float]) -> str | None:
    """What was written before masks were written together."""
    rings = [] if mask is None else polygons_of(mask)
    parts = [
        [
            [[round(x, 2), round(y, 2)] for x, y in (ring - np.array(offset_xy)).tolist()]
            for ring in part
        ]
        for part in rings
    ]
    if not parts:
        return None
    kind = "Polygon" if len(parts) == 1 else "MultiPolygon"
    return json.dumps({"type": kind, "coordinates": parts[0] if len(parts) == 1 else parts})


def test_rings_are_those_of_each_mask_alone(rng):
    masks = drawn(rng, 400, low=-50)
    found = rings_of(masks)
    places = [found.corners_xy[a:b] for a, b in zip(found.starts, found.starts[1:], strict=False)]
    assert found.is_hole.any()
    for at, mask in enumerate(masks):
        parts = polygons_of(mask)
        here = np.flatnonzero(found.mask == at)
        outer = [places[ring] for ring in here if not found.is_hole[ring]]
        assert len(outer) == len(parts)
        for mine, part in zip(outer, parts, strict=True):
            np.testing.assert_array_equal(mine, part[0])
        holes = sorted(places[ring].tobytes() for ring in here if found.is_hole[ring])
        assert holes == sorted(ring.tobytes() for part in parts for ring in part[1:])


def test_nothing_has_no_rings():
    for masks in ([], [Mask(3, 4, 0, 0, ())], [Mask(3, 4, 2, 2, (4,))]):
        found = rings_of(masks)
        assert len(found.corners_xy) == len(found.mask) == len(found.is_hole) == 0
        assert found.starts.tolist() == [0]


@pytest.mark.parametrize("offset_xy", [(0.0, 0.0), (12.0, 7.5), (0.25, 0.1), (50_000.0, 3.0)])
@pytest.mark.parametrize("low", [0, -30])
def test_texts_are_those_of_each_mask_alone(rng, monkeypatch, offset_xy, low):
    monkeypatch.setattr(outline_texts, "MASKS_AT_ONCE", 37)
    masks: list[Mask | None] = [*drawn(rng, 150, low=low), None, Mask(1, 1, 0, 0, ())]
    expected = [alone(mask, offset_xy) for mask in masks]
    assert geometry_texts(masks, offset_xy) == expected
    assert sum(text is not None for text in expected) > 100


def test_large_and_small_masks_are_drawn_apart(rng, monkeypatch):
    monkeypatch.setattr(outline_texts, "PIXELS_AT_ONCE", 2000)
    wide = [Mask.from_array(np.ones((4, 900), dtype=bool), 5, 5 + i) for i in range(3)]
    masks = [wide[0], *drawn(rng, 30), *wide[1:]]
    groups = list(outline_texts._groups(masks))
    assert sorted(at for group in groups for at in group) == list(range(33))
    for group in groups:
        across = max(masks[at].width_px + 2 for at in group)
        assert len(group) == 1 or across * sum(masks[at].height_px + 2 for at in group) <= 2000
    assert geometry_texts(masks, (0.0, 0.0)) == [alone(mask, (0.0, 0.0)) for mask in masks]


def test_corners_far_away_are_written_as_they_are_alone():
    for x0_px in (49_999_990, 50_000_000, 2**31 - 20):
        mask = Mask.from_array(np.ones((3, 5), dtype=bool), x0_px, 9)
        assert geometry_texts([mask], (0.0, 0.0)) == [alone(mask, (0.0, 0.0))]
