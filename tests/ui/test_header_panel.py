from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_nunext.review.shown.images import ItemStatus
from napari_nunext.ui.napari_versions import canvas_widget_of
from napari_nunext.ui.panels import image_list
from napari_nunext.ui.panels.image_list import STATUS_WORDS, ImageList

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App

Spin = "Callable[..., None]"
NAMES = ("TCGA-A7-A0D9-01Z-00-DX1_001 H&E 20x.png", "TCGA-A7-A0DA-01Z-00-DX1_001 H&E 20x.png")


@pytest.fixture
def study(empty_app: App, tile: Callable[[str], Path], spin: Spin) -> App:
    """The window with two images whose names differ in the middle, and one that is damaged."""
    paths = [tile(name) for name in (*NAMES, "TCGA-A7-A0DB-01Z-00-DX1_001 H&E 20x.png")]
    paths[2].write_bytes(b"not an image")
    empty_app.controller.open.paths(paths)
    spin(lambda: empty_app.controller.images.model.open_field)
    return empty_app


def open_list(app: App) -> ImageList:
    app.dock.canvas.focus()
    canvas = canvas_widget_of(app.dock.window())
    canvas.setFocus()
    QTest.keyClick(canvas, Qt.Key.Key_J)
    QApplication.processEvents()
    return next(made for made in app.dock.findChildren(ImageList) if made.isVisible())


def test_the_header_says_which_project_and_which_image(study: App, spin: Spin) -> None:
    header = study.dock.header
    assert header._project.toolTip().endswith(str(study.controller.session.project.path.parent))
    folder = study.controller.session.project.path.parent.name
    assert header._project.text() == f"{folder}/review.nunext"
    first = header._name.text()
    assert "A0D9" in first
    assert NAMES[0] in header._name.toolTip()
    study.controller.images.next()
    spin(lambda: study.controller.images.model.queue.index == 1)
    assert "A0DA" in header._name.text()
    assert header._name.text() != first


def test_the_list_shows_every_image_with_its_status_and_jumps(study: App, spin: Spin) -> None:
    study.controller.correct.flag()
    study.controller.images.go_to(2)
    spin(lambda: study.controller.images.model.queue.items[2].status == "unreadable")
    images = open_list(study)
    assert [status for _, status in images.rows()] == [
        "flagged",
        "not opened yet",
        "cannot be read",
    ]
    QTest.keyClicks(images._filter, "a0da")
    assert len(images.rows()) == 1
    QTest.keyClick(images._filter, Qt.Key.Key_Return)
    spin(lambda: study.controller.images.model.queue.index == 1)
    assert not study.controller.model.state.complete
    images = open_list(study)
    QTest.keyClicks(images._filter, "cannot")
    assert "png" in images._more.text(), "the reason"
    QTest.keyClick(images._filter, Qt.Key.Key_Escape)
    assert not images.isVisible()
    images = open_list(study)
    QTest.keyClick(images._filter, Qt.Key.Key_Up)
    QTest.keyClick(images._filter, Qt.Key.Key_Return)
    spin(lambda: study.controller.images.model.queue.index == 0)


def test_the_list_is_as_wide_as_its_words(study: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger font, or a screen at 150 %, makes them wider than the width that was planned."""
    monkeypatch.setattr(image_list, "WIDTH_PX", 200)
    rows = open_list(study)._rows
    for column in (image_list.NAME, image_list.STATUS):
        assert rows.columnWidth(column) >= rows.sizeHintForColumn(column)
    assert rows.header().length() <= rows.viewport().width()


def test_a_click_on_the_name_opens_the_list_and_a_click_there_the_image(
    study: App, spin: Spin
) -> None:
    QTest.mouseClick(study.dock.header._name, Qt.MouseButton.LeftButton)
    (images,) = study.dock.findChildren(ImageList)
    rows = images._rows
    place = rows.visualItemRect(rows.topLevelItem(1)).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=place)
    spin(lambda: study.controller.images.model.queue.index == 1)


def test_every_status_has_words() -> None:
    assert set(STATUS_WORDS) == set(get_args(ItemStatus))
