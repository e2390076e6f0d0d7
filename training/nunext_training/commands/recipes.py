"""``nunext-train recipes``: which recipes there are, and every key with its meaning and bound."""

from __future__ import annotations

import json
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from nunext_training.recipes.recipe import Recipe

_WIDTH = 100


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    recipes = commands.add_parser(
        "recipes", help="every key of a recipe: meaning, default and bound"
    )
    recipes.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="a name or a TOML file, to be written out in full; without it, the defaults",
    )
    recipes.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from nunext_training.recipes.recipe import Recipe, load_recipe, recipe_names

    if args.recipe is None:
        names = ", ".join(recipe_names())
        sys.stdout.write(f"# The recipes of the package: {names}.\n")
        sys.stdout.write("# Below, every key with its default.\n\n")
    recipe = Recipe() if args.recipe is None else load_recipe(args.recipe)
    sys.stdout.write("\n".join(annotated(recipe)) + "\n")
    return 0


def annotated(recipe: Recipe) -> Iterator[str]:
    """A recipe in full as lines of TOML, each key under its meaning and its bound."""
    from nunext_training.recipes.recipe import recipe_keys

    section = ""
    for key in recipe_keys():
        table, _, name = key.name.rpartition(".")
        if table != section:
            section = table
            yield f"[{table}]"
        value = getattr(getattr(recipe, table) if table else recipe, name)
        told = f"{key.meaning} Expected: {key.expected}; default {json.dumps(key.default)}."
        yield from textwrap.wrap(told, _WIDTH, initial_indent="# ", subsequent_indent="# ")
        yield f"{name} = {_toml(value)}"
        yield ""


def _toml(value: Any) -> str:
    """A value as TOML writes it: as JSON does, but for tables."""
    if not isinstance(value, dict):
        return json.dumps(value)
    pairs = ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items())
    return f"{{ {pairs} }}" if pairs else "{}"
