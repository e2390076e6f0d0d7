from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.utils._proxies import ReadOnlyWrapper
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from napari_nunext.review.correcting.editing import is_sure
from napari_nunext.ui.canvas.drawn import HALO
from napari_nunext.ui.canvas.points_layer import POINT_UM
from tests.review.fakes import done, points, square, started

if TYPE_CHECKING:
    from uuid import UUID

    from napari.layers import Points

    from napari_nunext.review.shown.view import Tool
    from napari_nunext.store import FieldState
    from tests.review.fakes import FakeServer
    from tests.ui.conftest import QuickApp


def layer_of(app: QuickApp) -> Points:
    app.canvas.flush()
    return app.viewer.layers["Nuclei"]


def state_of(app: QuickApp) -> FieldState:
    state = app.controller.model.state
    assert state is not None
    return state


def places(app: QuickApp) -> list[tuple[float, float]]:
    return [(n.nucleus.x_px, n.nucleus.y_px) for n in state_of(app).nuclei.values()]


def uids(app: QuickApp) -> list[UUID]:
    """Which nuclei the points stand for."""
    assert app.canvas.nuclei is not None
    return app.canvas.nuclei.uids()


def is_hollow(layer: Points) -> list[bool]:
    """Which points are drawn as unsure."""
    return [alpha == 0 for alpha in layer.face_color[:, 3]]


def assert_same(app: QuickApp) -> None:
    """The layer shows exactly the state, row by row."""
    app.canvas.flush()
    layer, state = layer_of(app), state_of(app)
    hidden = app.controller.view.model.hidden_categories
    shown = [n for n in state.nuclei.values() if n.nucleus.category not in hidden]
    assert uids(app) == [n.uid for n in shown]
    assert [(c + 0.5, r + 0.5) for r, c in layer.data.tolist()] == [
        (n.nucleus.x_px, n.nucleus.y_px) for n in shown
    ]
    assert list(layer.features["category"]) == [n.nucleus.category for n in shown]
    rgb = {c.name: np.array(c.color) / 255 for c in app.controller.model.categories}
    for i, n in enumerate(shown):
        sure, color = is_sure(n, app.controller.view.model.sure_above), rgb[n.nucleus.category]
        np.testing.assert_allclose(layer.face_color[i, :3], color, atol=1e-3)
        np.testing.assert_allclose(
            layer.border_color[i, :3], HALO[:3] if sure else color, atol=1e-3
        )
        assert bool(layer.face_color[i, 3]) == sure, "an unsure nucleus is hollow"
    np.testing.assert_allclose(layer.size, POINT_UM / layer.scale[0])


@pytest.fixture
def found(quick_app: QuickApp, server: FakeServer) -> QuickApp:
    """The canvas after a search that found four nuclei, one of them unsure."""
    server.fake.script = [
        started(),
        points((20.5, 30.5), (60.5, 40.5), (100.5, 90.5)),
        points((150.5, 20.5), first=3, confidence=0.2, position_error_um=0.83),
        done(4),
    ]
    quick_app.controller.find.search()
    assert len(state_of(quick_app).nuclei) == 4
    return quick_app


def test_streamed_nuclei_are_drawn_where_they_are_and_as_sure_as_they_are(found: QuickApp) -> None:
    assert_same(found)
    layer = layer_of(found)
    assert layer.data.tolist() == [[30, 20], [40, 60], [90, 100], [20, 150]]
    assert is_hollow(layer) == [False, False, False, True]


def test_the_status_bar_says_where_the_pointer_is_and_what_the_nucleus_there_is(
    found: QuickApp,
) -> None:
    layer = layer_of(found)
    mpp = layer.scale[0]
    category = state_of(found).nuclei[uids(found)[3]].nucleus.category
    said = layer.get_status([20 * mpp, 150 * mpp], world=True)["coordinates"]
    assert (
        said
        == f" x {150.5 * mpp:.1f}, y {20.5 * mpp:.1f} µm; {category}, unsure (0.20), place ± 0.8 µm"
    )
    beside = layer.get_status([5 * mpp, 5 * mpp], world=True)["coordinates"]
    assert beside == f" x {5.5 * mpp:.1f}, y {5.5 * mpp:.1f} µm"


def test_a_ring_stands_only_around_what_is_selected_or_pointed_at(
    found: QuickApp,
) -> None:
    found.controller.view.choose_tool("select")
    layer, first = layer_of(found), uids(found)[0]
    found.controller.view.select({first})
    # napari's own looking at where the pointer is, which it does at each move of the mouse.
    layer._value = layer.get_value(layer.data_to_world(layer.data[0]), world=True)
    layer._set_highlight()
    assert list(layer._highlight_index) == [0]
    found.controller.correct.delete({first})
    layer = layer_of(found)
    assert len(layer.data) == 3
    assert list(layer._highlight_index) == []  # the row is another nucleus' now


def test_a_click_with_the_add_tool_adds_one_nucleus_of_the_current_category(
    found: QuickApp,
) -> None:
    found.controller.categories.choose("Stromal")
    layer_of(found).add([50.0, 70.0])
    assert places(found)[-1] == (70.5, 50.5)
    added = list(state_of(found).nuclei.values())[-1]
    assert added.is_human
    assert added.nucleus.category == "Stromal"
    assert len(set(uids(found))) == 5
    assert found.controller.view.model.selected == {added.uid}
    assert_same(found)


def test_a_click_outside_the_image_adds_nothing(found: QuickApp) -> None:
    layer_of(found).add([-20.0, 70.0])
    assert len(places(found)) == 4
    assert_same(found)


def test_deleting_the_selection_is_one_gesture(found: QuickApp) -> None:
    layer = layer_of(found)
    layer.selected_data = {0, 2}
    assert len(found.controller.view.model.selected) == 2
    layer.remove_selected()
    assert places(found) == [(60.5, 40.5), (150.5, 20.5)]
    assert_same(found)
    found.controller.history.undo()
    assert len(places(found)) == 4
    assert_same(found)


def drag(layer: Points, indices: set[int], step_rc: tuple[float, float]) -> None:
    """What napari's select tool does while the mouse drags."""
    layer.selected_data = indices
    index = tuple(indices)
    layer.events.data(value=layer.data, action="changing", data_indices=index, vertex_indices=((),))
    start = layer.data[list(index)].mean(axis=0)
    layer._set_drag_start(layer.selected_data, start)
    layer._move(layer.selected_data, start + step_rc)
    layer._drag_start = None


def test_a_drag_is_one_move_of_each_nucleus(found: QuickApp) -> None:
    drag(layer_of(found), {0, 1}, (5.0, -3.0))
    assert places(found)[:2] == [(17.5, 35.5), (57.5, 45.5)]
    assert found.controller.model.undo_steps == 2  # the search, the drag
    assert_same(found)


def test_a_drag_off_the_image_is_taken_back(found: QuickApp) -> None:
    drag(layer_of(found), {0}, (-500.0, 0.0))
    assert places(found)[0] == (20.5, 30.5)
    assert_same(found)


def click(
    app: QuickApp, x_px: float, y_px: float, *, held: tuple[str, ...] = (), moved_px: int = 0
) -> None:
    """What napari tells a layer when the mouse is pressed, moved on the screen, and let go."""
    layer = layer_of(app)
    at = {
        "position": layer.data_to_world((y_px - 0.5, x_px - 0.5)),
        "modifiers": held,
        "view_direction": None,
        "dims_displayed": [0, 1],
        "button": 1,
    }

    def event(kind: str, x: int = 50) -> ReadOnlyWrapper:
        happened = SimpleNamespace(type=kind, pos=np.array([x, 50]), is_dragging=True, **at)
        return ReadOnlyWrapper(happened)

    mouse_press_callbacks(layer, event("mouse_press"))
    if moved_px:
        mouse_move_callbacks(layer, event("mouse_move", 50 + moved_px))
    mouse_release_callbacks(layer, event("mouse_release"))


@pytest.fixture
def outlining(found: QuickApp, server: FakeServer) -> QuickApp:
    """With the tool for outlines, the first nucleus selected by a click on it."""
    server.fake.outline = lambda clicks: square(
        clicks[0].x, clicks[0].y, 8 if clicks[-1].positive else 6
    )
    found.controller.view.choose_tool("outline")
    click(found, 21.0, 31.0)
    assert found.controller.view.model.selected == {next(iter(state_of(found).nuclei))}
    return found


def clicks_on_nucleus(server: FakeServer) -> list[tuple[float, float, bool]]:
    (prompt,) = server.fake.segmented[-1].prompts
    return [(c.x, c.y, c.positive) for c in prompt.points]


def test_a_click_with_the_outline_tool_is_inside_and_with_shift_outside(
    outlining: QuickApp, server: FakeServer
) -> None:
    click(outlining, 26.5, 30.5, moved_px=2)
    click(outlining, 16.5, 33.5, held=("Shift",))
    assert clicks_on_nucleus(server) == [
        (20.5, 30.5, True),
        (26.5, 30.5, True),
        (16.5, 33.5, False),
    ]
    mask = next(iter(state_of(outlining).nuclei.values())).nucleus.mask
    assert mask == square(20.5, 30.5, 6)


def test_a_drag_with_the_outline_tool_moves_the_view_alone(
    outlining: QuickApp, server: FakeServer
) -> None:
    assert str(layer_of(outlining).mode) == "pan_zoom"
    click(outlining, 26.5, 30.5, moved_px=9)
    click(outlining, -30.0, 30.5)  # off the image
    assert not server.fake.segmented


@pytest.mark.parametrize("tool", ["look", "select", "add"])
def test_other_tools_leave_outlines_alone(
    outlining: QuickApp, server: FakeServer, tool: Tool
) -> None:
    outlining.controller.view.choose_tool(tool)
    assert outlining.controller.view.model.tool == tool
    first = next(iter(state_of(outlining).nuclei))
    click(outlining, 26.5, 30.5)
    assert state_of(outlining).nuclei[first].nucleus.mask is None
    assert len(server.fake.segmented) == (tool == "add")  # for the nucleus that was added


def test_the_outline_tool_stays_chosen_though_napari_calls_it_moving_the_view(
    found: QuickApp,
) -> None:
    found.controller.view.choose_tool("select")
    found.controller.view.choose_tool("outline")
    assert found.controller.view.model.tool == "outline"
    assert str(layer_of(found).mode) == "pan_zoom"
    layer_of(found).mode = "add"  # with napari's own buttons
    assert found.controller.view.model.tool == "add"


def test_points_that_stream_in_while_one_is_dragged_wait_for_the_drop(found: QuickApp) -> None:
    layer = layer_of(found)
    layer.events.data(value=layer.data, action="changing", data_indices=(0,), vertex_indices=((),))
    found.controller.correct.add(10, 10)
    found.canvas.flush()
    assert len(layer.data) == 4
    layer.events.data(value=layer.data, action="changed", data_indices=(0,), vertex_indices=((),))
    assert len(layer.data) == 5
    assert_same(found)


def test_hidden_categories_and_sureness_change_how_nuclei_look(found: QuickApp) -> None:
    found.controller.categories.show("Lymphocyte", False)
    assert len(layer_of(found).data) == 0, "nor can what is hidden be selected"
    found.controller.categories.show("Lymphocyte", True)
    found.controller.view.set_sure_above(0.1)
    assert not any(is_hollow(layer_of(found)))
    assert_same(found)


def test_undo_through_everything_and_back_keeps_layer_and_state_the_same(found: QuickApp) -> None:
    layer = layer_of(found)
    layer.add([50.0, 70.0])
    found.controller.categories.choose("Stromal")
    drag(layer, {1}, (2.0, 2.0))
    layer.selected_data = {3}
    layer.remove_selected()
    for act in (found.controller.history.undo, found.controller.history.redo):
        for _ in range(6):
            act()
            assert_same(found)


def test_rejected_nuclei_are_not_drawn(found: QuickApp) -> None:
    from napari_nunext.store import events

    uid = next(iter(state_of(found).nuclei))
    sha256 = found.controller.images.model.open_field.entry.sha256
    found.controller.session.commit(sha256, [events.reject(sha256, uid)])
    layer_of(found)
    assert uid not in uids(found)


def test_another_scale_moves_every_layer_alike(found: QuickApp) -> None:
    found.controller.scale.set(0.25)
    for layer in found.viewer.layers:
        assert tuple(layer.scale) == (0.25, 0.25)
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]


def test_what_goes_while_the_points_are_hidden_is_not_in_view_any_more(found: QuickApp) -> None:
    controller, layer = found.controller, found.canvas.nuclei.layer
    assert len(layer._view_data) == len(layer.data) > 0
    controller.view.show_points(False)
    controller.correct.delete(controller.model.state.nuclei)
    found.canvas.flush()
    assert len(layer._view_data) == len(layer.data) == 0
