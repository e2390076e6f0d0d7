"""What the canvas lets the review know of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_nunext.images.slides.slide import Slide
from napari_nunext.ui.canvas.drawings import pixels_of
from napari_nunext.ui.napari_versions import camera_of
from tests.images.slides.marked import drawing
from tests.images.slides.test_tiff_slides import write_pyramid

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ui.conftest import QuickApp


def test_the_review_knows_what_is_in_view(quick_app: QuickApp) -> None:
    model, camera = quick_app.controller.view.model, camera_of(quick_app.viewer)
    whole = quick_app.controller.images.model.open_field.box
    assert model.view_box.clipped_to(whole) == whole  # it was fitted
    camera.zoom *= 10
    shown = model.view_box
    assert (shown.x0 + shown.x1) / 2 == pytest.approx(model.view_xy[0])
    assert 0 < shown.x0 < shown.x1 < whole.x1
    camera.zoom *= 2
    assert model.view_box.width == pytest.approx(shown.width / 2)
    height, width = quick_app.viewer.canvas.size
    quick_app.viewer.canvas.size = (height, width // 2)
    assert model.view_box.width == pytest.approx(shown.width / 4)
    assert model.view_box.height == pytest.approx(shown.height / 2)


def test_a_slide_that_fits_is_shown_whole_and_read_once(
    quick_app: QuickApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = drawing(500, 400)
    path = write_pyramid(tmp_path / "slide.tif", rgb)
    read = []
    pixels = Slide._pixels

    def counted(self: Slide, *part: int) -> np.ndarray:
        read.append(part)
        return pixels(self, *part)

    monkeypatch.setattr(Slide, "_pixels", counted)
    quick_app.controller.open.paths([path])
    field = quick_app.controller.images.model.open_field
    assert isinstance(field.source, Slide)
    assert quick_app.canvas.image.name == "slide.tif"
    np.testing.assert_array_equal(quick_app.canvas.image.data, rgb)
    assert read == [(0, 0, 0, 500, 400)]
    assert pixels_of(field) is quick_app.canvas.image.data  # so that the guard has nothing to do
    quick_app.controller.correct.add(20, 20)
    assert len(read) == 1
