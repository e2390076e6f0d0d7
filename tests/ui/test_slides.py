"""Slides in the real window: read while they are shown, beside tiles, and let go of."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._giant import write_giant
from napari_nunext.ui.canvas.layers import world_of
from napari_nunext.ui.napari_versions import camera_of
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


def reading_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "nunext-slide"]


def test_slides_and_tiles_take_turns(
    empty_app: App, tmp_path: Path, tile: Callable[[str], Path], spin: Callable[..., None]
) -> None:
    app = empty_app
    images, canvas = app.controller.images.model, app.dock.canvas
    slide = write_pyramid(tmp_path / "slide.tif", marked(), factors=(4, 16))

    def show(path: Path) -> None:
        app.controller.open.paths([path])
        spin(lambda: images.open_field and images.open_field.entry.name == path.name)
        spin(lambda: canvas.is_settled)

    show(slide)
    assert canvas.image.data_level > 0  # all of it is in view
    camera = camera_of(app.viewer)
    camera.zoom, camera.center = 8.0, world_of(*MARK_XY, images.open_field.entry.mpp)
    spin(lambda: canvas.image.data_level == 0)
    spin(lambda: canvas.is_settled)
    canvas.hide_overlays(True)
    assert color_in_the_middle(app) == (0, 0, 255)
    camera.center = world_of(MARK_XY[0] + 12, MARK_XY[1], images.open_field.entry.mpp)
    spin(lambda: canvas.is_settled)
    assert color_in_the_middle(app) == (240, 200, 220)
    canvas.hide_overlays(False)

    show(tile("tile.png"))
    assert not canvas.image.multiscale
    show(write_giant(tmp_path / "giant.tif"))
    assert canvas.image.data[0].shape == (100_000, 100_000, 3)
    camera.zoom, camera.center = 4.0, (12_345.0, 23_456.0)
    spin(lambda: canvas.image.data_level == 0)
    app.controller.images.previous()
    spin(lambda: images.open_field.entry.name == "tile.png")
    assert [layer.name for layer in app.viewer.layers] == ["tile.png", "Outlines", "Nuclei"]
    app.controller.images.next()
    spin(lambda: images.open_field.entry.name == "giant.tif")
    assert app.controller.model.notice is None
    app.close()
    spin(lambda: not reading_threads())
