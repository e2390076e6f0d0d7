"""Which files are images."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.errors import ImageError
from napari_nunext.images.formats import format_names, is_image_folder, is_image_name
from napari_nunext.images.slides.ome_zarr import holds_labels_alone
from napari_nunext.images.slides.parts import without_parts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike


def find_images(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """List the images that files and folders stand for, each once.

    Files come as they were given, whatever their suffix, and so do folders that are one image. Any
    other folder gives the images directly in it, in natural order (``tile 2`` before ``tile 10``),
    without hidden files and parts of slides.

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
        is_list = path.is_dir() and not is_image_folder(path)
        found |= dict.fromkeys(images_in(path) if is_list else [path])
    if not found:
        where = ", ".join(str(path) for path in given) or "an empty list"
        raise ImageError(f"No image in {where}; expected {format_names()} files.")
    return list(found)


def images_in(folder: Path) -> list[Path]:
    """List the images directly in a folder, in natural order.

    Raises
    ------
    ImageError
        If it cannot be listed.
    """
    try:
        entries = [entry for entry in folder.iterdir() if is_image_name(entry.name)]
    except OSError as error:
        raise ImageError(f"{folder} cannot be listed ({error.strerror}).") from error
    files = without_parts([entry for entry in entries if entry.is_file()])
    folders = [
        entry for entry in entries if is_image_folder(entry) and not holds_labels_alone(entry)
    ]
    return sorted([*files, *folders], key=_natural)


def images_below(folder: Path) -> list[Path]:
    """List the images in a folder and in all below it; what cannot be listed is left out."""
    found = []
    for root, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_image_folder(Path(root, name)))
        with suppress(ImageError):
            found += images_in(Path(root))
    return sorted(found)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key: numbers by value, letters without case; the name itself breaks ties."""
    parts = re.split(r"([0-9]+)", path.name)
    key = [(int(part), "") if i % 2 else (0, part.casefold()) for i, part in enumerate(parts)]
    return key, path.name
