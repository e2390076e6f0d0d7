"""The forms that are commands of napari: search, ask, train, export.

Each is made of the parameters that the command line and Python take (`core.process.asked`,
`commands.export_arguments`). Those of the window show what is chosen in the dock, follow it, and
set the very same when they are run: by the window's own parts, which tell how it goes where they
always do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_nunext.commands.export_arguments import export
from napari_nunext.core.process.asked import Put, Search, Training
from napari_nunext.ui.commands.form import Form, frame_of
from napari_nunext.ui.commands.form_states import (
    ask_state,
    begin_question,
    begin_search,
    begin_training,
    search_state,
    training_state,
)
from napari_nunext.ui.commands.palette import NOT_OPEN
from napari_nunext.ui.widgets.theme import form_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.commands.export import Written
    from napari_nunext.ui.commands.form_states import State
    from napari_nunext.ui.dock import NunextDock


def search_form() -> Form:
    """The form of ``napari-nunext detect`` and ``nn.detect``, for the open image."""
    return _of_the_window(Search, "Search", search_state, begin_search)


def ask_form() -> Form:
    """The form of ``napari-nunext ask`` and ``nn.ask``, for the open image."""
    return _of_the_window(Put, "Ask", ask_state, begin_question)


def train_form() -> Form:
    """The form of ``nunext-train sft``, for what was accepted in the open project."""
    return _of_the_window(Training, "Train", training_state, begin_training)


def export_form() -> Form:
    """The form of ``napari-nunext export``, with the project of the current window in it."""
    under_way: list[bool] = []

    def act(form: Form, values: dict[str, Any]) -> None:
        from napari.qt.threading import create_worker

        if under_way:
            form.say("Wait: Export is under way.")
            return

        def done(result: Written) -> None:
            under_way.clear()
            form.say(words_of(result))

        def failed(error: BaseException) -> None:
            under_way.clear()
            form.failed(error)

        form.say("Under way\N{HORIZONTAL ELLIPSIS}")
        under_way.append(True)
        create_worker(
            export,
            **values,
            _progress={"desc": "NuNext: export", "total": 0},
            _connect={"returned": done, "errored": failed},
        )

    made = Form(export, "Export", act)
    viewer = _current_viewer()
    _place(made, viewer)
    dock = _dock_of(viewer)
    if dock is not None and dock.controller.session.has_project:
        made["project"].value = dock.controller.session.project.path
    return made


def words_of(written: Written) -> str:
    """What an export wrote, left out, and noted."""
    left_out = (f"Left out: {problem}" for problem in written.problems)
    return "\n".join((written.words, *left_out, *written.notes))


def _of_the_window(
    asked: type,
    verb: str,
    state_of: Callable[[NunextDock], State],
    begin: Callable[[NunextDock, dict[str, Any]], str],
) -> Form:
    """A form for what a dock does: it shows its state, and follows it until either is gone."""
    viewer = _current_viewer()
    is_mine, was_busy = False, False

    def act(form: Form, values: dict[str, Any]) -> None:
        nonlocal is_mine
        dock = _dock_of(viewer)
        if dock is None:
            form.say(NOT_OPEN)
            return
        before = dock.controller.model.notice
        is_mine = True
        words, notice = begin(dock, values), dock.controller.model.notice
        form.say(words if notice is None or notice is before else notice.words)

    dock = _dock_of(viewer)
    if dock is None:
        made = Form(asked, verb, act)
        _place(made, viewer)
        return made
    state = state_of(dock)
    made = Form(asked, verb, act, state.choices)
    _place(made, viewer)

    def show(name: str) -> None:
        value = state.values[name]()
        if name in state.choices:
            field: Any = made[name]
            field.reset_choices()
            value = value if value in field.choices else None
        made.show_value(name, value)

    def follow() -> None:
        nonlocal is_mine, was_busy
        if state.is_busy():
            was_busy = True
        elif was_busy:
            if is_mine:
                made.say("It has ended. The NuNext dock shows what came of it.")
            is_mine = was_busy = False

    for name in state.values:
        show(name)
        made.connections.call(partial(_calling, show, name), *state.signals.get(name, ()))
    made.connections.call(follow, state.busy_signal)
    dock.on_shut_down(made.connections.cut)
    return made


def _place(form: Form, viewer: Any) -> None:
    """Where a form stands, how it shows the keyboard, and how it is closed, in a window."""
    if viewer is None:
        return

    def close(form: Form) -> None:
        frame = frame_of(form)
        if frame is not None:
            viewer.window.remove_dock_widget(frame)
        form.close()
        form.deleteLater()
        dock = _dock_of(viewer)
        if dock is not None:
            dock.come_forward()

    def follow_theme(*_: object) -> None:
        form.setStyleSheet(form_sheet(viewer.theme))

    form.share_place_with(lambda: _dock_of(viewer))
    form.on_escape(close)
    follow_theme()
    form.connections.call(follow_theme, viewer.events.theme)


def _calling(show: Callable[[str], None], name: str, *_: object) -> None:
    """Show a value, whatever a signal says of it."""
    show(name)


def _current_viewer() -> Any:
    import napari

    return napari.current_viewer()


def _dock_of(viewer: Any) -> NunextDock | None:
    from napari_nunext.ui.docks import open_dock

    return None if viewer is None else open_dock(viewer)
