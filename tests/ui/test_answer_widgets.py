"""Stars, chips and plain text: by mouse, by key, for a screen reader, with any text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QHelpEvent, QMouseEvent, QTextDocument, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QPushButton,
    QSlider,
    QSpinBox,
    QToolTip,
    QVBoxLayout,
    QWidget,
)

from napari_nunext.core.answers.opinions import MOST_STARS, STARS, Rating
from napari_nunext.ui.widgets.chips import Chips
from napari_nunext.ui.widgets.controls import ElidedText, StatusDot, Text, button
from napari_nunext.ui.widgets.flow import Flow
from napari_nunext.ui.widgets.plain_text import PlainView, TextBox
from napari_nunext.ui.widgets.scrolling import scrolling
from napari_nunext.ui.widgets.stars import Stars
from napari_nunext.ui.widgets.theme import DARK, DOCK_NAME, LIGHT, Palette, style_sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEFT = Qt.MouseButton.LeftButton
MARKUP = '<b>bold</b><img src="file:///nowhere.png"><a href="https://example.org">a link</a> &amp;'
LINE = "The server is on its way, model by model"
BOTH_WAYS = "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} and \N{RIGHT-TO-LEFT OVERRIDE}turned"


@pytest.fixture(params=[DARK, LIGHT], ids=lambda palette: palette.name)
def shown(qapp: QApplication, request: pytest.FixtureRequest) -> Iterator[Callable[..., QWidget]]:
    """Show widgets as the dock does, as wide as the dock."""
    palette: Palette = request.param
    dock = QWidget()
    dock.setObjectName(DOCK_NAME)
    dock.setStyleSheet(style_sheet(palette))
    dock.resize(340, 400)
    layout = QVBoxLayout(dock)

    def show(widget: QWidget) -> QWidget:
        layout.addWidget(widget)
        layout.addStretch(1)
        if isinstance(widget, Stars):
            widget.set_palette(palette)
        dock.show()
        QApplication.processEvents()
        return widget

    yield show
    dock.close()
    dock.deleteLater()


def test_stars_tell_what_was_clicked_and_show_what_they_are_told(
    shown: Callable[..., Stars],
) -> None:
    stars = shown(Stars())
    rating = Rating()

    def rate(number: int) -> None:
        nonlocal rating
        rating = rating.with_stars(number)
        stars.show_stars(rating.stars)

    stars.clicked.connect(rate)
    for clicked, then in ((3, 3), (5, 5), (5, None), (1, 1)):
        QTest.mouseClick(stars.star(clicked), LEFT)
        assert stars.stars() == then
        assert [n for n in STARS if stars.star(n).isChecked()] == ([then] if then else [])
    stars.star(2).setFocus()
    QTest.keyClick(stars.star(2), Qt.Key.Key_Space)
    assert stars.stars() == 2


def second_click(widget: QWidget) -> None:
    """The second of two quick clicks, as Qt delivers it to whatever is there by then."""
    middle = QPointF(widget.rect().center())
    where = middle, QPointF(widget.mapToGlobal(widget.rect().center()))
    kinds = QEvent.Type.MouseButtonDblClick, QEvent.Type.MouseButtonRelease
    for kind, held in zip(kinds, (LEFT, Qt.MouseButton.NoButton), strict=True):
        event = QMouseEvent(kind, *where, LEFT, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(widget, event)


def twice(widget: QWidget) -> None:
    """Click on it as an impatient person does."""
    QTest.mouseClick(widget, LEFT)
    second_click(widget)


def test_a_double_click_gives_a_star_or_a_reason_and_does_not_take_it_back(
    shown: Callable[..., QWidget],
) -> None:
    stars = shown(Stars())
    clicked: list[object] = []
    stars.clicked.connect(clicked.append)
    twice(stars.star(4))
    assert clicked == [4]
    chips = shown(Chips(list(MOST_STARS)))
    chips.clicked.connect(clicked.append)
    twice(chips.chip("unsafe"))
    assert clicked == [4, "unsafe"]


def test_the_second_of_two_quick_clicks_is_none_also_on_what_came_up_there(
    shown: Callable[..., QWidget],
) -> None:
    done: list[str] = []
    begin, stop = shown(button("Begin")), shown(button("Stop"))
    stop.hide()
    begin.clicked.connect(lambda: (done.append("begin"), begin.hide(), stop.show()))
    stop.clicked.connect(lambda: done.append("stop"))
    QTest.mouseClick(begin, LEFT)
    second_click(stop)
    assert done == ["begin"]
    QTest.mouseClick(stop, LEFT)
    assert done == ["begin", "stop"]


def test_what_goes_a_step_further_counts_every_click(shown: Callable[..., QWidget]) -> None:
    steps: list[str] = []
    step = shown(button("Go to the next", repeats=True))
    step.clicked.connect(lambda: steps.append("step"))
    twice(step)
    assert len(steps) == 2


def test_a_click_changes_nothing_until_the_owner_says_so(shown: Callable[..., QWidget]) -> None:
    stars = shown(Stars())
    QTest.mouseClick(stars.star(4), LEFT)
    assert stars.stars() is None
    assert not stars.star(4).isChecked()
    chips = Chips(list(MOST_STARS))
    chips.chip("unsafe").click()
    assert chips.chosen() == []
    chips.deleteLater()


def test_every_star_says_what_it_means_to_eyes_and_to_a_screen_reader(
    shown: Callable[..., Stars],
) -> None:
    stars = shown(Stars())
    for number, meaning in STARS.items():
        assert meaning in stars.star(number).accessibleName()
        assert meaning in stars._meanings.text().replace("\N{NO-BREAK SPACE}", " ")
    assert stars._meanings.isVisible()
    assert stars._meanings.width() <= stars.width()
    narrow = stars.minimumSizeHint().width()
    for number in STARS:
        stars.show_stars(number)
        assert stars.minimumSizeHint().width() <= narrow


def test_several_chips_are_on_at_once_and_break_into_lines(shown: Callable[..., Chips]) -> None:
    chips = shown(Chips(list(MOST_STARS), about="Reason"))
    clicked: list[str] = []
    chips.clicked.connect(clicked.append)
    for name in ("unsafe", "too vague"):
        QTest.mouseClick(chips.chip(name), LEFT)
    assert clicked == ["unsafe", "too vague"]
    chips.show_chosen(clicked)
    assert chips.chosen() == ["unsafe", "too vague"]
    assert chips.chip("unsafe").accessibleName() == "Reason: unsafe"
    places = [chips.chip(name).geometry() for name in MOST_STARS]
    assert len({place.top() for place in places}) > 1
    assert all(chips.rect().contains(place) for place in places)
    assert not any(a.intersects(b) for i, a in enumerate(places) for b in places[:i])


def test_a_flow_takes_no_room_for_what_is_hidden(shown: Callable[..., QWidget]) -> None:
    made = QWidget()
    buttons = [QPushButton(str(i)) for i in range(3)]
    flow = Flow(buttons)
    made.setLayout(flow)
    shown(made)
    before = flow.heightForWidth(60)
    buttons[1].hide()
    assert flow.heightForWidth(60) < before
    assert flow.takeAt(1).widget() is buttons[1]
    assert flow.takeAt(5) is None
    assert flow.count() == 2


@pytest.mark.parametrize("text", [MARKUP, BOTH_WAYS, "A" * 100_000, "a\nb\n" * 30_000, ""])
def test_text_is_shown_as_it_stands_and_stays_in_its_field(
    shown: Callable[..., PlainView], text: str
) -> None:
    view = shown(PlainView(tallest_px=120))
    view.show_text(text)
    QApplication.processEvents()
    assert view.toPlainText().replace("\n", "") == text.replace("\n", "")
    if "A" * 1001 not in text:
        assert view.toPlainText() == text
    assert view.height() <= 120
    assert view.width() <= 340
    assert not view.horizontalScrollBar().isVisible()


def test_text_that_goes_on_keeps_what_is_selected(shown: Callable[..., PlainView]) -> None:
    view = shown(PlainView())
    view.show_text("Many lymphocytes")
    cursor = view.textCursor()
    cursor.setPosition(0)
    cursor.setPosition(4, cursor.MoveMode.KeepAnchor)
    view.setTextCursor(cursor)
    view.show_text("Many lymphocytes and plasma cells")
    assert view.textCursor().selectedText() == "Many"
    assert view.toPlainText().endswith("plasma cells")
    view.show_text("Other")
    assert view.toPlainText() == "Other"


def test_a_view_grows_and_shrinks_with_its_text(shown: Callable[..., PlainView]) -> None:
    view = shown(PlainView())
    view.show_text("one")
    QApplication.processEvents()
    one_px = view.height()
    view.show_text("one\ntwo\nthree")
    QApplication.processEvents()
    assert view.height() > one_px
    view.show_text("one")
    QApplication.processEvents()
    assert view.height() == one_px


@pytest.mark.parametrize(
    ("returns", "modifier", "hands_in"),
    [
        (False, Qt.KeyboardModifier.NoModifier, False),
        (False, Qt.KeyboardModifier.ControlModifier, True),
        (True, Qt.KeyboardModifier.NoModifier, True),
        (True, Qt.KeyboardModifier.ShiftModifier, False),
    ],
)
@pytest.mark.parametrize("key", [Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_return_hands_in_or_begins_a_line(
    shown: Callable[..., TextBox],
    returns: bool,
    modifier: Qt.KeyboardModifier,
    hands_in: bool,
    key: Qt.Key,
) -> None:
    box = shown(TextBox("What to ask", most=100, returns=returns))
    told: list[str] = []
    box.entered.connect(lambda: told.append("entered"))
    box.given_up.connect(lambda: told.append("given up"))
    QTest.keyClicks(box, "1 2 3")
    QTest.keyClick(box, key, modifier)
    assert told == (["entered"] if hands_in else [])
    assert box.toPlainText().startswith("1 2 3")
    QTest.keyClick(box, Qt.Key.Key_Escape)
    assert told[-1] == "given up"


def test_no_key_of_a_text_reaches_what_it_lies_on(shown: Callable[..., QWidget]) -> None:
    box = TextBox("Type", most=100)
    heard: list[int] = []

    class Under(QWidget):
        def keyPressEvent(self, event: object) -> None:
            heard.append(event.key())

    under = Under()
    QVBoxLayout(under).addWidget(box)
    shown(under)
    for key in (Qt.Key.Key_F5, Qt.Key.Key_Return, Qt.Key.Key_Up, Qt.Key.Key_3, Qt.Key.Key_Escape):
        QTest.keyClick(box, key)
    assert heard == []


def test_files_are_not_dropped_into_a_text(shown: Callable[..., TextBox]) -> None:
    assert not shown(TextBox("Type", most=100)).acceptDrops()


def test_what_is_pasted_beyond_the_most_is_left_out_and_said(
    shown: Callable[..., TextBox],
) -> None:
    box = shown(TextBox("Type", most=8000))
    left_out: list[int] = []
    box.left_out.connect(left_out.append)
    QTest.keyClicks(box, "12")
    QApplication.clipboard().setText("A" * 100_000)
    box.paste()
    assert box.toPlainText() == "12" + "A" * 7998
    assert left_out == [92_002]
    box.selectAll()
    QApplication.clipboard().setText(MARKUP)
    box.paste()
    assert box.toPlainText() == MARKUP
    assert len(left_out) == 1


def test_a_view_takes_the_mouse_but_leaves_the_keys(shown: Callable[..., PlainView]) -> None:
    view = shown(PlainView())
    view.show_text("text")
    QTest.mouseClick(view.viewport(), LEFT, pos=QPoint(3, 5))
    QTest.keyClicks(view, "123")
    assert view.toPlainText() == "text"


@pytest.mark.parametrize("make", [QComboBox, QSlider, QSpinBox])
def test_the_wheel_turns_no_choice_that_it_passes_over(
    shown: Callable[..., QWidget], make: type[QComboBox | QSlider | QSpinBox]
) -> None:
    control, panel = make(), QWidget()
    if isinstance(control, QComboBox):
        control.addItems(["one", "two"])
    column = QVBoxLayout(panel)
    column.addWidget(control)
    column.addSpacing(2000)
    shown(scrolling(panel))

    def turned() -> int:
        return control.currentIndex() if isinstance(control, QComboBox) else control.value()

    before, place = turned(), QPointF(control.rect().center())
    wheel = QWheelEvent(
        place,
        QPointF(control.mapToGlobal(place.toPoint())),
        QPoint(0, 0),
        QPoint(0, -120 if make is QComboBox else 120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(control, wheel)
    QApplication.processEvents()
    assert turned() == before


def test_a_tip_is_text_as_it_stands(qapp: QApplication) -> None:
    made = ElidedText(MARKUP)
    shown_as = QTextDocument()
    shown_as.setHtml(made.toolTip())
    assert shown_as.toPlainText() == MARKUP
    made.set_text("1 & 2")
    assert made.toolTip() == "1 & 2"
    made.deleteLater()


def tip_of(label: QWidget) -> str:
    """The tip that a pointer on a widget brings up; it is put away at once, as no timer would."""
    ask = QHelpEvent(QEvent.Type.ToolTip, QPoint(2, 2), label.mapToGlobal(QPoint(2, 2)))
    QApplication.sendEvent(label, ask)
    text: str = QToolTip.text()
    for window in QApplication.topLevelWidgets():
        if window.inherits("QTipLabel"):
            window.close()
    return text


@pytest.mark.parametrize("kind", [Text, ElidedText])
def test_words_that_outgrow_their_place_end_in_an_ellipsis_and_have_a_tip(
    shown: Callable[..., QWidget], kind: type[Text]
) -> None:
    label = shown(kind(LINE))
    assert label.shown_text() == LINE
    needed_px = label.fontMetrics().horizontalAdvance(LINE)
    for room_px in (needed_px + 2, needed_px - 1, needed_px // 2, 20):
        label.setFixedWidth(room_px)
        QApplication.processEvents()
        words = label.shown_text()
        assert label.fontMetrics().horizontalAdvance(words) <= room_px
        assert (words == LINE) == (room_px >= needed_px)
        assert ("\N{HORIZONTAL ELLIPSIS}" in words) == (room_px < needed_px)
        # What is drawn ends before the edge: nothing of a letter is cut off there.
        image = label.grab().toImage()
        edge = {image.pixel(image.width() - 1, y) for y in range(image.height())}
        assert len(edge) == 1
    assert tip_of(label) == LINE


def test_a_hidden_end_and_the_tip_of_what_it_stands_in_are_both_told(
    shown: Callable[..., QWidget],
) -> None:
    dot = shown(StatusDot("Why"))
    dot.show_status("#888888", LINE)
    label = dot.findChild(Text)
    dot.setFixedWidth(60)
    QApplication.processEvents()
    assert label.shown_text() != LINE
    assert tip_of(label) == f"{LINE}\nWhy"
