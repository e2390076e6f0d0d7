from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.errors import ImageError
from napari_nunext.images import find_images

if TYPE_CHECKING:
    from pathlib import Path


def test_folder_gives_its_images_in_natural_order(tmp_path: Path) -> None:
    names = ["tile 10.png", "tile 2.PNG", "Tile 1.tif", "a.jpeg", "notes.txt", ".hidden.png", "b"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "deeper.png").touch()
    found = [path.name for path in find_images([tmp_path])]
    assert found == ["a.jpeg", "Tile 1.tif", "tile 2.PNG", "tile 10.png"]


def test_files_come_as_given_and_once(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "no suffix"):
        (tmp_path / name).touch()
    given = [tmp_path / "no suffix", tmp_path / "b.png", tmp_path]
    assert [path.name for path in find_images(given)] == ["no suffix", "b.png", "a.png"]


def test_names_of_digits_and_letters_can_be_ordered(tmp_path: Path) -> None:
    for name in ("1.png", "a.png", "1a.png", "\u00b2.png", "A_0.9824.png", "A_0.986.png"):
        (tmp_path / name).touch()
    assert len(find_images([str(tmp_path)])) == 6


def test_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="gone does not exist"):
        find_images([tmp_path / "gone"])


def test_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No image in"):
        find_images([tmp_path])


def test_nothing_given_is_an_error() -> None:
    with pytest.raises(ImageError, match="No image in an empty list"):
        find_images([])
