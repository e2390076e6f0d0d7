"""Data sets that are tables of Parquet with pictures in them, as Hugging Face has them.

A picture is a cell with the ``bytes`` of a file. One group of rows is in memory at a time.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ParquetRow:
    """Where a row stands."""

    path: Path
    columns: tuple[str, ...]
    """All that are read."""
    group: int
    row: int

    def cell(self, column: str) -> Any:
        """What one of the columns says.

        Raises
        ------
        RecordError
            If the file is damaged here.
        """
        return _group_of(self.path, self.group, self.columns)[column][self.row].as_py()


def open_parquet(path: Path, columns: tuple[str, ...], whose: str) -> Any:
    """The file as pyarrow's ``ParquetFile``; its header is read.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        What it must have.
    whose : str
        Who has such files, for the message.

    Raises
    ------
    RecordError
        If the file cannot be read, or lacks a column.
    """
    file = _open(path)
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise RecordError(
            f"{path.name} has no column {', '.join(missing)}; expected {', '.join(columns)}, as "
            f"{whose} has them."
        )
    return file


def rows_of(file: Any, path: Path, columns: tuple[str, ...]) -> Iterator[ParquetRow]:
    """Every row of a file that was opened."""
    for group in range(file.num_row_groups):
        for row in range(file.metadata.row_group(group).num_rows):
            yield ParquetRow(path, columns, group, row)


def decoded(cell: Any, what: str, mode: str) -> NDArray[np.uint8]:
    """The pixels of a picture in a cell, in a mode of Pillow.

    Raises
    ------
    RecordError
        If it is none.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(cell["bytes"])) as image:
            return np.asarray(image.convert(mode), dtype=np.uint8)
    except (KeyError, TypeError, OSError, SyntaxError, ValueError) as error:
        raise RecordError(f"{what} holds no picture ({error}). Download the file again.") from error


@lru_cache(maxsize=1)
def _group_of(path: Path, group: int, columns: tuple[str, ...]) -> Any:
    import pyarrow as pa

    try:
        return _open(path).read_row_group(group, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{path.name} is damaged ({error}). Download it again.") from error


def _open(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{path.name} cannot be read ({error}). Download it again.") from error
