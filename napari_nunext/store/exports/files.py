"""Writing files whole or not at all, and the nuclei that go into them."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from napari_nunext.core.errors import StoreError
from napari_nunext.core.marks import MarkedNucleus, Marks
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.process.permissions import open_up
from napari_nunext.store.state.reviewed import ReviewedNucleus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import TextIO

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.store.entries import ImageEntry
    from napari_nunext.store.exports.by_region.stain import ImageStain

Exportable: TypeAlias = Nucleus | ReviewedNucleus
"""Nuclei as a model gave them, or as people left them."""


@dataclass(frozen=True, slots=True)
class ImageNuclei:
    """An image and the nuclei to write for it."""

    entry: ImageEntry
    nuclei: Collection[Exportable]
    """Those of a slide are made as they are asked for: go through them once, or take them by
    `rows.in_chunks`, which makes none."""
    regions: Sequence[CountedRegion] = ()
    """Parts of the image that have a name, for formats that count."""
    stain: ImageStain | None = None
    """How brown they are, in their order; None where nobody measured that."""


class CountedRegion(Protocol):
    """A named part of an image."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def area_um2(self, mpp: float) -> float:
        """Its area; `mpp` are the micrometres per level-0 pixel."""
        ...

    def contains(self, points_xy: PointsXY) -> NDArray[np.bool_]:
        """Which points, shape (N, 2), level-0 px, lie in it, shape (N,)."""
        ...


UNREVIEWED = Marks(origin="model")
"""Of what a model said and nobody touched."""


def as_marked(nuclei: Iterable[Exportable]) -> list[MarkedNucleus]:
    """The same nuclei as files hold them; those straight from a model are unreviewed."""
    return [
        MarkedNucleus(n.nucleus, marks_of(n))
        if isinstance(n, ReviewedNucleus)
        else MarkedNucleus(n, UNREVIEWED)
        for n in nuclei
    ]


def nucleus_of(n: Exportable) -> Nucleus:
    """The nucleus itself, without what people made of it."""
    return n.nucleus if isinstance(n, ReviewedNucleus) else n


def marks_of(n: ReviewedNucleus) -> Marks:
    """What a review says of a nucleus."""
    return Marks(n.status, n.flagged, "person" if n.is_human else "model", n.annotator)


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Write UTF-8 text to a sibling that takes the place of `path` when all is written.

    Raises
    ------
    StoreError
        If the disk is full or the folder cannot be written. What stood at `path` is untouched.
    """
    with replacing_file(path) as sibling, sibling.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """The same for a library that opens a file itself: an empty sibling, to be written over."""
    sibling: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        sibling = Path(name)
        yield sibling
        open_up(sibling)
        os.replace(sibling, path)
        sibling = None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if sibling is not None:
            sibling.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> StoreError:
    """What to tell a person whose file or folder could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"The disk is full; {path.name} was not written. Free some space and export again."
        )
    return StoreError(
        f"{path.name} cannot be written ({error.strerror}). Check that its folder exists and is "
        "yours to write."
    )
