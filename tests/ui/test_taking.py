"""Files of nuclei into the window: dropped, by the menu, and by napari's own File > Open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_nunext.ui.napari_versions import canvas_widget_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qtpy.QtWidgets import QWidget

    from napari_nunext.ui.app import App


@pytest.fixture
def geojson(tmp_path: Path) -> Path:
    """Two nuclei of the tile that is open."""
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": xy},
            "properties": {"objectType": "detection", "classification": {"name": "Tumour"}},
        }
        for xy in ([20, 30], [120, 90])
    ]
    path = tmp_path / "tile one.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def drop(widget: QWidget, *paths: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    centre, copy = widget.rect().center(), Qt.DropAction.CopyAction
    # Qt delivers a drop to whoever accepted that it came.
    QApplication.sendEvent(widget, QDragEnterEvent(centre, copy, mime, left, none))
    QApplication.sendEvent(widget, QDropEvent(QPointF(centre), copy, mime, left, none))


def dropped_on_the_dock(app: App, path: Path, _: pytest.MonkeyPatch) -> None:
    drop(app.dock, path)


def dropped_on_the_canvas(app: App, path: Path, _: pytest.MonkeyPatch) -> None:
    widget = canvas_widget_of(app.dock.window())
    while not widget.acceptDrops():
        widget = widget.parentWidget()
    drop(widget, path)


def chosen_in_the_menu(app: App, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(path)], ""))
    (action,) = (a for a in app.dock.header.menu.actions() if a.text().startswith("Import nuclei"))
    action.trigger()


def opened_by_napari(app: App, path: Path, _: pytest.MonkeyPatch) -> None:
    app.viewer.open(str(path), plugin="napari-nunext")


@pytest.mark.parametrize(
    "bring", [dropped_on_the_dock, dropped_on_the_canvas, chosen_in_the_menu, opened_by_napari]
)
def test_geojson_into_app(
    app: App,
    geojson: Path,
    spin: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    bring: Callable[..., None],
) -> None:
    """By every door, and nothing is done unasked."""
    layers = list(app.viewer.layers)
    bring(app, geojson, monkeypatch)
    card, model = app.dock.import_card, app.controller.model
    spin(lambda: app.controller.imports.model.proposal)
    assert card.isVisible()
    assert model.state.nuclei == {}
    assert list(app.viewer.layers) == layers
    card.buttons["corrections"].click()
    spin(lambda: len(model.state.nuclei) == 2)
    assert not card.isVisible()
    app.controller.history.undo()
    assert model.state.nuclei == {}


def test_csv_on_the_canvas_and_cancel(
    app: App, tmp_path: Path, spin: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tile one.csv"
    path.write_text("x,y\n20,30\n")
    dropped_on_the_canvas(app, path, monkeypatch)
    model = app.controller.model
    spin(lambda: app.controller.imports.model.proposal)
    app.dock.import_card.cancel.click()
    assert app.controller.imports.model.proposal is None
    assert not app.dock.import_card.isVisible()
    assert model.state.events == ()


def test_labels_that_napari_took_for_an_image_are_imported(
    app: App, tmp_path: Path, spin: Callable[..., None]
) -> None:
    labels = np.zeros((200, 200), np.uint8)
    labels[20:30, 40:50] = 1
    path = tmp_path / "tile one_cp_masks.png"
    Image.fromarray(labels).save(path)
    app.viewer.open(str(path), plugin="napari")
    model = app.controller.model
    spin(lambda: app.controller.imports.model.proposal)
    assert path.name not in {layer.name for layer in app.viewer.layers}
    assert len(app.controller.images.model.queue.items) == 1
    app.dock.import_card.buttons["predictions"].click()
    spin(lambda: model.state.nuclei)
    (nucleus,) = model.state.nuclei.values()
    assert nucleus.nucleus.mask.area_px == 100
    assert not nucleus.touched


def test_the_deletion_of_what_a_file_lacks_is_a_tick_of_the_user(
    app: App, geojson: Path, spin: Callable[..., None]
) -> None:
    model, card = app.controller.model, app.dock.import_card
    uid = app.controller.correct.add(20.0, 30.0)
    app.controller.correct.add(150.0, 150.0)
    data = json.loads(geojson.read_text())
    data["features"][0]["id"] = str(uid)
    geojson.write_text(json.dumps(data))
    app.controller.imports.take([geojson])
    spin(lambda: app.controller.imports.model.proposal)
    assert card.absent.isVisible()
    assert card.absent.text() == "Delete the 1 that the file does not hold"
    assert not card.absent.isChecked()
    card.absent.click()
    card.buttons["corrections"].click()
    spin(lambda: app.controller.imports.model.proposal is None and len(model.state.deleted) == 1)
    assert sorted(n.nucleus.x_px for n in model.state.nuclei.values()) == [20, 120]
