"""Our layers are a drawing of the review: what napari's own tools do to them is taken back.

One rule for every layer of ours. What such a tool changes is either an edit, which the layers
themselves translate (points added, moved, deleted; the eye), or it is compared with what has to be
there and put right, with a word. Whose layer it is not is left alone, copies of ours included.

Places are put right at once, so that a click never meets a layer that lies elsewhere. All else
waits for the end of what napari is doing: its lists and buttons must not change under it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari.layers.utils._link_layers import layer_is_linked

from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.layers import WHOLE, Patch, is_placed, place
from napari_nunext.ui.commands.chosen import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer

PLACE_EVENTS = frozenset({"affine", "rotate", "scale", "shear", "translate", "units"})
LIST_EVENTS = ("inserted", "removed", "reordered", "changed")

DELETED = "is drawn from the review, and was drawn again."
MOVED = "The review's layers stay on the pixels of the image: the move was taken back."
RENAMED = "The review's layers keep their names."
REORDERED = "Points lie above outlines, and outlines above the image: the order was put right."
LINKED = "The review's layers are not linked to others: the link was taken away."
MODE = "That tool of napari's does not work on the review's layers."


@dataclass(frozen=True, eq=False)
class Drawing:
    """A layer of ours, and what makes it ours."""

    layer: Layer
    name: str
    may_be_untrue: Callable[[str], bool]
    """Whether `is_true` may no longer hold after this event of the layer; asked often."""
    is_true: Callable[[], bool]
    """Whether the layer shows what the review says."""
    redraw: Callable[[], None]
    """Draw all of it anew."""
    has_mode: Callable[[str], bool]
    """Whether the mouse may do this on the layer, in napari's words."""
    rest: Callable[[], None]
    """Go back to a mode that it may have."""
    words: str
    """What is said when `is_true` did not hold."""
    deleted: str = ""
    """What to do instead of deleting it, a sentence."""
    on_deleted: Callable[[], None] | None = None
    """Where deleting it is an edit: makes it. Otherwise it is drawn again."""
    patch: Callable[[], Patch] = lambda: WHOLE
    """Where its pixels lie, if these are not the image's own."""


class LayerGuard:
    """Watches the layers of a viewer, and puts ours right.

    Parameters
    ----------
    viewer : napari.Viewer
    mpp : callable
        Scale of the open image, um per pixel; None when none is open.
    tell : callable
        Says a sentence to the user.
    may_act : callable
        Whether the window is there to be drawn in; a closing one takes its layers away too.
    """

    def __init__(
        self,
        viewer: Viewer,
        mpp: Callable[[], float | None],
        tell: Callable[[str], None],
        may_act: Callable[[], bool],
    ) -> None:
        self._viewer = viewer
        self._mpp = mpp
        self._tell = tell
        self._may_act = may_act
        self._drawings: list[Drawing] = []
        self._names: dict[int, str] = {}
        """What napari made of each layer's name when it was put on the canvas, by its id."""
        self._ours = 0
        self._words: list[str] = []
        self._untrue: set[int] = set()
        self._pacer = Pacer(self.settle, 0.0)
        for name in LIST_EVENTS:
            getattr(viewer.layers.events, name).connect(self._on_list)
        viewer.layers.selection.events.changed.connect(self._on_selection)

    @property
    def is_pending(self) -> bool:
        """Whether something is about to be put right."""
        return self._pacer.is_waiting

    def disconnect(self) -> None:
        """Let go of the viewer and its layers."""
        self._pacer.stop()
        for name in LIST_EVENTS:
            getattr(self._viewer.layers.events, name).disconnect(self._on_list)
        self._viewer.layers.selection.events.changed.disconnect(self._on_selection)
        for drawing in self._drawings:
            drawing.layer.events.disconnect(self._on_layer)
        self._drawings = []

    def watch(self, drawings: Sequence[Drawing]) -> None:
        """Guard these layers, bottom up, and put those on the canvas that are not there."""
        for old in self._drawings:
            if old.layer not in [new.layer for new in drawings]:
                old.layer.events.disconnect(self._on_layer)
                self._names.pop(id(old.layer), None)
        for new in drawings:
            if new.layer not in [old.layer for old in self._drawings]:
                new.layer.events.connect(self._on_layer)
        self._drawings = list(drawings)
        self.put_back()

    def put_in_place_of(self, old: Layer, new: Layer) -> None:
        """Put a layer that is about to be guarded where one of ours lies, which goes."""
        layers = self._viewer.layers
        with self.our_change():
            here = layers.index(old)
            layers.remove(old)
            layers.insert(here, new)
        self._names[id(new)] = new.name

    def keep_name(self, layer: Layer, name: str) -> None:
        """Give a layer another name, which is then its own."""
        self._drawings = [
            replace(drawing, name=name) if drawing.layer is layer else drawing
            for drawing in self._drawings
        ]
        with self.our_change():
            layer.name = name
        self._names[id(layer)] = layer.name

    @contextmanager
    def our_change(self) -> Iterator[None]:
        """Within it, what happens to the layers is meant."""
        self._ours += 1
        try:
            yield
        finally:
            self._ours -= 1

    @property
    def is_ours(self) -> bool:
        """Whether what happens to the layers just now is meant."""
        return self._ours > 0

    def flush(self) -> None:
        """Put right now what would be put right soon."""
        self._pacer.flush()

    # What happened

    def _on_list(self, event: Any) -> None:
        if not self._ours:
            self._pacer.ask()

    def _on_selection(self) -> None:
        """Hear of links: napari says so by its selection."""
        if any(layer_is_linked(drawing.layer) for drawing in self._drawings):
            self._pacer.ask()

    def _on_layer(self, event: Any) -> None:
        if self._ours:
            return
        drawing = next((d for d in self._drawings if d.layer is event.source), None)
        if drawing is None:
            return
        if event.type in PLACE_EVENTS:
            self._put_in_place(drawing)
        elif drawing.may_be_untrue(event.type):
            self._untrue.add(id(drawing.layer))
            self._pacer.ask()
        elif event.type in ("name", "mode", "editable"):
            self._pacer.ask()

    def _put_in_place(self, drawing: Drawing) -> None:
        mpp, layer, patch = self._mpp(), drawing.layer, drawing.patch()
        if mpp is None or is_placed(layer, mpp, patch):
            return
        self._unlink(layer)  # or a layer that is linked to ours would be moved with it
        with self.our_change():
            place(layer, mpp, patch)
        self._say(MOVED)

    # Putting right

    def settle(self) -> None:
        """Put everything right."""
        if self._mpp() is None or not self._may_act():
            return
        self.put_back()
        if self._is_out_of_order():
            with self.our_change():
                self._reorder()
            self._words.append(REORDERED)
        for drawing in self._drawings:
            self._settle_one(drawing)
        self._untrue.clear()
        said, self._words = list(dict.fromkeys(self._words)), []
        if said:
            self._tell(" ".join(said))

    def put_back(self) -> None:
        """Put layers of ours that are missing on the canvas."""
        layers = self._viewer.layers
        missing = [drawing for drawing in self._drawings if drawing.layer not in layers]
        for drawing in missing:
            if drawing.on_deleted is not None and self._names.pop(id(drawing.layer), ""):
                drawing.on_deleted()
        missing = [d for d in self._drawings if d.layer not in layers]
        with self.our_change():
            for drawing in missing:
                if id(drawing.layer) in self._names:
                    drawing.redraw()
                    self._words.append(f"{drawing.name} {DELETED} {KEYS.words(drawing.deleted)}")
                layers.insert(self._index_for(drawing), drawing.layer)
                self._names[id(drawing.layer)] = drawing.layer.name
                self._put_in_place(drawing)

    def _index_for(self, drawing: Drawing) -> int:
        """Above the next of ours below it; below the next of ours above it; or on top."""
        layers = self._viewer.layers
        ours = [d.layer for d in self._drawings]
        here = ours.index(drawing.layer)
        below = [layers.index(layer) for layer in ours[:here] if layer in layers]
        above = [layers.index(layer) for layer in ours[here + 1 :] if layer in layers]
        if below:
            return max(below) + 1
        return min(above) if above else len(layers)

    def _places(self) -> list[int]:
        return [self._viewer.layers.index(drawing.layer) for drawing in self._drawings]

    def _is_out_of_order(self) -> bool:
        places = self._places()
        return places != sorted(places)

    def _reorder(self) -> None:
        """Bottom up, ours take the places that ours have; the others' stay."""
        layers = self._viewer.layers
        for drawing, wanted in zip(self._drawings, sorted(self._places()), strict=True):
            here = layers.index(drawing.layer)
            if here != wanted:
                layers.move(here, wanted)
        if self._is_out_of_order():  # moving one has shifted another: each above the one before
            for below, drawing in zip(self._drawings, self._drawings[1:], strict=False):
                here, floor = layers.index(drawing.layer), layers.index(below.layer)
                if here < floor:
                    layers.move(here, floor + 1)

    def _settle_one(self, drawing: Drawing) -> None:
        layer = drawing.layer
        if self._unlink(layer):
            self._words.append(LINKED)
        self._put_in_place(drawing)
        if layer.name != self._names[id(layer)]:
            self.keep_name(layer, drawing.name)
            self._words.append(RENAMED)
        if not drawing.has_mode(str(layer.mode)):
            drawing.rest()
            self._words.append(MODE)
        if id(layer) in self._untrue and not drawing.is_true():
            with self.our_change():
                drawing.redraw()
            self._words.append(KEYS.words(drawing.words))

    def _unlink(self, layer: Layer) -> bool:
        if not layer_is_linked(layer):
            return False
        self._viewer.layers.unlink_layers([layer])
        return True

    def _say(self, words: str) -> None:
        self._words.append(words)
        self._pacer.ask()
