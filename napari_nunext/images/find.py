"""Which files are images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.images.formats import format_names, is_image_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike


def find_images(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """List the images that files and folders stand for, each once.

    Files come as they were given, whatever their suffix. A folder gives the images directly in it,
    in natural order (``tile 2`` before ``tile 10``), without hidden files.

    Raises
    ------
    ImageError
        If a path does not exist, a folder cannot be listed, or there is no image at all.
    """
    given = [Path(path) for path in paths]
    found: dict[Path, None] = {}
    for path in given:
        if not path.exists():
            raise ImageError(f"{path} does not exist. Check the name.")
        found |= dict.fromkeys(_images_in(path) if path.is_dir() else [path])
    if not found:
        where = ", ".join(str(path) for path in given) or "an empty list"
        raise ImageError(f"No image in {where}; expected {format_names()} files.")
    return list(found)


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise ImageError(f"{folder} cannot be listed ({error.strerror}).") from error
    images = [entry for entry in entries if is_image_name(entry.name) and entry.is_file()]
    return sorted(images, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key: numbers by value, letters without case; the name itself breaks ties."""
    parts = re.split(r"([0-9]+)", path.name)
    key = [(int(part), "") if i % 2 else (0, part.casefold()) for i, part in enumerate(parts)]
    return key, path.name
