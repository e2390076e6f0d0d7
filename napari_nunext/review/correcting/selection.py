"""What is selected, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.editing import is_sure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.store import FieldState, ReviewedNucleus


def selection_words(state: FieldState | None, uids: Iterable[UUID], sure_above: float) -> str:
    """How many nuclei are selected, of which category, and how sure they are; empty for none."""
    known = {} if state is None else state.nuclei
    chosen = [known[uid] for uid in uids if uid in known]
    if not chosen:
        return ""
    categories = {n.nucleus.category for n in chosen}
    category = categories.pop() if len(categories) == 1 else "several categories"
    return f"{len(chosen)} selected: {category}, {_sureness(chosen, sure_above)}"


def _sureness(chosen: list[ReviewedNucleus], sure_above: float) -> str:
    unsure = sum(not is_sure(n, sure_above) for n in chosen)
    if len(chosen) > 1:
        return f"{unsure} unsure" if unsure else "all sure"
    (only,) = chosen
    if only.touched:
        return "seen to by a person"
    words = "unsure" if unsure else "sure"
    confidence = only.nucleus.confidence
    return words if confidence is None else f"{words} ({confidence:.2f})"
