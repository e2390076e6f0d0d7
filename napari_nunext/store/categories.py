"""The project's categories, as the events about them add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import Category
from napari_nunext.store.event import KINDS
from napari_nunext.store.gestures import groups_taken_back
from napari_nunext.store.state.folding import renamed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.store.event import Colors, Event


@dataclass(frozen=True, slots=True)
class CategoryBook:
    """The categories in their order, and what became of names that there are no more."""

    categories: tuple[Category, ...] = ()
    aliases: dict[str, str] | None = None
    """The name that stands for one that was renamed or merged away."""

    def named(self, name: str) -> str:
        """What a category of this name is called now."""
        return (self.aliases or {}).get(name, name)


def fold_categories(events: Iterable[Event]) -> CategoryBook:
    """The categories after the events about the project as a whole, in the journal's order."""
    events = tuple(events)
    out = groups_taken_back(events)
    colors: Colors = {}
    aliases: dict[str, str] = {}
    for event in events:
        if event.is_edit and event.group in out:
            continue
        aliases = renamed(aliases, event)
        if change := KINDS[event.kind].categories:
            colors = change(colors, event.payload)
    return CategoryBook(tuple(Category(n, c) for n, c in colors.items()), aliases)
