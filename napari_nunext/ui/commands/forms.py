"""Forms of commands as napari's own, made by magicgui of the function that Python calls.

What is asked is defined once, by the function's signature and docstring
(`core.process.parameters`). It runs in another thread, with a bar among napari's activities; what
it cannot take is said in words.
"""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from napari_nunext.commands.export_arguments import export
from napari_nunext.core.errors import NunextError
from napari_nunext.core.process.parameters import parameters_of, signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets import FunctionGui

    from napari_nunext.commands.export import Written

logger = logging.getLogger(__name__)

SAID = "said"
"""The line of a form that says how it went. Not napari's notifications: one that goes gives the
keyboard to the image, where the letters of a half typed name are keys, and Return accepts."""


def export_form() -> FunctionGui:
    """The form of ``napari-nunext export``, with the project of the current window in it."""
    import napari

    from napari_nunext.ui.docks import open_dock

    made = form(export, "Export", words_of)
    viewer = napari.current_viewer()
    dock = None if viewer is None else open_dock(viewer)
    if dock is not None and dock.controller.session.has_project:
        made["project"].value = dock.controller.session.project.path
    return made


def words_of(written: Written) -> str:
    """What an export wrote, left out, and noted."""
    left_out = (f"Left out: {problem}" for problem in written.problems)
    return "\n".join((written.words, *left_out, *written.notes))


def form(function: Callable[..., Any], verb: str, words: Callable[[Any], str] = str) -> FunctionGui:
    """A form for a function that says its parameters (`core.process.parameters`).

    Parameters
    ----------
    function : callable
        What is run, in a thread of its own.
    verb : str
        What the button says.
    words : callable
        What to say of what it returns.
    """
    from magicgui import magicgui
    from magicgui.widgets import Label
    from napari.qt.threading import create_worker

    parameters = parameters_of(function)
    under_way: list[bool] = []
    needed = [each.name for each in parameters if each.is_needed]

    def failed(error: BaseException) -> None:
        under_way.clear()
        if not isinstance(error, NunextError | OSError):
            logger.error("%s failed", verb, exc_info=error)
        said.value = str(error) or type(error).__name__

    def done(result: Any) -> None:
        under_way.clear()
        said.value = words(result)

    def run(**given: Any) -> None:
        if under_way:
            said.value = f"Wait: {verb} is under way."
            return
        missing = [name for name in needed if _is_blank(given.get(name))]
        if missing:
            said.value = f"Say first: {', '.join(missing)}."
            return
        values = {name: value for name, value in given.items() if not _is_blank(value)}
        said.value = "Under way\N{HORIZONTAL ELLIPSIS}"
        under_way.append(True)  # magicgui gives the button back at once
        create_worker(
            function,
            **values,
            _progress={"desc": f"NuNext: {verb.lower()}", "total": 0},
            _connect={"returned": done, "errored": failed},
        )

    run.__signature__ = _shown_signature(function)  # type: ignore[attr-defined]
    run.__doc__ = function.__doc__
    options = {each.name: {"tooltip": each.help} for each in parameters}
    make: Any = magicgui
    made: FunctionGui = make(run, call_button=verb, labels=True, **options)
    said: Any = Label(name=SAID, label=" ", gui_only=True)
    said.native.setWordWrap(True)
    made.append(said)
    made.native.setObjectName(f"nunext-{verb.lower()}-form")
    return made


def _shown_signature(function: Callable[..., Any]) -> inspect.Signature:
    """A function's signature for magicgui, which knows how to edit a list, not any sequence."""
    signature = signature_of(function)
    many = {each.name for each in parameters_of(function) if each.many}
    by_name = inspect.Parameter.KEYWORD_ONLY
    shown = []
    for name, each in signature.parameters.items():
        declared = each.replace(kind=by_name)
        if name in many:
            options = get_args(each.annotation)[1]
            declared = declared.replace(annotation=Annotated[list[Path], options], default=[])
        shown.append(declared)
    return signature.replace(parameters=shown)


def _is_blank(value: object) -> bool:
    """Whether nothing was chosen: magicgui has the folder we are in for an empty path."""
    return value is None or (isinstance(value, Path) and value == Path())
