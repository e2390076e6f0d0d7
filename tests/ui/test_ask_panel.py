"""The Ask tab in the real window: asking, reading, rating, correcting, comparing."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QPlainTextEdit,
    QTextBrowser,
    QTextEdit,
    QWidget,
)

from napari_nunext.core.answers.budget import BUDGET_TOKENS
from napari_nunext.core.answers.opinions import MOST_STARS, STARS
from napari_nunext.core.errors import ServerError
from napari_nunext.core.geometry import Box
from napari_nunext.review.shown.answers import Since
from napari_nunext.ui.dock import ASK, REVIEW
from napari_nunext.ui.napari_versions import canvas_widget_of
from napari_nunext.ui.panels.asking.answer_keys import PREFERRING, AnswerKeys
from napari_nunext.ui.panels.asking.rating_row import USE
from napari_nunext.ui.panels.asking.words import since_words
from napari_nunext.ui.widgets.controls import EntryLine
from tests.review.fakes import answerer_info
from tests.ui.test_answer_widgets import second_click
from tests.ui.test_outline_mouse import Mouse, settle
from tests.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.ui.app import App
    from napari_nunext.ui.panels.asking.ask_panel import AskPanel
    from tests.review.fakes import FakeServer

Spin = "Callable[..., None]"
LEFT = Qt.MouseButton.LeftButton
NONE, CTRL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
SAID = "<think>pale, round</think><answer>lymphocytes [[20, 30, 60, 80]]</answer>"
MARKUP = '<b>x</b><img src="file:///nowhere.png"> <a href="https://example.org">link</a> &amp;'


@pytest.fixture
def asking(app: App, server: FakeServer, spin: Spin) -> App:
    """The Ask tab on a tile with three nuclei, and its answerers known."""
    for place in ((20.0, 30.0), (60.0, 40.0), (100.0, 90.0)):
        app.controller.correct.add(*place)
    server.fake.says = (SAID,)
    app.dock.window().resize(1366, 768)
    app.dock.window().activateWindow()
    spin(app.dock.window().isActiveWindow)
    app.dock.show_tab(ASK)
    spin(lambda: len(app.controller.ask.model.answerers) == 3)
    settle()
    return app


def panel_of(app: App) -> AskPanel:
    return app.dock.ask


def ask(app: App, text: str, spin: Spin, *, of: str = "counts") -> None:
    """Type a question, press Return, wait for the answer."""
    app.controller.ask.answerers.choose(of)
    box = panel_of(app).form.text
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, text)
    QTest.keyClick(box, Qt.Key.Key_Return)
    spin(lambda: not model_of(app).status.busy)
    settle()


def model_of(app: App) -> Any:
    return app.controller.ask.model


def key(app: App, name: str, held: Any = NONE) -> None:
    """Press a key where the focus is."""
    focus = QApplication.focusWidget()
    assert focus is not None
    QTest.keyClick(focus, getattr(Qt.Key, f"Key_{name}"), held)
    settle()


def rating_of(app: App) -> Any:
    return model_of(app).selected.rating


def words_of(widget: QWidget) -> str:
    """All that can be read on it."""
    labels = [w.text() for w in widget.findChildren(QLabel) if w.isVisible()]
    texts = [w.toPlainText() for w in widget.findChildren(QPlainTextEdit) if w.isVisible()]
    return "\n".join((*labels, *texts)).replace("\N{ZERO WIDTH SPACE}", "")


def test_return_asks_counts_which_answers_with_its_nuclei_lit_up(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    card = panel_of(asking).card
    assert card.answer.toPlainText() == "3"
    assert card.isVisible()
    assert "3 nuclei counted" in card.evidence._nuclei.text()
    lights = asking.dock.canvas.evidence.lights
    assert lights is not None
    assert len(lights.layer.data) == 3
    assert lights.layer in asking.viewer.layers
    assert asking.viewer.layers.selection.active is asking.dock.canvas.nuclei.layer
    card.evidence._nuclei.click()
    assert len(asking.controller.view.model.selected) == 3


@pytest.fixture
def reading(asking: App, server: FakeServer, spin: Spin) -> App:
    """The same with an answerer that reads nuclei, which is chosen."""
    server.fake.answering = [answerer_info("reader", reads_nuclei=True)]
    asking.controller.ask.answerers.look()
    spin(lambda: model_of(asking).answerer_named("reader"))
    asking.controller.ask.answerers.choose("reader")
    settle()
    return asking


def test_an_answer_that_read_nuclei_lights_them_up_and_says_when_they_have_changed(
    reading: App, server: FakeServer, spin: Spin
) -> None:
    panel, card = panel_of(reading), panel_of(reading).card
    assert "reads the nuclei there" in words_of(panel.whom)
    ask(reading, "How many nuclei are there?", spin, of="reader")
    assert card.evidence._nuclei.text() == "3 nuclei read"
    lights = reading.dock.canvas.evidence.lights
    assert lights is not None
    assert len(lights.layer.data) == 3
    card.evidence._nuclei.click()
    assert len(reading.controller.view.model.selected) == 3
    assert not card._again.isVisible()
    uids = list(reading.controller.model.state.nuclei)
    reading.controller.correct.delete(uids[:2])
    reading.controller.correct.add(50, 60)
    spin(lambda: model_of(reading).since == Since(3, changed=2, new=1))
    settle()
    assert "2 of the 3 nuclei that it read have changed since, and 1 is new." in words_of(card)
    assert card._again.isVisible()
    QTest.mouseClick(card._again, LEFT)
    spin(lambda: len(model_of(reading).answers) == 2 and not model_of(reading).status.busy)
    settle()
    assert not card._again.isVisible()
    assert card.evidence._nuclei.text() == "2 nuclei read"
    assert len(server.fake.asked[-1].nuclei) == 2
    assert QApplication.focusWidget() is card


def test_counts_says_it_too_and_asks_itself_again(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    card = panel_of(asking).card
    asking.controller.correct.delete(list(asking.controller.model.state.nuclei)[:1])
    spin(lambda: model_of(asking).since)
    settle()
    assert "1 of the 3 nuclei that it counted has changed since." in words_of(card)
    QTest.mouseClick(card._again, LEFT)
    spin(lambda: len(model_of(asking).answers) == 2)
    settle()
    assert card.answer.toPlainText() == "2"
    assert not card._again.isVisible()


def test_where_no_nuclei_were_looked_for_the_panel_says_so_before_it_is_asked(
    reading: App, spin: Spin
) -> None:
    panel, controller = panel_of(reading), reading.controller
    panel.form.text.setPlainText("How many nuclei are there?")
    settle()
    assert panel.go.isEnabled()
    controller.view.set_region(Box(0, 0, 12, 12))
    controller.ask.choose_where("region")
    settle()
    assert not panel.go.isEnabled()
    assert "nobody has looked for any here" in panel._missing.text()
    assert panel._missing.isVisible()
    controller.correct.add(5, 5)
    spin(panel.go.isEnabled)
    assert not panel._missing.isVisible()


@pytest.mark.parametrize(
    ("since", "reads", "words"),
    [
        (Since(25, changed=3), True, "3 of the 25 nuclei that it read have changed since."),
        (Since(25, changed=1), False, "1 of the 25 nuclei that it counted has changed since."),
        (Since(1, changed=1), True, "The one nucleus that it read has changed since."),
        (Since(0, new=1), True, "1 nucleus came since."),
        (Since(4, new=2), False, "2 nuclei came since."),
        (Since(4, says_other=True), False, "The nuclei say something else now."),
    ],
)
def test_what_became_of_nuclei_is_one_sentence(since: Since, reads: bool, words: str) -> None:
    assert since_words(since, reads) == words


def test_space_hides_what_an_answer_points_to_as_all_else(asking: App, spin: Spin) -> None:
    ask(asking, "Where are most nuclei?", spin)
    canvas = canvas_widget_of(asking.dock.window())
    layers = asking.dock.canvas.evidence.layers()
    assert len(layers) == 2
    asking.dock.canvas.focus()
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_Space)
    assert not any(layer.visible for layer in layers)
    QTest.keyRelease(canvas, Qt.Key.Key_Space)
    assert all(layer.visible for layer in layers)


def test_before_anything_was_asked_the_panel_says_what_to_do(asking: App) -> None:
    panel = panel_of(asking)
    assert not panel.card.isVisible()
    assert not panel.pair.isVisible()
    assert "Ask above" in words_of(panel.answers)
    assert not panel.go.isEnabled()
    assert "give a question" in panel._missing.text()
    assert "no picture is sent" in words_of(panel.whom)


def test_the_panel_says_what_the_chosen_answerer_can_be_asked_and_where_the_picture_goes(
    asking: App,
) -> None:
    panel, answerers = panel_of(asking), asking.controller.ask.answerers
    assert not panel.form._tasks._group.button(1).isEnabled()
    answerers.choose("vlm")
    settle()
    assert panel.form._tasks._group.button(1).isEnabled()
    assert "stays on this machine" in words_of(panel.whom)
    assert "not for training" in words_of(panel.whom)
    assert "49 of 256 image tokens" in words_of(panel.whom)
    answerers.choose("other")
    settle()
    assert "goes to far.example" in words_of(panel.whom)


def test_boxes_light_up_before_the_answer_is_over_and_stop_keeps_what_came(
    asking: App, server: FakeServer, spin: Spin
) -> None:
    goes_on = threading.Event()
    server.fake.says = (SAID[:-9], lambda: goes_on.wait(PATIENCE_S), " and more</answer>")
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    panel.form.text.setPlainText("Where are lymphocytes?")
    QTest.mouseClick(panel.go, LEFT)
    spin(lambda: model_of(asking).boxes)
    settle()
    boxes = asking.dock.canvas.evidence.boxes
    assert boxes is not None
    assert boxes.layer in asking.viewer.layers
    assert boxes.is_true()
    assert not boxes.has_mode("select")
    assert panel.go.text() == "Stop"
    assert panel.card.answer.toPlainText().startswith("lymphocytes")
    assert not panel.card.rating.isVisible()
    QTest.mouseClick(panel.go, LEFT)
    goes_on.set()
    spin(lambda: model_of(asking).selected)
    settle()
    assert panel.go.text() == "Ask"
    assert "You stopped it" in words_of(panel.card)
    assert panel.card.answer.toPlainText().startswith("lymphocytes")


def test_the_thought_is_folded_and_the_raw_text_one_click_away(asking: App, spin: Spin) -> None:
    ask(asking, "Where?", spin, of="vlm")
    card = panel_of(asking).card
    assert "pale" not in words_of(card)
    card._why.click()
    settle()
    assert card.think.isVisible()
    assert "pale, round" in words_of(card)
    card._show_raw.click()
    settle()
    assert SAID in words_of(card)


@pytest.mark.parametrize("text", [MARKUP, "\N{HEBREW LETTER ALEF}" * 30, "word " * 20_000])
def test_whatever_a_model_says_is_text_and_stays_in_its_field(
    asking: App, server: FakeServer, spin: Spin, text: str
) -> None:
    server.fake.says = (f"<think>{text}</think><answer>{text.strip()}</answer>",)
    ask(asking, "What is <b>this</b>?", spin, of="vlm")
    panel = panel_of(asking)
    panel.card._why.click()
    settle()
    assert text.strip() in words_of(panel.card)
    assert "<b>this</b>" in words_of(panel.card)
    for label in panel.findChildren(QLabel):
        assert label.textFormat() == Qt.TextFormat.PlainText
    kinds = (QTextBrowser, QTextEdit)
    assert not [made for kind in kinds for made in panel.findChildren(kind)]
    assert panel.card.width() <= 340
    assert asking.dock.window().height() == 768


def test_stars_are_given_and_taken_back_by_key_and_by_mouse(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    card = panel_of(asking).card
    assert card.property("current") is True  # whoever asked has the keyboard at the answer
    key(asking, "4")
    assert rating_of(asking).stars == 4
    key(asking, "4")
    assert rating_of(asking).stars is None
    QTest.mouseClick(card.rating.stars.star(2), LEFT)
    settle()
    assert rating_of(asking).stars == 2
    assert STARS[2] in words_of(card)
    assert USE in words_of(card)
    key(asking, "Z", CTRL)
    assert rating_of(asking).stars is None
    QTest.mouseClick(card.rating.reasons.chip("unsafe"), LEFT)
    QTest.mouseClick(card.rating.reasons.chip("too vague"), LEFT)
    settle()
    assert rating_of(asking).tags == ("unsafe", "too vague")
    key(asking, "5")
    assert (rating_of(asking).stars, rating_of(asking).tags) == (5, ())
    spin(lambda: asking.controller.model.save.phase == "saved")


def test_reasons_correcting_and_the_comment_have_keys_that_are_shown(
    asking: App, spin: Spin
) -> None:
    ask(asking, "How many nuclei are there?", spin)
    card = panel_of(asking).card
    for reason in MOST_STARS:
        name = AnswerKeys().of(reason)
        assert card.rating.reasons.chip(reason).text().split() == [name, *reason.split()]
        key(asking, name)
        assert rating_of(asking).tags == (reason,)
        key(asking, name)
        assert rating_of(asking).tags == ()
    key(asking, AnswerKeys().of("comment"))
    QTest.keyClicks(card.rating.comment, "EF pur")  # letters are text there
    key(asking, "Return")
    assert rating_of(asking).comment == "EF pur"
    assert rating_of(asking).tags == ()
    key(asking, AnswerKeys().of("correct"))
    assert card.editor.text.hasFocus()
    QTest.keyClicks(card.editor.text, "F")
    assert rating_of(asking).tags == ()


@pytest.mark.parametrize("fails", [True, False])
def test_where_no_answer_comes_the_keyboard_is_at_the_question_again(
    asking: App, server: FakeServer, spin: Spin, fails: bool
) -> None:
    ask(asking, "How many nuclei are there?", spin)
    server.fake.says = (
        (ServerError("The answerer is away."),) if fails else (server.fake.stop_asking,)
    )
    ask(asking, "Is there necrosis?", spin, of="vlm")
    panel = panel_of(asking)
    assert not panel.card.isVisible()
    assert panel.form.text.hasFocus()
    key(asking, "4")
    assert panel.answers.search.text() == ""
    assert panel.form.text.toPlainText().endswith("4")


def test_another_image_has_the_keyboard_and_the_panel_says_what_is_being_written(
    asking: App, server: FakeServer, spin: Spin, tile: Callable[[str], Path]
) -> None:
    here = asking.controller.images.model.open_field.entry
    go_on = threading.Event()
    server.fake.says = (SAID[:30], lambda: go_on.wait(PATIENCE_S), SAID[30:])
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    panel.form.text.setFocus()
    QTest.keyClicks(panel.form.text, "Where?")
    QTest.keyClick(panel.form.text, Qt.Key.Key_Return)
    spin(lambda: model_of(asking).status.phase == "writing")
    settle()
    assert "is being written" not in words_of(panel)
    asking.controller.open.paths([tile("other.png")])
    spin(lambda: asking.controller.images.model.open_field.entry.sha256 != here.sha256)
    settle()
    assert f"An answer about {here.name} is being written." in words_of(panel)
    assert not panel.isAncestorOf(QApplication.focusWidget())
    go_on.set()
    spin(lambda: not model_of(asking).status.busy)
    settle()
    assert "is being written" not in words_of(panel)


def test_a_double_click_on_ask_asks_once_and_leaves_the_keyboard_at_the_answer(
    asking: App, spin: Spin
) -> None:
    panel = panel_of(asking)
    panel.form.text.setFocus()
    QTest.keyClicks(panel.form.text, "How many nuclei are there?")
    settle()
    QTest.mouseClick(panel.go, LEFT)
    asking.dock.setFocus()  # a second press on the screen does, to what lies behind the button
    second_click(panel.go)
    spin(lambda: model_of(asking).answers)
    spin(lambda: not model_of(asking).status.busy)
    settle()
    assert len(model_of(asking).answers) == 1
    key(asking, "4")
    assert rating_of(asking).stars == 4


def test_a_comment_is_a_line_and_not_about_the_next_answer(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    rating = panel_of(asking).card.rating
    rating._say.click()
    QTest.keyClicks(rating.comment, "see 1 2 3")
    key(asking, "Return")
    assert rating_of(asking).comment == "see 1 2 3"
    assert rating_of(asking).stars is None
    assert "see 1 2 3" in words_of(rating)
    key(asking, "3")
    assert rating_of(asking).stars == 3
    key(asking, "3")
    rating._say.click()
    QTest.keyClicks(rating.comment, " half")
    ask(asking, "Are there any nuclei?", spin)
    assert rating.comment.text() == ""
    assert rating_of(asking).comment == ""


def test_digits_typed_into_a_question_rate_nothing_and_those_on_the_canvas_are_categories(
    asking: App, spin: Spin
) -> None:
    ask(asking, "How many nuclei are there?", spin)
    for name in ("Lymphocyte", "Stromal"):
        asking.controller.categories.add(name)
    before = asking.controller.model.categories
    panel = panel_of(asking)
    panel.form.text.setFocus()
    QTest.keyClicks(panel.form.text, " 1 2 3 4 5")
    assert rating_of(asking).says_nothing
    assert panel.form.text.toPlainText().endswith("1 2 3 4 5")
    canvas = canvas_widget_of(asking.dock.window())
    canvas.setFocus()
    key(asking, "2")
    assert asking.controller.model.current_category == before[1].name
    assert rating_of(asking).says_nothing
    panel.card.setFocus()
    key(asking, "1")
    assert asking.controller.model.current_category == before[1].name
    assert rating_of(asking).stars == 1


def test_no_key_in_the_ask_tab_corrects_or_accepts_anything(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    controller, panel = asking.controller, panel_of(asking)
    controller.view.select(list(controller.model.state.nuclei)[:1])

    def nuclei() -> Any:
        state, shown = controller.model.state, controller.model
        queue = controller.images.model.queue
        tool = controller.view.model.tool
        return dict(state.nuclei), state.complete, tool, shown.current_category, queue

    before = nuclei()
    held_by = [
        made
        for made in (panel, *panel.findChildren(QWidget))
        if made.focusPolicy() != Qt.FocusPolicy.NoFocus and made.isEnabled()
    ]
    assert len(held_by) > 15
    for made in held_by:
        if isinstance(made, QComboBox):
            continue  # its list would open
        for name in ("1", "D", "A", "F", "Return", "Delete", "Tab", "BracketRight", "Space"):
            if made.isVisible():
                made.setFocus()
                QTest.keyClick(made, getattr(Qt.Key, f"Key_{name}"))
                spin(lambda: not model_of(asking).status.busy)
                assert nuclei() == before, f"{name} in {type(made).__name__}"


def test_the_model_is_let_choose_its_image_tokens_by_a_tick(
    asking: App, server: FakeServer, spin: Spin
) -> None:
    whom = panel_of(asking).whom
    asking.controller.ask.answerers.choose("vlm")
    settle()
    assert not whom._allocate.isVisible()  # it cannot
    server.fake.answering = [answerer_info(allocates=True)]
    asking.controller.ask.answerers.look()
    spin(whom._allocate.isVisible)
    QTest.mouseClick(whom._allocate, LEFT, pos=QPoint(10, whom._allocate.height() // 2))
    settle()
    assert model_of(asking).allocate
    assert whom._tokens.text() == "up to 256 image tokens"
    words = [action.text() for action in panel_of(asking).comparisons().actions()]
    assert "All 256 image tokens, and as many as the model chooses" in words
    ask(asking, "Is there necrosis?", spin, of="vlm")
    assert server.fake.asked[-1].allocate
    by = panel_of(asking).card._by.text().replace("\u200b", "")
    assert "of 256 image tokens, chosen by the model, 2 to look" in by
    asking.controller.ask.answerers.choose("counts")
    settle()
    assert not whom._allocate.isVisible()


def test_the_wheel_scrolls_the_panel_and_turns_no_choice(asking: App) -> None:
    asking.controller.ask.answerers.choose("vlm")
    settle()
    whom = panel_of(asking).whom
    for control in (whom._who, whom._budget):
        middle = control.rect().center()
        event = QWheelEvent(
            QPointF(middle),
            QPointF(control.mapToGlobal(middle)),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            NONE,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(control, event)
        settle()
    assert model_of(asking).answerer == "vlm"
    assert model_of(asking).budget == BUDGET_TOKENS


def test_escape_gives_the_keyboard_to_the_canvas(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    key(asking, "Escape")
    assert QApplication.focusWidget() is canvas_widget_of(asking.dock.window())
    assert not panel_of(asking).card.property("current")


def test_the_text_is_corrected_in_place_starting_from_what_was_said(
    asking: App, spin: Spin
) -> None:
    ask(asking, "Where?", spin, of="vlm")
    card = panel_of(asking).card
    said = model_of(asking).selected.answer.said.answer
    QTest.mouseClick(card._correct, LEFT)
    settle()
    assert card.editor.text.toPlainText() == said
    card.editor.text.selectAll()
    QTest.keyClicks(card.editor.text, "plasma cells 1 2 3")
    key(asking, "Return", CTRL)
    assert model_of(asking).selected.text == "plasma cells 1 2 3"
    assert rating_of(asking).says_nothing
    assert card.answer.toPlainText() == "plasma cells 1 2 3"
    assert f"It said: {said}" in words_of(card)
    assert not card.editor.isVisible()
    assert QApplication.focusWidget() is card
    key(asking, "Z", CTRL)
    settle()
    assert card.answer.toPlainText() == "lymphocytes"  # its box is on the image
    assert model_of(asking).selected.text == said
    QTest.mouseClick(card._correct, LEFT)
    settle()
    QTest.keyClicks(card.editor.text, "x")
    key(asking, "Escape")
    assert not card.editor.isVisible()
    assert model_of(asking).selected.text == said


def test_a_box_is_dragged_drawn_and_deleted_each_of_it_undone(asking: App, spin: Spin) -> None:
    ask(asking, "Where?", spin, of="vlm")
    card, mouse = panel_of(asking).card, Mouse(asking)
    (said,) = model_of(asking).boxes
    box = said.box
    QTest.mouseClick(card._correct, LEFT)
    settle()
    steps = asking.controller.model.undo_steps
    mouse.drag((30, 40), (40, 50), (50, 70), (60, 80))
    (dragged,) = model_of(asking).boxes
    assert asking.controller.model.undo_steps == steps + 1
    assert abs(dragged.box.x0 - box.x0 - 30) < 3
    assert abs(dragged.box.y0 - box.y0 - 40) < 3
    assert dragged.box.width == pytest.approx(box.width)
    assert "corrected its boxes" in words_of(card)
    mouse.key(Qt.Key.Key_Z, CTRL)
    assert model_of(asking).boxes == (said,)
    assert asking.dock.canvas.evidence.boxes.is_true()
    card.editor._draw.click()
    mouse.drag((100, 100), (120, 120), (150, 140))
    assert len(model_of(asking).boxes) == 2
    card.editor._move.click()
    mouse.click((120, 120))
    mouse.key(Qt.Key.Key_D)
    assert model_of(asking).boxes == (said,)
    assert len(asking.controller.model.state.nuclei) == 3, "D deleted a box, no nucleus"
    mouse.key(Qt.Key.Key_Escape)
    assert asking.viewer.layers.selection.active is asking.dock.canvas.nuclei.layer


def test_what_is_done_to_the_layers_of_an_answer_loses_nothing(asking: App, spin: Spin) -> None:
    ask(asking, "Where?", spin, of="vlm")
    canvas, viewer = asking.dock.canvas, asking.viewer
    boxes, said = canvas.evidence.boxes, model_of(asking).boxes
    viewer.layers.remove(boxes.layer)
    canvas.flush()
    assert boxes.layer in viewer.layers
    boxes.layer.name = "mine"
    boxes.layer.edge_color = "red"
    boxes.layer.translate = (5, 5)
    boxes.layer.mode = "add_ellipse"
    canvas.flush()
    assert boxes.is_true()
    assert boxes.layer.name == "Answer boxes"
    assert str(boxes.layer.mode) == "pan_zoom"
    assert tuple(boxes.layer.translate) == (0, 0)
    at = [viewer.layers.index(layer) for layer in canvas.layers()]
    assert at == sorted(at)
    assert model_of(asking).boxes == said


def test_two_answers_are_compared_blind_by_keys_and_named_afterwards(
    asking: App, server: FakeServer, spin: Spin
) -> None:
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    panel.form.text.setPlainText("Where are lymphocytes?")
    menu = panel.comparisons()
    actions = {action.text(): action for action in menu.actions()}
    assert "vlm and other" in actions
    actions["vlm and other"].trigger()
    menu.deleteLater()
    settle()
    assert panel.pair.isVisible()
    spin(lambda: model_of(asking).pair)
    settle()
    assert not panel.card.isVisible()
    seen = words_of(panel.pair) + words_of(panel.answers)
    for hidden in ("vlm", "other", "far.example", "tokens"):
        assert hidden not in seen
    key(asking, "1")  # stars are no vote
    assert model_of(asking).pair.preferred is None
    for preferred in PREFERRING:
        name = AnswerKeys().of(preferred)
        key(asking, name)
        assert model_of(asking).pair.preferred == preferred
        assert panel.pair.buttons[preferred].isChecked()
    seen = words_of(panel.pair)
    assert "vlm" in seen
    assert "far.example" in seen
    panel.pair._close.click()
    settle()
    assert not panel.pair.isVisible()
    assert model_of(asking).total == 2


def test_two_answers_of_the_list_are_compared_with_their_names(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    ask(asking, "Are there any nuclei?", spin)
    panel = panel_of(asking)
    panel.answers.list.selectAll()
    settle()
    assert panel.answers._compare.isVisible()
    panel.answers._compare.click()
    settle()
    assert "counts in no ranking" in words_of(panel.pair)
    assert "Counts" in words_of(panel.pair.left)


def test_the_list_is_searched_filtered_and_chosen_from(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    key(asking, "5")
    ask(asking, "Where?", spin, of="vlm")
    answers = panel_of(asking).answers
    assert answers.list.count() == 2
    QTest.keyClicks(answers.search, "HOW MANY")
    settle()
    assert answers.list.count() == 1
    assert "\N{BLACK STAR}" * 5 in answers.list.item(0).text()
    answers.list.setCurrentRow(0)
    settle()
    assert panel_of(asking).card.answer.toPlainText() == "3"
    answers.search.clear()
    answers.rated.setCurrentIndex(1)
    answers.rated.activated.emit(1)
    settle()
    assert [s.answer.by.name for s in model_of(asking).answers] == ["vlm"]
    answers.rated.setCurrentIndex(3)
    answers.rated.activated.emit(3)
    settle()
    assert answers.list.count() == 0
    assert "No answer fits" in words_of(answers)


def test_without_ratings_the_answers_stay(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    model_of(asking).ratings = False
    settle()
    panel = panel_of(asking)
    assert panel.card.answer.toPlainText() == "3"
    for made in (panel.card.rating, panel.card._correct, panel.compare, panel._agree):
        assert not made.isVisible()
    panel.card.setFocus()
    key(asking, "3")
    assert rating_of(asking).says_nothing


def test_an_answer_of_another_image_waits_there(
    asking: App, server: FakeServer, spin: Spin, tile: Callable[[str], Path]
) -> None:
    goes_on = threading.Event()
    server.fake.says = (SAID[:-9], lambda: goes_on.wait(PATIENCE_S), "</answer>")
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    panel.form.text.setPlainText("Where?")
    panel.ask()
    spin(lambda: model_of(asking).draft)
    asking.dock.show_tab(REVIEW)
    asking.controller.open.paths([tile("tile two.png")])
    spin(lambda: asking.controller.images.model.queue.index == 1)
    asking.dock.show_tab(ASK)
    settle()
    assert not panel.card.isVisible()
    assert asking.dock.canvas.evidence.layers() == []
    goes_on.set()
    spin(lambda: not model_of(asking).status.busy)
    settle()
    assert not panel.card.isVisible()
    asking.controller.images.previous()
    spin(lambda: model_of(asking).total == 1)


def test_the_window_closes_while_an_answer_is_written(
    asking: App, server: FakeServer, spin: Spin
) -> None:
    goes_on = threading.Event()
    server.fake.says = (SAID[:-9], lambda: goes_on.wait(PATIENCE_S), "</answer>")
    asking.controller.ask.answerers.choose("vlm")
    panel_of(asking).form.text.setPlainText("Where?")
    panel_of(asking).ask()
    spin(lambda: model_of(asking).draft)
    threading.Timer(0.2, goes_on.set).start()
    asking.close()
    assert not asking.dock.is_open


def test_an_answerer_that_fails_is_a_sentence(asking: App, server: FakeServer, spin: Spin) -> None:
    server.fake.says = (SAID[:20], ServerError("The model at 127.0.0.1 broke off. Ask again."))
    ask(asking, "Where?", spin, of="vlm")
    assert "broke off" in asking.controller.model.notice.words
    assert panel_of(asking).go.text() == "Ask"


def test_lists_that_the_project_keeps_fill_the_form(asking: App, spin: Spin) -> None:
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    settle()
    QTest.mouseClick(panel.form._tasks._group.button(1), LEFT)
    settle()
    assert "two categories" in panel._missing.text()
    panel.form.subtypes.setPlainText("ductal\nlobular\n\n  mucinous ")
    assert panel.form.question().options == ("ductal", "lobular", "mucinous")
    assert panel.go.isEnabled()
    name = panel.form._pages.currentWidget().findChild(EntryLine)
    name.ask()
    QTest.keyClicks(name, "breast")
    QTest.keyClick(name, Qt.Key.Key_Return)
    settle()
    assert panel.form._lists[1].currentText() == "breast"
    panel.form.subtypes.clear()
    lists = panel.form._lists[1]
    lists.setCurrentIndex(1)
    lists.activated.emit(1)
    assert panel.form.question().options == ("ductal", "lobular", "mucinous")


def test_lesions_are_asked_for_with_suggestions(asking: App, spin: Spin) -> None:
    panel = panel_of(asking)
    asking.controller.ask.answerers.choose("vlm")
    QTest.mouseClick(panel.form._tasks._group.button(2), LEFT)
    settle()
    panel.form.lesion.setEditText("necrosis")
    assert not panel.go.isEnabled()
    panel.form.organ.setEditText("breast")
    assert panel.go.isEnabled()
    QTest.keyClick(panel.form.organ.lineEdit(), Qt.Key.Key_Return)
    spin(lambda: model_of(asking).selected)
    settle()
    assert "Find necrosis in breast" in words_of(panel.card)
    assert [panel.form.lesion.itemText(0), panel.form.lesion.currentText()] == ["necrosis"] * 2


def test_a_region_is_drawn_for_a_question(asking: App, spin: Spin) -> None:
    panel = panel_of(asking)
    QTest.mouseClick(panel.whom._where._group.button(1), LEFT)
    settle()
    assert "Drag a rectangle" in words_of(panel.whom)
    Mouse(asking).drag((10, 20), (30, 40), (40, 45))
    assert asking.controller.view.model.region is not None
    ask(asking, "How many nuclei are there?", spin)
    assert panel.card.answer.toPlainText() == "1"


def test_what_opens_a_box_to_type_into_takes_the_keyboard(asking: App, spin: Spin) -> None:
    """Letters on the canvas are keys: O hides outlines, D deletes."""
    panel = panel_of(asking)
    form, before = panel.form, asking.controller.model.undo_steps
    asking.controller.ask.answerers.choose("vlm")
    settle()
    buttons = form._tasks._group.buttons()
    for clicked in (form._more, form._more, buttons[1], buttons[2], buttons[0]):
        asking.viewer.window._qt_viewer.canvas.native.setFocus()
        QTest.mouseClick(clicked, LEFT)
        settle()
        QTest.keyClicks(asking.dock.window().focusWidget(), "od")
    assert form.text.toPlainText() == "odod"
    assert form.subtypes.toPlainText() == form.lesion.currentText() == "od"
    assert asking.controller.model.undo_steps == before
    assert asking.controller.view.model.outlines


@pytest.mark.parametrize("of", ["counts", "vlm"])
def test_the_panel_is_as_wide_as_its_dock_on_a_laptop(asking: App, spin: Spin, of: str) -> None:
    ask(asking, "Where are nuclei?", spin, of=of)
    panel = panel_of(asking)
    panel.card._correct.click()
    panel.form._more.click()
    panel.card.rating._say.click()
    inside, view = panel._area.widget(), panel._area.viewport()
    for theme in ("dark", "light"):
        asking.viewer.theme = theme
        settle()
        assert inside.minimumSizeHint().width() <= view.width()
        assert inside.width() <= view.width()
        assert asking.dock.window().height() == 768
        for made in inside.findChildren(QWidget):
            if made.isVisible() and made.focusPolicy() != Qt.FocusPolicy.NoFocus:
                right = made.mapTo(inside, QPoint(made.width(), 0)).x()
                assert right <= view.width(), made


def test_models_are_added_removed_and_looked_for(
    asking: App, server: FakeServer, spin: Spin
) -> None:
    whom = panel_of(asking).whom
    assert not whom._add.isVisible()
    assert whom._more.isVisible()

    def choose(words: str) -> None:
        menu = whom.menu()
        (action,) = [a for a in menu.actions() if a.text() == words]
        action.trigger()
        menu.deleteLater()
        settle()

    asking.controller.ask.answerers.choose("vlm")
    choose("Add a model\N{HORIZONTAL ELLIPSIS}")
    QTest.keyClicks(whom._address, "near=http://127.0.0.1:9/v1#m")
    key(asking, "Return")
    spin(lambda: server.answerers == ("near=http://127.0.0.1:9/v1#m",))
    spin(lambda: not model_of(asking).looking)
    server.fake.answering = []
    choose("Look for models again")
    spin(lambda: len(model_of(asking).answerers) == 1)
    settle()
    assert model_of(asking).answerer == "counts"
    assert whom._add.isVisible()


def test_whether_readers_agree_is_said_in_sight(asking: App, spin: Spin) -> None:
    ask(asking, "How many nuclei are there?", spin)
    panel = panel_of(asking)
    panel._agree.click()
    spin(lambda: model_of(asking).agreement)
    settle()
    assert "not enough" in panel._agreement.text().casefold()
    top = panel._agreement.mapTo(panel._area.viewport(), QPoint(0, 0)).y()
    assert 0 <= top < panel._area.viewport().height()
