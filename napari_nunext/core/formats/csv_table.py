"""Tables of nuclei as CSV, one nucleus a row: the columns, and the reading side.

Writing belongs to the exports of a project (`napari_nunext.store.exports.csv`).
"""

from __future__ import annotations

import csv
import math
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError
from napari_nunext.core.marks import (
    ANNOTATOR,
    FLAGGED,
    ORIGIN,
    STATUS,
    MarkedNucleus,
    Marks,
)
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus, identity_of, measured_um

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from uuid import UUID

COLUMNS = (
    "x_px",
    "y_px",
    "x_um",
    "y_um",
    "category",
    "confidence",
    STATUS,
    ANNOTATOR,
    "uid",
    "area_um2",
    FLAGGED,
    ORIGIN,
    "image",
    "position_error_um",
)
_OF_MARKS = (STATUS, ANNOTATOR, FLAGGED, ORIGIN)


def read_csv(path: Path) -> list[MarkedNucleus]:
    """The nuclei of `read_csv_by_image`, in the order of the rows, whichever image they are of."""
    return [nucleus for _, nucleus in _read(path)]


def read_csv_by_image(path: Path) -> dict[str, list[MarkedNucleus]]:
    """Read nuclei of a table of ours, or of any with the columns x and y (or x_px and y_px).

    By the name in the column ``image``; empty where there is none. A table without rows has no
    image. Coordinates are level-0 px, corner origin. Other columns of `COLUMNS` are read where they
    are there. A uid that is none, or stands twice, is replaced. Rejected nuclei are among them, and
    say so.

    Raises
    ------
    RecordError
        If the file cannot be read or is empty, or a row has no place or an unknown status; names
        the line.
    """
    return by_image(_read(path))


def by_image(found: Iterable[tuple[str, MarkedNucleus]]) -> dict[str, list[MarkedNucleus]]:
    """Nuclei by the name of their image, both in the order of the rows."""
    of: dict[str, list[MarkedNucleus]] = {}
    for image, nucleus in found:
        of.setdefault(image, []).append(nucleus)
    return of


def _read(path: Path) -> Iterator[tuple[str, MarkedNucleus]]:
    """Name of the image and nucleus of each row."""
    if not _has_points(path):
        raise RecordError(
            f"{path.name} is no table of nuclei; expected a header with the columns x and y, or "
            "x_px and y_px. A table of none has the header alone."
        )
    yield from nuclei_of_rows(rows_of(path), path.name, "line", first=2)


def nuclei_of_rows(
    rows: Iterable[Mapping[str, str]], name: str, what: str, *, first: int
) -> Iterator[tuple[str, MarkedNucleus]]:
    """Name of the image and nucleus of each row of a table.

    Parameters
    ----------
    rows : iterable of mapping
        Text by column; empty where there is no value.
    name : str
        The file's, for messages.
    what : str
        What a row is called there: ``"line"``.
    first : int
        Number of the first of them.

    Raises
    ------
    RecordError
        If a row has no place or an unknown status; names it.
    """
    seen: set[UUID] = set()
    for number, row in enumerate(rows, start=first):
        try:
            x_px, y_px = (float(row.get(axis) or row[f"{axis}_px"]) for axis in ("x", "y"))
            if not (math.isfinite(x_px) and math.isfinite(y_px)):
                raise ValueError(f"coordinates {x_px}, {y_px}")
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"{name} {what} {number} has no point ({error}); expected the columns x and y, "
                "or x_px and y_px, with numbers."
            ) from error
        try:
            marks = _same_marks(tuple(row.get(name, "") for name in _OF_MARKS))
        except RecordError as error:
            raise RecordError(f"{name} {what} {number}: {error}") from error
        uid, identified = identity_of(row.get("uid"), seen)
        category = intern(row.get("category") or UNCATEGORISED)
        confidence = _confidence(row.get("confidence", ""))
        error_um = measured_um(row.get("position_error_um"))
        nucleus = Nucleus(uid, x_px, y_px, category, confidence, position_error_um=error_um)
        yield intern(row.get("image", "").strip()), MarkedNucleus(nucleus, marks, identified)


def _has_points(path: Path) -> bool:
    """Whether the header names the columns of places."""
    columns = set(read_columns(path))
    return all({axis, f"{axis}_px"} & columns for axis in ("x", "y"))


def read_columns(path: Path) -> tuple[str, ...]:
    """Columns that the header of any CSV names; none where it is empty.

    Raises
    ------
    RecordError
        If the file cannot be read as a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return tuple(csv.DictReader(file).fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path.name} cannot be read as a CSV table ({error}).") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """All of `rows_of`."""
    return list(rows_of(path))


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Rows of any CSV with a header, by column; cells that a short row lacks are empty.

    They are read as they are asked for.

    Raises
    ------
    RecordError
        If the file cannot be read as a table.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, restval=""):
                row.pop(None, None)  # cells beyond the header
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path.name} cannot be read as a CSV table ({error}).") from error


@lru_cache(maxsize=1024)
def _same_marks(said: tuple[str, ...]) -> Marks:
    """One object for all nuclei of which the same is said."""
    return Marks.from_text(dict(zip(_OF_MARKS, said, strict=True)))


def _confidence(text: str) -> float | None:
    """None for a blank, and for what is no probability: other tables have percents or words."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
