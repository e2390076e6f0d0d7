"""What a command takes: the command line, Python and napari's form say the same."""

from __future__ import annotations

import argparse
import inspect
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari  # noqa: F401 - first, or pydantic is imported in a circle
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QWidget

import napari_nunext as nn
from napari_nunext.cli import _parser
from napari_nunext.commands.export_arguments import formats
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.process.asked import AskTask, Put, Search, Training
from napari_nunext.core.process.parameters import _said, as_arguments, given_to, parameters_of
from napari_nunext.review.learning.training import recipe_problem
from napari_nunext.review.shown.checks import Check
from napari_nunext.review.shown.learn import Harvest
from napari_nunext.store.exports.formats import export_formats
from napari_nunext.ui.commands.acts import NO_IMAGE
from napari_nunext.ui.commands.fields import is_written, shown_unit
from napari_nunext.ui.commands.form import LEAST_PX, Form, frame_of
from napari_nunext.ui.commands.forms import (
    ask_form,
    export_form,
    search_form,
    train_form,
    words_of,
)
from napari_nunext.ui.commands.palette import NOT_OPEN
from napari_nunext.ui.panels.asking.question_form import ORDER
from napari_nunext.ui.panels.find_panel import REGION
from nunext_training.cli import _parser as training_parser
from nunext_training.recipes.recipe import Recipe, changed, recipe_keys, recipe_names
from tests.review.fakes import answerer_info, done, points, started, window_done
from tests.ui.test_commands import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.ui.app import App
    from tests.review.fakes import FakeServer

Spin = "Callable[..., None]"

CLI_ALONE = {
    "export": set(),
    # What a command writes, which images and models it takes, and other machines to search with;
    # categories to search for alone stand in the window's dock, beside the button.
    "detect": {
        "only", "paths", "out", "project", "regions", "server", "ray", "ray_address", "ray_workers",
        "ray_gpus", "dtype", "yes", "progress", "models",
    },
    "ask": {"image", "list", "project", "server", "models"},
    "sft": {
        "data", "checkpoint", "out", "threads", "rename", "strict", "allow_loss", "resume",
        "progress", "covt", "replay", "untested", "workers", "keep", "name",
    },
}  # fmt: skip
PYTHON_ALONE = {
    "export": set(),
    "detect": {"image", "only", "progress", "server"},
    "ask": {"image", "nuclei", "server"},
    "sft": set(),
}
"""What one of the three is asked alone, said here so that nothing joins it unseen."""
FORMS = {
    "export": (nn.export, nn.export, export_form),
    "detect": (Search, nn.detect, search_form),
    "ask": (Put, nn.ask, ask_form),
    "sft": (Training, Training, train_form),
}
"""By command: what declares its parameters, what Python calls, what makes the form."""


def options_of(command: str) -> dict[str, argparse.Action]:
    """What the command line takes, by Python's names."""
    whole = training_parser() if command == "sft" else _parser()
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    parser = commands.choices[command]
    return {each.dest: each for each in parser._actions if each.dest != "help"}


@pytest.fixture
def made_form(qapp: QApplication) -> Iterator[Callable[..., Form]]:
    made: list[Form] = []

    def make(form: Callable[[], Form]) -> Form:
        made.append(form())
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.deleteLater()


def fields_of(form: Form) -> list[str]:
    lines = ("call_button", "said")
    return [
        each.name
        for each in form.fields
        if each.name not in lines and not each.name.endswith("_problem")
    ]


@pytest.mark.parametrize("command", FORMS)
def test_the_three_have_the_same_names(command: str, made_form: Callable[..., Form]) -> None:
    declared, called, form = FORMS[command]
    names = [each.name for each in parameters_of(declared)]
    python, options = inspect.signature(called).parameters, options_of(command)
    assert set(python) - PYTHON_ALONE[command] == set(names)
    assert set(options) - CLI_ALONE[command] == set(names)
    assert set(python) >= PYTHON_ALONE[command]
    assert set(options) >= CLI_ALONE[command]
    assert fields_of(made_form(form)) == names


@pytest.mark.parametrize("command", FORMS)
def test_the_three_have_the_same_defaults_choices_units_and_help(
    command: str, made_form: Callable[..., Form]
) -> None:
    declared, called, make = FORMS[command]
    python, options = inspect.signature(called).parameters, options_of(command)
    form, meant = made_form(make), _said(inspect.getdoc(called) or "")
    for each in parameters_of(declared):
        option, field = options[each.name], form[each.name]
        assert meant[each.name] == each.help
        assert str(option.help).startswith(each.help)
        assert field.tooltip == each.help != ""
        assert (each.unit in each.label) or field.label.endswith(f"({shown_unit(each.unit)})")
        if is_written(each) and each.default is None:
            assert field.native.placeholderText() == (" ".join(each.parts) or "as usual")
        assert python[each.name].default == each.default
        if each.is_needed:
            assert option.required
            continue
        many = each.many and not each.at_once
        assert option.default == (list(each.default) if many else each.default)
        shown = form.value(each.name)
        assert shown == (list(each.default) if many else each.default)
        if each.choices is not None:
            offered = [choice for choice in field.choices if choice is not None]
            assert offered == list(option.choices or ())
        elif isinstance(option, argparse._StoreTrueAction):
            assert each.type is bool
        else:
            assert option.type is (each.reads or each.type)
            assert option.nargs == (len(each.parts) or ("+" if each.at_once else None))


def test_the_kinds_of_questions_are_those_that_can_be_asked() -> None:
    (task,) = (each for each in parameters_of(Put) if each.name == "task")
    assert task.choices == typing.get_args(AskTask) == ORDER


def test_a_training_takes_what_its_recipe_takes() -> None:
    known = {key.name: key for key in recipe_keys()}
    for each in parameters_of(Training):
        if not each.key:
            assert each.name == "recipe"
            continue
        if each.choices is not None:
            assert known[each.key].expected == f"{' or '.join(each.choices)}"
            continue
        for text in ("0", "1", "0.5", "7"):
            try:
                value = each.read(text)
            except InputError:
                value = None
            changes = Training(**{each.name: value}).changes() if value is not None else None
            if changes is None:
                raw = float(text) if "." in text or each.type is float else int(text)
                with pytest.raises(InputError):
                    changed(Recipe(), **Training(**{each.name: raw}).changes())
            else:
                section, _, key = each.key.rpartition(".")
                made = changed(Recipe(), **changes)
                assert getattr(getattr(made, section) if section else made, key) == value


def test_the_form_of_a_training_says_what_the_command_line_says() -> None:
    asked = Training(
        recipe="first", steps=7, lr=2.5e-5, supervision="naive", sigma_bins=1.5, seed=3
    )
    args = training_parser().parse_args(
        ["sft", "--data", "d", "--checkpoint", "c", "--out", "o", *as_arguments(asked)]
    )
    assert Training(**given_to(Training, args)) == asked


def test_the_arguments_of_a_search_and_a_question_come_back_as_they_were() -> None:
    search = Search(model="m", mpp=0.25, tissue=True, pen=True, region=(0.5, 1.0, 2.0, 3.0))
    args = _parser().parse_args(["detect", "a.png", "--out", "o", *as_arguments(search)])
    assert Search(**given_to(Search, args) | {"region": tuple(args.region)}) == search
    put = Put(question="a?", options=("yes", "no"), budget=64, allocate=True)
    args = _parser().parse_args(["ask", "a.png", *as_arguments(put)])
    assert Put(**given_to(Put, args) | {"options": tuple(args.options)}) == put


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


@pytest.mark.parametrize("hint", [complex, "list[str]"])
def test_a_type_that_no_form_has_is_refused(hint: object) -> None:
    def made(value: Any) -> None:
        """Do.

        Parameters
        ----------
        value : what
            It.
        """

    made.__annotations__["value"] = hint
    with pytest.raises(TypeError, match="expected a path, a text, a number or a bool"):
        parameters_of(made)


def test_the_form_asks_for_what_is_missing(made_form: Callable[..., Form]) -> None:
    made = made_form(export_form)
    press(made)
    assert made["said"].value == "Say first: Project, Into this folder."


def test_the_form_says_in_words_what_cannot_be_exported(
    made_form: Callable[..., Form], tmp_path: Path, spin: Spin
) -> None:
    made = made_form(export_form)
    made["project"].value = tmp_path / "none.nunext"
    made["out"].value = tmp_path / "out"
    press(made)
    press(made)
    said = made["said"]
    assert said.value == "Wait: Export is under way."
    spin(lambda: "none.nunext" in said.value)
    assert "Traceback" not in said.value


def test_what_was_left_out_and_noted_is_said() -> None:
    written = nn.Written("out: 3 images", ("a.png has other pixels.",), ("Names differ.",))
    assert words_of(written).splitlines() == [
        "out: 3 images",
        "Left out: a.png has other pixels.",
        "Names differ.",
    ]


@pytest.mark.parametrize("command", FORMS)
def test_a_person_reads_words_and_no_names_of_parameters(
    command: str, made_form: Callable[..., Form]
) -> None:
    form, labels = made_form(FORMS[command][2]), []
    for each in parameters_of(FORMS[command][0]):
        assert each.label[:1].isupper(), f"{each.name} has no label"
        assert "_" not in each.label
        labels.append(each.label)
        field = form[each.name]
        shown = field.text if each.type is bool else field.label
        assert shown.startswith(each.label)
        if each.choices is None:
            continue
        combo = field.native
        words = [combo.itemText(i) for i in range(combo.count())]
        for choice, said in zip(field.choices, words, strict=True):
            assert said == (each.choice_label(choice) or "nobody said")
    assert len(set(labels)) == len(labels)


def test_a_parameter_without_a_label_is_found() -> None:
    def made(value: int) -> None:
        """Do.

        Parameters
        ----------
        value : int
            It.
        """

    made.__annotations__["value"] = int
    assert [each.label for each in parameters_of(made)] == [""]


# In the window


def focused() -> QWidget:
    found = QApplication.focusWidget()
    assert found is not None
    return found


def has_keyboard(control: QWidget) -> bool:
    """Whether what is typed goes to it when its window is the active one."""
    return control.window().focusWidget() is control


@pytest.mark.parametrize("command", FORMS)
def test_the_keyboard_goes_from_field_to_field_as_they_are_seen(
    app: App, spin: Spin, command: str
) -> None:
    app.dock.window().activateWindow()
    form = in_window(app, FORMS[command][2])
    first = form[next(iter(form.parameters))].native
    spin(lambda: first.hasFocus() or first.isAncestorOf(QApplication.focusWidget()))
    met, heights = [focused()], []
    while met[-1] is not form["call_button"].native:
        QTest.keyClick(focused(), Qt.Key.Key_Tab)
        assert form.isAncestorOf(focused()), "Tab leaves the form before its button"
        assert focused() not in met
        met.append(focused())
    heights = [each.mapTo(form, each.rect().center()).y() for each in met]
    assert heights == sorted(heights)
    for name in form.parameters:
        native = form[name].native
        assert any(native is each or native.isAncestorOf(each) for each in met), name
    # Tab scrolls to where it goes, in a window that is too low for all.
    seen = met[-1].mapTo(form.viewport(), met[-1].rect().center())
    assert form.viewport().rect().contains(seen)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_of_several_lines_has_the_ground_of_other_fields(app: App, theme: str) -> None:
    app.viewer.theme = theme
    form = in_window(app, FORMS["ask"][2])
    QApplication.processEvents()

    def ground(field: str) -> str:
        shown = form[field].native.grab().toImage()
        return shown.pixelColor(shown.width() // 2, shown.height() - 5).name()

    assert ground("options") == ground("question") == ground("organ")


@pytest.mark.parametrize("command", FORMS)
def test_return_in_a_field_begins_nothing_and_accepts_nothing(
    app: App, spin: Spin, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    form = in_window(app, FORMS[command][2])
    begun: list[object] = []
    monkeypatch.setattr(form, "_act", lambda *given: begun.append(given))
    for name in form.parameters:
        for key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            place = form[name].native
            if not isinstance(place, QComboBox):
                place.setFocus()
                QTest.keyClick(place, key)
    assert begun == []
    assert form["said"].value == ""
    assert not app.controller.model.state.complete
    button = form["call_button"].native
    button.setFocus()
    QTest.keyClick(button, Qt.Key.Key_Return)
    assert begun != [] or form["said"].value.startswith("Say first")


def test_the_button_keeps_the_keyboard_and_a_refusal_gives_it_to_the_field(app: App) -> None:
    form = in_window(app, search_form)
    button = form["call_button"].native
    button.setFocus()
    type_into(form, "region", "1 2 3")
    QTest.keyClick(button, Qt.Key.Key_Space)
    assert has_keyboard(form["region"].native)
    type_into(form, "region", "")
    button.setFocus()
    form._act = lambda form, values: form.say("Begun.")
    QTest.keyClick(button, Qt.Key.Key_Space)
    assert form["said"].value == "Begun."
    assert has_keyboard(button)


@pytest.mark.parametrize("command", FORMS)
def test_escape_closes_a_form_from_any_field(app: App, spin: Spin, command: str) -> None:
    names = [*(each.name for each in parameters_of(FORMS[command][0])), "call_button"]
    for name in names:
        form = in_window(app, FORMS[command][2])
        place = form[name].native
        place.setFocus()
        QTest.keyClick(place, Qt.Key.Key_Escape)
        spin(lambda: app.dock.window().findChildren(Form) == [])
    assert app.dock.isVisible()
    assert app.dock.is_open


def test_a_line_of_words_is_as_wide_as_the_form(app: App, spin: Spin) -> None:
    form = in_window(app, search_form)
    press(form)
    form.say("It has ended. " * 5)
    spin(lambda: form["said"].native.width() > 0.9 * form.viewport().width())


def press(form: Form) -> None:
    QTest.mouseClick(form["call_button"].native, Qt.MouseButton.LeftButton)


def tick(form: Form, name: str) -> None:
    box = form[name].native
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))


def type_into(form: Form, name: str, text: str) -> None:
    """Replace what a field says, key by key."""
    line = form[name].native
    line.selectAll()
    QTest.keyClick(line, Qt.Key.Key_Delete)
    if text:
        QTest.keyClicks(line, text)


def in_window(app: App, make: Callable[[], Form]) -> Form:
    """A form docked as napari docks it; it goes with the window."""
    made = make()
    app.viewer.window.add_dock_widget(made, name="form")
    QApplication.processEvents()
    return made


def test_a_search_by_the_form_is_that_of_the_review_tab(
    app: App, server: FakeServer, spin: Spin
) -> None:
    controller, find = app.controller, app.controller.find.model
    form = in_window(app, search_form)
    assert form.value("model") == find.model_id == "small"
    assert form.value("mpp") == controller.images.model.open_field.entry.mpp == 0.5
    for name in ("masks", "tissue", "pen"):
        box = form[name].native
        if not box.isChecked():
            tick(form, name)
    type_into(form, "mpp", "0.4")
    type_into(form, "region", "10 20 110 120.5")
    server.fake.script = [started(), points((40, 50)), window_done(1, 1), done(1)]
    press(form)
    spin(lambda: form["said"].value.startswith("It has ended."))
    assert (find.tissue, find.pen, controller.view.model.outlines) == (True, True, True)
    assert controller.view.model.region == Box(10, 20, 110, 120.5)
    assert controller.images.model.open_field.entry.mpp == 0.4
    request = server.fake.requests[-1]
    assert (request.region, request.mpp) == ((10, 20, 110, 120.5), 0.4)
    assert (request.masks, request.tissue, request.pen) == (True, True, True)
    finder = app.dock.review.finder
    assert finder._where.index() == REGION
    assert finder._pen.isChecked()


def test_a_form_follows_what_is_chosen_beside_it(app: App) -> None:
    form = in_window(app, search_form)
    app.controller.find.leave_out_glass(True)
    app.controller.view.set_region(Box(1, 2, 30, 40))
    app.controller.scale.set(0.25)
    assert form.value("tissue") is True
    assert form.value("region") == (1, 2, 30, 40)
    assert form.value("mpp") == 0.25


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("mpp", "much", "is no scale: expected"),
        ("mpp", "-1", "is no scale: expected"),
        ("region", "1 2 3", "is not X0 Y0 X1 Y1"),
        ("region", "a b c d", "is no number from 0 up"),
        ("region", "50 50 10 10", "Its end is not right of"),
        ("region", "900 900 950 950", "It holds nothing of tile one.png, which is 200 x 200 px."),
    ],
)
def test_what_cannot_be_searched_is_said_below_its_field_and_changes_nothing(
    app: App, server: FakeServer, name: str, text: str, words: str
) -> None:
    form = in_window(app, search_form)
    type_into(form, name, text)
    press(form)
    assert words in form.problem(name)
    assert form[name + "_problem"].native.isVisible()
    assert not app.controller.find.model.run.busy
    assert app.controller.images.model.open_field.entry.mpp == 0.5
    assert server.fake.requests == []
    type_into(form, name, "")
    press(form)
    assert form.problem(name) == ""


def test_pen_without_tissue_is_said_below_pen(app: App) -> None:
    form = in_window(app, search_form)
    tick(form, "pen")
    press(form)
    assert form.problem("pen") == "Tick 'Leave out bare glass' as well."
    assert has_keyboard(form["pen"].native)
    assert app.dock.review.finder._tissue.text() in form.problem("pen")


def test_a_scale_that_looks_like_a_slip_is_asked_about_before_the_search(
    app: App, server: FakeServer
) -> None:
    form = in_window(app, search_form)
    type_into(form, "mpp", "5")
    press(form)
    assert form["said"].value.endswith("Answer in the NuNext dock first, then press again.")
    assert server.fake.requests == []


@pytest.mark.parametrize("make", [search_form, ask_form, train_form])
def test_a_form_without_an_image_says_so(empty_app: App, make: Callable[[], Form]) -> None:
    form = in_window(empty_app, make)
    press(form)
    assert form["said"].value == NO_IMAGE


@pytest.mark.parametrize("make", [search_form, ask_form, train_form])
def test_a_form_without_the_dock_says_how_to_open_it(
    make: Callable[[], Form], made_form: Callable[..., Form]
) -> None:
    form = made_form(make)
    press(form)
    assert form["said"].value == NOT_OPEN


def test_a_question_by_the_form_is_that_of_the_ask_tab(
    app: App, server: FakeServer, spin: Spin
) -> None:
    ask = app.controller.ask
    server.fake.answering = [answerer_info("vlm", allocates=True)]
    ask.answerers.look()
    spin(lambda: ask.model.answerer_named("vlm"))
    form = in_window(app, ask_form)
    form["answerer"].value = "vlm"
    type_into(form, "question", "Is it benign?")
    QTest.keyClicks(form["options"].native, "yes")
    QTest.keyClick(form["options"].native, Qt.Key.Key_Return)
    QTest.keyClicks(form["options"].native, "no")
    type_into(form, "budget", "64")
    type_into(form, "max_tokens", "300")
    type_into(form, "region", "0 0 100 100")
    tick(form, "allocate")
    press(form)
    spin(lambda: form["said"].value.startswith("It has ended."))
    request = server.fake.asked[-1]
    assert (request.answerer, request.budget, request.max_tokens) == ("vlm", 64, 300)
    assert (request.allocate, request.region) == (True, (0, 0, 100, 100))
    typed = app.dock.ask.form
    assert typed.question() == Question("question", "Is it benign?", ("yes", "no"))
    assert (ask.model.budget, ask.model.where) == (64, "region")


@pytest.mark.parametrize(
    ("task", "typed", "name", "words"),
    [
        ("question", {}, "question", "give a question"),
        ("subtype", {}, "options", "give two categories or more"),
        ("lesions", {"question": "necrosis"}, "organ", "a category of lesions and an organ"),
        ("question", {"question": "why?", "budget": "none"}, "budget", "no whole number from 1"),
        ("question", {"question": "why?", "budget": "9999999"}, "budget", "is more than"),
        ("question", {"question": "why?", "max_tokens": "0"}, "max_tokens", "from 1 up"),
    ],
)
def test_what_cannot_be_asked_is_said_below_its_field(
    app: App, task: str, typed: dict[str, str], name: str, words: str
) -> None:
    form = in_window(app, ask_form)
    form["task"].value = task
    for each, text in typed.items():
        type_into(form, each, text)
    press(form)
    assert words in form.problem(name)
    assert not app.controller.ask.model.status.busy


def test_a_training_by_the_form_is_that_of_the_improve_tab(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Training] = []
    learn = app.controller.learn
    monkeypatch.setattr(learn, "train", asked.append)
    learn.model.harvest = Harvest(3, 2, 40, (Check(True, "enough"),))
    form = in_window(app, train_form)
    assert form.value("recipe") == learn.recipe == "first"
    type_into(form, "recipe", "no such")
    press(form)
    assert form.problem("recipe").startswith("There is no recipe 'no such'; expected a TOML file")
    type_into(form, "recipe", "feedback")
    type_into(form, "lr", "0")
    press(form)
    assert form.problem("lr") == "'0' is no number of more than 0."
    type_into(form, "lr", "3e-5")
    type_into(form, "steps", "12")
    form["supervision"].value = "naive"
    press(form)
    assert asked == [Training(recipe="feedback", lr=3e-5, steps=12, supervision="naive")]
    assert app.dock._stack.currentIndex() == 2


def test_recipes_are_those_of_the_training_package() -> None:
    for name in recipe_names():
        assert recipe_problem(name) == ""
    assert recipe_problem("") != ""


@pytest.mark.parametrize("px", [(1366, 768), (683, 384)], ids=["100 %", "200 %"])
@pytest.mark.parametrize("command", FORMS)
def test_a_form_fits_the_window_of_a_laptop(
    app: App, spin: Spin, command: str, px: tuple[int, int]
) -> None:
    window = app.dock.window()
    window.resize(*px)
    QApplication.processEvents()
    before = window.minimumSizeHint()
    form = in_window(app, FORMS[command][2])
    wanted_px = min(form.fields.native.sizeHint().height(), LEAST_PX, px[1] - 140)
    spin(lambda: form.height() >= wanted_px)
    tab_px = 40
    assert window.minimumSizeHint().height() <= max(before.height() + tab_px, px[1])
    assert window.minimumSizeHint().width() <= px[0]
    is_low = px[1] < 500
    assert (frame_of(app.dock) in window.tabifiedDockWidgets(frame_of(form))) or not is_low
    assert form.fields.native.width() <= form.viewport().width(), "a part is hidden sideways"
    assert form.width() <= app.dock.minimumWidth() + 60, "the image has less place than beside us"
    button = form["call_button"].native
    form.ensureWidgetVisible(button)
    QApplication.processEvents()
    place = button.mapTo(form.viewport(), button.rect().center())
    assert form.viewport().rect().contains(place)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("nuclei by a form", "search"),
        ("question by a form", "ask"),
        ("train by a form", "train"),
        ("export a review", "export"),
    ],
)
def test_the_palette_opens_each_form(app: App, typed: str, name: str) -> None:
    choose(app, typed)
    forms = app.dock.window().findChildren(Form)
    assert [each.objectName() for each in forms] == [f"nunext-{name}-form"]
