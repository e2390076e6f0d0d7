"""How the images of a queue are called on the screen: shortly, and no two of them alike.

File names of one study share most of their letters, and what tells two of them apart is as often in
the middle (``TCGA-A7-A0D9-...``, ``TCGA-A7-A0DA-...``) as at an end. So what is left out of a name
is chosen by what all names have in common, never by its place.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
SHORTEST_CUT = 3
"""Shared text of fewer characters is not worth a cut."""
_PIECES = re.compile(r"[^\W_]+|[\W_]")
"""Words and the signs between them. Words are never cut: ``A0D9`` reads better than ``9``."""
_WORD = re.compile(r"[^\W_]")
"""Of which a name keeps some."""


@lru_cache(maxsize=8)
def shown_names(paths: tuple[PurePath, ...], room: int) -> tuple[str, ...]:
    """A name for each image: all different, and at most `room` characters long where possible.

    Parameters
    ----------
    paths : tuple of path
        All images of the queue, in order.
    room : int
        Characters that are easily shown. Names that all fit are not shortened.

    Returns
    -------
    tuple of str
        Distinct for distinct paths. Longer than `room` where what tells a name apart is longer.
    """
    names = _with_folders(paths)
    if len(names) < 2 or max(map(len, names)) <= room:
        return names
    pieces, shared = _shared_pieces(names)
    runs = sorted(
        (run for run in _runs(shared) if _length(pieces[0], run) >= SHORTEST_CUT),
        key=lambda run: -_length(pieces[0], run),
    )
    shown = names
    for count in range(1, len(runs) + 1):
        cut = set(runs[:count])
        shown = tuple(_without(name, cut) for name in pieces)
        if max(map(len, shown)) <= room:
            break
    # Names may hold an ellipsis of their own, and signs alone tell nobody anything.
    reads = len(set(shown)) == len(set(names)) and all(_WORD.search(name) for name in shown)
    return shown if reads else names


def _with_folders(paths: Sequence[PurePath]) -> tuple[str, ...]:
    """File names, with as many folders before them as it takes to tell equal ones apart."""
    alike: dict[str, set[PurePath]] = defaultdict(set)
    for path in paths:
        alike[path.name].add(path)
    depth = {}
    for name, group in alike.items():
        depth[name] = 1
        while len({path.parts[-depth[name] :] for path in group}) < len(group):
            depth[name] += 1
    return tuple(str(PurePath(*path.parts[-depth[path.name] :])) for path in paths)


def _shared_pieces(names: Sequence[str]) -> tuple[list[list[str]], list[bool]]:
    """The pieces of every name, brought to the same number, and which of them all names share.

    Names of different numbers of pieces are compared from both ends, and what is between is one
    piece.
    """
    pieces = [_PIECES.findall(name) for name in names]
    if len({len(name) for name in pieces}) > 1:
        shortest = min(map(len, pieces))
        head = _shared_ahead(pieces, shortest)
        tail = _shared_ahead([name[::-1] for name in pieces], shortest - head)
        pieces = [
            [*name[:head], "".join(name[head : len(name) - tail]), *name[len(name) - tail :]]
            for name in pieces
        ]
    return pieces, [len(set(column)) == 1 for column in zip(*pieces, strict=True)]


def _shared_ahead(pieces: Sequence[Sequence[str]], limit: int) -> int:
    for i in range(limit):
        if len({name[i] for name in pieces}) > 1:
            return i
    return limit


def _runs(shared: Sequence[bool]) -> list[tuple[int, int]]:
    """Where shared pieces follow one another: (first, behind the last)."""
    runs, at = [], 0
    for is_shared, group in groupby(shared):
        length = len(list(group))
        if is_shared:
            runs.append((at, at + length))
        at += length
    return runs


def _length(name: Sequence[str], run: tuple[int, int]) -> int:
    return sum(map(len, name[run[0] : run[1]]))


def _without(name: Sequence[str], cut: set[tuple[int, int]]) -> str:
    made, at = [], 0
    for first, behind in sorted(cut):
        made += [*name[at:first], ELLIPSIS]
        at = behind
    return "".join((*made, *name[at:]))
