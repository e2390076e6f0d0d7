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
from napari_nunext.store.entries import Origin, check_mpp_source

if TYPE_CHECKING:
    from collections.abc import Callable


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and is_text(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_uuid(value: Any) -> bool:
    return isinstance(value, str) and _reads(UUID, value)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and _reads(Box.from_sequence, value)


def _is_mask_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and _reads(Mask.from_json, value))


def _is_mpp(value: Any) -> bool:
    return _is_number(value) and _reads(check_mpp, value)


def _is_mpp_source(value: Any) -> bool:
    return isinstance(value, str) and _reads(check_mpp_source, value)


def _is_origin(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"patient", "split", "tissue"}
        and _is_text(value["patient"])
        and (value["tissue"] is None or _is_text(value["tissue"]))
        and _reads(lambda data: Origin(**data), value)
    )


def _is_color(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(isinstance(v, int) and 0 <= v <= 255 for v in value)
    )


def _is_categories(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(c, dict)
        and c.keys() == {"name", "color"}
        and _is_text(c["name"])
        and _is_color(c["color"])
        for c in value
    )


def _is_seen(value: Any) -> bool:
    """What a person saw, first version or second; see `napari_nunext.store.state.seen`."""
    if not isinstance(value, dict) or not isinstance(value.get("count"), int):
        return False
    if value.keys() == {"count", "sha256"}:
        return isinstance(value["sha256"], str)
    is_second = value.keys() == {"version", "count", "sum"} and value["version"] == 2
    return is_second and isinstance(value["sum"], str)


def _reads(parse: Callable[[Any], object], value: Any) -> bool:
    """Whether `parse` accepts `value`."""
    try:
        parse(value)
    except MALFORMED:
        return False
    return True


PAYLOADS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "add": {
        "x_px": _is_number,
        "y_px": _is_number,
        "category": _is_text,
        "mask": _is_mask_or_none,
    },
    "move": {"x_px": _is_number, "y_px": _is_number},
    "delete": {},
    "relabel": {"category": _is_text},
    "accept": {},
    "reject": {},
    "flag_nucleus": {"flagged": _is_flag},
    "edit_mask": {"mask": _is_mask_or_none},
    "comment": {"text": _is_text},
    "use_run": {"run_id": _is_uuid, "region": _is_box},
    "complete_region": {"region": _is_box},
    "reopen_region": {"region": _is_box},
    "flag_field": {"flagged": _is_flag},
    "import_file": {"source": _is_text, "sha256": _is_text},
    "add_category": {"name": _is_text, "color": _is_color},
    "recolor_category": {"name": _is_text, "color": _is_color},
    "rename_category": {"name": _is_text, "to": _is_text},
    "undo": {"target": _is_uuid},
    "redo": {"target": _is_uuid},
    "set_scale": {"mpp": _is_mpp, "source": _is_mpp_source},
    "set_scale_of_all": {"mpp": _is_mpp, "over_files": _is_flag},
    "set_origin": {"origin": _is_origin},
    "set_categories": {"categories": _is_categories},
    "learn_categories": {"categories": _is_categories},
}

OPTIONAL: dict[str, dict[str, Callable[[Any], bool]]] = {"complete_region": {"seen": _is_seen}}
"""What a payload may carry besides: journals from before it was known lack it."""
