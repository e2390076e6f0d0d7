"""What is selected, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.review.table import NucleusTable


def selection_words(table: NucleusTable, uids: Iterable[UUID], sure_above: float) -> str:
    """How many nuclei are selected, of which category, and how sure they are; empty for none."""
    rows = table.rows_of(uids)
    if not len(rows):
        return ""
    part = table.part(rows)
    names = {table.names[code] for code in set(part.category.tolist())}
    category = names.pop() if len(names) == 1 else "several categories"
    unsure = int((~part.is_sure(sure_above)).sum())
    if len(rows) > 1:
        sureness = f"{unsure} unsure" if unsure else "all sure"
    else:
        confidence = float(part.confidence[0])
        sureness = _sureness(bool(part.touched[0]), bool(unsure), confidence)
        if not part.touched[0]:
            sureness += place_words(float(part.position_error_um[0]))
    return f"{len(rows)} selected: {category}, {sureness}"


def place_words(error_um: float) -> str:
    """How far off a nucleus may be, behind a comma; empty where nobody says (NaN)."""
    return f", place ± {error_um:.1f} µm" if error_um == error_um else ""


def _sureness(touched: bool, unsure: bool, confidence: float) -> str:
    """Of one nucleus; NaN where there is no confidence."""
    if touched:
        return "seen to by a person"
    words = "unsure" if unsure else "sure"
    return f"{words} ({confidence:.2f})" if confidence == confidence else words
