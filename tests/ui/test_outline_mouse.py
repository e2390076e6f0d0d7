"""The mouse and the keys on the real canvas while outlines are drawn by hand."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from napari_nunext.review.outlining import hand
from napari_nunext.ui.canvas.layers import world_of
from napari_nunext.ui.napari_versions import camera_of, canvas_widget_of
from tests.review.fakes import square

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.ui.app import App

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
Place = tuple[float, float]
POINT = (100.5, 90.5)
OUTLINE = square(*POINT, 20)


class Mouse:
    """Does on the canvas what a hand does, at places on the image (x, y, level-0 px)."""

    def __init__(self, app: App) -> None:
        self.app = app
        canvas = canvas_widget_of(app.dock.window())
        assert canvas is not None
        self.canvas: QWidget = canvas

    def at(self, x_px: float, y_px: float) -> QPoint:
        """Where that is on the canvas."""
        camera = camera_of(self.app.viewer)
        here_rc = world_of(x_px, y_px, self.app.controller.images.model.open_field.entry.mpp)
        row, column = (np.subtract(here_rc, camera.center[-2:]) * camera.zoom).tolist()
        return QPoint(
            round(self.canvas.width() / 2 + column), round(self.canvas.height() / 2 + row)
        )

    def drag(self, *way: Place, button: Qt.MouseButton = LEFT, held: Any = NONE) -> None:
        QTest.mouseMove(self.canvas, self.at(*way[0]))
        settle()
        with no_double_clicks():
            QTest.mousePress(self.canvas, button, held, self.at(*way[0]))
        for place in way[1:]:
            QTest.mouseMove(self.canvas, self.at(*place))
            settle()
        QTest.mouseRelease(self.canvas, button, held, self.at(*way[-1]))
        settle()

    def click(self, place: Place, held: Any = NONE) -> None:
        self.drag(place, held=held)

    def double_click(self, place: Place) -> None:
        QTest.mouseDClick(self.canvas, LEFT, NONE, self.at(*place))
        settle()

    def wheel(self, notches: int, held: Any = NONE) -> None:
        here = QPointF(self.at(*POINT))
        event = QWheelEvent(
            here,
            QPointF(self.canvas.mapToGlobal(here.toPoint())),
            QPoint(0, 0),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            held,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.canvas, event)
        settle()

    def key(self, key: Qt.Key, held: Any = NONE) -> None:
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key, held)
        settle()


@contextmanager
def no_double_clicks() -> Iterator[None]:
    """A press soon after another at the same place is a press as well."""
    before = QApplication.doubleClickInterval()
    QApplication.setDoubleClickInterval(0)
    yield
    QApplication.setDoubleClickInterval(before)


def settle() -> None:
    for _ in range(4):
        QApplication.processEvents()
        QTest.qWait(6)  # napari looks where the mouse is every 5 ms


@pytest.fixture
def nucleus(app: App, spin: Callable[..., None], server: Any) -> UUID:
    """A nucleus with an outline of 20 x 20 px, near enough to be painted; none is selected."""
    server.fake.outline = lambda clicks: square(clicks[0].x, clicks[0].y, 20)
    uid = app.controller.correct.add(*POINT)
    spin(lambda: mask_of(app, uid) is not None)
    app.dock.window().resize(1366, 768)
    settle()
    app.dock.canvas.sight.look_at(*POINT)
    settle()
    return uid


@pytest.fixture
def mouse(app: App, nucleus: UUID) -> Mouse:
    return Mouse(app)


def mask_of(app: App, uid: UUID) -> Mask | None:
    return app.controller.model.state.nuclei[uid].nucleus.mask


def view_of(app: App) -> tuple[Any, float]:
    camera = camera_of(app.viewer)
    return tuple(camera.center), camera.zoom


def test_strokes_paint_and_erase_and_leave_the_view_where_it_is(
    app: App, mouse: Mouse, nucleus: UUID
) -> None:
    mouse.key(Qt.Key.Key_B)
    before, steps = view_of(app), app.controller.model.undo_steps
    mouse.drag((105, 90), (112, 90), (115, 90))
    painted = mask_of(app, nucleus)
    assert app.controller.view.model.selected == {nucleus}, "the stroke began on it"
    assert painted.covers(116.5, 90.5)
    assert painted.covers(91.5, 81.5)
    mouse.drag((116, 86), (116, 95), held=SHIFT)
    assert not mask_of(app, nucleus).covers(116.5, 90.5)
    mouse.drag((92, 76), (92, 105), button=RIGHT)
    assert not mask_of(app, nucleus).covers(91.5, 81.5)
    assert app.controller.model.undo_steps == steps + 3
    assert view_of(app) == before
    assert len(app.viewer.layers) == 3, "no layer is left behind"
    for _ in range(3):
        mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert mask_of(app, nucleus) == OUTLINE


def test_a_stroke_is_where_the_mouse_was_at_every_zoom_and_scale(
    app: App, mouse: Mouse, nucleus: UUID
) -> None:
    mouse.key(Qt.Key.Key_B)
    app.controller.view.select([nucleus])
    for mpp, zoom in ((0.5, 14.0), (0.25, 40.0), (1.0, 4.0)):
        app.controller.scale.set(mpp)
        settle()
        app.dock.canvas.sight.look_at(*POINT)
        camera_of(app.viewer).zoom = zoom
        settle()
        mouse.drag((105.5, 90.5), (125.5, 90.5))
        assert mask_of(app, nucleus).covers(125.5, 90.5), (mpp, zoom)
        radius_px = max(app.controller.view.model.brush_um / 2 / mpp, 1)
        assert not mask_of(app, nucleus).covers(127.5 + radius_px, 90.5), (mpp, zoom)
        app.controller.history.undo()


def test_what_is_painted_is_seen_before_the_button_is_let_go(
    app: App, mouse: Mouse, nucleus: UUID
) -> None:
    mouse.key(Qt.Key.Key_B)
    app.controller.view.select([nucleus])
    app.dock.canvas.flush()
    shown = app.dock.canvas.outlines.layer.data
    assert not shown[80:100, 113:120].any()
    QTest.mousePress(mouse.canvas, LEFT, NONE, mouse.at(105, 90))
    QTest.mouseMove(mouse.canvas, mouse.at(115, 90))
    settle()
    assert shown[80:100, 113:120].any()
    mouse.key(Qt.Key.Key_Escape)
    assert not shown[80:100, 113:120].any(), "Esc gives it up"
    assert app.controller.view.model.tool == "outline"
    QTest.mouseRelease(mouse.canvas, LEFT, NONE, mouse.at(115, 90))
    settle()
    assert mask_of(app, nucleus) == OUTLINE
    assert app.controller.model.notice is None


def test_two_quick_dabs_are_two_dabs(app: App, mouse: Mouse, nucleus: UUID) -> None:
    mouse.key(Qt.Key.Key_B)
    app.controller.view.select([nucleus])
    before = view_of(app)
    place = mouse.at(111, 90)
    QTest.mouseClick(mouse.canvas, LEFT, NONE, place)
    app.controller.history.undo()
    QTest.mouseDClick(mouse.canvas, LEFT, NONE, place)
    QTest.mouseRelease(mouse.canvas, LEFT, NONE, place)
    settle()
    assert mask_of(app, nucleus).covers(112.5, 90.5)
    assert view_of(app) == before, "nor does a double click zoom"


def test_the_ring_is_as_large_as_the_brush_on_the_tissue(app: App, mouse: Mouse) -> None:
    cursor, view = app.viewer.cursor, app.controller.view.model
    mouse.key(Qt.Key.Key_B)
    assert (cursor.style, cursor.size) == ("circle", view.brush_um)
    mouse.key(Qt.Key.Key_Plus, SHIFT)
    mouse.key(Qt.Key.Key_Equal)
    assert view.brush_um == pytest.approx(3 * hand.STEP**2, abs=0.02)
    assert cursor.size == view.brush_um
    mouse.key(Qt.Key.Key_Minus)
    larger, zoom = view.brush_um, camera_of(app.viewer).zoom
    mouse.wheel(1, SHIFT)
    assert view.brush_um > larger
    assert camera_of(app.viewer).zoom == zoom
    mouse.wheel(-1, SHIFT)
    assert view.brush_um == pytest.approx(larger, abs=0.02)
    mouse.wheel(1)
    assert camera_of(app.viewer).zoom > zoom
    mouse.key(Qt.Key.Key_P)
    assert cursor.style == "cross"
    mouse.key(Qt.Key.Key_Escape)
    assert cursor.style == "standard"
    assert app.dock.canvas.nuclei.layer.mouse_pan
    mouse.key(Qt.Key.Key_B)
    mouse.key(Qt.Key.Key_S)
    assert cursor.style not in ("circle", "cross")


def test_a_click_with_the_brush_on_another_nucleus_selects_it(
    app: App, mouse: Mouse, nucleus: UUID, spin: Callable[..., None]
) -> None:
    other = app.controller.correct.add(125.5, 90.5)
    spin(lambda: mask_of(app, other) is not None)
    mouse.key(Qt.Key.Key_B)
    app.controller.view.select([nucleus])
    state = app.controller.model.state
    mouse.click((125.5, 90.5))
    assert app.controller.view.model.selected == {other}
    assert app.controller.model.state is state


def test_a_stroke_on_tissue_without_a_nucleus_says_what_to_do(app: App, mouse: Mouse) -> None:
    mouse.key(Qt.Key.Key_B)
    app.controller.view.select([])
    mouse.drag((85, 70), (82, 70))
    assert app.controller.model.notice.words == hand.CHOOSE_FIRST


CORNERS = ((92, 82), (112, 82), (112, 98), (92, 98))


@pytest.fixture
def drawing(app: App, mouse: Mouse, nucleus: UUID) -> Mouse:
    """With a polygon of three corners begun on the nucleus."""
    mouse.key(Qt.Key.Key_P)
    app.controller.view.select([nucleus])
    for corner in CORNERS[:3]:
        mouse.click(corner)
    assert len(app.controller.view.model.draft.places_xy) == 3
    return mouse


@pytest.mark.parametrize("end", ["double click", "Return"])
def test_a_polygon_is_closed_by_a_double_click_or_return_and_nothing_is_accepted(
    app: App, drawing: Mouse, nucleus: UUID, end: str
) -> None:
    before = view_of(app)
    if end == "Return":
        drawing.click(CORNERS[3])
        drawing.key(Qt.Key.Key_Return)
    else:
        QTest.mouseClick(drawing.canvas, LEFT, NONE, drawing.at(*CORNERS[3]))
        drawing.double_click(CORNERS[3])
    mask = mask_of(app, nucleus)
    assert abs(mask.area_px - 20 * 16) <= 40, "to a pixel of the screen"
    assert (abs(mask.x0_px - 92) <= 1, abs(mask.y0_px - 82) <= 1) == (True, True)
    assert not app.controller.model.state.acceptances
    assert app.controller.view.model.draft is None
    assert view_of(app) == before


def test_keys_that_would_delete_undo_or_accept_belong_to_the_polygon(
    app: App, drawing: Mouse, nucleus: UUID
) -> None:
    state = app.controller.model.state
    drawing.key(Qt.Key.Key_Backspace)
    assert len(app.controller.view.model.draft.places_xy) == 2
    drawing.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(app.controller.view.model.draft.places_xy) == 1
    drawing.key(Qt.Key.Key_Return)
    assert app.controller.view.model.draft is not None, "one corner encloses nothing: it is said"
    drawing.key(Qt.Key.Key_D)
    assert app.controller.view.model.draft is None
    assert app.controller.model.state is state
    drawing.click(CORNERS[0])
    drawing.key(Qt.Key.Key_Escape)
    assert app.controller.view.model.draft is None
    assert app.controller.view.model.tool == "outline"
    assert app.controller.view.model.selected == {nucleus}
    drawing.key(Qt.Key.Key_Escape)
    assert app.controller.view.model.tool == "look"


def test_the_polygon_follows_the_mouse_before_its_next_corner(app: App, drawing: Mouse) -> None:
    QTest.mouseMove(drawing.canvas, drawing.at(80, 105))
    settle()
    assert app.controller.view.model.draft.mask.covers(90.5, 95.5)
    QTest.mouseMove(drawing.canvas, drawing.at(100, 95))
    settle()
    assert not app.controller.view.model.draft.mask.covers(90.5, 95.5)


def test_a_double_click_zooms_again_once_outlines_are_left(app: App, mouse: Mouse) -> None:
    zoom = camera_of(app.viewer).zoom
    for key in (Qt.Key.Key_O, Qt.Key.Key_B, Qt.Key.Key_B):
        mouse.key(key)
    assert app.controller.view.model.tool == "look"
    mouse.double_click((60, 60))
    assert camera_of(app.viewer).zoom == 2 * zoom


def test_a_drag_moves_the_view_while_a_polygon_is_drawn(app: App, drawing: Mouse) -> None:
    before = view_of(app)
    drawing.drag((100, 90), (95, 85), (90, 80))
    assert view_of(app) != before
    assert len(app.controller.view.model.draft.places_xy) == 3


def test_the_line_below_the_tools_says_what_is_in_the_hand(app: App, mouse: Mouse) -> None:
    ways = app.dock.review._ways
    assert not ways.isVisible()
    mouse.key(Qt.Key.Key_O)
    assert ways.isVisible()
    for index, way in enumerate(("click", "brush", "polygon")):
        ways._ways.chosen.emit(index)
        assert app.controller.view.model.outline_way == way
        assert ways._ways.index() == index
    app.controller.hand.take("brush")
    assert "3.0 \N{MICRO SIGN}m" in ways._words.text()


def test_hidden_outlines_are_shown_to_who_corrects_them(app: App, mouse: Mouse) -> None:
    app.controller.view.show_outlines(False)
    mouse.key(Qt.Key.Key_B)
    assert app.controller.view.model.outlines
