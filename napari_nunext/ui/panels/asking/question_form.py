"""What is asked: a question, a subtype of some, or where lesions are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_nunext.core.answers.prompts import MOST_CHARACTERS, Question
from napari_nunext.core.errors import InputError
from napari_nunext.core.process.asked import TASKS
from napari_nunext.ui.widgets.controls import EntryLine, Segments, Text, button, row
from napari_nunext.ui.widgets.plain_text import TextBox

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_nunext.core.process.asked import AskTask
    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.connections import Connections

ORDER: tuple[AskTask, ...] = tuple(TASKS)
OWN_LIST = "a list that is kept\N{HORIZONTAL ELLIPSIS}"


class QuestionForm(QWidget):
    """Holds what is typed, whatever image is shown."""

    changed = Signal()
    entered = Signal()
    """Ask it."""

    def __init__(self, asker: Asker, connections: Connections) -> None:
        super().__init__()
        self._asker = asker
        self._lists: list[QComboBox] = []
        self._tasks = Segments(list(TASKS.values()))
        self._too_long = Text(role="caution", wraps=True)
        self._too_long.hide()
        self._pages = QStackedWidget()
        self._shown_pages = self._question_page(), self._subtype_page(), self._lesions_page()
        for page in self._shown_pages:
            self._pages.addWidget(page)
        layout = _column(self)
        layout.addWidget(self._tasks)
        layout.addWidget(self._pages)
        layout.addWidget(self._too_long)
        self._tasks.chosen.connect(self._show_page)
        # What opens a box to type into takes the keyboard: on the canvas letters are keys.
        self._tasks.chosen.connect(lambda _: self.take_keyboard())
        connections.call(self._show_kept, asker.model.events.kept)
        connections.call(self._show_suggestions, asker.model.events.suggestions)
        self._show_kept()
        self._show_suggestions()
        self._show_page(0)

    @property
    def task(self) -> AskTask:
        """What kind of question it is."""
        return ORDER[self._tasks.index()]

    def show_tasks(self, tasks: Collection[AskTask], tip: str) -> None:
        """Offer these kinds alone; `tip` says why not the others."""
        for i, task in enumerate(ORDER):
            self._tasks.set_enabled(i, task in tasks, "" if task in tasks else tip)

    def typed(self) -> tuple[str, tuple[str, ...], str]:
        """Words, options and organ as they are typed, whether that can be asked or not."""
        match self.task:
            case "question":
                return self.text.toPlainText(), self._lines(self.options), ""
            case "subtype":
                return "", self._lines(self.subtypes), ""
            case "lesions":
                return self.lesion.currentText().strip(), (), self.organ.currentText().strip()

    def question(self) -> Question:
        """What is asked; raises `InputError` with what is missing."""
        words, options, organ = self.typed()
        return Question(self.task, words, options, organ)

    def show_question(self, question: Question) -> None:
        """Show a question as if it had been typed."""
        index = ORDER.index(question.task)
        self._tasks.choose(index)
        self._show_page(index)
        lines = "\n".join(question.options)
        match question.task:
            case "question":
                self.text.setPlainText(question.text)
                if bool(lines) == self.options.isHidden():
                    self._toggle_options()
                self.options.setPlainText(lines)
            case "subtype":
                self.subtypes.setPlainText(lines)
            case "lesions":
                self.lesion.setEditText(question.text)
                self.organ.setEditText(question.organ)

    def take_keyboard(self) -> None:
        """Let the person go on typing."""
        match self.task:
            case "question":
                self.text.setFocus()
            case "subtype":
                self.subtypes.setFocus()
            case "lesions":
                self.lesion.setFocus()

    def problem(self) -> str:
        """Why it cannot be asked yet; empty where it can."""
        try:
            self.question()
        except InputError as error:
            return str(error)
        return ""

    # Pages

    def _question_page(self) -> QWidget:
        self.text = self._box("How many lymphocytes are there?", "Question", returns=True)
        self._more = button("+  Options to choose from", role="link")
        self.options = self._box("One option a line", "Options")
        self._kept_options = self._kept_row(self.options)
        for made in (self.options, self._kept_options):
            made.hide()
        self._more.clicked.connect(self._toggle_options)
        return _page(self.text, self._more, self.options, self._kept_options)

    def _subtype_page(self) -> QWidget:
        self.subtypes = self._box("One category a line, two or more", "Categories", lines=3)
        return _page(self.subtypes, self._kept_row(self.subtypes))

    def _lesions_page(self) -> QWidget:
        self.lesion = self._suggesting("tumour necrosis", "Category of lesions")
        self.organ = self._suggesting("breast", "Organ")
        page = QWidget()
        layout = _column(page)
        layout.addLayout(row(Text("Find"), self.lesion, stretch=1))
        layout.addLayout(row(Text("in"), self.organ, stretch=1))
        return page

    def _box(
        self, placeholder: str, name: str, *, lines: int = 2, returns: bool = False
    ) -> TextBox:
        made = TextBox(
            placeholder,
            name=name,
            most=MOST_CHARACTERS,
            lines=lines,
            returns=returns,
            tallest_px=110,
        )
        made.textChanged.connect(self._follow)
        made.entered.connect(self.entered.emit)
        made.left_out.connect(self._say_left_out)
        return made

    def _suggesting(self, placeholder: str, name: str) -> QComboBox:
        made, line = QComboBox(), QLineEdit()
        made.setLineEdit(line)
        made.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        made.setMinimumContentsLength(8)
        line.setPlaceholderText(placeholder)
        line.setMaxLength(MOST_CHARACTERS // 2)
        line.setAcceptDrops(False)
        made.setAccessibleName(name)
        line.setAccessibleName(name)
        made.editTextChanged.connect(self._follow)
        line.returnPressed.connect(self.entered.emit)
        return made

    def _kept_row(self, box: TextBox) -> QWidget:
        """Take the lines of a box from a list that the project keeps, or keep them as one."""
        lists = QComboBox()
        lists.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        lists.setAccessibleName("Lists that the project keeps")
        lists.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        lists.setMinimumContentsLength(8)
        self._lists.append(lists)
        keep = button("Keep", tip="Keep these lines in the project, under a name")
        name = EntryLine("Name of the list, then Enter")
        made = QWidget()
        layout = _column(made)
        layout.addLayout(row(lists, keep, stretch=0))
        layout.addWidget(name)

        def choose(index: int) -> None:
            if index > 0:
                box.setPlainText("\n".join(self._asker.model.kept[lists.itemText(index)]))

        def ask_name() -> None:
            if lists.currentIndex() > 0:
                name.setText(lists.currentText())
            name.ask()

        def keep_as(text: str) -> None:
            self._asker.lists.keep(text, self._lines(box))
            lists.setCurrentIndex(max(lists.findText(text), 0))

        lists.activated.connect(choose)
        keep.clicked.connect(ask_name)
        name.entered.connect(keep_as)
        return made

    # What is shown

    def _show_page(self, index: int) -> None:
        self._pages.setCurrentIndex(index)
        preferred, ignored = QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored
        for i, page in enumerate(self._shown_pages):  # or it is as high as the highest of them
            page.setSizePolicy(preferred, preferred if i == index else ignored)
        self._too_long.hide()
        self.changed.emit()

    def _toggle_options(self) -> None:
        shows = self.options.isHidden()
        self.options.setVisible(shows)
        self._kept_options.setVisible(shows)
        if not shows:
            self.options.clear()
        self._more.setText("\N{MINUS SIGN}  No options" if shows else "+  Options to choose from")
        (self.options if shows else self.text).setFocus()

    def _show_kept(self) -> None:
        for lists in self._lists:
            lists.clear()
            lists.addItems([OWN_LIST, *self._asker.model.kept])
            lists.setEnabled(lists.count() > 1)

    def _show_suggestions(self) -> None:
        known = self._asker.model.suggestions
        for box, words in ((self.lesion, known.lesions), (self.organ, known.organs)):
            typed = box.currentText()
            box.clear()
            box.addItems(list(words))
            box.setEditText(typed)

    def _follow(self) -> None:
        self._too_long.hide()
        self.changed.emit()

    def _say_left_out(self, count: int) -> None:
        self._too_long.setText(
            f"{count} characters did not fit: a question has {MOST_CHARACTERS} at most."
        )
        self._too_long.show()

    @staticmethod
    def _lines(box: TextBox) -> tuple[str, ...]:
        lines = (line.strip() for line in box.toPlainText().splitlines())
        return tuple(line for line in lines if line)


def _column(widget: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    return layout


def _page(*widgets: QWidget) -> QWidget:
    made = QWidget()
    layout = _column(made)
    for widget in widgets:
        layout.addWidget(widget)
    return made
