"""What napari's own tools do to our layers: an edit that is in the journal, or taken back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from napari.layers._layer_actions import (
    _convert_to_image,
    _convert_to_labels,
    _duplicate_layer,
    _hide_selected,
    _link_selected_layers,
    _merge_stack,
    _split_rgb,
    _toggle_visibility,
)

from napari_nunext.ui.canvas.layers import is_placed
from tests.review.fakes import done, points, square, started
from tests.ui.test_points_layer import assert_same, layer_of, places, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.layers import Layer

    from tests.review.fakes import FakeServer
    from tests.ui.conftest import QuickApp

MPP = 0.5


@pytest.fixture
def found(quick_app: QuickApp, server: FakeServer) -> QuickApp:
    """The canvas after a search that found three nuclei, with outlines."""
    server.fake.outline = lambda clicks: square(clicks[0].x, clicks[0].y)
    server.fake.script = [
        started(),
        points((20.5, 30.5), (60.5, 40.5), (100.5, 90.5)),
        done(3),
    ]
    quick_app.controller.find.search()
    quick_app.canvas.flush()
    return quick_app


def ours(app: QuickApp) -> list[Layer]:
    return app.canvas.layers()


def assert_drawn(app: QuickApp) -> None:
    """Every layer of ours is there, in its order and place, and shows the state."""
    app.canvas.flush()
    layers = list(app.viewer.layers)
    places_in_list = [layers.index(layer) for layer in ours(app)]
    assert places_in_list == sorted(places_in_list)
    assert all(is_placed(layer, MPP) for layer in ours(app))
    image, outlines = ours(app)[:2]
    field = app.controller.images.model.open_field
    assert image.data is field.source.read_region(field.box)
    masks = {
        (round(n.nucleus.x_px), round(n.nucleus.y_px))
        for n in state_of(app).nuclei.values()
        if n.nucleus.mask is not None
    }
    assert bool(masks) == bool(outlines.data.any())
    assert not outlines.editable
    assert_same(app)


def notice(app: QuickApp) -> str:
    shown = app.controller.model.notice
    return "" if shown is None else shown.words


def select_layers(app: QuickApp, *layers: Layer) -> None:
    app.viewer.layers.selection = set(layers)
    app.viewer.layers.selection.active = layers[0]
    app.viewer.layers.selection = set(layers)


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1, 2), (0, 2)])
def test_a_deleted_layer_is_drawn_again(found: QuickApp, which: tuple[int, ...]) -> None:
    layers = [ours(found)[i] for i in which]
    select_layers(found, *layers)
    found.viewer.layers.remove_selected()
    assert_drawn(found)
    assert "drawn again" in notice(found)
    assert len(found.viewer.layers) == 3


def test_another_image_after_all_was_deleted(found: QuickApp, tile: Callable[[str], Path]) -> None:
    found.viewer.layers.clear()
    found.controller.open.paths([tile("second.png")])
    assert_drawn(found)
    assert [layer.name for layer in found.viewer.layers] == ["second.png", "Outlines", "Nuclei"]
    found.controller.images.previous()
    found.viewer.layers.clear()
    assert_drawn(found)
    assert found.viewer.layers[0].name == "tile.png"


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"affine": np.array([[1, 0, 14.4], [0, 1, 3], [0, 0, 1]])},
        {"translate": (3, 4)},
        {"scale": (2, 2)},
        {"rotate": 30},
        {"shear": [0.4]},
        {"units": ("pixel", "pixel")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_our_layers_cannot_be_moved_and_what_is_added_then_is_where_the_click_was(
    found: QuickApp, which: int, change: dict[str, object]
) -> None:
    layer = ours(found)[which]
    for name, value in change.items():
        setattr(layer, name, value)
    assert is_placed(layer, MPP), "before anything else can happen"
    nuclei = layer_of(found)
    nuclei.add(nuclei.world_to_data((25.0, 35.0)))  # where the mouse is, in um
    assert places(found)[-1] == (70.5, 50.5)
    assert_drawn(found)
    assert "move was taken back" in notice(found)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_our_layers_keep_their_names_and_modes(found: QuickApp, which: int) -> None:
    layer = ours(found)[which]
    name = layer.name
    layer.name = "mine"
    layer.mode = "transform"
    assert_drawn(found)
    assert layer.name == name
    assert str(layer.mode) == "pan_zoom"
    assert "keep their names" in notice(found)


def test_a_tool_of_napari_s_that_edits_is_ours_too(found: QuickApp) -> None:
    layer_of(found).mode = "add"
    found.canvas.flush()
    assert found.controller.view.model.tool == "add"
    layer_of(found).mode = "transform"
    found.canvas.flush()
    assert str(layer_of(found).mode) == "add"


def test_the_order_of_ours_is_kept_and_others_may_lie_anywhere(
    found: QuickApp, rng: np.random.Generator
) -> None:
    layers = found.viewer.layers
    theirs = [Points(name=str(i)) for i in range(3)]
    for layer in theirs:
        found.viewer.add_layer(layer)
    for _ in range(40):
        layers.move(*(int(i) for i in rng.integers(0, len(layers), 2)))
        assert_drawn(found)
        assert set(theirs) < set(layers)
    layers.reverse()
    assert_drawn(found)


def test_a_copy_is_the_user_s_own(found: QuickApp) -> None:
    select_layers(found, layer_of(found))
    _duplicate_layer(found.viewer.layers)
    copy = found.viewer.layers["Nuclei copy"]
    copy.add([10, 10])
    copy.selected_data = {0, 1}
    copy.remove_selected()
    copy.translate = (5, 5)
    assert_drawn(found)
    assert len(places(found)) == 3
    assert len(copy.data) == 2
    assert tuple(copy.translate) == (5, 5)
    assert not copy.keymap


@pytest.mark.filterwarnings("ignore:projection mode")
@pytest.mark.parametrize("tool", [_merge_stack, _convert_to_image, _split_rgb, _convert_to_labels])
def test_what_napari_makes_of_our_layers_is_the_user_s_and_ours_come_back(
    found: QuickApp, tool: Callable[[object], None]
) -> None:
    image, outlines = ours(found)[:2]
    chosen = outlines if tool is _convert_to_image else image
    select_layers(found, chosen)
    before = set(found.viewer.layers)
    with suppress(ValueError):  # napari cannot stack colours: by then it has taken ours away
        tool(found.viewer.layers)
    theirs = set(found.viewer.layers) - before
    assert_drawn(found)
    assert theirs < set(found.viewer.layers)
    assert not any(np.shares_memory(layer.data, ours(found)[1].data) for layer in theirs)


def test_what_is_linked_to_ours_is_not_moved_with_them(found: QuickApp) -> None:
    theirs = Image(np.zeros((8, 8)), scale=(1, 1), units=("um", "um"))
    found.viewer.add_layer(theirs)
    select_layers(found, theirs, *ours(found))
    _link_selected_layers(found.viewer.layers)
    found.canvas.flush()
    theirs.scale = (3, 3)
    assert_drawn(found)
    assert tuple(theirs.scale) == (3, 3)


@pytest.mark.parametrize("tool", [_hide_selected, _toggle_visibility])
def test_the_eye_of_napari_s_list_is_the_tick_in_the_panel(
    found: QuickApp, tool: Callable[[object], None], tile: Callable[[str], Path]
) -> None:
    view = found.controller.view.model
    select_layers(found, *ours(found))
    tool(found.viewer.layers)
    assert not view.points
    assert not view.outlines
    found.controller.open.paths([tile("second.png")])
    image, outlines, nuclei = ours(found)
    assert image.visible, "the next image is never hidden"
    assert not outlines.visible
    assert not nuclei.visible
    found.controller.view.choose_tool("add")
    assert nuclei.visible, "nobody adds to what is not seen"
    assert str(nuclei.mode) == "add"
    outlines.opacity = 0.4
    assert view.opacity == nuclei.opacity == 0.4


@pytest.mark.parametrize(
    "change",
    [
        {"face_color": "red"},
        {"symbol": "star"},
        {"border_color": "yellow"},
        {"border_width": 0.5},
        {"current_size": 40},  # napari's controls: of what is selected and of what is added
        {"current_face_color": "red"},
        {"current_symbol": "star"},
        {"current_border_color": "yellow"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_how_nuclei_look_says_what_they_are(found: QuickApp, change: dict[str, object]) -> None:
    layer = layer_of(found)
    layer.selected_data = {0, 2}
    for name, value in change.items():
        setattr(layer, name, value)
    found.canvas.flush()
    assert "look was put right" in notice(found)
    layer.add([60.0, 60.0])
    assert_drawn(found)
    for name, value in change.items():
        setattr(layer, name, value)
    layer.add([65.0, 60.0])
    assert_drawn(found)


def test_outlines_are_not_painted_over(found: QuickApp) -> None:
    outlines = ours(found)[1]
    before = outlines.data.copy()
    outlines.mode = "paint"
    assert str(outlines.mode) == "pan_zoom"
    outlines.paint((5, 5), 3)
    assert_drawn(found)
    np.testing.assert_array_equal(ours(found)[1].data, before)
    outlines.data = np.ones_like(before)
    assert_drawn(found)
    np.testing.assert_array_equal(ours(found)[1].data, before)


def test_the_image_shows_what_is_reviewed(found: QuickApp) -> None:
    ours(found)[0].data = np.zeros((30, 30, 3), np.uint8)
    assert_drawn(found)
    assert "pixels were put back" in notice(found)


def test_points_that_are_set_at_once_are_moved_deleted_or_taken_back(found: QuickApp) -> None:
    layer = layer_of(found)
    steps = found.controller.model.undo_steps
    data = layer.data.copy()
    data[1] += 3
    layer.data = data
    assert places(found)[1] == (63.5, 43.5)
    assert found.controller.model.undo_steps == steps + 1
    assert_drawn(found)
    layer.data = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert len(places(found)) == 3
    assert "taken back" in notice(found)
    assert_drawn(found)
    layer.data = []
    assert places(found) == []
    assert_drawn(found)
    found.controller.history.undo()
    assert len(places(found)) == 3
    assert_drawn(found)
    layer.data = np.vstack([layer.data, [5.0, 5.0]])
    assert_drawn(found)


def test_pasted_points_are_taken_back(found: QuickApp) -> None:
    layer = layer_of(found)
    layer.selected_data = {0, 1}
    layer._copy_data()
    layer._paste_data()
    assert "taken back" in notice(found)
    assert_drawn(found)
    assert len(places(found)) == 3


def test_what_is_hidden_is_not_selected_and_not_deleted(found: QuickApp) -> None:
    first = next(iter(state_of(found).nuclei))
    found.controller.correct.relabel([first], "Stromal")
    found.controller.categories.show("Stromal", False)
    layer = layer_of(found)
    assert len(layer.data) == 2, "what is hidden is no point"
    layer.selected_data = {0, 1}
    assert first not in found.controller.view.model.selected
    layer.remove([0, 1])
    assert list(state_of(found).nuclei) == [first]
    assert_drawn(found)


def test_points_that_are_hidden_take_another_opacity_when_they_are_shown(found: QuickApp) -> None:
    found.controller.view.show_points(False)
    found.controller.history.undo()  # fewer than were in view
    found.canvas.flush()
    found.controller.view.set_opacity(0.5)
    found.controller.view.show_points(True)
    assert layer_of(found).opacity == 0.5
    assert_drawn(found)


def test_a_deleted_region_is_no_region(found: QuickApp) -> None:
    found.canvas.draw_region()
    region = found.viewer.layers["Region"]
    region.add_rectangles(np.array([[9.5, 19.5], [9.5, 89.5], [59.5, 89.5], [59.5, 19.5]]))
    assert found.controller.view.model.region is not None
    region.affine = np.diag([2, 2, 1])
    assert is_placed(region, MPP)
    found.viewer.layers.remove(region)
    assert_drawn(found)
    assert found.controller.view.model.region is None
    assert "Region" not in found.viewer.layers
    found.canvas.draw_region()
    assert "Region" in found.viewer.layers
    assert_drawn(found)


def test_a_stack_of_somebody_else_s_does_not_break_ours(found: QuickApp) -> None:
    found.viewer.add_labels(np.zeros((5, 20, 20), int))
    found.viewer.dims.set_current_step(0, 3)
    nuclei = layer_of(found)
    nuclei.add(nuclei.world_to_data((3, 25.0, 35.0)))
    assert places(found)[-1] == (70.5, 50.5)
    assert_drawn(found)
    found.viewer.dims.ndisplay = 3
    found.viewer.dims.ndisplay = 2
    assert_drawn(found)
    assert isinstance(found.viewer.layers[-1], Labels)


def test_a_mistake_is_said_once(found: QuickApp) -> None:
    said = []
    found.controller.model.events.notice.connect(said.append)
    nuclei = layer_of(found)
    for i in range(5):
        nuclei.translate = (i + 1, 0)
    found.canvas.flush()
    assert len(said) == 1
