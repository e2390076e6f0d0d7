"""The keys, in one table that also makes the cheat sheet.

napari gives a key to the active layer before the viewer, and ignores a plugin's keys in the
manifest; so they are bound on our own layers, over napari's own.

napari also hands to the canvas every key that a widget of its window leaves over: the Return that
ends a line of text, a letter in a box for numbers. So one rule stands before all bindings, ours and
napari's: while a layer of ours is the active one, a key counts only where it was pressed with the
focus on the canvas. The focus when the key *arrives* does not tell; by then Return may have closed
its line and given the canvas the focus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent

from napari_nunext.core.image.navigation import MAGNIFICATIONS
from napari_nunext.ui.napari_versions import key_presses_of
from napari_nunext.ui.panels.asking.answer_keys import GROUP, AnswerKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Layer
    from qtpy.QtWidgets import QWidget

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.shown.regions import RegionTool
    from napari_nunext.ui.canvas.canvas import Canvas
    from napari_nunext.ui.panels.navigating.navigator import Navigator
    from napari_nunext.ui.panels.review_panel import ReviewPanel


@dataclass(frozen=True, slots=True)
class Binding:
    """Some keys that do one thing."""

    keys: tuple[str, ...]
    """As napari writes them."""
    shown: str
    """As the cheat sheet writes them."""
    words: str
    act: Callable[[], None]
    group: str


class Keys(QObject):
    """Binds what the keys do, on layers and, where napari never hears of a key, on the canvas."""

    def __init__(
        self,
        controller: ReviewController,
        canvas: Canvas,
        panel: ReviewPanel,
        navigator: Navigator,
        show_help: Callable[[], None],
        list_images: Callable[[], None],
        answer_keys: AnswerKeys,
    ) -> None:
        super().__init__()
        self._controller = controller
        self._canvas = canvas
        self._panel = panel
        self._navigator = navigator
        self._list_images = list_images
        self._on_canvas = False
        self._is_peeking = False
        self.bindings = (
            *self._correcting(),
            *self._drawing(),
            *self._deciding(),
            *self._looking(),
            *self._going(),
            *(Binding((), shown, words, _nothing, GROUP) for shown, words in answer_keys.sheet),
        )
        self._qt_keys: dict[int, Callable[[], None]] = {
            Qt.Key.Key_Tab: controller.view.next_unsure,
            Qt.Key.Key_Backtab: lambda: controller.view.next_unsure(-1),
            Qt.Key.Key_Question: show_help,
            Qt.Key.Key_Plus: lambda: controller.hand.resize_brush(1),
            Qt.Key.Key_Equal: lambda: controller.hand.resize_brush(1),  # the same without Shift
            Qt.Key.Key_Minus: lambda: controller.hand.resize_brush(-1),
        }

    def watch(self, canvas_widget: QWidget) -> None:
        """Hear the keys of the canvas before napari does, and of no other widget.

        Qt keeps some for itself (Tab), and some napari cannot name (?).
        """
        canvas_widget.installEventFilter(self)
        key_presses_of(canvas_widget).connect(self._admit)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Act on the keys that napari never hears of, and let it have the others."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = Qt.Key.Key_Backtab if _is_back_tab(event) else event.key()
            if key in self._qt_keys:
                self._qt_keys[key]()
                return True
            self._on_canvas = True
        elif event.type() == QEvent.Type.FocusOut:
            self._end_peek()  # another widget will hear of the key's end
        return super().eventFilter(watched, event)

    def _admit(self, event: Any) -> None:
        """Stop a key on its way to napari's bindings that was not pressed on the canvas."""
        on_canvas, self._on_canvas = self._on_canvas, False
        if not on_canvas and self._canvas.is_active():
            event.blocked = True

    def bind(self, layer: Layer) -> None:
        """Bind every key on a layer of ours, over napari's own."""
        for binding in self.bindings:
            for key in binding.keys:
                layer.bind_key(key, _ignoring_layer(binding.act), overwrite=True)
        for number in range(1, 10):
            layer.bind_key(str(number), _ignoring_layer(self._category(number)), overwrite=True)
        layer.bind_key("Space", self._peek, overwrite=True)

    def _correcting(self) -> tuple[Binding, ...]:
        c, hand, group = self._controller, self._controller.hand, "Correct"
        return (
            Binding(("A",), "A", "Add nuclei: click", lambda: c.view.toggle_tool("add"), group),
            Binding(
                ("S",),
                "S",
                "Select, move: click, drag",
                lambda: c.view.toggle_tool("select"),
                group,
            ),
            Binding(
                ("O",), "O", "Outline: click in it, Shift out", lambda: hand.toggle("click"), group
            ),
            Binding(
                ("B",),
                "B",
                "Outline: paint, Shift takes away",
                lambda: hand.toggle("brush"),
                group,
            ),
            Binding((), "+ \N{MINUS SIGN}", "Size of the brush", _nothing, group),
            Binding(("P",), "P", "Outline: draw a polygon", lambda: hand.toggle("polygon"), group),
            Binding(("Escape",), "Esc", "Back to moving the view", self._rest, group),
            Binding(("D", "Delete", "Backspace"), "D", "Delete the selected", self._delete, group),
            Binding((), "1 \N{EN DASH} 9", "Category of new and selected", _nothing, group),
            Binding(("Control-Z",), "Ctrl Z", "Undo", self._undo, group),
            Binding(
                ("Control-Shift-Z", "Control-Y"), "Ctrl Shift Z", "Redo", c.history.redo, group
            ),
            Binding(("Control-V",), "", "", _nothing, ""),  # napari would paste without telling
        )

    def _drawing(self) -> tuple[Binding, ...]:
        """What keys do until a polygon is closed; they are bound above and below."""
        group = "While a polygon is drawn"
        return (
            Binding((), "Enter", "Close it, as a double click", _nothing, group),
            Binding((), "Backspace", "Take the last corner back", _nothing, group),
            Binding((), "Esc", "Give it up", _nothing, group),
        )

    def _deciding(self) -> tuple[Binding, ...]:
        c, group = self._controller, "Decide"
        return (
            Binding(("Enter",), "Enter", "Accept the field, go on", self._accept, group),
            Binding(("F",), "F", "Flag for a second look", c.correct.flag, group),
            Binding(("C",), "C", "Comment", self._panel.ask_comment, group),
            Binding(("[",), "[", "Previous field", c.images.previous, group),
            Binding(("]",), "]", "Next field", c.images.next, group),
            Binding(("J",), "J", "Jump: all images", self._list_images, group),
        )

    def _looking(self) -> tuple[Binding, ...]:
        group = "Look"
        return (
            Binding((), "Tab", "Next unsure nucleus", _nothing, group),
            Binding((), "Shift Tab", "Previous unsure", _nothing, group),
            Binding((), "Space", "Hold to see the tissue alone", _nothing, group),
            Binding(
                ("R",), "R", "Region: drag a rectangle", lambda: self._mark("rectangle"), group
            ),
            Binding(
                ("Shift-R",), "Shift R", "Region: a polygon", lambda: self._mark("polygon"), group
            ),
            Binding(("M",), "M", "Outlines on and off", self._toggle_outlines, group),
            Binding((), "?", "This list", _nothing, group),
        )

    def _going(self) -> tuple[Binding, ...]:
        group, navigator = "Find the way", self._navigator

        def step(number: int) -> Callable[[], None]:
            return lambda: navigator.choose_step(number)

        steps = [
            Binding((f"Control-{number + 1}",), "", "", step(number), group)
            for number in range(len(MAGNIFICATIONS))
        ]
        return (
            Binding(("Control-G",), "Ctrl G", "Go to a place: x, y", navigator.ask_place, group),
            Binding(("Control-0",), "Ctrl 0", "All of the image", self._canvas.fit, group),
            *steps,
            Binding((), f"Ctrl 1 \N{EN DASH} {len(steps)}", "Magnify: 5x to 40x", _nothing, group),
            Binding(("N",), "N", "Overview on and off", navigator.toggle, group),
        )

    def _category(self, number: int) -> Callable[[], None]:
        def choose() -> None:
            categories = self._controller.model.categories
            if number <= len(categories):
                self._controller.categories.choose(categories[number - 1].name)

        return choose

    # An outline that is being drawn takes the keys that would end, undo or delete something else.

    def _rest(self) -> None:
        if self._canvas.has_boxes_in_hand:
            self._canvas.end_correcting_boxes()
        elif self._canvas.regions.has_hand:
            self._canvas.regions.leave()
        elif not self._controller.hand.give_up():
            self._controller.view.choose_tool("look")
            self._controller.view.select(())

    def _delete(self) -> None:
        if self._canvas.has_boxes_in_hand:
            self._canvas.delete_boxes()
        elif self._canvas.regions.has_hand:
            self._canvas.regions.delete_selected()
        elif not self._controller.hand.take_back():
            self._controller.correct.delete(self._controller.view.model.selected)

    def _undo(self) -> None:
        if not self._controller.hand.take_back():
            self._controller.history.undo()

    def _accept(self) -> None:
        if not (self._canvas.regions.finish() or self._controller.hand.finish()):
            self._controller.decide.accept()

    def _mark(self, tool: RegionTool) -> None:
        regions = self._controller.regions
        regions.choose_tool("" if regions.model.tool == tool else tool)

    def _toggle_outlines(self) -> None:
        self._controller.view.show_outlines(not self._controller.view.model.outlines)

    def _peek(self, layer: Layer) -> Iterator[None]:
        self._is_peeking = True
        self._canvas.hide_overlays(True)
        yield
        self._end_peek()

    def _end_peek(self) -> None:
        if self._is_peeking:
            self._is_peeking = False
            self._canvas.hide_overlays(False)


def _is_back_tab(event: QKeyEvent) -> bool:
    shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
    return event.key() == Qt.Key.Key_Tab and shift


def _nothing() -> None:
    """For a line of the cheat sheet whose key is bound elsewhere."""


def _ignoring_layer(act: Callable[[], None]) -> Callable[[Any], None]:
    def on_key(layer: Layer) -> None:
        act()

    return on_key
