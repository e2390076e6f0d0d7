"""Slides in the real window: read while they are shown, beside tiles, and let go of."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from benchmarks._giant import write_giant
from napari_nunext.core.geometry import Box
from napari_nunext.ui.canvas.layers import world_of
from napari_nunext.ui.napari_versions import camera_of, canvas_widget_of
from tests.images.slides.test_tiff_slides import write_pyramid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App

MARK_XY = 3210, 2345
"""The middle of a blue square of 20 px on a pink slide."""


def marked() -> np.ndarray:
    rgb = np.full((3000, 4096, 3), (240, 200, 220), np.uint8)
    x, y = MARK_XY
    rgb[y - 10 : y + 10, x - 10 : x + 10] = (0, 0, 255)
    return rgb


def color_in_the_middle(app: App) -> tuple[int, ...]:
    shot = app.viewer.screenshot(canvas_only=True, flash=False)
    return tuple(shot[shot.shape[0] // 2, shot.shape[1] // 2, :3].tolist())


def go_about(app: App, spin: Callable[..., None]) -> None:
    """By keys, by words, and with the mouse on the overview; 100,000 px at 0.25 um/px."""
    view, navigator = app.controller.view.model, app.dock.navigator
    canvas = canvas_widget_of(app.dock.window())
    control = Qt.KeyboardModifier.ControlModifier

    def press(key: Qt.Key) -> None:
        canvas.setFocus()
        QTest.keyClick(canvas, key, control)
        QApplication.processEvents()

    def where() -> tuple[float, float]:
        return tuple(round(side) for side in view.view_xy)

    for key, um_per_px in ((Qt.Key.Key_4, 0.25), (Qt.Key.Key_1, 2.0), (Qt.Key.Key_3, 0.5)):
        press(key)
        assert camera_of(app.viewer).zoom == pytest.approx(1 / um_per_px)
    press(Qt.Key.Key_G)
    assert app.dock.window().focusWidget() is navigator.line
    QTest.keyClicks(navigator.line, "12.5, 3 mm")
    QTest.keyClick(navigator.line, Qt.Key.Key_Return)
    assert where() == (50_000, 12_000)
    assert not navigator.line.isVisible()
    assert app.dock.window().focusWidget() is canvas
    navigator.line.entered.emit("150000 3")
    assert "lies outside of the image" in app.controller.model.notice.words
    app.controller.model.notice = None
    assert where() == (50_000, 12_000)

    overview = navigator.overview
    left = Qt.MouseButton.LeftButton
    middle = overview.rect().center()
    QTest.mouseClick(overview, left, pos=QPoint(middle.x(), overview.height() // 4))
    x, y = where()
    assert abs(x - 50_000) < 1000
    assert abs(y - 25_000) < 1000
    spin(lambda: overview.frame().center().y() == pytest.approx(overview.height() / 4, abs=1.5))
    press(Qt.Key.Key_0)
    assert view.view_box.clipped_to(Box.of_image(100_000, 100_000)).width == 100_000
    press(Qt.Key.Key_4)
    spin(lambda: app.dock.canvas.image.data_level == 0)
    room = canvas.geometry()
    assert room.contains(navigator.geometry())
    canvas.setFocus()
    QTest.keyClick(canvas, Qt.Key.Key_N)
    assert not navigator.isVisible()
    press(Qt.Key.Key_G)
    assert navigator.isVisible()  # for the line alone
    QTest.keyClick(navigator.line, Qt.Key.Key_Escape)
    spin(lambda: not navigator.isVisible())
    QTest.keyClick(canvas, Qt.Key.Key_N)
    assert navigator.isVisible()


def reading_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "nunext-slide"}


def test_slides_and_tiles_take_turns(
    empty_app: App, tmp_path: Path, tile: Callable[[str], Path], spin: Callable[..., None]
) -> None:
    app, before = empty_app, reading_threads()
    images, canvas = app.controller.images.model, app.dock.canvas
    slide = write_pyramid(tmp_path / "slide.tif", marked(), factors=(4, 16))

    def show(path: Path) -> None:
        app.controller.open.paths([path])
        spin(lambda: images.open_field and images.open_field.entry.name == path.name)
        spin(lambda: canvas.picture.is_settled)

    show(slide)
    assert canvas.image.data_level > 0  # all of it is in view
    camera = camera_of(app.viewer)
    camera.zoom, camera.center = 8.0, world_of(*MARK_XY, images.open_field.entry.mpp)
    spin(lambda: canvas.image.data_level == 0)
    spin(lambda: canvas.picture.is_settled)
    canvas.hide_overlays(True)
    assert color_in_the_middle(app) == (0, 0, 255)
    camera.center = world_of(MARK_XY[0] + 12, MARK_XY[1], images.open_field.entry.mpp)
    spin(lambda: canvas.picture.is_settled)
    assert color_in_the_middle(app) == (240, 200, 220)
    canvas.hide_overlays(False)

    show(tile("tile.png"))
    assert not canvas.image.multiscale
    navigator = app.dock.navigator
    assert not navigator.isVisible()  # a tile is seen at once
    show(write_giant(tmp_path / "giant.tif"))
    assert canvas.image.data[0].shape == (100_000, 100_000, 3)
    assert navigator.isVisible()
    go_about(app, spin)
    app.controller.images.previous()
    spin(lambda: images.open_field.entry.name == "tile.png")
    assert [layer.name for layer in app.viewer.layers] == ["tile.png", "Outlines", "Nuclei"]
    app.controller.images.next()
    spin(lambda: images.open_field.entry.name == "giant.tif")
    assert app.controller.model.notice is None
    app.close()
    spin(lambda: not reading_threads() - before)
