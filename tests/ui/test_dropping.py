"""What a person drops on the canvas is opened as if it were dropped on the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from napari.utils.notifications import notification_manager
from PIL import Image

from napari_nunext.ui.napari_versions import canvas_widget_of
from tests.ui.test_taking import drop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari.utils.notifications import Notification
    from qtpy.QtWidgets import QWidget

    from napari_nunext.ui.app import App


def canvas_of(app: App) -> QWidget:
    widget = canvas_widget_of(app.dock.window())
    while not widget.acceptDrops():
        widget = widget.parentWidget()
    return widget


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What napari says meanwhile."""
    words: list[str] = []

    def hear(notification: Notification) -> None:
        words.append(notification.message)

    notification_manager.notification_ready.connect(hear)
    yield words
    notification_manager.notification_ready.disconnect(hear)


@pytest.mark.parametrize("onto", [canvas_of, lambda app: app.dock], ids=["canvas", "dock"])
def test_an_image_is_opened_once_and_without_a_word_of_napari(
    app: App, tile: Callable[[str], Path], spin: Callable[..., None], said: list[str], onto
) -> None:
    images = app.controller.images.model
    before = list(app.viewer.layers)
    inserted: list[str] = []
    app.viewer.layers.events.inserted.connect(lambda event: inserted.append(event.value.name))
    drop(onto(app), tile("another.png"))
    spin(lambda: images.open_field.entry.name == "another.png")
    app.dock.canvas.flush()
    assert list(app.viewer.layers) == before
    assert inserted == []
    assert said == []


@pytest.mark.parametrize("onto", [canvas_of, lambda app: app.dock], ids=["canvas", "dock"])
def test_an_image_of_labels_is_offered_as_nuclei(
    app: App, tmp_path: Path, spin: Callable[..., None], onto
) -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[20:30, 40:50] = 1
    path = tmp_path / "tile one_cp_masks.png"
    Image.fromarray(labels).save(path)
    drop(onto(app), path)
    spin(lambda: app.controller.imports.model.proposal)
    assert len(app.controller.images.model.queue.items) == 1


@pytest.mark.parametrize("onto", [canvas_of, lambda app: app.dock], ids=["canvas", "dock"])
def test_a_folder_of_labels_is_offered_as_nuclei(
    app: App, tmp_path: Path, spin: Callable[..., None], onto
) -> None:
    path = write_labels(tmp_path / "tile one.labels.zarr")
    drop(onto(app), path)
    spin(lambda: app.controller.imports.model.proposal)
    proposal = app.controller.imports.model.proposal
    assert proposal.title.startswith("tile one.labels.zarr: 1 nucleus")
    assert len(app.controller.images.model.queue.items) == 1


def write_labels(path: Path) -> Path:
    labels = np.zeros((200, 200), np.uint8)
    labels[20:30, 40:50] = 1
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=labels)
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]
    axes = [{"name": axis, "type": "space"} for axis in "yx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["image-label"] = {"version": "0.4"}
    return path


def test_what_the_review_cannot_take_is_left_to_napari(
    app: App, tmp_path: Path, spin: Callable[..., None]
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(
        path, np.zeros((5, 40, 50), np.uint16), photometric="minisblack", metadata={"axes": "ZYX"}
    )
    drop(canvas_of(app), path)
    spin(lambda: "stack" in {layer.name for layer in app.viewer.layers})
    spin(lambda: app.controller.model.notice)
    assert len(app.controller.images.model.queue.items) == 1
