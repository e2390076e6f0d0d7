"""Whatever holds an image's pixels, the review takes it: nothing asks for a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import OtherImageError
from napari_nunext.core.image.source import Scale
from napari_nunext.images import formats
from napari_nunext.images.identified import ImageFinder
from napari_nunext.store.exports.training import export_training

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer


class Slide:
    """An image of another kind, with no more to it than an `ImageSource` has."""

    notes = ("seen through a grid",)
    levels = (1.0, 4.0)
    reading_bytes = held_bytes = 0

    def __init__(self, tile: Any, scale: Scale) -> None:
        self._tile = tile
        self.id = "test1-" + tile.id[:58]
        self.name, self.path, self.box = tile.name, tile.path, tile.box
        self.scale = scale
        self.read: list[Box] = []

    def read_window(self, box: Box, out_px: int) -> np.ndarray:
        return self._tile.read_window(box, out_px)

    def read_region(self, box: Box, level: int = 0) -> np.ndarray:
        self.read.append(box)
        return self._tile.read_region(box)[:: 4**level, :: 4**level]

    def with_scale(self, mpp: float, source: Any) -> Slide:
        return Slide(self._tile, Scale(mpp, source))


@pytest.fixture
def slides(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were opened, each as a slide."""
    opened: list[Path] = []

    def as_slide(read: Callable[[Path], ImageSource]) -> Callable[[Path], ImageSource]:
        def open_(path: Path) -> ImageSource:
            opened.append(path)
            return Slide(read(path), Scale(0.25, "file"))

        return open_

    changed = tuple(
        formats.ImageFormat(f.name, f.suffixes, f.is_in, as_slide(f.open))
        for f in formats.formats()
    )
    monkeypatch.setattr(formats, "OUR_FORMATS", changed)
    return opened


def test_it_is_opened_once_searched_reviewed_and_exported(
    controller: ReviewController,
    server: FakeServer,
    slides: list[Path],
    tile_path: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    path = tile_path("a.png")
    controller.find.connect()
    controller.open.paths([path])
    assert slides == [path]
    field = controller.images.model.open_field
    assert field is not None
    assert isinstance(field.source, Slide)
    assert (field.entry.mpp, field.entry.mpp_source) == (0.25, "file")
    assert field.entry.sha256.startswith("test1-")
    controller.find.search()
    assert server.fake.images == [field.source.id]
    controller.correct.add(20, 20)
    controller.decide.accept()
    controller.export.training(tmp_path / "export")
    assert slides == [path, path]  # again, from where it lies now: it may have been changed
    (png,) = (tmp_path / "export" / "images").iterdir()
    with Image.open(png) as written, Image.open(path) as original:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(original))


def test_what_is_exported_is_the_image_that_was_reviewed(
    opened: ReviewController, tile_path: Callable[[str], Path], tmp_path: Path
) -> None:
    opened.correct.add(20, 20)
    opened.decide.accept()
    another = formats.open_image(tile_path("another.png"))
    project = opened.session.project
    with pytest.raises(OtherImageError, match="is not the image that was reviewed"):
        export_training(project, tmp_path / "export", images=lambda _: another)
    export_training(project, tmp_path / "export", images=ImageFinder().find)
