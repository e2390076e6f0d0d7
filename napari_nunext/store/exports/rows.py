"""Nuclei as an export writes them: some thousand rows at a time, as columns.

What runs said stays in arrays and becomes a few lists of Python values at a time, so that a slide
of a million nuclei is written without a million objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress, islice
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from napari_nunext.core.nuclei import points_of
from napari_nunext.core.predictions import number_of
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.uids import as_uids
from napari_nunext.store.exports.files import UNREVIEWED, as_marked, nucleus_of
from napari_nunext.store.state.nucleus_map import NucleusValues

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.marks import Marks
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids
    from napari_nunext.store.exports.files import Exportable
    from napari_nunext.store.state.nucleus_map import NucleusMap
    from napari_nunext.store.state.reviewed import ReviewedNucleus

Row: TypeAlias = "tuple[str, float, float, str, float | None, float | None, Mask | None, Marks]"
"""Uid, x, y, category, confidence, position error in um, mask, marks."""

CHUNK = 10_000
"""Rows that are columns of Python values at once: some 20 MB with outlines."""

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_DIGITS = np.array([i for i in range(36) if i not in (8, 13, 18, 23)])
"""Where the digits of a UUID stand in its text; dashes are between them."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some nuclei, a column for each thing that files say of them; all of one length."""

    uids: list[str]
    x_px: list[float]
    y_px: list[float]
    categories: list[str]
    confidences: list[float | None]
    position_errors_um: list[float | None]
    masks: list[Mask | None]
    marks: list[Marks]

    def __len__(self) -> int:
        return len(self.uids)

    def __iter__(self) -> Iterator[Row]:
        return zip(
            self.uids,
            self.x_px,
            self.y_px,
            self.categories,
            self.confidences,
            self.position_errors_um,
            self.masks,
            self.marks,
            strict=True,
        )

    @property
    def stand(self) -> list[bool]:
        """Of each whether it counts as a nucleus."""
        return [marks.stands for marks in self.marks]

    def where(self, wanted: list[bool]) -> Rows:
        """Some of them."""
        if all(wanted):
            return self
        return Rows(
            list(compress(self.uids, wanted)),
            list(compress(self.x_px, wanted)),
            list(compress(self.y_px, wanted)),
            list(compress(self.categories, wanted)),
            list(compress(self.confidences, wanted)),
            list(compress(self.position_errors_um, wanted)),
            list(compress(self.masks, wanted)),
            list(compress(self.marks, wanted)),
        )

    def check_finite(self) -> None:
        """Raise `ValueError`, as `json.dumps` does, where JSON has no word for a number."""
        said = [c for c in (*self.confidences, *self.position_errors_um) if c is not None]
        for column in (self.x_px, self.y_px, said):
            if not np.isfinite(column).all():
                raise ValueError("Out of range float values are not JSON compliant: NaN, infinity.")


def in_chunks(nuclei: Iterable[Exportable]) -> Iterator[Rows]:
    """The nuclei in their order, `CHUNK` at a time.

    Parameters
    ----------
    nuclei : iterable of Nucleus or ReviewedNucleus
        The values of a `NucleusMap` are read from its columns.
    """
    if isinstance(nuclei, NucleusValues):
        of = nuclei.of
        yield from _of_ground(of)
        nuclei = of.added.values()
    left = iter(nuclei)
    while some := list(islice(left, CHUNK)):
        yield _rows(some)


def standing_in(nuclei: Iterable[Exportable]) -> Iterator[Rows]:
    """Those of `in_chunks` that nobody rejected."""
    for rows in in_chunks(nuclei):
        yield rows.where(rows.stand)


def count_rejected(nuclei: Iterable[Exportable]) -> int:
    """How many of them people rejected; of a review only those can be that somebody touched."""
    touched = nuclei.of.touched() if isinstance(nuclei, NucleusValues) else nuclei
    return sum(not n.marks.stands for n in as_marked(touched))


def categories_in(nuclei: Collection[Exportable]) -> tuple[str, ...]:
    """The categories in the order of their first nucleus, rejected ones included."""
    if not isinstance(nuclei, NucleusValues):
        return tuple(dict.fromkeys(n.category for n in map(nucleus_of, nuclei)))
    of = nuclei.of
    names = [*of.ground.called, *(n.nucleus.category for n in of.touched())]
    code = {name: at for at, name in enumerate(dict.fromkeys(names))}
    renamed = np.array([code[name] for name in of.ground.called], dtype=np.int64)
    codes = renamed[of.ground.said.category]
    for row, changed in of.changed.items():
        codes[row] = -1 if changed is None else code[changed.nucleus.category]
    there, first = np.unique(codes, return_index=True)
    order = [int(there[at]) for at in np.argsort(first) if there[at] >= 0]
    known = list(code)
    added = (n.nucleus.category for n in of.added.values())
    return tuple(dict.fromkeys((*(known[at] for at in order), *added)))


def places_standing_in(nuclei: Collection[Exportable]) -> tuple[PointsXY, MaskColumn]:
    """Centroids, shape (N, 2), and masks of the nuclei that nobody rejected, in their order."""
    if not isinstance(nuclei, NucleusValues):
        plain = [n.nucleus for n in as_marked(nuclei) if n.marks.stands]
        return points_of(plain), MaskColumn.of(n.mask for n in plain)
    of = nuclei.of
    said = of.ground.said.at(np.flatnonzero(of.untouched))
    touched = [
        (row, n.nucleus)
        for row, n in (*sorted(of.changed.items()), *enumerate(of.added.values(), len(of.ground)))
        if n is not None and n.status != "rejected"
    ]
    rows = np.append(np.flatnonzero(of.untouched), [row for row, _ in touched]).astype(np.intp)
    order = np.argsort(rows, kind="stable")
    theirs = [n for _, n in touched]
    points_xy = np.concatenate((said.points_xy, points_of(theirs)))
    masks = said.masks.joined(MaskColumn.of(n.mask for n in theirs))
    return points_xy[order], masks.at(order)


def _of_ground(of: NucleusMap) -> Iterator[Rows]:
    changed = sorted(of.changed)
    at = 0
    for start in range(0, len(of.ground), CHUNK):
        here = np.arange(start, min(start + CHUNK, len(of.ground)))
        rows, gone = _as_said(of, here), [True] * len(here)
        while at < len(changed) and changed[at] < start + CHUNK:
            row = changed[at]
            nucleus = of.changed[row]
            if nucleus is None:
                gone[row - start] = False
            else:
                _put(rows, row - start, nucleus)
            at += 1
        yield rows.where(gone)


def _as_said(of: NucleusMap, here: NDArray[np.int64]) -> Rows:
    said = of.ground.said.at(here)
    names = of.ground.called
    return Rows(
        uids=_texts(said.uids),
        x_px=said.points_xy[:, 0].tolist(),
        y_px=said.points_xy[:, 1].tolist(),
        categories=[names[place] for place in said.category.tolist()],
        confidences=list(map(number_of, said.confidence.tolist())),
        position_errors_um=list(map(number_of, said.position_error_um.tolist())),
        masks=list(said.masks) if said.masks.drawn.any() else [None] * len(here),
        marks=[UNREVIEWED] * len(here),
    )


def _put(rows: Rows, at: int, n: ReviewedNucleus) -> None:
    """Let a row say what people left of it."""
    one = _rows([n])
    rows.uids[at : at + 1] = one.uids
    rows.x_px[at : at + 1] = one.x_px
    rows.y_px[at : at + 1] = one.y_px
    rows.categories[at : at + 1] = one.categories
    rows.confidences[at : at + 1] = one.confidences
    rows.position_errors_um[at : at + 1] = one.position_errors_um
    rows.masks[at : at + 1] = one.masks
    rows.marks[at : at + 1] = one.marks


def _rows(nuclei: list[Exportable]) -> Rows:
    marked = as_marked(nuclei)
    plain = [n.nucleus for n in marked]
    return Rows(
        uids=_texts(as_uids(n.uid for n in plain)),
        x_px=[n.x_px for n in plain],
        y_px=[n.y_px for n in plain],
        categories=[n.category for n in plain],
        confidences=[n.confidence for n in plain],
        position_errors_um=[n.position_error_um for n in plain],
        masks=[n.mask for n in plain],
        marks=[n.marks for n in marked],
    )


def _texts(uids: Uids) -> list[str]:
    """What ``str`` gives for each UUID."""
    text = np.full((len(uids), 36), ord("-"), dtype=np.uint8)
    digits = np.stack((uids >> 4, uids & 0xF), axis=2).reshape(len(uids), 32)
    text[:, _DIGITS] = _HEX[digits]
    return list(text.view("S36").ravel().astype("U36").tolist()) if len(uids) else []
