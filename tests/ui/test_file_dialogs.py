"""Dialogs for files belong to the window, whose style they have, and not to the dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_nunext.ui.widgets.asking import ask_for_file, ask_for_files, ask_for_folder, ask_where

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QApplication


@pytest.mark.parametrize(
    ("name", "given", "ask"),
    [
        ("getOpenFileNames", ([], ""), lambda parent: ask_for_files(parent, "Open", "")),
        ("getOpenFileName", ("", ""), lambda parent: ask_for_file(parent, "Open", "")),
        ("getExistingDirectory", "", lambda parent: ask_for_folder(parent, "Open")),
        ("getSaveFileName", ("", ""), lambda parent: ask_where(parent, "Save")),
    ],
)
def test_a_dialog_has_the_style_of_the_window_and_not_of_the_dock(
    qapp: QApplication,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    given: Any,
    ask: Callable[[QWidget], Any],
) -> None:
    window = QWidget()
    dock = QWidget()
    dock.setStyleSheet("QWidget { background: transparent; }")
    QVBoxLayout(window).addWidget(dock)
    parents: list[QWidget] = []

    def answer(parent: QWidget, *_: object) -> Any:
        parents.append(parent)
        return given

    monkeypatch.setattr(QFileDialog, name, answer)
    assert not ask(dock)
    assert parents == [window]
    window.deleteLater()
