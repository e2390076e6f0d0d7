"""One rule for names of categories: names that differ in capitals alone are one category.

Evaluation and training make them one and say so. Exports write names as people gave them, and say
what training and evaluation will take for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def one_spelling(names: Iterable[str], known: Iterable[str] = ()) -> dict[str, str]:
    """How each name is written.

    Parameters
    ----------
    names : iterable of str
    known : iterable of str
        Spellings that win, the first of each name; without one the first among `names` does.

    Returns
    -------
    dict
        For each of `known` and `names`: the spelling that stands for it.
    """
    every = tuple(dict.fromkeys((*known, *names)))
    first: dict[str, str] = {}
    return {name: first.setdefault(name.casefold(), name) for name in every}


def alike_words(spelling: Mapping[str, str], used: Iterable[str]) -> str:
    """A sentence that says which of the names in use are written otherwise; else empty."""
    changed = [n for n in dict.fromkeys(used) if spelling.get(n, n) != n]
    if not changed:
        return ""
    pairs = ", ".join(f"{name!r} counts as {spelling[name]!r}" for name in sorted(changed))
    return f"Categories whose names differ in capitals alone are one: {pairs}."


def unmerged_words(names: Iterable[str]) -> str:
    """A sentence that warns of names that differ in capitals alone; else empty."""
    spelling = one_spelling(names)
    pairs = [f"{name!r} and {one!r}" for name, one in spelling.items() if name != one]
    if not pairs:
        return ""
    return (
        f"{', '.join(sorted(pairs))} differ in capitals alone: training and evaluation take them "
        "for one category. Merge them in the app."
    )
