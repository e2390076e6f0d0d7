"""What an event of each kind carries, and whether a value is that.

Journals are read from files: what they carry is checked before anything is made of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any
from uuid import UUID

from napari_nunext.core.errors import MALFORMED
from napari_nunext.core.geometry import Box, check_mpp
from napari_nunext.core.sentences import is_text
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.stains.positivity import check_cut_offs
from napari_nunext.store.entries import Origin, check_mpp_source

if TYPE_CHECKING:
    from collections.abc import Callable


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, float | int) and math.isfinite(value)


def is_cut_offs(value: Any) -> bool:
    """Whether a value is three numbers that rise."""
    return isinstance(value, list) and all(map(is_number, value)) and _reads(check_cut_offs, value)


def is_words(value: Any) -> bool:
    """Whether a value is text that says something."""
    return isinstance(value, str) and bool(value.strip()) and is_text(value)


def is_flag(value: Any) -> bool:
    """Whether a value is true or false."""
    return isinstance(value, bool)


def is_uuid(value: Any) -> bool:
    """Whether a value is a UUID as text."""
    return isinstance(value, str) and _reads(UUID, value)


def is_box(value: Any) -> bool:
    """Whether a value is a box as four numbers."""
    return isinstance(value, list) and _reads(Box.from_sequence, value)


def is_mask_or_none(value: Any) -> bool:
    """Whether a value is a mask as JSON, or null."""
    return value is None or (isinstance(value, dict) and _reads(Mask.from_json, value))


def is_mpp(value: Any) -> bool:
    """Whether a value is a scale in micrometres a pixel."""
    return is_number(value) and _reads(check_mpp, value)


def is_mpp_source(value: Any) -> bool:
    """Whether a value is one of `MPP_SOURCES`."""
    return isinstance(value, str) and _reads(check_mpp_source, value)


def is_origin(value: Any) -> bool:
    """Whether a value is an `Origin` as JSON."""
    return (
        isinstance(value, dict)
        and value.keys() == {"patient", "split", "tissue"}
        and is_words(value["patient"])
        and (value["tissue"] is None or is_words(value["tissue"]))
        and _reads(lambda data: Origin(**data), value)
    )


def is_color(value: Any) -> bool:
    """Whether a value is RGB, 0..255."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int) and 0 <= v <= 255 for v in value)
    )


def is_categories(value: Any) -> bool:
    """Whether a value is a list of categories as JSON."""
    return isinstance(value, list) and all(
        isinstance(c, dict)
        and c.keys() == {"name", "color"}
        and is_words(c["name"])
        and is_color(c["color"])
        for c in value
    )


def is_seen(value: Any) -> bool:
    """What a person saw, first version or second; see `napari_nunext.store.state.seen`."""
    if not isinstance(value, dict) or not isinstance(value.get("count"), int):
        return False
    if value.keys() == {"count", "sha256"}:
        return isinstance(value["sha256"], str)
    is_second = value.keys() == {"version", "count", "sum"} and value["version"] == 2
    return is_second and isinstance(value["sum"], str)


def is_read_by(parse: Callable[[Any], object]) -> Callable[[Any], bool]:
    """A check whether `parse` takes a JSON object."""
    return lambda value: isinstance(value, dict) and _reads(parse, value)


def _reads(parse: Callable[[Any], object], value: Any) -> bool:
    """Whether `parse` accepts `value`."""
    try:
        parse(value)
    except MALFORMED:
        return False
    return True
