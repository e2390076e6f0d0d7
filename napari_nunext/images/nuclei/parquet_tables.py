"""Tables of nuclei as Parquet, ours or any with columns x and y: the columns are those of CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.csv_table import by_image, nuclei_of_rows
from napari_nunext.core.process.installed import installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_nunext.core.marks import MarkedNucleus

SUFFIXES = (".parquet",)
EXTRA = "napari-nunext[spatial]"
_BATCH = 10_000


def read_parquet(path: Path) -> dict[str, list[MarkedNucleus]]:
    """What `core.formats.csv_table.read_csv_by_image` gives for a table of the same columns.

    Raises
    ------
    RecordError
        If pyarrow is not installed, the file cannot be read, or a row has no place or an unknown
        status.
    """
    pq: Any = installed("pyarrow.parquet", f"To read {path.name}", EXTRA, RecordError)
    try:
        with pq.ParquetFile(path) as file:
            columns = set(file.schema_arrow.names)
            if not all({axis, f"{axis}_px"} & columns for axis in ("x", "y")):
                raise RecordError(
                    f"{path.name} is no table of nuclei; expected the columns x and y, or x_px and "
                    "y_px."
                )
            return by_image(nuclei_of_rows(_rows(file), path.name, "row", first=1))
    except RecordError:
        raise
    except Exception as error:  # pyarrow raises errors of its own at broken files
        raise RecordError(f"{path.name} cannot be read as Parquet ({error}).") from error


def _rows(file: Any) -> Iterator[dict[str, str]]:
    """Rows as CSV has them: text, empty where there is no value."""
    for batch in file.iter_batches(batch_size=_BATCH):
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        texts = [["" if v is None else str(v) for v in column] for column in columns.values()]
        for cells in zip(*texts, strict=True):
            yield dict(zip(columns, cells, strict=True))
