"""Which keys do what now: the usual ones, but for those that a person chose.

They are the same in all windows, as napari's preferences are, and are kept there as text:
``accept=G, flag=, redo=Ctrl+R Ctrl+Y``. What such a text says of commands that this version does
not know stays in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtGui import QKeySequence

from napari_nunext.ui.commands.table import BY_NAME, COMMANDS, Command, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPELLED = {",": "Comma", "=": "Equals"}
"""Keys that the text spells, for they mean something else in it."""
_READ = {words: key for key, words in _SPELLED.items()}
_NAMED = re.compile(r"\{(\w+)\}")
_BRACKETED = re.compile(r"\s*\(\{(\w+)\}\)")


class ChosenKeys:
    """The keys of each command."""

    changed = Signal()

    def __init__(self) -> None:
        self._chosen: dict[str, tuple[str, ...]] = {}
        self._unknown: list[str] = []
        """Parts of the text that mean nothing here."""

    def of(self, name: str) -> tuple[str, ...]:
        """The keys of a command; the first is the one that is shown."""
        return self._chosen.get(name, BY_NAME[name].keys)

    @property
    def by_command(self) -> dict[str, tuple[str, ...]]:
        """The keys of every command."""
        return {command.name: self.of(command.name) for command in COMMANDS}

    def holder(self, key: str) -> Command | None:
        """What a key does now."""
        return next((command for command in COMMANDS if key in self.of(command.name)), None)

    def is_usual(self, name: str) -> bool:
        """Whether a command has the keys that it has at first."""
        return self.of(name) == BY_NAME[name].keys

    @property
    def are_usual(self) -> bool:
        """Whether all have."""
        return all(map(self.is_usual, BY_NAME))

    # Choosing

    def choose(self, name: str, key: str) -> None:
        """Give a command another key in the place of its first, taken from whatever has it."""
        held = self.holder(key)
        if held is not None:
            self._set(held.name, [each for each in self.of(held.name) if each != key])
        rest = self.of(name) if held is not None and held.name == name else self.of(name)[1:]
        self._set(name, [key, *(each for each in rest if each != key)])
        self.changed.emit()

    def take_away(self, name: str) -> None:
        """Leave a command without keys."""
        self._set(name, [])
        self.changed.emit()

    def bring_back(self, name: str) -> None:
        """Give a command its usual keys, taken from whatever has them."""
        for key in BY_NAME[name].keys:
            held = self.holder(key)
            if held is not None and held.name != name:
                self._set(held.name, [each for each in self.of(held.name) if each != key])
        self._chosen.pop(name, None)
        self.changed.emit()

    def bring_all_back(self) -> None:
        """Give every command its usual keys."""
        self._chosen.clear()
        self.changed.emit()

    def _set(self, name: str, keys: Sequence[str]) -> None:
        self._chosen[name] = tuple(keys)
        if self._chosen[name] == BY_NAME[name].keys:
            del self._chosen[name]

    # As text

    @property
    def text(self) -> str:
        """As it is kept, with what was not understood."""
        known = (
            f"{name}={' '.join(_SPELLED.get(key, key) for key in keys)}"
            for name, keys in self._chosen.items()
        )
        return ", ".join([*known, *self._unknown])

    def read(self, text: str) -> str:
        """Take what was kept, as far as it is understood.

        Returns
        -------
        str
            What was not, in sentences; empty where all was. Such parts stay in `text`.
        """
        self._chosen.clear()
        self._unknown.clear()
        problems: list[str] = []
        for part in filter(None, map(str.strip, text.split(","))):
            name, sign, said = (each.strip() for each in part.partition("="))
            keys = [_READ.get(each, each) for each in said.split()]
            bad = next((each for each in keys if not is_key(each)), "")
            if not sign or name not in BY_NAME or bad:
                problems.append(_not_understood(part, bad))
                self._unknown.append(part)
            else:
                self._set(name, keys)
        problems.extend(self._part())
        self.changed.emit()
        return " ".join(problems)

    def _part(self) -> list[str]:
        """Leave a key that was chosen for two commands with the first of them alone.

        One that was chosen for one, and is usual for another, is the chosen one's.
        """
        problems, taken = [], dict[str, str]()
        for name, keys in list(self._chosen.items()):
            if twice := [key for key in keys if key in taken]:
                first, second = BY_NAME[taken[twice[0]]].title, BY_NAME[name].title
                problems.append(
                    f"The key {shown(twice[0])} is chosen for “{first}” and “{second}”: it does "
                    "the first. Choose another one in the list of keys."
                )
                self._set(name, [key for key in keys if key not in taken])
            taken |= dict.fromkeys(self.of(name), name)
        for command in COMMANDS:
            if command.name not in self._chosen:
                self._set(command.name, [key for key in command.keys if key not in taken])
        return problems

    # In words

    def words(self, text: str) -> str:
        """A text with the keys in it: ``"Flag  ({flag})"`` is "Flag  (F)".

        Brackets around a command without keys are left out.
        """

        def bracketed(found: re.Match[str]) -> str:
            return found.group() if self.of(found[1]) else ""

        def named(found: re.Match[str]) -> str:
            keys = self.of(found[1])
            return shown(keys[0]) if keys else f"{BY_NAME[found[1]].title} (no key)"

        return _NAMED.sub(named, _BRACKETED.sub(bracketed, text))


def is_key(text: str) -> bool:
    """Whether it is one key as Qt writes it."""
    sequence = QKeySequence(text)
    known = sequence.toString()  # of what it does not know, signs of its own
    return bool(known) and known.isprintable() and sequence.count() == 1 and known == text


def _not_understood(part: str, key: str) -> str:
    what = f"{key} is no key" if key else "it names nothing that has keys"
    return (
        f"In the preferences, {part!r} among the keys is not understood: {what}. Expected is a "
        "part such as flag=X. It is left as it is, and the usual key counts."
    )


KEYS = ChosenKeys()
"""Those of this application."""
