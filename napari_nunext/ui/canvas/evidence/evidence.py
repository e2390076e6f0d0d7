"""What the shown answer points to: its layers, there as long as there is something to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.review.connections import Connections
from napari_nunext.review.correcting.holding import drawn_of
from napari_nunext.review.model import Notice
from napari_nunext.ui.canvas.evidence.boxes_layer import BoxesLayer
from napari_nunext.ui.canvas.evidence.lights import Lights
from napari_nunext.ui.canvas.guarding import Drawing

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer

    from napari_nunext.core.answers.boxes import AnswerBox
    from napari_nunext.review.controller import ReviewController

NOT_NOW = (
    "Boxes are corrected in an answer that is whole: choose one. What was done was taken back."
)
HIDE = "To see the tissue alone, hold Space; to show another answer, choose it in the list."
LIGHT_EVENTS = frozenset({"data", "border_color", "face_color", "size", "symbol"})


class AnswerEvidence:
    """Keeps boxes and lights in step with `controller.ask.model`.

    Parameters
    ----------
    controller : ReviewController
    changed : callable
        Called when a layer came or went; `layers` and `drawings` are others then.
    """

    def __init__(self, controller: ReviewController, changed: Callable[[], None]) -> None:
        self._controller = controller
        self._asking = controller.ask.model
        self._changed = changed
        self._corrects = False
        self._is_hidden = False
        self.boxes: BoxesLayer | None = None
        self.lights: Lights | None = None
        self._connections = Connections()
        events = self._asking.events
        call = self._connections.call
        call(self.show, events.boxes, events.evidence, events.selected, events.draft)
        call(self.show, controller.view.model.events.held)

    def disconnect(self) -> None:
        """Let go of the review."""
        self._connections.cut()
        self._drop_boxes()
        self.lights = None

    def layers(self) -> list[Layer]:
        """Those that are there, bottom up."""
        return [made.layer for made in (self.lights, self.boxes) if made is not None]

    def drawings(self) -> list[Drawing]:
        """What each of them has to look like."""
        boxes, lights = self.boxes, self.lights
        made = []
        if lights is not None:
            made.append(
                Drawing(
                    layer=lights.layer,
                    name=lights.layer.name,
                    may_be_untrue=LIGHT_EVENTS.__contains__,
                    is_true=lights.is_true,
                    redraw=lights.restore,
                    has_mode=lambda mode: mode == "pan_zoom",
                    rest=lambda: setattr(lights.layer, "mode", "pan_zoom"),
                    words="These nuclei are what the answer rests on: the drawing was put right.",
                    deleted=HIDE,
                )
            )
        if boxes is not None:
            made.append(
                Drawing(
                    layer=boxes.layer,
                    name=boxes.layer.name,
                    may_be_untrue=boxes.may_be_untrue,
                    is_true=lambda: boxes.is_in_hand() or boxes.is_true(),
                    redraw=boxes.restore,
                    has_mode=boxes.has_mode,
                    rest=boxes.rest,
                    words="Boxes are drawn alike: the look was put right.",
                    deleted=HIDE,
                )
            )
        return made

    def flush(self) -> None:
        """Draw now what would be drawn soon."""
        if self.boxes is not None:
            self.boxes.pacer.flush()

    def set_scale(self, mpp: float) -> None:
        """Follow the image's scale."""
        for made in (self.boxes, self.lights):
            if made is not None:
                made.set_scale(mpp)

    def start_anew(self) -> None:
        """Another image: nothing of the old one's is kept."""
        self._drop_boxes()
        self.lights = None
        self._corrects = False
        self._changed()
        self.show()

    def hide(self, hidden: bool) -> None:
        """Show the tissue alone while a key is held."""
        self._is_hidden = hidden
        for layer in self.layers():
            layer.visible = not hidden

    # Correcting

    @property
    def may_correct(self) -> bool:
        """Whether the boxes are those of an answer that is whole."""
        asking = self._asking
        chosen = asking.selected
        return asking.draft is None and chosen is not None and not chosen.hides_name

    def correct(self, mode: str) -> BoxesLayer | None:
        """Have the mouse move boxes or draw one; None where there is nothing to correct."""
        if not self.may_correct:
            return None
        self._corrects = True
        self.show()
        if self.boxes is not None:
            self.boxes.edit(mode)
        return self.boxes

    def end_correcting(self) -> None:
        """Have the mouse move the view again."""
        if self._corrects:
            self._corrects = False
            self.show()
            if self.boxes is not None:
                self.boxes.rest()

    # From the review

    def show(self, *_: Any) -> None:
        """Follow the answer that is shown."""
        field, asking = self._controller.images.model.open_field, self._asking
        if field is None:
            return
        self._corrects = self._corrects and self.may_correct
        chosen, before = asking.selected, (self.boxes, self.lights)
        said = chosen is not None and chosen.answer.said.boxes
        if asking.boxes or said or self._corrects:
            if self.boxes is None:
                self.boxes = BoxesLayer(field.box, field.entry.mpp, self._correct, self._refuse)
            self.boxes.show(asking.boxes, may_edit=self.may_correct)
        else:
            self._drop_boxes()
        if len(asking.evidence):
            if self.lights is None:
                self.lights = Lights(field.entry.mpp, self._refuse_light)
            held = self._controller.view.model.held
            self.lights.show(drawn_of(asking.evidence.places_xy, held))
        else:
            self.lights = None
        if before != (self.boxes, self.lights):
            for layer in self.layers():
                layer.visible = not self._is_hidden
            self._changed()

    def _drop_boxes(self) -> None:
        if self.boxes is not None:
            self.boxes.pacer.stop()
        self.boxes = None

    def _correct(self, boxes: tuple[AnswerBox, ...]) -> None:
        self._controller.ask.judge.correct_boxes(boxes)

    def _refuse(self) -> None:
        self._controller.session.notify(Notice(NOT_NOW))

    def _refuse_light(self) -> None:
        if self.lights is not None:
            self.lights.restore()
