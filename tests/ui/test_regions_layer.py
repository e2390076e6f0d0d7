"""Regions on napari's canvas: what is done to them with its tools is one gesture, or nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import area_px, rectangle, region
from napari_nunext.review.shown.regions import RegionFigures, RegionsModel
from napari_nunext.review.shown.view import ViewModel
from napari_nunext.ui.canvas.layers import is_placed, to_napari
from napari_nunext.ui.canvas.regions.regions_layer import (
    LABEL_LETTERS,
    LINE_PART,
    RegionsLayer,
    labels_of,
    line_px_of,
)
from tests.ui.scripted_mouse import tell_mouse

if TYPE_CHECKING:
    from qtpy.QtWidgets import QApplication

MPP = 0.5
SQUARE = rectangle(Box(20, 30, 60, 70))
TRIANGLE = np.array([(100.0, 40.0), (140.0, 40.0), (120.0, 90.0)])


class Marker:
    """A part of the review that keeps regions in memory."""

    def __init__(self) -> None:
        self.model = RegionsModel()

    def keep(self, *regions) -> None:
        self.model.figures = tuple(RegionFigures(each, 1.0) for each in regions)

    def draw(self, polygon_xy):
        made = region(f"R{len(self.model.regions)}", self.model.kind, polygon_xy, uid=uuid4())
        self.keep(*self.model.regions, made)
        self.model.selected = made.uid
        return made.uid

    def reshape(self, uid, polygon_xy) -> bool:
        self.keep(
            *(
                region(each.name, each.kind, polygon_xy, uid=uid) if each.uid == uid else each
                for each in self.model.regions
            )
        )
        return True

    def delete(self, uids) -> None:
        self.keep(*(each for each in self.model.regions if each.uid not in uids))

    def select(self, uid) -> None:
        self.model.selected = uid

    def choose_tool(self, tool) -> None:
        self.model.tool = tool


class Bench:
    """A layer on a viewer, and a mouse."""

    def __init__(self) -> None:
        self.regions = Marker()
        view = SimpleNamespace(model=ViewModel())
        self.made = RegionsLayer(SimpleNamespace(regions=self.regions, view=view), MPP)
        self.layer = self.made.layer
        events = self.regions.model.events
        events.figures.connect(lambda: self.made.pacer.ask())
        events.tool.connect(lambda: self.made.show_tool())
        ViewerModel().add_layer(self.layer)
        for name, kind, polygon in (("Core", "interest", SQUARE), ("Ink", "leave_out", TRIANGLE)):
            self.regions.keep(*self.regions.model.regions, region(name, kind, polygon, uid=uuid4()))
        self.made.pacer.flush()

    @property
    def known(self):
        return self.regions.model.regions

    def mouse(self, kind: str, place: tuple[float, float], *, is_dragging: bool = False) -> None:
        tell_mouse(self.layer, kind, place, is_dragging=is_dragging)

    def drag(self, *way: tuple[float, float]) -> None:
        self.mouse("mouse_press", way[0])
        for place in way[1:]:
            self.mouse("mouse_move", place, is_dragging=True)
        self.mouse("mouse_release", way[-1])
        self.made.pacer.flush()

    def click(self, place: tuple[float, float]) -> None:
        self.mouse("mouse_move", place)
        self.mouse("mouse_press", place)
        self.mouse("mouse_release", place)


@pytest.fixture
def bench(qapp: QApplication) -> Bench:
    return Bench()


def test_regions_lie_on_the_pixels_that_they_name_and_look_as_their_kind(bench: Bench) -> None:
    assert is_placed(bench.layer, MPP)
    np.testing.assert_allclose(bench.layer.data[0].min(axis=0), (29.5, 19.5))
    assert list(bench.layer.shape_type) == ["rectangle", "polygon"]
    assert list(bench.layer.features["label"]) == ["Core", "Ink"]
    assert not np.allclose(bench.layer.edge_color[0], bench.layer.edge_color[1])
    assert bench.made.is_true()


def test_a_rectangle_and_a_polygon_are_drawn_and_the_mouse_then_selects(bench: Bench) -> None:
    bench.regions.model.kind = "search"
    bench.regions.choose_tool("rectangle")
    assert str(bench.layer.mode) == "add_rectangle"
    bench.drag((10.0, 100.0), (50.0, 120.0), (80.0, 140.0))
    *_, drawn = bench.known
    np.testing.assert_allclose(drawn.box.as_tuple(), (10, 100, 80, 140), atol=1.0)
    assert (drawn.kind, bench.regions.model.tool) == ("search", "select")
    assert set(bench.layer.selected_data) == {2}
    bench.regions.choose_tool("polygon")
    corners = [(150.0, 100.0), (190.0, 100.0), (190.0, 140.0), (170.0, 150.0)]
    for corner in corners:
        bench.click(corner)
    bench.mouse("mouse_move", (150.0, 145.0))
    assert bench.made.finish()
    bench.made.pacer.flush()
    *_, drawn = bench.known
    assert area_px(drawn.polygon_xy) == pytest.approx(1400, rel=0.1)
    assert len(bench.known) == len(bench.layer.data) == 4
    assert bench.made.is_true()
    assert not bench.made.finish()


def test_a_slip_draws_nothing_and_the_mouse_still_draws(bench: Bench) -> None:
    bench.regions.choose_tool("rectangle")
    bench.click((5.0, 5.0))
    bench.made.pacer.flush()
    assert len(bench.known) == len(bench.layer.data) == 2
    assert str(bench.layer.mode) == "add_rectangle"


def test_a_polygon_is_given_up_and_nothing_is_left_of_it(bench: Bench) -> None:
    bench.regions.choose_tool("polygon")
    for corner in ((150.0, 100.0), (190.0, 100.0), (190.0, 140.0)):
        bench.click(corner)
    assert bench.made.give_up()
    assert len(bench.known) == len(bench.layer.data) == 2
    assert bench.made.is_true()
    assert not bench.made.give_up()


def test_a_region_is_selected_dragged_and_deleted(bench: Bench) -> None:
    bench.regions.choose_tool("select")
    bench.drag((40.0, 50.0), (45.0, 55.0), (50.0, 52.0))
    first = bench.known[0]
    assert bench.regions.model.selected == first.uid
    np.testing.assert_allclose(first.box.as_tuple(), (30, 32, 70, 72), atol=1.0)
    assert first.name == "Core"
    bench.layer.remove_selected()
    bench.made.pacer.flush()
    assert [each.name for each in bench.known] == ["Ink"]
    assert bench.made.is_true()


def test_a_region_is_drawn_freehand_and_its_corner_moved(bench: Bench) -> None:
    bench.regions.choose_tool("freehand")
    angle = np.linspace(0, 2 * np.pi, 40)
    bench.drag(*(np.stack((170 + 25 * np.cos(angle), 100 + 25 * np.sin(angle)), axis=1).tolist()))
    *_, drawn = bench.known
    assert area_px(drawn.polygon_xy) == pytest.approx(np.pi * 25**2, rel=0.2)
    assert len(drawn.corners) >= 6
    bench.regions.select(bench.known[1].uid)
    bench.regions.choose_tool("corners")
    bench.made.pacer.ask()
    bench.made.pacer.flush()
    bench.drag((120.0, 90.0), (120.0, 100.0), (120.0, 110.0))
    np.testing.assert_allclose(bench.known[1].box.as_tuple(), (100, 40, 140, 110), atol=1.0)
    np.testing.assert_allclose(bench.known[1].corners[:2], TRIANGLE[:2], atol=0.02)
    assert bench.made.is_true()


def test_what_others_do_to_the_layer_is_put_right(bench: Bench) -> None:
    before = bench.known
    bench.layer.edge_color = "yellow"
    assert not bench.made.is_true()
    bench.made.restore()
    assert bench.made.is_true()
    bench.layer.add_rectangles(to_napari(rectangle(Box(1, 1, 9, 9))))
    bench.made.pacer.flush()
    assert len(bench.known) == 3, "what a script draws is a region too"
    bench.regions.keep(*before)
    bench.made.pacer.flush()
    assert len(bench.layer.data) == 2


def test_a_line_is_as_wide_on_the_screen_at_any_zoom() -> None:
    for across in (30.0, 1000.0, 100_000.0):
        part = line_px_of(Box(0, 0, across, across / 2)) / across
        assert LINE_PART / 1.5 < part < LINE_PART * 1.5


def test_long_names_are_cut() -> None:
    long = region("x" * 90, "search", SQUARE, uid=uuid4())
    assert len(labels_of((long,))[0]) == LABEL_LETTERS
