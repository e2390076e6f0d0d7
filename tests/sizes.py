"""Models as small as they can be and still learn something."""

from __future__ import annotations

from napari_nunext.models.families import ModelSize

SMALL = ModelSize(
    patch_px=4,
    merge=2,
    vision_width=32,
    vision_layers=1,
    vision_heads=1,
    width=64,
    layers=2,
    heads=2,
    kv_heads=1,
)
"""What differs from it in a point is a `dataclasses.replace` of it."""
