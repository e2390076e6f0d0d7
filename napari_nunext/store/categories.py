"""The project's categories, as the events about them add up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import Category
from napari_nunext.store.event import KINDS
from napari_nunext.store.gestures import groups_taken_back
from napari_nunext.store.state.renames import Renames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.store.event import Colors, Event


@dataclass(frozen=True, slots=True)
class CategoryBook:
    """The categories in their order, and what became of names that there are no more."""

    categories: tuple[Category, ...] = ()
    renames: Renames = field(default_factory=Renames)

    def named(self, name: str) -> str:
        """What a category of this name is called now, in a file or by a person."""
        return self.renames.words.get(name, name)

    def called(self, name: str) -> str:
        """What a model's category of this name is called now."""
        return self.renames.models.get(name, name)

    def followed(self, name: str, now: CategoryBook) -> str:
        """What a category of this book is called in another, a renaming or its undo later."""
        here, there = ({c.name for c in book.categories} for book in (self, now))
        if name in there:
            return name
        back = [said for said, called in self.renames.words.items() if called == name]
        forth = now.named(name)
        candidates = [*(said for said in back if said not in here), forth]
        return next((other for other in candidates if other in there), name)


def fold_categories(events: Iterable[Event]) -> CategoryBook:
    """The categories after the events about the project as a whole, in the journal's order."""
    events = tuple(events)
    out = groups_taken_back(events)
    colors: Colors = {}
    renames = Renames()
    for event in events:
        if event.is_edit and event.group in out:
            continue
        renames = renames.after(event)
        if change := KINDS[event.kind].categories:
            colors = change(colors, event.payload)
    return CategoryBook(tuple(Category(n, c) for n, c in colors.items()), renames)
