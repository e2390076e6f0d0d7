"""What a run of a model said, as columns: nuclei are made of them when somebody asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, overload
from uuid import UUID

import numpy as np

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import Nucleus, points_of
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.uids import UidIndex, as_uids, as_uuids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.core.uids import Uids


@dataclass(frozen=True, eq=False)
class Predictions(Sequence[Nucleus]):
    """N nuclei in the order in which the model gave them. Never changes.

    It is a sequence of `Nucleus`, and equal to any other one of equal nuclei.
    """

    uids: Uids
    points_xy: PointsXY
    """Centroids, level-0 px, shape (N, 2)."""
    category: NDArray[np.uint16]
    """Of each its place in `names`, shape (N,)."""
    names: tuple[str, ...]
    """Categories, each once."""
    confidence: NDArray[np.float64]
    """In [0, 1], NaN where the model says none; shape (N,)."""
    masks: MaskColumn
    position_error_um: NDArray[np.float64]
    """As `Nucleus` has it, NaN where the model says none; shape (N,)."""

    @classmethod
    def of(cls, nuclei: Iterable[Nucleus] = ()) -> Predictions:
        """From nuclei.

        Raises
        ------
        InputError
            If one has NaN for its confidence, or there are more than 65,536 categories.
        """
        if isinstance(nuclei, Predictions):
            return nuclei
        nuclei = tuple(nuclei)
        names = tuple(dict.fromkeys(n.category for n in nuclei))
        place = {name: at for at, name in enumerate(names)}
        if any(n.confidence is not None and n.confidence != n.confidence for n in nuclei):
            raise InputError("A prediction has confidence nan; expected 0 to 1.")
        return cls(
            uids=as_uids(n.uid for n in nuclei),
            points_xy=points_of(nuclei),
            category=_as_places([place[n.category] for n in nuclei], names),
            names=names,
            confidence=numbers_of(n.confidence for n in nuclei),
            masks=MaskColumn.of(n.mask for n in nuclei),
            position_error_um=numbers_of(n.position_error_um for n in nuclei),
        )

    def __len__(self) -> int:
        return len(self.uids)

    @overload
    def __getitem__(self, row: int) -> Nucleus: ...
    @overload
    def __getitem__(self, row: slice) -> Predictions: ...
    def __getitem__(self, row: int | slice) -> Nucleus | Predictions:
        if isinstance(row, slice):
            return self.at(np.arange(len(self))[row])
        x_px, y_px = self.points_xy[row].tolist()
        return Nucleus(
            UUID(bytes=self.uids[row].tobytes()),
            x_px,
            y_px,
            self.names[self.category[row]],
            number_of(float(self.confidence[row])),
            self.masks[row],
            number_of(float(self.position_error_um[row])),
        )

    def __iter__(self) -> Iterator[Nucleus]:
        columns = (
            as_uuids(self.uids),
            self.points_xy.tolist(),
            self.category.tolist(),
            self.confidence.tolist(),
            self.masks,
            self.position_error_um.tolist(),
        )
        for uid, (x_px, y_px), place, sure, mask, off_um in zip(*columns, strict=True):
            sureness, error_um = number_of(sure), number_of(off_um)
            yield Nucleus(uid, x_px, y_px, self.names[place], sureness, mask, error_um)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def at(self, rows: NDArray[np.intp]) -> Predictions:
        """Some of them, in the order of `rows`."""
        return Predictions(
            self.uids[rows],
            self.points_xy[rows],
            self.category[rows],
            self.names,
            self.confidence[rows],
            self.masks.at(rows),
            self.position_error_um[rows],
        )

    def joined(self, others: Iterable[Nucleus]) -> Predictions:
        """These, and then the others."""
        others = Predictions.of(others)
        names = tuple(dict.fromkeys((*self.names, *others.names)))
        theirs = _as_places([names.index(name) for name in others.names], names)
        return Predictions(
            np.concatenate([self.uids, others.uids]),
            np.concatenate([self.points_xy, others.points_xy]),
            np.concatenate([self.category, theirs[others.category]]),
            names,
            np.concatenate([self.confidence, others.confidence]),
            self.masks.joined(others.masks),
            np.concatenate([self.position_error_um, others.position_error_um]),
        )

    def with_masks(self, masks: Mapping[UUID, Mask]) -> Predictions:
        """These, with `masks` for the nuclei of those uids; others are none of ours."""
        rows = self.rows_of(as_uids(masks))
        ours = [mask for mask, row in zip(masks.values(), rows, strict=True) if row >= 0]
        outlined = replace(self, masks=self.masks.replaced(rows[rows >= 0], ours))
        outlined.__dict__["by_uid"] = self.by_uid  # their places are the same
        return outlined

    def row_of(self, uid: UUID) -> int | None:
        """Where the nucleus with this uid is; None where there is none."""
        return self.by_uid.row_of(uid)

    def categories_at(self, rows: NDArray[np.intp]) -> tuple[str, ...]:
        """The categories of some of them, in the order of `rows`."""
        return tuple(self.names[place] for place in self.category[rows].tolist())

    def rows_of(self, uids: Uids) -> NDArray[np.intp]:
        """Where the nuclei with these uids are; -1 where there is none."""
        return self.by_uid.rows_of(uids)

    @cached_property
    def by_uid(self) -> UidIndex:
        """Leads from a uid to its row; made when somebody first looks for one."""
        return UidIndex(self.uids)


def numbers_of(said: Iterable[float | None]) -> NDArray[np.float64]:
    """A column, NaN for None."""
    return np.array([np.nan if value is None else value for value in said], dtype=np.float64)


def number_of(value: float) -> float | None:
    """A number of a column; None for NaN."""
    return value if value == value else None


def _as_places(places: list[int], names: tuple[str, ...]) -> NDArray[np.uint16]:
    most = np.iinfo(np.uint16).max + 1
    if len(names) > most:
        raise InputError(
            f"A run knows {len(names)} categories; expected at most {most}. Look at what wrote "
            "them: a category is a kind of nucleus."
        )
    return np.array(places, dtype=np.uint16)
