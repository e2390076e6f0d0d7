"""Outlines drawn by hand: one gesture each, in the journal, and never overwritten by a model."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_nunext.core.formats.geojson import read_marked_geojson
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask, label_image
from napari_nunext.review.outlining import hand, redrawing
from napari_nunext.review.outlining.redrawing import Redrawing
from napari_nunext.review.table import NucleusTable
from napari_nunext.store import FieldState, Project, events
from napari_nunext.store.exports.coco import coco_instances
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.geojson import write_geojson
from napari_nunext.store.exports.regions import complete_regions
from tests.review.fakes import Later, done, points, review_on, square, started
from tests.store.conftest import IMAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.model import ReviewModel
    from tests.review.fakes import FakeServer

    Place = tuple[float, float]

HEIGHT, WIDTH = 64, 80
POINT = (30.5, 20.5)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def mask_of(controller: ReviewController, uid: UUID) -> Mask | None:
    assert controller.model.state is not None
    return controller.model.state.nuclei[uid].nucleus.mask


def stroke(controller: ReviewController, *way: Place, erases: bool = False) -> None:
    """Press, move and lift the brush."""
    controller.hand.press(*way[0], erases=erases)
    for place in way[1:]:
        controller.hand.move(*place)
    controller.hand.lift(clicked=len(way) == 1)


def polygon(controller: ReviewController, *corners: Place) -> None:
    for corner in corners:
        controller.hand.put_corner(*corner)
    controller.hand.finish()


def said(model: ReviewModel) -> str:
    """What the notice says; it is taken away."""
    notice, model.notice = model.notice, None
    return "" if notice is None else notice.words


def disc(x: float, y: float, radius: float = 3.0) -> Mask:
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return Mask.from_array((xx - x) ** 2 + (yy - y) ** 2 <= radius**2)


def boxed(x0: int, y0: int, x1: int, y1: int) -> Mask:
    return Mask.from_array(np.ones((y1 - y0, x1 - x0), bool), x0, y0)


@pytest.fixture
def nucleus(opened: ReviewController) -> UUID:
    """A selected nucleus without an outline; the brush is in the hand, 3 px in radius."""
    uid = opened.correct.add(*POINT)
    opened.hand.take("brush")
    opened.view.select([uid])
    assert (opened.view.model.brush_um, opened.images.model.open_field.entry.mpp) == (3.0, 0.5)
    return uid


@pytest.fixture
def outlined(opened: ReviewController, nucleus: UUID) -> UUID:
    """The same with an outline of 12 x 8 px around its point."""
    polygon(opened, (24, 16), (36, 16), (36, 24), (24, 24))
    opened.hand.take("brush")
    assert mask_of(opened, nucleus) == boxed(24, 16, 36, 24)
    return nucleus


# One stroke, one gesture


def test_a_first_stroke_begins_an_outline_and_is_one_durable_gesture(
    opened: ReviewController, nucleus: UUID, tmp_path: Path
) -> None:
    before = opened.model.undo_steps
    stroke(opened, POINT, (36.5, 20.5), (36.5, 24.5))
    mask = mask_of(opened, nucleus)
    assert mask is not None
    assert mask.covers(36.5, 27.4)
    assert opened.model.undo_steps == before + 1
    assert opened.view.model.draft is None
    sha256 = opened.images.model.open_field.entry.sha256
    journal = opened.session.project.journal(sha256)
    assert [e.kind for e in journal] == ["add", "edit_mask"]
    assert opened.session.project.state(sha256).nuclei[nucleus].nucleus.mask == mask
    opened.history.undo()
    assert mask_of(opened, nucleus) is None
    opened.history.redo()
    assert mask_of(opened, nucleus) == mask
    reviewed = opened.model.state.nuclei[nucleus]
    assert (reviewed.touched, reviewed.annotator) == (True, "ab")
    opened.close()
    with Project.open(tmp_path / "review.nunext", annotator="ab") as again:
        assert again.state(sha256).nuclei[nucleus].nucleus.mask == mask


def test_a_dab_is_a_disc_of_the_brush(opened: ReviewController, nucleus: UUID) -> None:
    stroke(opened, POINT)
    assert mask_of(opened, nucleus) == disc(*POINT)


def test_undo_finds_a_stroke_on_another_image_and_after_reopening(
    opened: ReviewController,
    outlined: UUID,
    tile_path: Callable[[str], Path],
    tmp_path: Path,
    server: FakeServer,
) -> None:
    first = opened.images.model.queue.items[0].path
    before = mask_of(opened, outlined)
    stroke(opened, (35.0, 20.0), (40.0, 20.0))
    after = mask_of(opened, outlined)
    assert after != before
    opened.open.paths([tile_path("b.png")])
    assert opened.images.model.queue.index == 1
    opened.history.undo()
    assert opened.images.model.queue.index == 0
    assert mask_of(opened, outlined) == before
    opened.history.redo()
    opened.close()
    again = review_on(tmp_path, server)
    again.find.connect()
    again.open.paths([first])
    assert mask_of(again, outlined) == after
    again.history.undo()
    assert mask_of(again, outlined) == before
    again.close()


def test_the_eraser_takes_away(opened: ReviewController, outlined: UUID) -> None:
    stroke(opened, (36.0, 15.0), (36.0, 25.0), erases=True)
    assert mask_of(opened, outlined) == boxed(24, 16, 33, 24)
    assert said(opened.model) == ""


def test_a_polygon_replaces_the_outline(opened: ReviewController, outlined: UUID) -> None:
    steps = opened.model.undo_steps
    opened.hand.take("polygon")
    polygon(opened, (28, 18), (40, 18), (40, 30), (28, 30))
    assert mask_of(opened, outlined) == boxed(28, 18, 40, 30)
    assert opened.model.undo_steps == steps + 1


def test_the_brush_is_as_large_in_every_scale(opened: ReviewController, nucleus: UUID) -> None:
    opened.scale.set(0.25)
    stroke(opened, POINT)
    assert mask_of(opened, nucleus) == disc(*POINT, radius=6)
    for _ in range(3):
        opened.hand.resize_brush(1)
    assert opened.view.model.brush_um == pytest.approx(3 * 1.25**3, abs=0.02)
    for _ in range(50):
        opened.hand.resize_brush(1)
    assert opened.view.model.brush_um == hand.LARGEST_UM
    for _ in range(50):
        opened.hand.resize_brush(-1)
    assert opened.view.model.brush_um == hand.SMALLEST_UM


# While it is drawn


def test_what_is_drawn_is_seen_and_in_no_journal(opened: ReviewController, outlined: UUID) -> None:
    before = opened.model.state
    opened.hand.press(38.0, 20.0, erases=False)
    assert opened.view.model.draft.mask.covers(40.5, 20.5)
    opened.hand.move(45.0, 20.0)
    assert opened.view.model.draft.mask.covers(47.5, 20.5)
    assert opened.view.model.draft.mask.covers(25.0, 17.0), "with the outline that was there"
    assert opened.hand.give_up()
    assert not opened.hand.give_up()
    assert (opened.view.model.draft, opened.model.state) == (None, before)
    opened.hand.press(38.0, 20.0, erases=False)
    assert opened.hand.take_back()
    assert opened.view.model.draft is None
    opened.hand.lift(clicked=False)
    assert opened.model.state is before


def test_corners_are_taken_back_one_by_one(opened: ReviewController, outlined: UUID) -> None:
    opened.hand.take("polygon")
    for corner in ((28, 18), (40, 18), (60, 40), (60, 40)):
        opened.hand.put_corner(*corner)
    assert len(opened.view.model.draft.places_xy) == 3, "the same place twice is one corner"
    assert opened.hand.take_back()
    opened.hand.hover(40, 30)
    assert opened.view.model.draft.mask.covers(39.5, 28.5), "as it would be with a corner there"
    opened.hand.put_corner(40, 30)
    opened.hand.finish()
    mask = mask_of(opened, outlined)
    assert mask.covers(39.5, 28.5)
    assert not mask.covers(50.5, 32.5)
    opened.hand.put_corner(28, 18)
    assert opened.hand.take_back()
    assert not opened.hand.take_back()
    assert not opened.hand.finish()
    assert mask_of(opened, outlined) == mask


@pytest.mark.parametrize("leave", ["tool", "way", "image"])
def test_another_tool_or_image_gives_a_polygon_up_and_says_so(
    opened: ReviewController, outlined: UUID, tile_path: Callable[[str], Path], leave: str
) -> None:
    opened.hand.take("polygon")
    opened.hand.put_corner(28, 18)
    if leave == "tool":
        opened.view.choose_tool("select")
    elif leave == "way":
        opened.hand.take("brush")
    else:
        opened.open.paths([tile_path("b.png")])
    assert opened.view.model.draft is None
    assert said(opened.model) == hand.GIVEN_UP


def test_another_scale_leaves_a_polygon_open(opened: ReviewController, outlined: UUID) -> None:
    opened.hand.take("polygon")
    opened.hand.put_corner(28, 18)
    opened.scale.set(0.25)
    assert opened.hand.is_drawing


def test_a_nucleus_that_is_gone_by_then_is_said(opened: ReviewController, outlined: UUID) -> None:
    opened.hand.press(38.0, 20.0, erases=False)
    opened.correct.delete([outlined])
    opened.hand.lift(clicked=False)
    assert said(opened.model) == hand.GONE


def test_a_tool_that_is_chosen_twice_is_laid_down(opened: ReviewController) -> None:
    opened.hand.toggle("brush")
    assert (opened.view.model.tool, opened.view.model.outline_way) == ("outline", "brush")
    opened.hand.toggle("polygon")
    assert (opened.view.model.tool, opened.view.model.outline_way) == ("outline", "polygon")
    opened.hand.toggle("polygon")
    assert opened.view.model.tool == "look"


# Which nucleus


def test_without_a_nucleus_the_hand_says_what_to_do(opened: ReviewController) -> None:
    opened.hand.take("brush")
    for erases in (False, True):
        stroke(opened, (10, 10), (20, 10), erases=erases)
        assert said(opened.model) == hand.CHOOSE_FIRST
    opened.hand.take("polygon")
    opened.hand.put_corner(10, 10)
    assert said(opened.model) == hand.CHOOSE_FIRST
    assert opened.view.model.draft is None


def test_a_stroke_that_begins_on_a_nucleus_draws_that_where_none_is_selected(
    opened: ReviewController, outlined: UUID
) -> None:
    opened.view.select([])
    stroke(opened, (35.0, 20.0), (42.0, 20.0))
    assert opened.view.model.selected == {outlined}
    assert mask_of(opened, outlined).covers(44.0, 20.0)


def test_a_click_on_another_nucleus_selects_it_and_a_stroke_across_it_does_not(
    opened: ReviewController, outlined: UUID
) -> None:
    other = opened.correct.add(40.5, 20.5)
    opened.view.select([outlined])
    before = opened.model.state
    stroke(opened, (40.5, 20.5))
    assert opened.view.model.selected == {other}
    assert opened.model.state is before, "a click that selects does not paint"
    stroke(opened, (30.5, 20.5))
    assert opened.view.model.selected == {outlined}
    stroke(opened, (35.0, 20.5), (40.5, 20.5))
    assert opened.view.model.selected == {outlined}
    assert mask_of(opened, outlined).covers(40.5, 20.5)
    stroke(opened, (40.5, 20.5), erases=True)
    assert opened.view.model.selected == {outlined}, "the eraser never selects"
    assert not mask_of(opened, outlined).covers(40.5, 20.5)
    opened.hand.take("polygon")
    opened.hand.put_corner(40.5, 20.5)
    assert opened.view.model.selected == {other}
    assert opened.view.model.draft is None


# What is said


def test_a_stroke_that_is_not_on_the_point_begins_no_outline(
    opened: ReviewController, nucleus: UUID
) -> None:
    stroke(opened, (40, 20), (45, 20))
    assert mask_of(opened, nucleus) is None
    assert said(opened.model) == redrawing.BEGIN_AT_POINT


def test_a_stroke_round_the_nucleus_takes_what_it_encloses(
    opened: ReviewController, nucleus: UUID
) -> None:
    ring = [(30.5 + 10 * math.cos(a), 20.5 + 10 * math.sin(a)) for a in np.linspace(0, 6.3, 40)]
    stroke(opened, *ring)
    mask = mask_of(opened, nucleus)
    assert mask.covers(*POINT)
    assert mask.area_px == pytest.approx(math.pi * 13**2, rel=0.04)


def test_a_stroke_apart_from_the_outline_is_not_taken(
    opened: ReviewController, outlined: UUID
) -> None:
    stroke(opened, (60, 40), (65, 40))
    assert mask_of(opened, outlined) == boxed(24, 16, 36, 24)
    assert said(opened.model) == redrawing.APART


def test_an_outline_that_is_cut_in_two_keeps_the_piece_at_the_point(
    opened: ReviewController, outlined: UUID
) -> None:
    opened.hand.resize_brush(-4)
    stroke(opened, (34.0, 14.0), (34.0, 26.0), erases=True)
    mask = mask_of(opened, outlined)
    assert mask.covers(*POINT)
    assert not mask.covers(35.5, 20.5)
    assert said(opened.model) == redrawing.ONE_PIECE


def test_a_point_whose_place_is_erased_moves_to_what_is_left_in_the_same_gesture(
    opened: ReviewController, outlined: UUID
) -> None:
    steps = opened.model.undo_steps
    stroke(opened, (34.5, 14.0), (34.5, 26.0), erases=True)
    stroke(opened, (30.0, 14.0), (30.0, 26.0), erases=True)
    assert mask_of(opened, outlined) == boxed(24, 16, 27, 24)
    nucleus = opened.model.state.nuclei[outlined].nucleus
    assert (nucleus.x_px, nucleus.y_px) == (25.5, 20.0)
    assert said(opened.model) == redrawing.POINT_MOVED
    assert opened.model.undo_steps == steps + 2
    opened.history.undo()
    nucleus = opened.model.state.nuclei[outlined].nucleus
    assert (nucleus.x_px, nucleus.y_px) == POINT


def test_an_outline_that_is_all_erased_leaves_the_point(
    opened: ReviewController, outlined: UUID
) -> None:
    stroke(opened, (22, 17), (38, 17), (38, 23), (22, 23), erases=True)
    assert mask_of(opened, outlined) is None
    assert said(opened.model) == redrawing.ALL_ERASED
    stroke(opened, POINT, erases=True)
    assert said(opened.model) == redrawing.NOTHING_TO_ERASE
    opened.history.undo()
    assert mask_of(opened, outlined) == boxed(24, 16, 36, 24)


def test_what_changes_nothing_is_no_gesture(opened: ReviewController, outlined: UUID) -> None:
    before = opened.model.state
    stroke(opened, (30, 20), (31, 20))
    stroke(opened, (70, 50), erases=True)
    opened.hand.take("polygon")
    polygon(opened, (24, 16), (36, 16), (36, 24), (24, 24))
    assert opened.model.state is before
    assert said(opened.model) == ""


def test_an_outline_ends_at_the_edge_of_the_image(opened: ReviewController) -> None:
    uid = opened.correct.add(2.5, 2.5)
    opened.view.select([uid])
    opened.hand.take("brush")
    stroke(opened, (2.5, 2.5), (-20.0, 2.5), (2.5, -9.0))
    mask = mask_of(opened, uid)
    assert mask == mask.clipped_to(WIDTH, HEIGHT)
    assert (mask.x0_px, mask.y0_px) == (0, 0)
    opened.hand.take("polygon")
    polygon(opened, (-5, -5), (6, -5), (6, 7), (-5, 7))
    assert mask_of(opened, uid) == boxed(0, 0, 6, 7)


def test_neighbours_keep_their_pixels_and_it_is_said(
    opened: ReviewController, outlined: UUID
) -> None:
    other = opened.correct.add(44.5, 20.5)
    opened.view.select([other])
    opened.hand.take("polygon")
    polygon(opened, (38, 14), (50, 14), (50, 27), (38, 27))
    assert said(opened.model) == ""
    opened.view.select([outlined])
    opened.hand.take("brush")
    stroke(opened, (34.0, 20.0), (40.0, 20.0))
    assert said(opened.model) == redrawing.OVERLAPS
    assert mask_of(opened, other) == boxed(38, 14, 50, 27)
    stroke(opened, (30.0, 16.0))
    assert said(opened.model) == "", "it is not said again of pixels that were there"


def test_a_polygon_that_crosses_itself_is_all_that_its_line_encloses(
    opened: ReviewController, nucleus: UUID
) -> None:
    star = [
        (30.5 + 12 * math.cos(a), 20.5 + 12 * math.sin(a)) for a in np.arange(5) * 4 * math.pi / 5
    ]
    polygon(opened, *star)
    mask = mask_of(opened, nucleus)
    assert mask.covers(*POINT), "the middle of a star is not a hole"
    eight = [(24, 14), (36, 14), (24, 40), (36, 40)]
    polygon(opened, *eight)
    mask = mask_of(opened, nucleus)
    assert mask.covers(*POINT)
    assert not mask.covers(30.0, 36.0), "two lobes that touch by a corner are two pieces"
    assert said(opened.model) == redrawing.ONE_PIECE


@pytest.mark.parametrize("corners", [[(30, 20)], [(30, 20), (40, 20)], [(90, 5), (99, 5), (99, 9)]])
def test_a_polygon_of_no_pixel_stays_open(
    opened: ReviewController, outlined: UUID, corners: list[Place]
) -> None:
    before = mask_of(opened, outlined)
    opened.hand.take("polygon")
    polygon(opened, *corners)
    assert said(opened.model) == redrawing.NO_PIXEL
    assert opened.hand.is_drawing
    assert mask_of(opened, outlined) == before


def test_a_polygon_round_another_nucleus_stays_open_and_says_why(
    opened: ReviewController, outlined: UUID
) -> None:
    other = opened.correct.add(50.5, 40.5)
    opened.view.select([outlined])
    opened.hand.take("polygon")
    polygon(opened, (45, 35), (56, 35), (56, 46), (45, 46))
    assert said(opened.model) == redrawing.OF_ANOTHER
    assert opened.hand.is_drawing
    assert mask_of(opened, other) is None
    opened.hand.give_up()
    polygon(opened, (60, 35), (70, 35), (70, 46), (60, 46))
    nucleus = opened.model.state.nuclei[outlined].nucleus
    assert (nucleus.x_px, nucleus.y_px) == (65.0, 40.5)
    assert said(opened.model) == redrawing.POINT_MOVED


def test_a_polygon_that_no_nucleus_fills_stays_open(
    opened: ReviewController, outlined: UUID
) -> None:
    opened.hand.take("polygon")
    polygon(opened, (0, 0), (2000, 0), (2000, 2000))
    assert said(opened.model) == redrawing.TOO_LARGE
    assert opened.hand.take_back()


# Beside the model's outlines


def test_a_click_after_a_stroke_leaves_the_rest_as_it_was_drawn(
    opened: ReviewController, server: FakeServer, outlined: UUID
) -> None:
    server.fake.outline = lambda clicks: square(38.5, 20.5, 8)
    opened.outline.click(38.5, 20.5, inside=True)
    mask = mask_of(opened, outlined)
    assert mask == boxed(24, 16, 42, 24)
    asked = server.fake.segmented[-1].prompts[0].points
    assert [(c.x, c.y) for c in asked] == [POINT, (38.5, 20.5)]


def test_a_search_does_not_touch_an_outline_that_a_person_drew(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((40.5, 30.5)), done(1)]
    opened.find.search()
    (uid,) = opened.model.state.nuclei
    opened.view.select([uid])
    opened.hand.take("brush")
    stroke(opened, (40.5, 30.5))
    drawn = mask_of(opened, uid)
    state = opened.model.state
    (run_id,) = state.runs
    late = state.with_masks(run_id, {uid: square(40.5, 30.5, 20)})
    assert late.nuclei[uid].nucleus.mask == drawn
    opened.find.search()
    assert mask_of(opened, uid) == drawn


def test_a_nucleus_moved_off_a_drawn_outline_gets_a_new_one_as_after_clicks(
    opened: ReviewController, server: FakeServer, outlined: UUID
) -> None:
    server.fake.outline = lambda clicks: square(clicks[0].x, clicks[0].y)
    opened.correct.move({outlined: (28.5, 18.5)})
    assert mask_of(opened, outlined) == boxed(24, 16, 36, 24), "still on it"
    opened.correct.move({outlined: (60.5, 40.5)})
    assert mask_of(opened, outlined) == square(60.5, 40.5)


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def slow(
    tmp_path: Path, server: FakeServer, later: Later, tile_path: Callable[[str], Path]
) -> Iterator[ReviewController]:
    """A review whose outlines come when `later` catches up, with one nucleus that waits for one."""
    made = review_on(tmp_path, server, later)
    server.fake.outline = lambda clicks: square(clicks[0].x, clicks[0].y, 20)
    made.find.connect()
    made.open.paths([tile_path("a.png")])
    later.catch_up()
    uid = made.correct.add(*POINT)
    made.hand.take("brush")
    made.view.select([uid])
    yield made
    made.close()


def test_an_outline_that_comes_late_never_takes_the_place_of_a_drawn_one(
    slow: ReviewController, later: Later
) -> None:
    (uid,) = slow.view.model.selected
    stroke(slow, POINT)
    later.catch_up()
    assert mask_of(slow, uid) == disc(*POINT)


def test_an_outline_that_comes_while_one_is_drawn_waits_for_its_end(
    slow: ReviewController, later: Later
) -> None:
    (uid,) = slow.view.model.selected
    slow.hand.press(*POINT, erases=False)
    later.catch_up()
    assert mask_of(slow, uid) is None
    slow.hand.give_up()
    later.catch_up()
    assert mask_of(slow, uid) == square(*POINT, 20)


def test_an_outline_that_was_erased_stays_erased_when_the_models_comes(
    slow: ReviewController, later: Later
) -> None:
    (uid,) = slow.view.model.selected
    stroke(slow, POINT)
    stroke(slow, POINT, (31, 20), erases=True)
    later.catch_up()
    assert mask_of(slow, uid) is None


def test_an_answer_to_clicks_before_a_stroke_is_dropped(
    slow: ReviewController, later: Later
) -> None:
    (uid,) = slow.view.model.selected
    slow.outline.click(34.5, 20.5, inside=True)
    stroke(slow, POINT)
    later.catch_up()
    assert mask_of(slow, uid) == disc(*POINT)


# What is made of it


def test_a_drawn_outline_goes_out_as_a_correction_of_its_person(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    server.fake.script = [started(), points((40.5, 30.5), (60.5, 50.5)), done(2)]
    opened.find.search()
    uid, _ = opened.model.state.nuclei
    opened.view.select([uid])
    opened.hand.take("polygon")
    polygon(opened, (30, 24), (50, 22), (46, 40), (33, 38))
    mask = mask_of(opened, uid)
    opened.decide.accept()
    (region,) = complete_regions(opened.session.project)
    assert region.corrections == 1
    assert [n.mask for n in region.nuclei if n.uid == uid] == [mask]
    nuclei = tuple(region.state.nuclei.values())
    write_geojson(tmp_path / "n.geojson", nuclei, masks=True)
    (back,) = (
        n for n in read_marked_geojson(tmp_path / "n.geojson", masks=True) if n.nucleus.uid == uid
    )
    assert (back.nucleus.mask, back.marks.annotator) == (mask, "ab")
    write_csv(tmp_path / "n.csv", nuclei, mpp=0.5)
    (row,) = (line for line in (tmp_path / "n.csv").read_text().splitlines() if str(uid) in line)
    assert f"{mask.area_px * 0.25:.3f}" in row
    annotated = coco_instances([ImageNuclei(region.entry, nuclei)])["annotations"]
    assert [a["area"] for a in annotated if a["area"]] == [mask.area_px]


# Acceptance


@pytest.mark.parametrize(("who", "is_changed"), [("ab", False), ("someone else", True)])
def test_a_drawn_outline_after_an_acceptance_is_its_persons_or_changes_it(
    who: str, is_changed: bool
) -> None:
    uid, region = uuid4(), Box.of_image(WIDTH, HEIGHT)
    state = FieldState.fold(
        (), [events.add(IMAGE, *POINT, "Nucleus", uid=uid, mask=disc(*POINT)).stamped("ab", NOW)]
    )
    state = state.apply(
        events.complete_region(IMAGE, region, state.seen_in(region)).stamped("ab", NOW)
    )
    table = NucleusTable.empty().after(state)
    made = Redrawing(IMAGE, region, table, state.nuclei[uid].nucleus).painted(disc(33.5, 20.5))
    state = state.apply(*(e.stamped(who, NOW) for e in made.gesture))
    assert bool(state.changed) == is_changed


# Against brute force

inner = st.tuples(st.floats(-4, WIDTH + 4), st.floats(-4, HEIGHT + 4))
near = st.tuples(st.floats(18, 44), st.floats(10, 32))
ways = st.lists(st.one_of(near, near, inner), min_size=1, max_size=4)
steps = st.lists(
    st.tuples(st.sampled_from(["paint", "paint", "erase", "polygon", "undo", "redo"]), ways),
    min_size=1,
    max_size=7,
)


def as_pixels(mask: Mask | None) -> np.ndarray:
    return label_image([] if mask is None else [mask], HEIGHT, WIDTH) > 0


def swept(way: list[Place], radius: float = 3.0) -> np.ndarray:
    """The pixels whose centres lie within the brush on its way."""
    yy, xx = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    out = np.zeros((HEIGHT, WIDTH), bool)
    for (x0, y0), (x1, y1) in zip(way, [*way[1:], way[-1]], strict=True):
        dx, dy = x1 - x0, y1 - y0
        length = dx * dx + dy * dy
        t = np.clip(((xx - x0) * dx + (yy - y0) * dy) / length, 0, 1) if length else 0.0
        out |= (xx - x0 - t * dx) ** 2 + (yy - y0 - t * dy) ** 2 <= radius**2
    return out


def inside_of(corners: list[Place]) -> np.ndarray:
    """What the line of a polygon encloses: winding counted for the centre of each pixel."""
    yy, xx = np.mgrid[-8 : HEIGHT + 8, -8 : WIDTH + 8] + 0.5
    rounds = np.zeros(yy.shape, int)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        spans = (y0 <= yy) != (y1 <= yy)
        if spans.any():  # else its height may be so small that to divide by it overflows
            passed = spans & (x0 + (yy - y0) * (x1 - x0) / (y1 - y0) <= xx)
            rounds += passed * (1 if y1 > y0 else -1)
    return ndimage.binary_fill_holes(rounds != 0)[8:-8, 8:-8]


def one_piece(pixels: np.ndarray, point: Place) -> tuple[np.ndarray, bool]:
    """The piece at the point, or the largest; and whether the point is on it."""
    labels, count = ndimage.label(pixels)
    if not count:
        return pixels, False
    here = labels[int(point[1]), int(point[0])]
    chosen = here or 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return labels == chosen, bool(here)


def drawn(before: np.ndarray, point: Place, kind: str, way: list[Place]) -> np.ndarray | None:
    """What has to become of an outline of a nucleus; None where it stays."""
    if kind == "paint":
        stroke = ndimage.binary_fill_holes(swept(way))
        after, on_point = one_piece(before | stroke, point)
        return after if on_point and (after & stroke).any() else None
    if kind == "erase":
        after = before & ~swept(way)
        return one_piece(after, point)[0] if after.any() else after
    after = inside_of(way)
    return one_piece(after, point)[0] if after.any() else None


@pytest.mark.parametrize("with_outline", [False, True])
def test_any_strokes_polygons_undo_and_redo_are_as_counted_pixel_by_pixel(
    opened: ReviewController, with_outline: bool
) -> None:
    hand_ = opened.hand

    # Each example adds to one journal: to shrink one would take minutes.
    @settings(phases=[Phase.explicit, Phase.generate], max_examples=60)
    @example([("polygon", [(47.5, -1.1e-308), (0.0, 0.0)])])
    @given(steps)
    def check(taken: list[tuple[str, list[Place]]]) -> None:
        uid = opened.correct.add(*POINT)
        try:
            draw(taken, uid)
        finally:  # else a failing example fails otherwise when it is tried again
            opened.correct.delete([uid])

    def draw(taken: list[tuple[str, list[Place]]], uid: UUID) -> None:
        opened.view.select([uid])
        hand_.take("brush")
        if with_outline:
            polygon(opened, (24, 16), (36, 16), (36, 24), (24, 24))
        known, at = [(as_pixels(mask_of(opened, uid)), POINT)], 0
        for kind, way in taken:
            if kind in ("undo", "redo"):
                if kind == "undo" and at > 0:
                    opened.history.undo()
                    at -= 1
                elif kind == "redo" and at + 1 < len(known):
                    opened.history.redo()
                    at += 1
            else:
                before, point = known[at]
                wanted = drawn(before, point, kind, way)
                if kind == "polygon":
                    polygon(opened, *way)
                    hand_.give_up()
                else:
                    hand_.press(*way[0], erases=kind == "erase")
                    for place in way[1:]:
                        hand_.move(*place)
                    hand_.lift(clicked=False)
                if wanted is not None and not np.array_equal(wanted, before):
                    n = opened.model.state.nuclei[uid].nucleus
                    if wanted.any():
                        assert wanted[int(n.y_px), int(n.x_px)], "it holds its point"
                        if wanted[int(point[1]), int(point[0])]:
                            assert (n.x_px, n.y_px) == point
                    known = [*known[: at + 1], (wanted, (n.x_px, n.y_px))]
                    at += 1
            np.testing.assert_array_equal(as_pixels(mask_of(opened, uid)), known[at][0])

    check()
    sha256 = opened.images.model.open_field.entry.sha256
    assert opened.session.project.state(sha256) == opened.model.state
