from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nunext.serving import protocol
from napari_nunext.ui.checkup_sheet import CheckupSheet
from napari_nunext.ui.panels.improving.improve_panel import CheckLine
from napari_nunext.ui.widgets.controls import Text
from tests.review.fakes import done, started

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

pytestmark = pytest.mark.ui


def sheet_of(app: App) -> CheckupSheet:
    (sheet,) = app.dock.findChildren(CheckupSheet)
    return sheet


def said(sheet: CheckupSheet) -> str:
    return " / ".join(label.text() for label in sheet.findChildren(Text))


def test_a_click_on_the_dot_checks_and_shows_it_in_words(
    empty_app: App, server: FakeServer, spin: Callable[..., None]
) -> None:
    server.fake.script = [started(), done(4)]
    empty_app.dock.review.finder._dot.clicked.emit()
    sheet = sheet_of(empty_app)
    assert sheet.isVisible()
    spin(lambda: empty_app.controller.find.model.checkup.phase == "done")
    assert "All is well." in said(sheet)
    assert not sheet._restart.isVisible()

    message = "NuNext small needs more memory than is free. Choose a smaller model."
    server.fake.script = [protocol.Failed(code="out_of_memory", message=message)]
    sheet._again.click()
    spin(lambda: not empty_app.controller.find.model.checkup.well)
    spin(lambda: message in said(sheet))
    assert "1 thing to mend." in said(sheet)
    for line in sheet.findChildren(CheckLine):
        if line.isVisible():  # those of the check before are on their way out
            assert sheet.rect().contains(line.geometry())
            assert line.height() >= line.heightForWidth(line.width())
    shown = [line for line in sheet.findChildren(CheckLine) if line.isVisible()]
    assert len(shown) == len(empty_app.controller.find.model.checkup.checks)
    assert sheet._restart.isVisible()
    if folder := os.environ.get("NUNEXT_SCREENSHOTS"):
        sheet.grab().save(str(Path(folder, "checkup.png")))
        empty_app.dock.grab().save(str(Path(folder, "dock.png")))
    sheet._restart.click()
    spin(lambda: server.restarts == 1)
    spin(lambda: not empty_app.dock.findChildren(CheckupSheet))


def test_the_menu_has_it_too(empty_app: App, server: FakeServer, spin: Callable[..., None]) -> None:
    server.fake.down = True
    (action,) = (
        a for a in empty_app.dock.header.menu.actions() if a.text() == "Check the model server"
    )
    action.trigger()
    spin(lambda: empty_app.controller.find.model.checkup.phase == "done")
    sheet = sheet_of(empty_app)
    spin(lambda: "There is no model server" in said(sheet))
    sheet.close()
    empty_app.controller.find.check()  # nobody is shown it, and nothing breaks
    spin(lambda: empty_app.controller.find.model.checkup.phase == "done")
