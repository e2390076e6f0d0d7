"""What a folder of detections holds already, so that a search that was stopped goes on.

Beside the GeoJSON files lies a list of them, a line of JSON for each that is whole: of which pixels
it is, and by what model and settings. A file that somebody has changed since is theirs.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from napari_nunext.core.identity import file_sha256
from napari_nunext.core.naming import in_order
from napari_nunext.core.process.asked import Search

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from napari_nunext.core.process.precision import Precision
    from napari_nunext.core.shapes.area import Area
    from napari_nunext.serving.protocol import ModelInfo

LIST_NAME = ".napari-nunext-detect.jsonl"

_NOT_SAID = {"precision": "auto", "tissue": False, "pen": False, "area": {}, "region": None}

Standing: TypeAlias = Literal["to search", "done", "changed since"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectOptions(Search):
    """What to search for, how, and where it is written."""

    out_dir: Path
    model_paths: tuple[Path, ...] = ()
    precision: Precision = "auto"
    """Arithmetic; what was really computed in is in the list of what was searched."""
    only: tuple[str, ...] = ()
    """Categories that are searched for alone; everything where there are none."""
    regions: Path | None = None
    """GeoJSON of where to search, or a folder with one for each image."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search: the same again gives the same."""

    image_sha256: str
    model: str
    checkpoint_sha256: str | None
    mpp: float
    masks: bool
    precision: Precision = "auto"
    tissue: bool = False
    pen: bool = False
    area: dict[str, Any] = field(default_factory=dict)
    """What of the image is searched, as `Area.to_json` has it."""
    region: list[float] | None = None
    """What of the image is searched, level-0 px; all of it where that is None."""
    only: tuple[str, ...] = ()
    """Categories that are searched for alone."""

    @classmethod
    def of(
        cls, image_sha256: str, mpp: float, area: Area, model: ModelInfo, options: DetectOptions
    ) -> Wanted:
        """The search of an image at a scale, um/px, that a command line asks for."""
        return cls(
            image_sha256=image_sha256,
            model=model.id,
            checkpoint_sha256=model.checkpoint_sha256,
            mpp=mpp,
            masks=options.masks,
            precision=options.precision,
            tissue=options.tissue,
            pen=options.pen,
            area=area.to_json(),
            region=None if options.region is None else list(options.region),
            only=in_order(options.only, [c.name for c in model.categories]),
        )

    def to_json(self) -> dict[str, Any]:
        """As the list has it: what was not asked for is not said."""
        data = asdict(self) | {"only": list(self.only)}
        if not self.only:
            del data["only"]
        return data


class DoneBefore:
    """The list of a folder.

    Parameters
    ----------
    out_dir : Path
        Exists.
    """

    def __init__(self, out_dir: Path) -> None:
        self._path = out_dir / LIST_NAME
        self._rows: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                row = _row(line)
                if row is not None:
                    self._rows[row["file"]] = row

    def standing(self, target: Path, wanted: Wanted) -> Standing:
        """Whether a search was made before, and what it wrote is still as it was written."""
        row = self._rows.get(target.name)
        if row is None or not target.is_file():
            return "to search"
        # Earlier lists do not speak of what could not be chosen yet.
        if _NOT_SAID | row.get("search", {}) != wanted.to_json():
            return "to search"
        return "done" if row.get("file_sha256") == file_sha256(target) else "changed since"

    def add(self, target: Path, wanted: Wanted, decoding: Mapping[str, Any]) -> None:
        """Note a file that was written whole, and how it was decoded; durable when it returns."""
        row = {
            "file": target.name,
            "file_sha256": file_sha256(target),
            "search": wanted.to_json(),
            "decoding": dict(decoding),
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._rows[target.name] = row


def _row(line: str) -> dict[str, Any] | None:
    """A line of the list; None for one that was cut off."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("file"), str) else None
