"""The lines of the sheet of keys, as the keys are now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.ui.commands.table import BY_NAME, COMMANDS, DRAWING, WHILE_DRAWING, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Keys = Mapping[str, Sequence[str]]
    """The keys of each command, by its name."""


def lines_of(keys: Keys) -> dict[str, list[tuple[str, str]]]:
    """Keys and words of each line, by its group; what has no key has no line.

    Commands that share a line have their keys on it, ``1 - 9`` for a row of digits.
    """
    rows: dict[str, dict[str, list[str]]] = {}
    for command in COMMANDS:
        if keys[command.name]:
            group = rows.setdefault(command.group, {})
            group.setdefault(command.row or command.title, []).append(keys[command.name][0])
    made: dict[str, list[tuple[str, str]]] = {}
    for name, of_group in rows.items():
        made[name] = [(_together(of_row), words) for words, of_row in of_group.items()]
        if name == BY_NAME["delete"].group:
            made[DRAWING] = list(_while_drawing(keys))
    return {name: lines for name, lines in made.items() if lines}


def _while_drawing(keys: Keys) -> Iterator[tuple[str, str]]:
    for also in WHILE_DRAWING:
        if keys[also.command]:
            yield shown(keys[also.command][also.which]), also.words


def _together(keys: Sequence[str]) -> str:
    """Several keys on one badge."""
    first, last = keys[0], keys[-1]
    row = [f"{first[:-1]}{number}" for number in range(1, len(keys) + 1)]
    if len(keys) > 2 and list(keys) == row:
        return f"{shown(first)} \N{EN DASH} {last[-1]}"
    return " ".join(map(shown, keys))
