"""Writing files whole or not at all, and the nuclei that go into them."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from napari_nunext.core.errors import StoreError
from napari_nunext.core.marks import MarkedNucleus, Marks
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.process.permissions import open_up
from napari_nunext.store.state.reviewed import ReviewedNucleus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import TextIO

    from napari_nunext.store.entries import ImageEntry

Exportable: TypeAlias = Nucleus | ReviewedNucleus
"""Nuclei as a model gave them, or as people left them."""


@dataclass(frozen=True, slots=True)
class ImageNuclei:
    """An image and the nuclei to write for it."""

    entry: ImageEntry
    nuclei: Collection[Exportable]
    """Those of a slide are made as they are asked for: go through them once, or take them by
    `rows.in_chunks`, which makes none."""


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
    sibling: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        sibling = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            yield file
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
