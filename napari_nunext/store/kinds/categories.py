"""What a person does to the project's categories, in all images at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.core.nuclei import Category
from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare
from napari_nunext.store.state.folding import Fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.store.event import Colors, Event


def _with_one(colors: Colors, p: dict[str, Any]) -> Colors:
    return {**colors, p["name"]: colors.get(p["name"]) or Category.from_json(p).color}


ADD_CATEGORY = declare(
    EventKind(
        name="add_category",
        about="project",
        words="added a category",
        payload={"name": checks.is_words, "color": checks.is_color},
        categories=_with_one,
        fold=Fold.call,
        everybodys=True,
    )
)


def add_category(category: Category) -> Event:
    """Tell a further kind of nucleus apart."""
    return ADD_CATEGORY(None, category.to_json())


def _recoloured(colors: Colors, p: dict[str, Any]) -> Colors:
    return colors | ({p["name"]: Category.from_json(p).color} if p["name"] in colors else {})


RECOLOR_CATEGORY = declare(
    EventKind(
        name="recolor_category",
        about="project",
        words="gave a category another colour",
        payload={"name": checks.is_words, "color": checks.is_color},
        categories=_recoloured,
        fold=Fold.call,
        everybodys=True,
    )
)


def recolor_category(name: str, color: tuple[int, int, int]) -> Event:
    """Draw a category in another colour (RGB, 0..255)."""
    return RECOLOR_CATEGORY(None, {"name": name, "color": list(color)})


def _called_otherwise(colors: Colors, p: dict[str, Any]) -> Colors:
    name, to = p["name"], p["to"]
    if to in colors:
        return {n: c for n, c in colors.items() if n != name}
    return {to if n == name else n: c for n, c in colors.items()}


RENAME_CATEGORY = declare(
    EventKind(
        name="rename_category",
        about="project",
        words="renamed a category",
        payload={"name": checks.is_words, "to": checks.is_words},
        categories=_called_otherwise,
        fold=Fold.call,
        everybodys=True,
    )
)


def rename_category(name: str, to: str) -> Event:
    """Call a category something else in every image; where `to` is there already, merge into it."""
    return RENAME_CATEGORY(None, {"name": name, "to": to})


def _replaced(_: Colors, p: dict[str, Any]) -> Colors:
    return _colors(p["categories"])


SET_CATEGORIES = declare(
    EventKind(
        name="set_categories",
        about="project",
        words="chose the categories",
        payload={"categories": checks.is_categories},
        categories=_replaced,
        undoable=False,
    )
)


def set_categories(categories: Sequence[Category]) -> Event:
    """Replace the project's categories."""
    return SET_CATEGORIES(None, {"categories": _rows(categories)})


def _learnt(colors: Colors, p: dict[str, Any]) -> Colors:
    return colors | {n: c for n, c in _colors(p["categories"]).items() if n not in colors}


LEARN_CATEGORIES = declare(
    EventKind(
        name="learn_categories",
        about="project",
        words="took over a model's categories",
        payload={"categories": checks.is_categories},
        categories=_learnt,
        undoable=False,
    )
)


def learn_categories(categories: Sequence[Category]) -> Event:
    """Add those that a model distinguishes and the project does not know."""
    return LEARN_CATEGORIES(None, {"categories": _rows(categories)})


def _rows(categories: Sequence[Category]) -> list[dict[str, Any]]:
    return [category.to_json() for category in categories]


def _colors(rows: list[dict[str, Any]]) -> Colors:
    return {category.name: category.color for category in map(Category.from_json, rows)}
