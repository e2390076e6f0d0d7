"""A field with too many nuclei to draw: points of the view, and a density where it has too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.review.correcting import holding
from napari_nunext.store import events
from napari_nunext.ui.canvas.layers import from_napari
from napari_nunext.ui.canvas.many import sheet
from napari_nunext.ui.canvas.points_layer import TOO_FAR
from napari_nunext.ui.napari_versions import camera_of
from tests.review.fakes import done, points, started
from tests.ui.conftest import SIDE_PX

if TYPE_CHECKING:
    from uuid import UUID

    from napari.layers import Image, Points

    from tests.review.fakes import FakeServer
    from tests.ui.conftest import QuickApp

STEP_PX = 8


@pytest.fixture
def crowd(quick_app: QuickApp, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> QuickApp:
    """625 nuclei on a grid, where 60 in view are few enough."""
    monkeypatch.setattr(holding, "MOST_IN_FIELD", 200)
    monkeypatch.setattr(holding, "MOST_IN_VIEW", 60)
    places = np.arange(STEP_PX / 2, SIDE_PX, STEP_PX)
    server.fake.script = [
        started(),
        points(*((float(x), float(y)) for y in places for x in places)),
        done(len(places) ** 2),
    ]
    quick_app.controller.find.search()
    quick_app.canvas.flush()
    return quick_app


def look(app: QuickApp, x_px: float, y_px: float, px: float) -> None:
    """Have so many pixels of the image in view, around a place."""
    mpp = app.controller.images.model.open_field.entry.mpp
    camera = camera_of(app.viewer)
    camera.zoom = camera.zoom * app.controller.view.model.view_box.height / px
    camera.center = ((y_px - 0.5) * mpp, (x_px - 0.5) * mpp)
    app.canvas.flush()


def nuclei(app: QuickApp) -> Points:
    return app.canvas.nuclei.layer


def density(app: QuickApp) -> Image:
    (layer,) = app.canvas.density.layers()
    return layer


def drawn(app: QuickApp) -> list[UUID]:
    return app.canvas.nuclei.uids()


def assert_drawn(app: QuickApp) -> None:
    """The points are the nuclei in view, and perhaps some around it, where these are."""
    view, table = app.controller.view.model, app.controller.model.table
    in_view = set(table.uids_at(table.rows_within(view.view_box)))
    assert in_view <= set(drawn(app))
    places = table.part(table.rows_of(drawn(app))).points_xy
    np.testing.assert_allclose(from_napari(nuclei(app).data), places)
    assert app.canvas.nuclei.is_true()


def test_zoomed_out_the_density_is_shown_and_zoomed_in_the_points_of_the_view(
    crowd: QuickApp,
) -> None:
    assert crowd.controller.view.model.held.too_many
    assert len(nuclei(crowd).data) == 0
    assert density(crowd).visible
    mpp = crowd.controller.images.model.open_field.entry.mpp
    per_mm2 = 1e6 / (STEP_PX * mpp) ** 2
    assert density(crowd).data.mean() == pytest.approx(per_mm2, rel=1e-4)
    low_rc, high_rc = density(crowd).extent.world
    image = crowd.canvas.image.extent.world
    np.testing.assert_allclose([low_rc, high_rc], image)  # where the image lies
    layers = list(crowd.viewer.layers)
    assert layers.index(density(crowd)) == layers.index(crowd.canvas.image) + 1

    look(crowd, 100, 100, 40)
    assert not density(crowd).visible
    assert_drawn(crowd)
    assert len(drawn(crowd)) <= 60
    before = nuclei(crowd).data
    look(crowd, 101, 99, 40)  # over what is drawn: nothing is drawn anew
    np.testing.assert_array_equal(nuclei(crowd).data, before)
    look(crowd, 20, 180, 40)
    assert_drawn(crowd)
    look(crowd, 100, 100, 300)
    assert density(crowd).visible
    assert len(nuclei(crowd).data) == 0


def test_nuclei_are_corrected_in_the_view_as_on_a_tile(crowd: QuickApp) -> None:
    look(crowd, 100, 100, 40)
    controller, layer = crowd.controller, nuclei(crowd)
    count = len(controller.model.state.nuclei)
    layer.add([97.0, 99.0])
    crowd.canvas.flush()
    assert len(controller.model.state.nuclei) == count + 1
    assert_drawn(crowd)
    chosen = drawn(crowd)[:3]
    controller.view.select(chosen)
    controller.categories.choose("Stromal")
    crowd.canvas.flush()
    assert list(layer.features["category"][:3]) == ["Stromal"] * 3
    layer.remove_selected()
    crowd.canvas.flush()
    assert not {*chosen} & {*controller.model.state.nuclei}
    assert_drawn(crowd)
    for _ in range(3):
        controller.history.undo()
        crowd.canvas.flush()
        assert_drawn(crowd)
    assert len(controller.model.state.nuclei) == count
    look(crowd, 100, 100, 300)
    before = density(crowd).data.copy()
    controller.correct.delete(chosen)
    crowd.canvas.flush()
    assert density(crowd).data.sum() < before.sum()


def test_what_is_selected_stays_so_off_the_view_until_something_else_is_chosen(
    crowd: QuickApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = crowd.controller.view
    look(crowd, 40, 40, 30)
    first = drawn(crowd)[0]
    view.select([first])
    look(crowd, 160, 160, 30)
    assert view.model.selected == {first}
    assert not nuclei(crowd).selected_data
    other = drawn(crowd)[4]
    with monkeypatch.context() as held:
        held.setattr(QApplication, "keyboardModifiers", lambda: Qt.KeyboardModifier.ShiftModifier)
        nuclei(crowd).selected_data = {4}
    assert view.model.selected == {first, other}
    look(crowd, 40, 40, 30)
    assert [drawn(crowd)[row] for row in nuclei(crowd).selected_data] == [first]
    look(crowd, 100, 100, 300)  # too many in view: none is drawn
    assert view.model.selected == {first, other}
    look(crowd, 160, 160, 30)
    nuclei(crowd).selected_data = set()  # a click beside all nuclei
    assert view.model.selected == frozenset()
    view.select([first])
    nuclei(crowd).selected_data = set()  # and where none of what is selected is in view
    assert view.model.selected == frozenset()


def test_nothing_is_added_where_single_nuclei_are_not_seen(crowd: QuickApp) -> None:
    count = len(crowd.controller.model.state.nuclei)
    nuclei(crowd).add([97.0, 99.0])
    assert len(crowd.controller.model.state.nuclei) == count
    assert crowd.controller.model.notice.words == TOO_FAR


def test_hidden_categories_make_room_for_points(crowd: QuickApp) -> None:
    categories = crowd.controller.categories
    category = crowd.controller.model.table.names[0]
    categories.show(category, False)
    crowd.canvas.flush()
    assert not density(crowd).visible
    categories.show(category, True)
    crowd.canvas.flush()
    assert density(crowd).visible


def test_the_eye_of_the_density_is_that_of_the_points_and_napari_may_not_change_it(
    crowd: QuickApp,
) -> None:
    view, layer = crowd.controller.view, density(crowd)
    layer.visible = False
    assert not view.model.points
    assert not nuclei(crowd).visible
    view.show_points(True)
    assert layer.visible
    look(crowd, 100, 100, 40)
    layer.visible = True  # there is nothing to see of it
    assert not layer.visible
    look(crowd, 100, 100, 300)
    crowd.canvas.hide_overlays(True)
    assert not layer.visible
    crowd.canvas.hide_overlays(False)
    assert layer.visible
    right = layer.data
    layer.data = np.zeros_like(right)
    layer.scale = (1.0, 1.0)
    crowd.canvas.flush()
    np.testing.assert_array_equal(layer.data, right)
    np.testing.assert_allclose(layer.extent.world, crowd.canvas.image.extent.world)
    crowd.viewer.layers.remove(layer)
    crowd.canvas.flush()
    assert layer in crowd.viewer.layers
    crowd.controller.scale.set(0.25)
    crowd.canvas.flush()
    np.testing.assert_allclose(layer.extent.world, crowd.canvas.image.extent.world)


def test_outlines_of_a_slide_lie_on_their_nuclei_wherever_one_looks(
    quick_app: QuickApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "MOST_PX", SIDE_PX * SIDE_PX // 4)
    app = quick_app
    app.canvas.outlines.restore(app.controller.images.model.open_field)
    sha256 = app.controller.images.model.open_field.entry.sha256
    category = app.controller.model.current_category
    square = Mask.from_array(np.ones((9, 7), dtype=bool))
    places = [(x, y) for x in range(10, SIDE_PX - 10, 30) for y in range(10, SIDE_PX - 10, 30)]
    app.controller.session.commit(
        sha256,
        [events.add(sha256, x + 3, y + 4, category, mask=square.moved(x, y)) for x, y in places],
    )
    layer = app.canvas.outlines.layer
    mpp = app.controller.images.model.open_field.entry.mpp
    for x, y in ((40, 40), (160, 100), (70, 160)):
        look(app, x, y, 30)
        low, high = np.array(layer.extent.world)[:, ::-1] / mpp + 0.5  # x, y, level-0 px
        view = app.controller.view.model.view_box
        assert (low <= np.maximum((view.x0, view.y0), 0)).all()
        assert (high >= np.minimum((view.x1, view.y1), SIDE_PX)).all()
        assert layer.data.size < SIDE_PX * SIDE_PX // 4
        for left, top in ((x, y) for x, y in places if view.x0 < x < view.x1 - 8):
            if not view.y0 < top < view.y1 - 10:
                continue
            for at, is_rim in (((left, top), True), ((left + 3, top + 4), False)):
                value = layer.get_value((at[1] * mpp, at[0] * mpp), world=True)
                assert bool(value) == is_rim
    assert app.controller.model.notice is None, "the guard has nothing to put right"
    translate = tuple(layer.translate)
    layer.translate = (0.0, 0.0)
    app.canvas.flush()
    assert tuple(layer.translate) == translate


def test_of_an_answer_that_counted_too_many_those_in_view_light_up(crowd: QuickApp) -> None:
    crowd.controller.ask.ask(Question("question", "How many nuclei are there?"))
    crowd.canvas.flush()
    lights = crowd.canvas.evidence.lights
    assert lights is not None
    assert len(crowd.controller.ask.model.evidence) == 625
    assert len(lights.layer.data) == 0
    look(crowd, 60, 60, 30)
    places = crowd.controller.model.table.part(
        crowd.controller.model.table.rows_of(drawn(crowd))
    ).points_xy
    assert 0 < len(places) < 100
    lit = from_napari(lights.layer.data)
    assert {*map(tuple, lit.tolist())} == {*map(tuple, places.tolist())}
    assert lights.is_true()
