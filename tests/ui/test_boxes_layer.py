"""Boxes of an answer on napari's canvas: whatever is done to them is one correction, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.geometry import Box
from napari_nunext.ui.canvas.evidence.boxes_layer import LABEL_LETTERS, MOST_NAMED, BoxesLayer
from napari_nunext.ui.canvas.evidence.lights import Lights
from napari_nunext.ui.canvas.layers import is_placed, to_napari
from tests.ui.scripted_mouse import tell_mouse

if TYPE_CHECKING:
    from qtpy.QtWidgets import QApplication

MPP = 0.5
FIELD = Box(0.0, 0.0, 200.0, 150.0)
FIRST = AnswerBox(Box(20.25, 30.5, 60.75, 70.0), "lymphocytes")
SECOND = AnswerBox(Box(100.0, 40.0, 140.0, 90.0), "<b>{tumour}</b> & stroma")


class Bench:
    """A layer on a viewer, and what it handed in."""

    def __init__(self) -> None:
        self.corrected: list[tuple[AnswerBox, ...]] = []
        self.refused = 0
        self.follows = True
        self.boxes = BoxesLayer(FIELD, MPP, self._correct, self._refuse)
        self.layer = self.boxes.layer
        ViewerModel().add_layer(self.layer)
        self.show(FIRST, SECOND)

    def show(self, *boxes: AnswerBox, may_edit: bool = True) -> None:
        self.boxes.show(boxes, may_edit=may_edit)
        self.boxes.pacer.flush()

    def _correct(self, boxes: tuple[AnswerBox, ...]) -> None:
        self.corrected.append(boxes)
        if self.follows:
            self.boxes.show(boxes, may_edit=True)

    def _refuse(self) -> None:
        self.refused += 1

    def drag(self, *way: tuple[float, float], let_go: bool = True) -> None:
        """Press the mouse, move it from place to place (x, y, level-0 px), let it go."""
        kinds = ["mouse_press", *["mouse_move"] * (len(way) - 1)]
        for kind, place in zip(kinds, way, strict=True):
            self.mouse(kind, place)
        if let_go:
            self.mouse("mouse_release", way[-1])
            self.boxes.pacer.flush()

    def mouse(self, kind: str, place: tuple[float, float]) -> None:
        tell_mouse(self.layer, kind, place, is_dragging=True)


@pytest.fixture
def bench(qapp: QApplication) -> Bench:
    return Bench()


def moved(each: AnswerBox, dx: float, dy: float) -> Box:
    box = each.box
    return Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)


def assert_near(box: Box, expected: Box, within_px: float = 1.0) -> None:
    np.testing.assert_allclose(box.as_tuple(), expected.as_tuple(), atol=within_px)


def test_boxes_lie_on_the_pixels_that_they_name(bench: Bench) -> None:
    assert is_placed(bench.layer, MPP)
    np.testing.assert_allclose(bench.layer.data[0].min(axis=0), (30.0, 19.75))
    np.testing.assert_allclose(bench.layer.data[0].max(axis=0), (69.5, 60.25))
    assert bench.boxes.is_true()


def test_labels_are_text_of_a_line(bench: Bench) -> None:
    assert list(bench.layer.features["label"]) == [FIRST.label, SECOND.label]
    bench.show(AnswerBox(FIRST.box, "many\nwords " * 50))
    (label,) = bench.layer.features["label"]
    assert "\n" not in label
    assert len(label) <= LABEL_LETTERS


def test_numbers_of_the_list_stand_where_labels_would_lie_on_each_other(bench: Bench) -> None:
    bench.show(*[FIRST] * MOST_NAMED)
    assert list(bench.layer.features["label"]) == [FIRST.label] * MOST_NAMED
    bench.show(*[FIRST] * (MOST_NAMED + 1))
    assert list(bench.layer.features["label"]) == [str(n) for n in range(1, MOST_NAMED + 2)]
    assert bench.boxes.is_true()


def test_a_drag_is_one_correction_with_all_boxes(bench: Bench) -> None:
    bench.boxes.edit("select")
    bench.drag((40, 50), (45, 52), (50, 60), (52, 61))
    (boxes,) = bench.corrected
    assert_near(boxes[0].box, moved(FIRST, 12, 11))
    assert boxes[0].label == FIRST.label
    assert boxes[1] is SECOND  # to the last digit
    assert bench.boxes.is_true()


def test_nothing_is_redrawn_in_the_middle_of_a_drag(bench: Bench) -> None:
    bench.boxes.edit("select")
    bench.drag((40, 50), (45, 55), (50, 60), let_go=False)
    bench.show(SECOND)  # an undo meanwhile, for one
    assert len(bench.layer.data) == 2
    bench.mouse("mouse_release", (50, 60))
    bench.boxes.pacer.flush()
    assert bench.boxes.is_true()


def test_a_box_is_drawn(bench: Bench) -> None:
    bench.boxes.edit("add_rectangle")
    bench.drag((10, 100), (20, 110), (50, 140), let_go=False)
    assert bench.corrected == []
    bench.mouse("mouse_release", (50, 140))
    bench.boxes.pacer.flush()
    (boxes,) = bench.corrected
    assert boxes[:2] == (FIRST, SECOND)
    assert boxes[2].label == ""
    assert_near(boxes[2].box, Box(10, 100, 50, 140), within_px=8)
    assert bench.boxes.is_true()


def test_what_is_drawn_beyond_the_image_is_cut(bench: Bench) -> None:
    bench.boxes.edit("add_rectangle")
    bench.drag((150, 100), (180, 130), (400, 300))
    assert bench.corrected[-1][2].box.as_tuple()[2:] == (200.0, 150.0)


def test_a_box_that_is_moved_off_the_image_comes_back(bench: Bench) -> None:
    bench.boxes.edit("select")
    bench.drag((40, 50), (300, 300), (900, 900))
    assert bench.corrected == []
    assert bench.boxes.is_true()


def test_a_box_without_an_area_is_none(bench: Bench) -> None:
    bench.layer.add_rectangles(np.array([[5, 5], [5, 5.2], [5.2, 5.2], [5.2, 5]]))
    bench.boxes.pacer.flush()
    assert bench.corrected == []
    assert bench.boxes.is_true()


def test_a_box_is_deleted(bench: Bench) -> None:
    bench.layer.selected_data = {0}
    bench.boxes.delete_selected()
    assert bench.corrected == [(SECOND,)]
    bench.layer.selected_data = {0}
    bench.boxes.delete_selected()
    assert bench.corrected[-1] == ()
    bench.boxes.pacer.flush()
    assert bench.boxes.is_true()


def test_all_boxes_are_deleted_at_once(bench: Bench) -> None:
    bench.layer.data = []
    assert bench.corrected == [()]


@pytest.mark.parametrize("act", ["drag", "add", "delete", "data"])
def test_what_may_not_be_edited_is_put_back(bench: Bench, act: str) -> None:
    bench.show(FIRST, SECOND, may_edit=False)
    bench.layer.selected_data = {0}
    match act:
        case "drag":
            bench.layer.mode = "select"
            bench.drag((40, 50), (50, 60))
        case "add":
            bench.layer.add_ellipses(np.array([[5, 5], [5, 25], [25, 25], [25, 5]]))
        case "delete":
            bench.layer.remove_selected()
        case "data":
            bench.layer.data = [np.array([[5, 5], [5, 25], [25, 25], [25, 5]])] * 2
    bench.boxes.pacer.flush()
    assert bench.corrected == []
    assert bench.refused
    assert bench.boxes.is_true()
    assert not bench.boxes.has_mode("select")


def test_a_correction_that_is_not_taken_is_put_back(bench: Bench) -> None:
    bench.follows = False
    bench.boxes.edit("select")
    bench.drag((40, 50), (60, 60))
    assert len(bench.corrected) == 1
    assert bench.boxes.is_true()


def test_other_shapes_become_rectangles(bench: Bench) -> None:
    bench.layer.add_ellipses(np.array([[100, 10], [100, 40], [130, 40], [130, 10]]))
    bench.boxes.pacer.flush()
    assert_near(bench.corrected[-1][2].box, Box(10.5, 100.5, 40.5, 130.5))
    assert set(bench.layer.shape_type) == {"rectangle"}
    assert bench.boxes.is_true()


def test_several_shapes_put_there_at_once_are_no_correction(bench: Bench) -> None:
    square = np.array([[5, 5], [5, 25], [25, 25], [25, 5]])
    bench.layer.add_rectangles([square, square + 30])
    bench.boxes.pacer.flush()
    assert bench.corrected == []
    assert bench.boxes.is_true()


def test_the_look_can_be_told_and_put_right(bench: Bench) -> None:
    bench.layer.edge_color = "red"
    assert bench.boxes.may_be_untrue("edge_color")
    assert not bench.boxes.is_true()
    bench.boxes.restore()
    assert bench.boxes.is_true()


def test_lights_lie_on_their_nuclei_and_take_no_edit(qapp: QApplication) -> None:
    refused: list[bool] = []
    lights = Lights(MPP, lambda: refused.append(True))
    ViewerModel().add_layer(lights.layer)
    places = np.array([[20.5, 30.5], [60.5, 40.5]])
    lights.show(places)
    np.testing.assert_allclose(lights.layer.data, to_napari(places))
    lights.layer.add([10.0, 10.0])
    lights.layer.selected_data = {0}
    lights.layer.remove_selected()
    lights.layer._paste_data()
    assert len(refused) == 3
    assert lights.is_true()
    lights.layer.data = lights.layer.data + 5
    assert not lights.is_true()
    lights.restore()
    assert lights.is_true()
    lights.set_scale(0.25)
    assert is_placed(lights.layer, 0.25)
    lights.show(places[:0])
    assert lights.is_true()
