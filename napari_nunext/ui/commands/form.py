"""A form as napari's own, made by magicgui of typed parameters (`core.process.parameters`).

A field is made of its parameter: its label, its unit, its help, its choices in words. What cannot
be taken is said below its field, how it goes below the button. It scrolls, so that it fits a window
of any height. Tab goes from field to field as they are seen, Return begins on the button alone, and
Escape closes the form.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from magicgui import magicgui
from magicgui.widgets import ComboBox, FileEdit, PushButton
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QDockWidget, QLabel, QMainWindow, QScrollArea, QWidget

from napari_nunext.core.errors import InputError, NunextError
from napari_nunext.core.process.parameters import parameters_of
from napari_nunext.review.connections import Connections
from napari_nunext.ui.commands.fields import (
    is_blank,
    is_list_of_texts,
    is_written,
    label,
    line,
    shown_signature,
)
from napari_nunext.ui.widgets.scrolling import fit_screen_soon, guard_wheel, soon

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from magicgui.widgets import FunctionGui
    from magicgui.widgets.bases import ValueWidget
    from qtpy.QtGui import QKeyEvent, QShowEvent

    from napari_nunext.core.process.parameters import Parameter

logger = logging.getLogger(__name__)

SAID = "said"
"""The line of a form that says how it went. Not napari's notifications: one that goes gives the
keyboard to the image, where the letters of a half typed name are keys, and Return accepts."""
PROBLEM = "_problem"
"""How the line below a field is called, after the field: why its value cannot be taken."""


AS_USUAL = "as usual"
"""What stands in a field that is left empty."""
LINES_PX = 70
"""Height of a field with a line for each value."""
SHORTEST_CHOICE, FITS = 10, QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
"""Letters of a choice that are always seen: the longest would make the form wider than the dock."""
LEAST_PX = 320
"""A form that has less height is not seen well enough to be filled in."""


class RefusedError(InputError):
    """A value that cannot be taken, with the field that it stands in."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


class Form(QScrollArea):
    """Asks for the parameters of a function or dataclass.

    Parameters
    ----------
    asked : callable
        Says its parameters.
    verb : str
        What the button says.
    act : callable
        Given the values by name when the button is pressed, on the main thread: it begins what is
        asked for, and says how it goes by `say`. A `NunextError` that it raises is said in words.
    choices : mapping of str to callable
        What can be chosen in fields whose choices only the window knows.
    """

    def __init__(
        self,
        asked: Callable[..., Any],
        verb: str,
        act: Callable[[Form, dict[str, Any]], None],
        choices: Mapping[str, Callable[..., Sequence[str]]] | None = None,
    ) -> None:
        super().__init__()
        self._verb, self._act = verb, act
        self.parameters = {each.name: each for each in parameters_of(asked)}
        self.connections = Connections()
        self.fields = self._made(asked, choices or {})
        self.setObjectName(f"nunext-{verb.lower()}-form")
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = self.fields.native
        self.setWidget(inside)
        guard_wheel(inside, self)
        self._be_wide_enough()
        self._neighbour: Callable[[], QWidget | None] = lambda: None
        self._close: Callable[[Form], None] = lambda _: None
        self._is_placed = False
        connections = self.connections
        self.destroyed.connect(lambda: connections.cut())

    def share_place_with(self, neighbour: Callable[[], QWidget | None]) -> None:
        """Where both do not fit below each other, be a tab beside this widget."""
        self._neighbour = neighbour

    def on_escape(self, close: Callable[[Form], None]) -> None:
        """How the form is closed by the keyboard; without this, it stays."""
        self._close = close

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close at Escape. Return in a field does nothing: the keys of the image are not meant."""
        if event.key() == Qt.Key.Key_Escape:
            self._close(self)
        elif event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Find a place when it is first shown: napari has put it into a frame by then."""
        super().showEvent(event)
        if not self._is_placed:
            self._is_placed = True
            soon(self, self._find_place)

    def _align_labels(self) -> None:
        """Give all labels one width: magicgui measured them in another font than is shown."""
        rows = {each.name: _label_of(each.native.parentWidget()) for each in self.fields}
        labels = [made for name, made in rows.items() if made and name in self.parameters]
        for name, made in rows.items():
            if made is not None:  # a line of words has none, and all of the width
                widths = [each.sizeHint().width() for each in labels if name in self.parameters]
                made.setFixedWidth(max(widths, default=0))

    def _be_wide_enough(self) -> None:
        """Have no part that would have to be scrolled to sideways."""
        self.setMinimumWidth(self.fields.native.minimumSizeHint().width() + self._bar_px())

    def _find_place(self) -> None:
        self._align_labels()
        self.fields.native.layout().activate()
        self._be_wide_enough()
        self._make_room()
        self._take_keyboard()

    def _make_room(self) -> None:
        frame, other = frame_of(self), frame_of(self._neighbour())
        window = self.window()
        if frame is None or other is None or frame.isFloating():
            return
        wanted_px = min(self.fields.native.sizeHint().height(), LEAST_PX)
        if isinstance(window, QMainWindow) and self.height() < wanted_px:
            window.tabifyDockWidget(other, frame)
            frame.raise_()
            fit_screen_soon(window)

    def _take_keyboard(self) -> None:
        """Let a person type at once: on the image, and on a dock behind this, letters are keys."""
        _give_keyboard(self.fields.native)

    def __getitem__(self, name: str) -> ValueWidget[Any]:
        found: Any = self.fields[name]
        return found

    def say(self, words: str) -> None:
        """Say how it goes, in sight."""
        self[SAID].value = words
        if words:
            self._bring_into_sight(SAID)

    def show_value(self, name: str, value: Any) -> None:
        """Put a value into a field."""
        parameter, field = self.parameters[name], self[name]
        self._refuse(name, "")
        if is_list_of_texts(parameter):
            field.value = "\n".join(value)
        elif is_written(parameter):
            field.value = parameter.write(value)
        else:
            field.value = value

    def value(self, name: str) -> Any:
        """What a field says; raises `InputError` for what cannot be taken."""
        return self._read(self.parameters[name], self[name].value)

    def problem(self, name: str) -> str:
        """Why the value of a field is not taken; empty where it was."""
        return str(self[name + PROBLEM].value)

    def run(self, **given: Any) -> None:
        """Take what is typed, and begin; what cannot be taken is said."""
        values = self._values(given)
        if values is None:
            self.say("")
            return
        missing = [
            each
            for each in self.parameters.values()
            if each.is_needed and is_blank(values[each.name])
        ]
        if missing:
            self.say(f"Say first: {', '.join(each.label for each in missing)}.")
            _give_keyboard(self[missing[0].name].native)
            return
        try:
            self._act(self, {name: v for name, v in values.items() if not is_blank(v)})
        except RefusedError as error:
            self._refuse(error.name, str(error))
            self.say("")
            _give_keyboard(self[error.name].native)
        except (NunextError, OSError) as error:
            self.say(str(error) or type(error).__name__)

    def failed(self, error: BaseException) -> None:
        """Say what went wrong."""
        if not isinstance(error, NunextError | OSError):
            logger.error("%s failed", self._verb, exc_info=error)
        self.say(str(error) or type(error).__name__)

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """The values of all fields; None where one cannot be taken, which is said below it."""
        values, refused = {}, list[str]()
        for name, parameter in self.parameters.items():
            self._refuse(name, "")
            try:
                values[name] = self._read(parameter, given[name])
            except InputError as error:
                self._refuse(name, f"{error}.")
                refused.append(name)
        if refused:
            _give_keyboard(self[refused[0]].native)
            return None
        return values

    @staticmethod
    def _read(parameter: Parameter, value: Any) -> Any:
        if is_list_of_texts(parameter):
            return tuple(line.strip() for line in value.splitlines() if line.strip())
        if is_written(parameter) and isinstance(value, str):
            read = parameter.read(value)
            return parameter.default if read is None else read
        return value

    def _refuse(self, name: str, words: str) -> None:
        below = self[name + PROBLEM]
        below.value = words
        below.visible = bool(words)
        if words:
            self._bring_into_sight(name + PROBLEM)

    def _bring_into_sight(self, name: str) -> None:
        """Scroll to a line, when it has the place that its words need."""
        shown = self[name].native
        soon(shown, lambda: self.ensureWidgetVisible(shown))

    def _made(
        self, asked: Callable[..., Any], choices: Mapping[str, Callable[..., Sequence[str]]]
    ) -> FunctionGui:
        def run(**given: Any) -> None:
            self.run(**given)

        run.__signature__ = shown_signature(asked, choices)  # type: ignore[attr-defined]
        run.__doc__ = asked.__doc__
        options = {
            each.name: {"tooltip": each.help, "label": label(each)}
            for each in self.parameters.values()
        }
        make: Any = magicgui
        made: Any = make(run, call_button=False, labels=True, **options)
        for name, each in self.parameters.items():
            place = next(at for at, field in enumerate(made) if field.name == name)
            made.insert(place + 1, line(name + PROBLEM, visible=False))
            if is_list_of_texts(each):
                made[name].native.setFixedHeight(LINES_PX)
                made[name].native.setTabChangesFocus(True)
            elif is_written(each) and each.default is None:
                made[name].native.setPlaceholderText(" ".join(each.parts) or AS_USUAL)
            elif isinstance(made[name], FileEdit):
                made[name].choose_btn.text = "Choose"
            elif isinstance(made[name], ComboBox):
                made[name].native.setMinimumContentsLength(SHORTEST_CHOICE)
                made[name].native.setSizeAdjustPolicy(FITS)
                if each.default is None:
                    made[name].null_string = each.choice_label(None) or AS_USUAL
                    made[name].reset_choices()
        # Not magicgui's, which is disabled while it is pressed and so loses the keyboard.
        begin = PushButton(name="call_button", text=self._verb, gui_only=True)
        begin.native.setAutoDefault(True)  # Return presses it, as Space does
        begin.changed.connect(lambda _: made())
        made.append(begin)
        made.append(line(SAID))
        made.native.layout().addStretch(1)
        return made

    def _bar_px(self) -> int:
        bar = self.verticalScrollBar()
        return 0 if bar is None else bar.sizeHint().width()


def frame_of(widget: QWidget | None) -> QDockWidget | None:
    """The frame that napari has put a widget into."""
    while widget is not None and not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def _give_keyboard(place: QWidget) -> None:
    """Let the first control that is there, or in there, have the keyboard."""
    for control in (place, *place.findChildren(QWidget)):
        if control.focusPolicy() & Qt.FocusPolicy.TabFocus and control.isVisible():
            control.setFocus()
            return


def _label_of(row: QWidget | None) -> QLabel | None:
    """The label before a field, where the row has one."""
    layout = None if row is None else row.layout()
    first = None if layout is None or layout.count() != 2 else layout.itemAt(0)
    label = None if first is None else first.widget()
    return label if isinstance(label, QLabel) else None
