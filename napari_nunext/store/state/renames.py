"""What categories are called after some were renamed or merged: those of models, and words.

A model goes on saying what it was taught to say: its category stays the one that the user gave
another name, even where another category has the old name since. In a file the old name then is
that other category's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_nunext.store.event import Event


@dataclass(frozen=True, slots=True)
class Renames:
    """What became of names; treated as immutable, and another object once one was renamed."""

    words: Mapping[str, str] = field(default_factory=dict)
    """The name that stands for one that no category has."""
    models: Mapping[str, str] = field(default_factory=dict)
    """What a model's category is called now, where it was renamed."""

    def after(self, event: Event) -> Renames:
        """The same after one more event, of any kind: this object where it renames nothing."""
        p = event.payload
        if event.kind == "add_category" and p["name"] in self.words:
            return Renames(_but(self.words, p["name"]), self.models)
        if event.kind != "rename_category":
            return self
        name, to = p["name"], p["to"]
        words = _but({**_followed(self.words, name, to), name: to}, to)
        return Renames(words, followed(self.models, name, to))

    def of_run(self, categories: Iterable[str]) -> dict[str, str]:
        """What the nuclei of a run that is used now are called, by what the run says.

        Parameters
        ----------
        categories : iterable of str
            Those that its model announces; other names that it says are words.
        """
        return {**self.words, **{name: self.models.get(name, name) for name in categories}}


def followed(names: Mapping[str, str], name: str, to: str) -> dict[str, str]:
    """What each is called after what is called `name` is called `to`; others are as they say."""
    now = _followed(names, name, to)
    now.setdefault(name, to)
    return now


def _followed(names: Mapping[str, str], name: str, to: str) -> dict[str, str]:
    return {said: to if called == name else called for said, called in names.items()}


def _but(names: Mapping[str, str], left_out: str) -> dict[str, str]:
    return {said: called for said, called in names.items() if said != left_out}
