"""The fields of a form, as magicgui makes them of typed parameters: labels, choices, types."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from magicgui.widgets import Label
from qtpy.QtWidgets import QSizePolicy

from napari_nunext.core.process.parameters import (
    OURS,
    hint_and_options,
    parameters_of,
    signature_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari_nunext.core.process.parameters import Parameter


def is_list_of_texts(parameter: Parameter) -> bool:
    """Whether its field has a line for each of many values."""
    return parameter.many and parameter.type is str


def is_written(parameter: Parameter) -> bool:
    """Whether its field is a line of text that `Parameter.read` reads."""
    return parameter.choices is None and parameter.type in (str, int, float)


def is_blank(value: object) -> bool:
    """Whether nothing was chosen: magicgui has the folder we are in for an empty path."""
    return value is None or (isinstance(value, Path) and value == Path())


def line(name: str, *, visible: bool = True) -> Any:
    """A line of words that is as wide as the form."""
    made: Any = Label(name=name, label=" ", gui_only=True, visible=visible)
    made.native.setWordWrap(True)
    made.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return made


def label(parameter: Parameter) -> str:
    """What stands before a field, with the unit."""
    words, unit = parameter.label, parameter.unit
    return words if unit in words else f"{words} ({shown_unit(unit)})"


def shown_unit(unit: str) -> str:
    """A unit as people write it, who have other letters than a command line."""
    return re.sub(r"\bum\b", "\N{MICRO SIGN}m", unit)


def _in_words(parameter: Parameter) -> Any:
    """The choices of a parameter for magicgui: what a person calls each, and the value."""
    choices = parameter.choices or ()

    def named(*_: object) -> list[tuple[str, str]]:
        values = choices() if callable(choices) else choices
        return [(parameter.choice_label(each) or each, each) for each in values]

    return named


def shown_signature(
    asked: Callable[..., Any], choices: Mapping[str, Callable[..., Sequence[str]]]
) -> inspect.Signature:
    """A signature for magicgui, which knows how to edit texts, lists and choices."""
    signature = signature_of(asked)
    parameters = {each.name: each for each in parameters_of(asked)}
    shown = []
    for name, each in signature.parameters.items():
        parameter, declared = parameters[name], each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        if name in choices:
            options: dict[str, Any] = {"choices": choices[name], "nullable": True}
            declared = declared.replace(annotation=Annotated[str | None, options], default=None)
        elif is_list_of_texts(parameter):
            declared = declared.replace(
                annotation=Annotated[str, {"widget_type": "TextEdit"}],
                default="\n".join(each.default),
            )
        elif parameter.many:
            options = _magicguis(each.annotation)[1]
            declared = declared.replace(annotation=Annotated[list[Path], options], default=[])
        elif is_written(parameter):
            declared = declared.replace(
                annotation=Annotated[str, {"widget_type": "LineEdit"}],
                default=parameter.write(each.default),
            )
        elif parameter.choices is not None:
            options = {"choices": _in_words(parameter), "nullable": parameter.default is None}
            hint = str | None if parameter.default is None else str
            declared = declared.replace(annotation=Annotated[hint, options])
        else:
            hint, options = _magicguis(each.annotation)
            declared = declared.replace(annotation=Annotated[hint, options])
        shown.append(declared)
    return signature.replace(parameters=shown)


def _magicguis(annotation: Any) -> tuple[Any, dict[str, Any]]:
    """A type, and those of its options that are magicgui's."""
    hint, options = hint_and_options(annotation)
    return hint, {key: value for key, value in options.items() if key not in OURS}
