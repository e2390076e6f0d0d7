"""The boxes of an answer as one napari Shapes layer: drawn from the review, corrected by the mouse.

Whatever a person does to them with napari's tools (drag, resize, draw, delete) is one correction
with all boxes as they are then. What is no rectangle becomes the rectangle around it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Shapes
from napari.utils.colormaps.standardize_color import transform_color

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.ui.bridge import Pacer
from napari_nunext.ui.canvas.layers import box_from_napari, box_to_napari, place, placement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_nunext.core.geometry import Box

NAME = "Answer boxes"
COLOR = "#ffd400"
"""Yellow: neither of the stains, and none of the categories' colours on them."""
LINE_UM, LINE_PART = 1.0, 0.003
"""Width of an edge, um, and at least so much of the image's longer side."""
SMALLEST_PX = 1.0
"""A click while drawing makes a rectangle of nothing."""
LABEL_LETTERS = 40
MOST_NAMED = 6
"""Labels of more boxes would lie on each other: the numbers of the panel's list stand there."""
EDITING = ("select", "add_rectangle", "direct")
"""napari's modes in which boxes are corrected."""
LOOK_EVENTS = frozenset({"edge_color", "edge_width", "face_color"})


class BoxesLayer:
    """Keeps a Shapes layer and the boxes of the shown answer the same, in both directions.

    Parameters
    ----------
    field : Box
        The open image, level-0 px: what is drawn beyond it is cut.
    mpp : float
        Its scale.
    on_corrected : callable
        Told all boxes, once for each thing that was done.
    on_refused : callable
        Called when something was done that is no correction; it is taken back.
    """

    def __init__(
        self,
        field: Box,
        mpp: float,
        on_corrected: Callable[[tuple[AnswerBox, ...]], None],
        on_refused: Callable[[], None],
    ) -> None:
        self._field = field
        self._on_corrected = on_corrected
        self._on_refused = on_refused
        self._boxes: tuple[AnswerBox, ...] = ()
        self._may_edit = False
        self._ours = False
        self._is_dragged = False
        self.pacer = Pacer(self.redraw, 0.0)
        self.layer = Shapes(
            ndim=2,
            name=NAME,
            opacity=1.0,
            edge_color=COLOR,
            face_color="transparent",
            edge_width=self._line_px(mpp),
            features=pd.DataFrame({"label": pd.Series([], dtype=object)}),
            text={
                "string": "{label}",
                "color": COLOR,
                "size": 10,
                "anchor": "upper_left",
                "translation": [-6 * self._line_px(mpp), 0],
            },
            **placement(mpp),
        )
        self.layer.events.data.connect(self._on_data)

    # From the review

    def show(self, boxes: Sequence[AnswerBox], *, may_edit: bool) -> None:
        """Show these boxes, once a drag is over."""
        self._boxes = tuple(boxes)
        if self._may_edit != may_edit:
            self._may_edit = may_edit
            if not may_edit:
                self.rest()
        self.pacer.ask()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        place(self.layer, mpp)
        self.restore()

    def redraw(self) -> None:
        """Draw what is not drawn."""
        self.pacer.stop()
        if not self.is_in_hand() and not self.is_true():
            self.restore()

    def restore(self) -> None:
        """Draw all anew, whatever was done to the layer."""
        self._is_dragged = False
        layer, boxes = self.layer, self._boxes
        with self._our_change():
            layer.selected_data = set()
            layer.data = []
            layer.edge_color = layer.current_edge_color = COLOR
            layer.face_color = layer.current_face_color = "transparent"
            layer.current_edge_width = self._line_px(float(layer.scale[-1]))
            if boxes:
                layer.add(
                    [box_to_napari(each.box) for each in boxes],
                    shape_type="rectangle",
                    edge_width=layer.current_edge_width,
                    edge_color=COLOR,
                    face_color="transparent",
                )
            labels = labels_of(boxes)
            layer.features = pd.DataFrame({"label": pd.Series(labels, dtype=object)})
            layer.feature_defaults = pd.DataFrame({"label": [""]})

    def is_true(self) -> bool:
        """Whether the layer shows the boxes as they are, and nothing else."""
        layer, boxes = self.layer, self._boxes
        return (
            len(layer.data) == len(boxes)
            and all(
                drawn.shape == (4, 2) and np.allclose(drawn, box_to_napari(each.box))
                for drawn, each in zip(layer.data, boxes, strict=True)
            )
            and set(layer.shape_type) <= {"rectangle"}
            and list(layer.features["label"]) == labels_of(boxes)
            and np.allclose(layer.edge_color, transform_color(COLOR))
        )

    def may_be_untrue(self, event: str) -> bool:
        """Whether an event of the layer says that its look was changed."""
        return event in LOOK_EVENTS and not self._ours

    def has_mode(self, mode: str) -> bool:
        """Whether the mouse may do this now."""
        return mode == "pan_zoom" or (self._may_edit and mode in EDITING)

    # What the mouse does

    def edit(self, mode: str) -> None:
        """Have the mouse move boxes (``"select"``) or draw one (``"add_rectangle"``)."""
        if self._may_edit:
            self.layer.mode = mode

    def rest(self) -> None:
        """Have the mouse move the view."""
        self.layer.mode = "pan_zoom"

    def delete_selected(self) -> None:
        """Delete the boxes that are selected on the layer."""
        if self._may_edit:
            self.layer.remove_selected()

    def is_in_hand(self) -> bool:
        """Whether napari is in the middle of a drag: it would go on with shapes that are gone."""
        return self._is_dragged or bool(self.layer._is_creating)

    def _on_data(self, event: Any) -> None:
        if self._ours:
            return
        known, now, rows = len(self._boxes), len(self.layer.data), list(event.data_indices)
        match str(event.action):
            case "changing":
                self._is_dragged = True
            case "changed" if known == now:
                self._take(self._boxes)
            case "added" if known + 1 == now:
                self._take((*self._boxes, None))
            case "removed" if known - len(rows) == now or not now:
                kept = range(now, known) if not now else rows
                self._take([each for i, each in enumerate(self._boxes) if i not in kept])
            case "changed" | "added" | "removed":
                self._refuse()

    def _take(self, were: Sequence[AnswerBox | None]) -> None:
        """Hand in the boxes as they lie now; `were` says which box each of them was."""
        self._is_dragged = False
        if not self._may_edit:
            self._refuse()
            return
        boxes = []
        for drawn, was in zip(self.layer.data, were, strict=True):
            if was is not None and np.allclose(drawn, box_to_napari(was.box)):
                boxes.append(was)  # to the last digit
                continue
            box = box_from_napari(drawn).clipped_to(self._field)
            if box.width > SMALLEST_PX and box.height > SMALLEST_PX:
                boxes.append(AnswerBox(box, "" if was is None else was.label))
            elif was is not None:  # moved off the image: that deletes nothing
                boxes.append(was)
        self.pacer.ask()
        if tuple(boxes) != self._boxes:
            self._on_corrected(tuple(boxes))

    def _refuse(self) -> None:
        self._is_dragged = False
        self.pacer.ask()
        self._on_refused()

    def _line_px(self, mpp: float) -> float:
        longer_px = max(self._field.width, self._field.height)
        return max(LINE_UM / mpp, LINE_PART * longer_px)

    @contextmanager
    def _our_change(self) -> Iterator[None]:
        before, self._ours = self._ours, True
        try:
            yield
        finally:
            self._ours = before


def labels_of(boxes: Sequence[AnswerBox]) -> list[str]:
    """What is written at boxes: their labels, or their numbers where there are many."""
    if len(boxes) > MOST_NAMED:
        return [str(number) for number in range(1, len(boxes) + 1)]
    return [_label(each.label) for each in boxes]


def _label(label: str) -> str:
    """A label as one short line."""
    line = " ".join(label.split())
    return (
        line
        if len(line) <= LABEL_LETTERS
        else f"{line[: LABEL_LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    )
