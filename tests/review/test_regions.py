"""Regions of the open image: drawn, named, counted, searched and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.formats.region_files import regions_as_text
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.review.correcting.coverage import unsearched_parts
from napari_nunext.review.finding.looking import ALL_LEFT_OUT_WORDS, NO_REGION_WORDS
from napari_nunext.store.kinds.regions import regions_of
from tests.review.fakes import done, points, started, window_done

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer

LEFT, RIGHT = Box(0, 0, 40, 64), Box(40, 0, 80, 64)


def drawn(controller: ReviewController, box: Box, kind="interest"):
    controller.regions.select(None)
    controller.regions.choose_kind(kind)
    uid = controller.regions.draw(rectangle(box))
    assert uid is not None
    return uid


def stored(controller: ReviewController):
    field = controller.images.model.open_field
    assert field is not None
    state = controller.session.project.state(field.entry.sha256)
    return {each.name: each for each in regions_of(state).values()}


def test_a_region_is_drawn_named_moved_deleted_and_every_step_taken_back(
    opened: ReviewController,
) -> None:
    uid = drawn(opened, LEFT)
    assert opened.regions.model.selected == uid
    opened.regions.rename(uid, "  Invasive\n front ")
    opened.regions.choose_kind("search")  # what is drawn next is meant
    opened.regions.set_kind(uid, "leave_out")
    assert opened.regions.reshape(uid, rectangle(RIGHT))
    (known,) = opened.regions.model.regions
    assert (known.name, known.kind, known.box) == ("Invasive front", "leave_out", RIGHT)
    assert stored(opened) == {"Invasive front": known}
    opened.regions.delete([uid])
    assert opened.regions.model.regions == ()
    assert opened.regions.model.selected is None
    assert opened.model.undo_words == "deleted a region"
    for _ in range(4):
        opened.history.undo()
    (known,) = opened.regions.model.regions
    assert (known.name, known.kind, known.box) == ("Region 1", "interest", LEFT)
    opened.history.undo()
    assert opened.regions.model.regions == ()
    opened.history.redo()
    assert stored(opened) == {"Region 1": known}


def test_what_is_no_region_is_said_and_nothing_changes(opened: ReviewController) -> None:
    uid = drawn(opened, LEFT)
    before = opened.model.state
    line = np.array([(0.0, 0.0), (5.0, 5.0), (10.0, 10.0)])
    assert opened.regions.draw(line) is None
    assert not opened.regions.reshape(uid, line)
    opened.regions.rename(uid, " ")
    assert opened.model.state is before
    assert opened.model.notice is not None
    assert "no area" in opened.model.notice.words


def test_figures_follow_what_people_do(opened: ReviewController) -> None:
    drawn(opened, LEFT)
    drawn(opened, Box(40, -30, 200, 64), "search")
    opened.correct.add(10.0, 10.0)
    gone = opened.correct.add(12.0, 30.0)
    opened.correct.add(60.0, 10.0)
    assert [each.nuclei for each in opened.regions.model.figures] == [2, 1]
    opened.correct.delete([gone])
    left, right = opened.regions.model.figures
    assert right.region.box == RIGHT, "what lies beyond the image is cut off"
    assert (left.nuclei, left.counts, right.nuclei) == (1, {opened.model.current_category: 1}, 1)
    mpp = opened.images.model.open_field.entry.mpp
    assert left.area_mm2 == pytest.approx(40 * 64 * mpp**2 / 1e6)
    assert left.per_mm2 == pytest.approx(1 / left.area_mm2)
    rows = [line.split("\t") for line in opened.regions.as_table().splitlines()]
    assert rows[0][:4] == ["Region", "Kind", "Area (mm2)", "Nuclei"]
    assert [row[:2] + row[3:4] for row in rows[1:]] == [
        ["Region 1", "Region of interest", "1"],
        ["Search 1", "Search here", "1"],
    ]
    opened.scale.set(2 * mpp)
    assert opened.regions.model.figures[0].area_mm2 == pytest.approx(4 * left.area_mm2)


def test_each_image_has_its_own_regions(
    opened: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    drawn(opened, LEFT)
    opened.open.paths([tile_path("other.png")])
    opened.images.next()
    assert opened.regions.model.regions == ()
    opened.images.previous()
    assert [each.name for each in opened.regions.model.regions] == ["Region 1"]


def test_a_search_asks_for_the_regions_and_never_for_what_is_left_out(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10)), window_done(1, 1), done(1)]
    opened.find.search(in_regions=True)
    assert opened.model.notice is not None
    assert opened.model.notice.words == NO_REGION_WORDS
    assert not server.fake.requests
    drawn(opened, Box(10, 10, 40, 64), "search")
    drawn(opened, Box(20, 0, 30, 64), "leave_out")
    drawn(opened, RIGHT)
    opened.find.search()
    opened.find.search(in_regions=True)
    opened.find.search(Box(0, 0, 20, 20), in_regions=True)
    whole, regions, part = server.fake.requests
    inner = np.array([(15.0, 15.0), (25.0, 15.0), (60.0, 15.0), (5.0, 5.0)])
    assert whole.within is None
    assert whole.area.contains(inner).tolist() == [True, False, True, True]
    assert regions.region == (10, 10, 40, 64)
    assert regions.area.contains(inner).tolist() == [True, False, False, False]
    assert part.region == (10, 10, 20, 20)


def test_a_search_that_was_paused_goes_on_in_the_same_regions(
    opened: ReviewController, server: FakeServer
) -> None:
    drawn(opened, LEFT, "search")
    server.fake.script = [started(2, plan="p"), points((10, 10)), window_done(1, 2)]
    opened.find.search(in_regions=True)
    assert opened.find.model.paused_search is not None
    opened.regions.delete([each.uid for each in opened.regions.model.regions])
    server.fake.script = [started(2, plan="p", resumed=True), window_done(2, 2), done(1)]
    opened.find.go_on()
    first, second = server.fake.requests
    assert (second.region, second.within) == (first.region, first.within)
    assert opened.find.model.paused_search is None


def test_tissue_is_outlined_once_as_one_gesture_and_what_was_deleted_comes_back(
    controller: ReviewController, tmp_path: Path
) -> None:
    rgb = np.full((500, 800, 3), (243, 243, 241), dtype=np.uint8)
    rgb[100:220, 100:260] = rgb[300:360, 500:700] = (220, 160, 190)
    rgb[440:480] = (40, 150, 90)  # ink
    Image.fromarray(rgb).save(tmp_path / "slide.png")
    controller.open.paths([tmp_path / "slide.png"])
    controller.region_files.outline_tissue()
    one, two = controller.regions.model.regions
    assert [(each.name, each.kind) for each in (one, two)] == [
        ("Tissue 1", "search"),
        ("Tissue 2", "search"),
    ]
    assert one.contains(np.array([(101.0, 101.0), (259.0, 219.0), (180.0, 400.0)])).tolist() == [
        True,
        True,
        False,
    ]
    controller.regions.reshape(one.uid, rectangle(Box(90, 90, 270, 230)))
    controller.regions.delete([two.uid])
    controller.region_files.outline_tissue()
    changed, again = controller.regions.model.regions
    assert (changed.box, again) == (Box(90, 90, 270, 230), two)
    controller.region_files.outline_tissue()
    assert controller.model.notice is not None
    assert controller.model.notice.words == "The tissue is outlined already."
    for _ in range(4):
        controller.history.undo()
    assert controller.regions.model.regions == ()


def test_regions_go_into_a_file_and_come_back(opened: ReviewController, tmp_path: Path) -> None:
    drawn(opened, LEFT)
    drawn(opened, RIGHT, "leave_out")
    before, path = opened.regions.model.regions, tmp_path / "a.geojson"
    opened.region_files.write(path)
    opened.regions.delete([each.uid for each in before])
    opened.history.undo()
    assert opened.regions.model.regions == before, "one gesture"
    opened.history.redo()
    opened.region_files.read(path)
    assert opened.regions.model.regions == before
    half, far = (
        region(name, "search", rectangle(box), uid=uuid4())
        for name, box in (("Half", Box(60, 50, 200, 200)), ("Far", Box(90, 0, 120, 10)))
    )
    path.write_text(regions_as_text([half, far]), "utf-8")
    opened.region_files.read(path)
    assert opened.model.notice is not None
    assert opened.model.notice.words.startswith("1 region read from a.geojson. 1 lie outside")
    assert opened.regions.model.regions[-1].box == Box(60, 50, 80, 64)
    path.write_text("{}", "utf-8")
    opened.region_files.read(path)
    assert opened.model.notice.words.startswith("a.geojson has no region")
    assert len(opened.regions.model.regions) == 3


def test_what_no_search_has_seen_is_asked_for_before_it_is_accepted(
    opened: ReviewController, server: FakeServer
) -> None:
    drawn(opened, LEFT, "search")
    drawn(opened, Box(0, 0, 10, 64), "leave_out")
    server.fake.script = [started(), points((20, 10)), window_done(1, 1), done(1)]
    opened.find.search(in_regions=True)
    state = opened.model.state
    assert state is not None
    field = Box(0, 0, 80, 64)
    assert sum(part.width for part in unsearched_parts(state, field)) == 50
    assert unsearched_parts(state, Box(12, 0, 40, 64)) == []
    opened.decide.accept()
    assert opened.model.state is state, "it asks first"


def test_that_all_is_left_out_is_said(opened: ReviewController, server: FakeServer) -> None:
    drawn(opened, Box(0, 0, 80, 64), "leave_out")
    server.fake.script = [started(0), done(0)]
    opened.find.search()
    assert opened.model.notice is not None
    assert opened.model.notice.words == ALL_LEFT_OUT_WORDS
