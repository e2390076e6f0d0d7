"""Our keys act on the canvas alone: what takes text or numbers owns the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QLineEdit,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from napari_nunext.ui.napari_versions import canvas_widget_of
from napari_nunext.ui.widgets.controls import EntryLine, EntryNumber
from tests.review.fakes import done, points, started, window_done
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

Spin = "Callable[..., None]"

TEXT_AND_NUMBERS = (
    QLineEdit,
    QAbstractSpinBox,
    QComboBox,
    QAbstractSlider,
    QTextEdit,
    QPlainTextEdit,
)
OTHERS = (QAbstractButton, QAbstractItemView)
RETURN = {Qt.Key.Key_Return, Qt.Key.Key_Enter}
OWN_MEANING = {Qt.Key.Key_Space, Qt.Key.Key_Delete, Qt.Key.Key_Backspace}
"""What a button or a list does with a key of its own accord."""


@pytest.fixture
def full_app(app: App, server: FakeServer, tile: Callable[[str], Path], spin: Spin) -> App:
    """The window with every panel of it and of napari on show, and something to lose."""
    app.controller.open.paths([tile("tile two.png")])
    spin(lambda: app.controller.images.model.queue.index == 1)
    server.fake.script = [
        started(windows=1),
        points((20.5, 30.5), (60.5, 40.5), (100.5, 90.5)),
        points((150.5, 20.5), (160.5, 120.5), first=3, confidence=0.2),
        window_done(1, 1),
        done(5),
    ]
    app.controller.find.search()
    spin(lambda: app.controller.find.model.run.phase == "idle" and len(state_of(app).nuclei) == 5)
    app.dock.canvas.flush()
    for panel in app.dock.window().findChildren(QDockWidget):
        if "console" not in panel.objectName():
            panel.show()
    app.controller.view.select(list(state_of(app).nuclei)[:2])
    open_entries(app)
    layers = app.viewer.window._qt_viewer.layers
    layers.edit(layers.model().index(0, 0))
    QApplication.processEvents()
    return app


def open_entries(app: App) -> None:
    """Show every line and number that comes only when it is asked for."""
    for line in app.dock.findChildren(EntryLine):
        line.ask()
    app.dock.header._editor.show()


def state_of(app: App) -> Any:
    state = app.controller.model.state
    assert state is not None
    return state


def every_key(app: App) -> Iterator[tuple[Qt.Key, Qt.KeyboardModifier]]:
    """Every key that does something of ours."""
    for keys in app.dock.keys.by_key:
        pressed = QKeySequence(keys)[0]
        yield pressed.key(), pressed.keyboardModifiers()
    yield Qt.Key.Key_Enter, Qt.KeyboardModifier.KeypadModifier


def widgets_of(app: App, kinds: tuple[type, ...]) -> list[QWidget]:
    canvas = canvas_widget_of(app.dock.window())
    return [
        widget
        for widget in app.dock.window().findChildren(QWidget)
        if isinstance(widget, kinds)
        and widget is not canvas
        and widget.isVisible()
        and widget.isEnabled()
        and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
    ]


def review_of(app: App) -> tuple[object, ...]:
    """All that a key of ours could have changed."""
    model, view = app.controller.model, app.controller.view.model
    images = app.controller.images.model
    field = images.open_field
    assert field is not None
    app.controller.session.writer.drain(PATIENCE_S)
    journal = app.controller.session.project.journal(field.entry.sha256)
    return (
        len(journal),
        images.queue,
        field.entry,
        state_of(app),
        view.tool,
        view.outline_way,
        view.brush_um,
        view.selected,
        model.current_category,
        model.categories,
        view.outlines,
        [layer.visible for layer in app.dock.canvas.layers()],
        len(app.viewer.layers),
    )


def send(app: App, widget: QWidget, key: Qt.Key, modifiers: Qt.KeyboardModifier) -> None:
    widget.setFocus()
    QTest.keyClick(widget, key, modifiers)
    QApplication.processEvents()
    app.dock.canvas.flush()


def test_no_key_of_ours_acts_in_what_takes_text_or_numbers(full_app: App) -> None:
    app = full_app
    inputs = widgets_of(app, TEXT_AND_NUMBERS)
    kinds = {type(widget).__name__ for widget in inputs}
    assert {"EntryLine", "CommentLine", "EntryNumber", "QComboBox", "QSlider"} <= kinds
    assert any(not type(w).__module__.startswith("napari_nunext") for w in inputs)
    assert len(inputs) > 10
    before = review_of(app)
    for widget in inputs:
        for key, modifiers in every_key(app):
            if not widget.isVisible():  # closed by Esc or Return: opened for the next key
                open_entries(app)
            if isinstance(widget, EntryLine):
                widget.clear()
            if key in RETURN and EntryNumber in (type(widget), type(widget.parent())):
                continue  # it commits; see below
            send(app, widget, key, modifiers)
            assert review_of(app) == before, f"{key} in {type(widget).__name__}"


def test_no_key_of_ours_acts_on_a_button_or_a_list(full_app: App) -> None:
    app = full_app
    others = widgets_of(app, OTHERS)
    assert len(others) > 20
    before = review_of(app)
    for widget in others:
        for key, modifiers in every_key(app):
            if key not in OWN_MEANING:
                send(app, widget, key, modifiers)
                assert review_of(app) == before, f"{key} on {type(widget).__name__}"


def test_the_same_keys_act_on_the_canvas(full_app: App) -> None:
    canvas = canvas_widget_of(full_app.dock.window())
    full_app.dock.canvas.focus()
    send(full_app, canvas, Qt.Key.Key_2, Qt.KeyboardModifier.NoModifier)
    assert full_app.controller.model.current_category == "Stromal"
    send(full_app, canvas, Qt.Key.Key_F, Qt.KeyboardModifier.NoModifier)
    assert state_of(full_app).flagged


def test_return_commits_the_input_and_nothing_else(full_app: App) -> None:
    app, panel, none = full_app, full_app.dock.review, Qt.KeyboardModifier.NoModifier
    scale, category, comment = app.dock.header._spin, panel.categories._editor, panel._comment
    scale.setValue(0.25)
    send(app, scale, Qt.Key.Key_Return, none)
    field = app.controller.images.model.open_field
    assert field is not None
    assert (field.entry.mpp, field.entry.mpp_source) == (0.25, "user")
    QTest.keyClicks(category, "Plasma cell")
    send(app, category, Qt.Key.Key_Return, none)
    assert app.controller.model.current_category == "Plasma cell"
    QTest.keyClicks(comment, "blurred, see 2 and 3")
    send(app, comment, Qt.Key.Key_Return, none)
    assert [c.text for c in state_of(app).comments] == ["blurred, see 2 and 3"]
    for closed in (scale, category, comment):
        assert not closed.isVisible()
    assert app.dock.window().focusWidget() is canvas_widget_of(app.dock.window())
    assert not state_of(app).complete
    assert app.controller.images.model.queue.index == 1


def test_a_half_typed_comment_outlives_a_click_on_the_image_and_its_image(
    full_app: App, spin: Spin
) -> None:
    app, comment = full_app, full_app.dock.review._comment
    first, second, *_ = state_of(app).nuclei
    canvas = canvas_widget_of(app.dock.window())
    assert canvas is not None
    send(app, comment, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)
    assert not comment.isVisible()
    app.controller.view.select([first])
    app.dock.review.ask_comment()
    QTest.keyClicks(comment, "mito")
    spin(lambda: canvas.width() and canvas.height())  # seen once without, by which vispy divides
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton)
    canvas.setFocus()
    app.controller.view.select([second])
    assert comment.isVisible()
    assert comment.text() == "mito"
    app.controller.images.previous()
    QApplication.processEvents()
    assert comment.text() == ""
    app.controller.images.next()
    QApplication.processEvents()
    app.dock.review.ask_comment()
    QTest.keyClicks(comment, "sis")
    send(app, comment, Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier)
    assert [(c.text, c.uid) for c in state_of(app).comments] == [("mitosis", first)]


def test_the_overlays_come_back_when_the_canvas_loses_the_focus_while_space_is_held(
    full_app: App,
) -> None:
    canvas = canvas_widget_of(full_app.dock.window())
    assert canvas is not None
    full_app.dock.canvas.focus()
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_Space)
    assert not full_app.viewer.layers["Nuclei"].visible
    QApplication.sendEvent(canvas, QFocusEvent(QEvent.Type.FocusOut))
    assert full_app.viewer.layers["Nuclei"].visible
    QTest.keyRelease(canvas, Qt.Key.Key_Space)
    assert full_app.viewer.layers["Nuclei"].visible
