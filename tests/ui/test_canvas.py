"""What the canvas lets the review know of itself."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image
from napari.layers._layer_actions import _duplicate_layer

from benchmarks._giant import write_giant
from napari_nunext.core.errors import ImageError
from napari_nunext.images.slides import tiff as tiff_module
from napari_nunext.images.slides.readers import SlideFile
from napari_nunext.ui.canvas.image import layer as layer_module
from napari_nunext.ui.canvas.image import pyramid as pyramid_module
from napari_nunext.ui.napari_versions import camera_of
from tests.images.slides.marked import drawing, shrunk
from tests.images.slides.test_tiff_slides import write_pyramid, write_svs
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtWidgets import QApplication

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


def test_the_review_knows_what_is_in_view_of_another_canvas(quick_app: QuickApp) -> None:
    if not hasattr(quick_app.viewer, "canvas"):
        pytest.skip("napari 0.8 does not say that its canvas has another size")
    model = quick_app.controller.view.model
    camera_of(quick_app.viewer).zoom *= 20
    shown = model.view_box
    height, width = quick_app.viewer.canvas.size
    quick_app.viewer.canvas.size = (height, width // 2)
    assert model.view_box.width == pytest.approx(shown.width / 2)
    assert model.view_box.height == pytest.approx(shown.height)


def test_a_slide_is_shown_by_its_levels_and_a_tile_whole_at_one_place(
    quick_app: QuickApp, tmp_path: Path, tile: Callable[[str], Path]
) -> None:
    """Whichever comes after which, and whatever of others' lies between the layers."""
    canvas, layers = quick_app.canvas, quick_app.viewer.layers
    other = Image(np.zeros((9, 9)), name="another's")
    layers.insert(1, other)
    paths = [
        write_pyramid(tmp_path / "slide.tif", drawing(500, 400)),
        write_pyramid(tmp_path / "deep.tif", drawing(300, 400), factors=(2, 4)),
        tile("other.png"),
        write_pyramid(tmp_path / "again.tif", drawing(500, 400)),
    ]
    for path, levels in zip(paths, (4, 3, 0, 4), strict=True):
        quick_app.controller.open.paths([path])
        canvas.flush()
        field = quick_app.controller.images.model.open_field
        assert (canvas.image.name, canvas.image.multiscale) == (path.name, levels > 0)
        assert not levels or [tuple(each.shape[:2]) for each in canvas.image.data] == [
            size_px[::-1] for size_px in field.source.sizes_px
        ]
        assert list(layers)[:2] == [canvas.image, other]
        assert [layer.name for layer in layers[2:]] == ["Outlines", "Nuclei"]
        assert quick_app.controller.model.notice is None
        assert layers.selection.active is canvas.nuclei.layer


def test_a_slide_of_one_level_is_read_while_it_is_shown(
    quick_app: QuickApp,
    qapp: QApplication,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rgb = drawing(700, 900)
    path = write_svs(tmp_path / "a.svs", rgb, 0.25, factors=())
    monkeypatch.setattr(tiff_module, "MAX_PIXELS", 1000)  # it stands for a large one

    def show() -> list[np.ndarray]:
        quick_app.controller.open.paths([path])
        wait_for(lambda: quick_app.canvas.picture.is_settled, meanwhile=qapp.processEvents)
        return [np.asarray(level) for level in quick_app.canvas.image.data]

    (whole,) = show()
    assert np.abs(whole.astype(int) - rgb).mean() < 2  # JPEG
    assert quick_app.canvas.picture.overview() is not None
    assert quick_app.controller.model.notice is None
    monkeypatch.setattr(pyramid_module, "MOST_OVERVIEW_PX", 100_000)
    quick_app.controller.images.previous()
    _, small = show()
    assert np.abs(small.astype(int) - shrunk(rgb, 4)).mean() < 6
    assert "no coarse level" in quick_app.controller.model.notice.words


def test_a_drive_that_is_away_is_said_once_and_waited_for(
    quick_app: QuickApp, qapp: QApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def away(self: SlideFile, level: int, column: int, row: int) -> np.ndarray:
        tries.append(level)
        raise ImageError("slide.tif cannot be read now. Is its drive connected?")

    rgb, model = drawing(500, 400), quick_app.controller.model
    path = write_pyramid(tmp_path / "slide.tif", rgb, factors=(2,))
    monkeypatch.setattr(layer_module, "RETRY_MS", 5)
    with monkeypatch.context() as broken:
        broken.setattr(SlideFile, "tile", away)
        quick_app.controller.open.paths([path])
        wait_for(lambda: tries, meanwhile=qapp.processEvents)
        wait_for(lambda: model.notice, meanwhile=qapp.processEvents)
        said = model.notice
        wait_for(lambda: len(tries) > 3, meanwhile=qapp.processEvents)
    assert "Is its drive connected?" in said.words
    assert model.notice is said
    wait_for(lambda: quick_app.canvas.picture.is_settled, meanwhile=qapp.processEvents)
    np.testing.assert_array_equal(np.asarray(quick_app.canvas.image.data[-1]), shrunk(rgb, 2))


def test_the_levels_of_a_slide_are_put_back(quick_app: QuickApp, tmp_path: Path) -> None:
    quick_app.controller.open.paths([write_pyramid(tmp_path / "slide.tif", drawing(500, 400))])
    image = quick_app.canvas.image
    levels = list(image.data)
    image.data = [np.zeros((400, 500, 3), np.uint8), np.zeros((200, 250, 3), np.uint8)]
    quick_app.canvas.flush()
    assert all(now is level for now, level in zip(image.data, levels, strict=True))
    assert "pixels were put back" in quick_app.controller.model.notice.words
    layers = quick_app.viewer.layers
    layers.selection = {image}
    _duplicate_layer(layers)
    copy = layers["slide.tif copy"]
    assert copy.data[0] is levels[0]
    layers.remove(copy)
    layers.remove(image)
    quick_app.canvas.flush()
    assert layers[0] is quick_app.canvas.image
    assert "slide.tif is drawn from the review" in quick_app.controller.model.notice.words


def test_a_slide_of_any_size_is_opened(quick_app: QuickApp, tmp_path: Path) -> None:
    tracemalloc.start()
    quick_app.controller.open.paths([write_giant(tmp_path / "giant.tif")])
    field = quick_app.controller.images.model.open_field
    assert field.entry.width_px == 100_000
    with pytest.raises(ImageError, match="Take a coarser level, or a part"):
        np.asarray(quick_app.canvas.image.data[0])  # as some tools of napari's would
    assert quick_app.canvas.image.multiscale
    assert quick_app.controller.model.notice is None
    quick_app.controller.correct.add(70_000.5, 20.5)
    quick_app.canvas.flush()
    assert len(quick_app.canvas.nuclei.layer.data) == 1
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 300 << 20  # it is 30 GB
