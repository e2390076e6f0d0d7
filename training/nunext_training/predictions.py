"""Folders of predictions as GeoJSON, from this project, QuPath or another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.core.errors import RecordError

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".geojson", ".json")


def prediction_files(folder: Path) -> dict[str, Path]:
    """Files of predictions by stem: the file name without its last suffix.

    Raises
    ------
    RecordError
        If the folder holds none, or two of one stem.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in files:
            raise RecordError(f"{folder} holds {files[path.stem].name} and {path.name}; keep one.")
        files[path.stem] = path
    if not files:
        raise RecordError(
            f"{folder} holds no GeoJSON; expected one <image name>.geojson for each image."
        )
    return files
