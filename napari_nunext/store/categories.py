"""The project's categories, as the events about them add up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.nuclei import Category
from napari_nunext.store.gestures import groups_taken_back
from napari_nunext.store.state.folding import renamed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_nunext.store.events import Event


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
    colors: dict[str, tuple[int, int, int]] = {}
    aliases: dict[str, str] = {}
    for event in events:
        p = event.payload
        if event.is_edit and event.group in out:
            continue
        aliases = renamed(aliases, event)
        match event.kind:
            case "set_categories":
                colors = _colors(p["categories"])
            case "learn_categories":
                colors = colors | {
                    n: c for n, c in _colors(p["categories"]).items() if n not in colors
                }
            case "add_category":
                colors.setdefault(p["name"], _color(p["color"]))
            case "recolor_category" if p["name"] in colors:
                colors[p["name"]] = _color(p["color"])
            case "rename_category" if p["to"] in colors:
                colors.pop(p["name"], None)
            case "rename_category":
                colors = {p["to"] if n == p["name"] else n: c for n, c in colors.items()}
    return CategoryBook(tuple(Category(n, c) for n, c in colors.items()), aliases)


def _colors(rows: list[dict[str, Any]]) -> dict[str, tuple[int, int, int]]:
    return {row["name"]: _color(row["color"]) for row in rows}


def _color(values: list[int]) -> tuple[int, int, int]:
    red, green, blue = values
    return red, green, blue
