"""Records as JSON Lines: one a line, damage named with its file and line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from napari_nunext.core.errors import MALFORMED, RecordError
from napari_nunext.core.formats.json_text import parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

R = TypeVar("R")


class Writable(Protocol):
    """Anything that is a line of JSON."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        ...


def write_jsonl(path: Path, records: Iterable[Writable]) -> int:
    """Write one record a line (UTF-8) and return how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(json.dumps(record.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, parse: Callable[[dict[str, Any]], R]) -> Iterator[tuple[int, R]]:
    """Read records with their line numbers (from 1).

    Raises
    ------
    RecordError
        At the first line that is not a record, naming file and line. Blank lines are passed over.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield number, parse(parse_json(line))
            except MALFORMED as error:
                what = f"misses {error}" if isinstance(error, KeyError) else str(error)
                raise RecordError(f"{path.name} line {number}: {what}") from error
