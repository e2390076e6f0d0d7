"""What a command takes: the command line, Python and napari's form say the same."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari  # noqa: F401 - first, or pydantic is imported in a circle
import pytest

import napari_nunext as nn
from napari_nunext.cli import _parser
from napari_nunext.commands.export_arguments import formats
from napari_nunext.core.process.parameters import given_to, parameters_of
from napari_nunext.store.exports.formats import export_formats
from napari_nunext.ui.commands.forms import export_form, words_of

if TYPE_CHECKING:
    from magicgui.widgets import FunctionGui
    from qtpy.QtWidgets import QApplication

Spin = "Callable[..., None]"


def options_of(command: str) -> dict[str, argparse.Action]:
    """What the command line takes, by Python's names."""
    (commands,) = (
        each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction)
    )
    parser = commands.choices[command]
    return {each.dest: each for each in parser._actions if each.dest != "help"}


@pytest.fixture
def form(qapp: QApplication) -> FunctionGui:
    made = export_form()
    yield made
    made.close()


def test_the_three_have_the_same_names_in_the_same_order(form: FunctionGui) -> None:
    names = [each.name for each in parameters_of(nn.export)]
    assert names == list(inspect.signature(nn.export).parameters)
    assert names == list(options_of("export"))
    assert names == [each.name for each in form if each.name not in ("call_button", "said")]


def test_the_three_have_the_same_defaults_choices_and_help(form: FunctionGui) -> None:
    options = options_of("export")
    for each in parameters_of(nn.export):
        option, field = options[each.name], form[each.name]
        assert str(option.help).startswith(each.help)
        assert field.tooltip == each.help != ""
        if not each.is_needed:
            assert option.default == (list(each.default) if each.many else each.default)
            assert field.value == option.default
        else:
            assert option.required
        if each.choices is not None:
            shown = [choice for choice in field.choices if choice is not None]
            assert shown == list(option.choices or ())
        if not each.choices:
            kind = bool if isinstance(option, argparse._StoreTrueAction) else option.type
            assert kind is each.type


def test_the_formats_are_those_of_the_store() -> None:
    assert set(formats()) == {"training", "snapshot", *(each.name for each in export_formats())}


def test_a_command_line_gives_what_python_takes() -> None:
    args = _parser().parse_args(["export", "a.nunext", "--out", "b", "--images", "c"])
    assert given_to(nn.export, args) == {
        "project": Path("a.nunext"),
        "out": Path("b"),
        "format": "training",
        "flavour": None,
        "answers": "checked",
        "even_if_broken": False,
        "images": [Path("c")],
    }


@pytest.mark.parametrize("hint", [int, "list[str]"])
def test_a_type_that_no_form_has_is_refused(hint: object) -> None:
    def made(value: Any) -> None:
        """Do.

        Parameters
        ----------
        value : what
            It.
        """

    made.__annotations__["value"] = hint
    with pytest.raises(TypeError, match="expected a path, a text or a bool"):
        parameters_of(made)


def test_the_form_asks_for_what_is_missing(qapp: QApplication) -> None:
    made = export_form()
    made.call_button.native.click()
    words = made["said"].value
    made.close()
    assert words == "Say first: project, out."


def test_the_form_says_in_words_what_cannot_be_exported(qapp: QApplication, tmp_path: Path) -> None:
    from tests.waiting import pause, wait_for

    made = export_form()
    made["project"].value = tmp_path / "none.nunext"
    made["out"].value = tmp_path / "out"
    made.call_button.native.click()
    made.call_button.native.click()
    said = made["said"]
    assert said.value == "Wait: Export is under way."
    wait_for(
        lambda: "none.nunext" in said.value,
        meanwhile=lambda: (qapp.processEvents(), pause()),
    )
    assert "Traceback" not in said.value
    made.close()


def test_what_was_left_out_and_noted_is_said() -> None:
    written = nn.Written("out: 3 images", ("a.png has other pixels.",), ("Names differ.",))
    assert words_of(written).splitlines() == [
        "out: 3 images",
        "Left out: a.png has other pixels.",
        "Names differ.",
    ]
