from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Category
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.review.drafts import Draft
from napari_nunext.review.model import ReviewModel
from napari_nunext.review.shown.images import OpenField
from napari_nunext.review.shown.view import Held, ViewModel
from napari_nunext.store import FieldState, ImageEntry, events
from napari_nunext.ui.canvas.layers import is_placed
from napari_nunext.ui.canvas.many import sheet
from napari_nunext.ui.canvas.outlines_layer import OutlinesLayer
from tests.store.conftest import IMAGE

SIDE = 60
CATEGORIES = (Category("A", (230, 159, 0)), Category("B", (86, 180, 233)))


def showing(state: FieldState) -> ReviewModel:
    return ReviewModel(state=state, categories=CATEGORIES)


def open_field() -> OpenField:
    entry = ImageEntry(IMAGE, "t.png", "t.png", SIDE, SIDE, 0.5, "user")
    return OpenField(entry, tile_of_rgb(np.zeros((SIDE, SIDE, 3), np.uint8), "t.png"))


def disc(x: int, y: int, radius: int = 6) -> Mask:
    yy, xx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return Mask.from_array(xx**2 + yy**2 <= radius**2, x - radius, y - radius)


def covered(model: ReviewModel, hidden: frozenset[str] = frozenset()) -> np.ndarray:
    """Which pixels lie on the rim of any shown mask, counted from nothing."""
    out = np.zeros((SIDE, SIDE), bool)
    for n in model.state.nuclei.values():
        mask = n.nucleus.mask
        if mask is None or n.nucleus.category in hidden:
            continue
        pixels = {(mask.y0_px + r, mask.x0_px + c) for r, c in np.argwhere(mask.to_array())}
        for y, x in pixels:
            beside = {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)}
            if beside - pixels and 0 <= y < SIDE and 0 <= x < SIDE:
                out[y, x] = True
    return out


def test_random_edits_leave_what_painting_anew_would_leave(rng: np.random.Generator) -> None:
    model, view = showing(FieldState.fold()), ViewModel()
    layer = OutlinesLayer(model, view, open_field())
    uids: list[UUID] = []
    for _ in range(120):
        kind = rng.choice(["add", "delete", "relabel", "mask", "hide"], p=[0.5, 0.2, 0.1, 0.1, 0.1])
        x, y = (int(v) for v in rng.integers(-3, SIDE + 3, 2))
        event: Any = None
        if kind == "add" or not uids:
            uids.append(uuid4())
            event = events.add(
                IMAGE, x, y, str(rng.choice(["A", "B"])), uid=uids[-1], mask=disc(x, y)
            )
        elif kind == "delete":
            event = events.delete(IMAGE, uids.pop(int(rng.integers(len(uids)))))
        elif kind == "relabel":
            event = events.relabel(IMAGE, uids[0], str(rng.choice(["A", "B"])))
        elif kind == "mask":
            event = events.edit_mask(IMAGE, uids[-1], disc(x, y, 4))
        else:
            view.hidden_categories = frozenset() if view.hidden_categories else frozenset({"B"})
        if event is not None:
            model.state = model.state.apply(event)
        layer.redraw()
        np.testing.assert_array_equal(layer.layer.data > 0, covered(model, view.hidden_categories))


def test_of_a_slide_the_outlines_of_the_view_are_painted_as_finely_as_the_screen_shows(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is looked at and edited: as painting the whole image and looking there would."""
    monkeypatch.setattr(sheet, "MOST_PX", SIDE * SIDE // 4)
    model, view = showing(FieldState.fold()), ViewModel()
    layer = OutlinesLayer(model, view, open_field())
    uids: list[UUID] = []
    laid = set()
    for _ in range(150):
        kind = rng.choice(["look", "hold", "add", "delete", "draw"], p=[0.3, 0.1, 0.4, 0.1, 0.1])
        x, y = (int(v) for v in rng.integers(-3, SIDE + 3, 2))
        room = Box(x - 8, y - 12, x + int(rng.integers(0, 40)), y + int(rng.integers(0, 40)))
        if kind == "look":
            view.view_box = room
            layer.look(float(rng.choice([0.3, 1.0, 1.7])))
        elif kind == "hold":
            view.held = (Held(), Held(room), Held(too_many=True))[int(rng.integers(3))]
        elif kind == "add" or not uids:
            uids.append(uuid4())
            event = events.add(IMAGE, x, y, "A", uid=uids[-1], mask=disc(x, y))
            model.state = model.state.apply(event)
        elif kind == "delete":
            gone = uids.pop(int(rng.integers(len(uids))))
            model.state = model.state.apply(events.delete(IMAGE, gone))
        else:
            box = open_field().box
            view.draft = None if view.draft else Draft(IMAGE, uids[0], "painting", disc(x, y), box)
        layer.redraw()
        held, draft, nuclei = view.held, view.draft, model.state.nuclei
        there = nuclei.values() if held.within is None else nuclei.within(held.within)
        if held.too_many:
            there = []
        drawn = [n.nucleus.mask for n in there if draft is None or n.uid != draft.uid]
        if draft is not None:
            drawn.append(draft.mask)
        masks = FieldState.fold((), [events.add(IMAGE, 1, 1, "A", mask=mask) for mask in drawn])
        whole = covered(showing(masks))
        patch, shape = layer.patch, layer.layer.data.shape
        laid.add((patch.step_px, shape))
        step = int(patch.step_px)
        for (row, column), label in np.ndenumerate(layer.layer.data):
            y0, x0 = int(patch.y0_px) + row * step, int(patch.x0_px) + column * step
            assert (label > 0) == whole[y0 : y0 + step, x0 : x0 + step].any()
        assert is_placed(layer.layer, 0.5, patch)
    assert {step for step, _ in laid} == {1, 2}
    assert len(laid) > 10


@pytest.mark.parametrize("view_px", [300.0, 5_000.0, 100_000.0, 400_000.0])
def test_a_sheet_takes_no_more_bytes_on_a_larger_slide(view_px: float) -> None:
    side = 100_000
    view = Box(-50, 60_000, view_px, 60_000 + view_px)
    made = sheet.sheet_for((side, side), view, view_px / 1500, None)
    assert np.prod(made.shape) < 1.01 * sheet.MOST_PX
    assert view.clipped_to(Box.of_image(side, side)).clipped_to(made.box) == view.clipped_to(
        Box.of_image(side, side)
    )
    assert made.step_px <= max(1, 2 * view_px / 1500)
    assert sheet.sheet_for((side, side), None, 1.0, None).shape == (1, 1)
    assert sheet.sheet_for((3000, 4000), view, 1.0, None).is_whole


def test_a_label_has_the_colour_of_its_category() -> None:
    state = FieldState.fold(
        (),
        [
            events.add(IMAGE, 10, 10, "A", mask=disc(10, 10)),
            events.add(IMAGE, 40, 40, "B", mask=disc(40, 40)),
            events.add(IMAGE, 10, 40, "A", mask=disc(10, 40)),
        ],
    )
    layer = OutlinesLayer(showing(state), ViewModel(), open_field()).layer
    for x, y, category in ((10, 10, 0), (40, 40, 1), (10, 40, 0)):
        label = int(layer.data[y, x - 6])
        assert label == category + 1
        expected = np.array([*CATEGORIES[category].color, 255]) / 255
        np.testing.assert_allclose(layer.get_color(label), expected, atol=0.01)


def test_the_outline_of_what_is_selected_is_white_until_it_no_longer_is() -> None:
    one, other = uuid4(), uuid4()
    state = FieldState.fold(
        (),
        [
            events.add(IMAGE, 10, 10, "A", uid=one, mask=disc(10, 10)),
            events.add(IMAGE, 40, 40, "B", uid=other, mask=disc(40, 40)),
        ],
    )
    model, view = showing(state), ViewModel()
    outlines = OutlinesLayer(model, view, open_field())

    def colour_at(x: int, y: int) -> list[float]:
        label = int(outlines.layer.data[y, x])
        return np.round(outlines.layer.get_color(label) * 255).tolist()

    view.selected = frozenset({one})
    outlines.redraw()
    assert colour_at(4, 10) == [255, 255, 255, 255]
    assert colour_at(34, 40) == [86, 180, 233, 255]
    view.selected = frozenset({other})
    outlines.redraw()
    assert colour_at(4, 10) == [230, 159, 0, 255]
    assert colour_at(34, 40) == [255, 255, 255, 255]


def test_an_outline_that_is_drawn_is_painted_in_the_place_of_its_nucleus_own(
    rng: np.random.Generator,
) -> None:
    """Stroke by stroke, beside neighbours and over them, as painting anew would leave it."""
    uids = [uuid4() for _ in range(12)]
    places = [tuple(int(v) for v in rng.integers(5, SIDE - 5, 2)) for _ in uids]
    model = showing(
        FieldState.fold(
            (),
            [
                events.add(IMAGE, x, y, "A", uid=uid, mask=disc(x, y))
                for uid, (x, y) in zip(uids, places, strict=True)
            ],
        )
    )
    view = ViewModel()
    layer = OutlinesLayer(model, view, open_field())
    room = open_field().box
    for _ in range(60):
        kind = rng.choice(["draw", "end", "edit", "other"], p=[0.6, 0.15, 0.15, 0.1])
        chosen = uids[int(rng.integers(len(uids)))]
        x, y = (int(v) for v in rng.integers(-3, SIDE + 3, 2))
        if kind == "draw" and view.draft is not None:
            view.draft = replace(view.draft, mask=disc(x, y, int(rng.integers(1, 9))))
        elif kind == "end":
            view.draft = None
        elif kind == "edit":
            model.state = model.state.apply(events.edit_mask(IMAGE, chosen, disc(x, y, 4)))
            layer.redraw()
        else:
            view.draft = Draft(IMAGE, chosen, "painting", Mask(0, 0, 0, 0, ()), room)
        layer.show_draft()
        wanted = OutlinesLayer(model, view, open_field()).layer.data
        np.testing.assert_array_equal(layer.layer.data > 0, wanted > 0)
        drawn = None if view.draft is None else view.draft.mask
        own = model.state.apply(
            *[] if drawn is None else [events.edit_mask(IMAGE, view.draft.uid, drawn)]
        )
        np.testing.assert_array_equal(layer.layer.data > 0, covered(showing(own)))


def test_an_outline_that_is_being_drawn_is_there_when_the_layer_is_drawn_anew() -> None:
    uid = uuid4()
    model = showing(FieldState.fold(events=[events.add(IMAGE, 20, 20, "A", uid=uid)]))
    view = ViewModel()
    layer = OutlinesLayer(model, view, open_field())
    view.draft = Draft(IMAGE, uid, "painting", disc(20, 20), open_field().box)
    layer.show_draft()
    drawn = layer.layer.data > 0
    assert drawn.any()
    layer.restore(open_field())
    np.testing.assert_array_equal(layer.layer.data > 0, drawn)
