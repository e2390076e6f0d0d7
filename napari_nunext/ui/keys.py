"""The keys, in one table that also makes the cheat sheet.

napari gives a key to the active layer before the viewer, and ignores a plugin's keys in the
manifest; so they are bound on our own layers, over napari's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Layer

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.ui.canvas import Canvas
    from napari_nunext.ui.review_panel import ReviewPanel


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


class Keys:
    """Binds what the keys do on layers."""

    def __init__(
        self,
        controller: ReviewController,
        canvas: Canvas,
        panel: ReviewPanel,
        show_help: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._canvas = canvas
        self._panel = panel
        self.bindings = (*self._correcting(), *self._deciding(), *self._looking(show_help))

    def bind(self, layer: Layer) -> None:
        """Bind every key on a layer of ours, over napari's own."""
        for binding in self.bindings:
            for key in binding.keys:
                layer.bind_key(key, _ignoring_layer(binding.act), overwrite=True)
        for number in range(1, 10):
            layer.bind_key(str(number), _ignoring_layer(self._category(number)), overwrite=True)
        layer.bind_key("Space", self._peek, overwrite=True)

    def _correcting(self) -> tuple[Binding, ...]:
        c, group = self._controller, "Correct"
        return (
            Binding(("A",), "A", "Add nuclei: click", lambda: c.toggle_tool("add"), group),
            Binding(
                ("S",), "S", "Select, move: click, drag", lambda: c.toggle_tool("select"), group
            ),
            Binding(("Escape",), "Esc", "Back to moving the view", self._rest, group),
            Binding(("D", "Delete", "Backspace"), "D", "Delete the selected", self._delete, group),
            Binding((), "1 \N{EN DASH} 9", "Category of new and selected", _nothing, group),
            Binding(("Control-Z",), "Ctrl Z", "Undo", c.undo, group),
            Binding(("Control-Shift-Z", "Control-Y"), "Ctrl Shift Z", "Redo", c.redo, group),
            Binding(("Control-V",), "", "", _nothing, ""),  # napari would paste without telling
        )

    def _deciding(self) -> tuple[Binding, ...]:
        c, group = self._controller, "Decide"
        return (
            Binding(("Enter",), "Enter", "Accept the field, go on", c.accept_field, group),
            Binding(("F",), "F", "Flag for a second look", c.flag_field, group),
            Binding(("C",), "C", "Comment", self._panel.ask_comment, group),
            Binding(("[",), "[", "Previous field", c.go_previous, group),
            Binding(("]",), "]", "Next field", c.go_next, group),
        )

    def _looking(self, show_help: Callable[[], None]) -> tuple[Binding, ...]:
        c, group = self._controller, "Look"
        return (
            Binding(("Tab",), "Tab", "Next unsure nucleus", c.next_unsure, group),
            Binding(
                ("Shift-Tab",), "Shift Tab", "Previous unsure", lambda: c.next_unsure(-1), group
            ),
            Binding((), "Space", "Hold to see the tissue alone", _nothing, group),
            Binding(("M",), "M", "Outlines on and off", self._toggle_outlines, group),
            Binding(("Shift-/",), "?", "This list", show_help, group),
        )

    def _category(self, number: int) -> Callable[[], None]:
        def choose() -> None:
            categories = self._controller.model.categories
            if number <= len(categories):
                self._controller.choose_category(categories[number - 1].name)

        return choose

    def _rest(self) -> None:
        self._controller.choose_tool("look")
        self._controller.select(())

    def _delete(self) -> None:
        self._controller.delete_nuclei(self._controller.model.selected)

    def _toggle_outlines(self) -> None:
        self._controller.set_outlines(not self._controller.model.outlines)

    def _peek(self, layer: Layer) -> Iterator[None]:
        self._canvas.hide_overlays(True)
        yield
        self._canvas.hide_overlays(False)


def _nothing() -> None:
    """For a line of the cheat sheet whose key is bound elsewhere."""


def _ignoring_layer(act: Callable[[], None]) -> Callable[[Any], None]:
    def on_key(layer: Layer) -> None:
        act()

    return on_key
