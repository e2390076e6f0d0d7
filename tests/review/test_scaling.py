from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmarks._giant import write_giant
from napari_nunext.core.geometry import Box
from tests.review.fakes import FakeServer, done, points, review_on, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


def press(controller: ReviewController, label: str) -> None:
    """Press the notice's button."""
    notice = controller.model.notice
    assert notice is not None
    assert notice.action_label == label
    assert notice.action is not None
    controller.model.notice = None
    notice.action()


def scales(controller: ReviewController) -> list[tuple[float, str]]:
    """Scale and source of every image, in the queue's order, as the window shows them."""
    shown = []
    for index in range(len(controller.images.model.queue.items)):
        controller.images.go_to(index)
        field = controller.images.model.open_field
        assert field is not None
        shown.append((round(field.entry.mpp, 4), field.entry.mpp_source))
    return shown


@pytest.fixture
def queue(controller: ReviewController, tile_path: Callable[[str], Path]) -> ReviewController:
    """Three images: two that do not say their scale, and one that does."""
    controller.find.connect()
    folder = tile_path("a.png").parent
    tile_path("b.png")
    rgb = np.random.default_rng(5).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(
        folder / "c.tif", resolution=1e4 / 0.3, resolution_unit=3, compression="tiff_lzw"
    )
    controller.open.paths([folder])
    return controller


def test_a_scale_that_looks_like_a_slip_is_used_once_the_person_says_so(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.scale.set(5)
    assert opened.images.model.open_field.entry.mpp == 0.5
    assert "too small to be told from noise" in opened.model.notice.words
    press(opened, "Use it all the same")
    entry = opened.images.model.open_field.entry
    assert (entry.mpp, entry.mpp_source) == (5, "user")
    assert opened.session.project.image(entry.sha256).mpp == 5
    opened.find.search()
    assert len(server.fake.requests) == 1  # it was asked once, and is not asked again


def test_a_confirmation_of_one_image_changes_no_other(queue: ReviewController) -> None:
    queue.scale.set(5)
    notice = queue.model.notice
    queue.images.go_to(1)
    notice.action()
    assert {mpp for mpp, _ in scales(queue)} == {0.5, 0.3}


def test_a_search_at_a_scale_that_looks_like_a_slip_asks_first(
    tmp_path: Path, tile_path: Callable[[str], Path]
) -> None:
    server = FakeServer()
    made = review_on(tmp_path, server, mpp=5.0)
    made.find.connect()
    made.open.paths([tile_path("t.png")])
    made.find.search()
    assert server.fake.requests == []
    press(made, "Search all the same")
    made.find.search()
    assert [request.mpp for request in server.fake.requests] == [5.0, 5.0]
    made.close()


def test_a_part_of_a_slide_is_searched_unasked_and_all_of_it_after_a_question(
    tmp_path: Path,
) -> None:
    server = FakeServer()
    made = review_on(tmp_path, server)
    made.find.connect()
    made.open.paths([write_giant(tmp_path / "giant.tif")])
    view = Box(70_000, 20_000, 71_000, 20_800)
    made.view.look_from(view)
    made.find.search(view)
    made.find.search()
    assert [request.region for request in server.fake.requests] == [view.as_tuple()]
    press(made, "Search all the same")
    assert server.fake.requests[-1].region == (0, 0, 100_000, 100_000)
    assert server.fake.requests[-1].near == (70_500, 20_400)
    made.close()


def test_one_entry_counts_for_all_images_that_do_not_say_their_own(
    queue: ReviewController,
) -> None:
    queue.scale.set(0.25, for_all=True)
    assert "all 3 images" in queue.model.notice.words
    assert scales(queue) == [(0.25, "user"), (0.25, "user"), (0.3, "file")]
    stored = {entry.name: round(entry.mpp, 4) for entry in queue.session.project.images()}
    assert stored == {"a.png": 0.25, "b.png": 0.25, "c.tif": 0.3}


def test_the_same_is_offered_after_one_image_was_given_its_scale(queue: ReviewController) -> None:
    queue.images.go_to(1)
    queue.images.go_to(0)
    queue.scale.set(0.25)
    press(queue, "Use for all 3 images")
    assert scales(queue) == [(0.25, "user"), (0.25, "user"), (0.3, "file")]


def test_whoever_calls_a_file_wrong_for_all_calls_every_file_wrong(queue: ReviewController) -> None:
    queue.images.go_to(2)
    queue.scale.set(0.25, for_all=True)
    assert scales(queue) == [(0.25, "user")] * 3


def test_the_scale_of_all_counts_for_what_is_opened_in_a_later_session(
    queue: ReviewController, tmp_path: Path
) -> None:
    queue.scale.set(0.25, for_all=True)
    queue.close()
    later = review_on(tmp_path, FakeServer())
    later.open.paths([tmp_path / "tiles"])
    assert scales(later) == [(0.25, "user"), (0.25, "user"), (0.3, "file")]
    assert later.session.project.verify() > 0
    later.close()


def test_what_was_found_at_another_scale_is_said_and_found_again(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10)), done(1)]
    opened.find.search()
    opened.scale.set(0.25)
    assert "was found at 0.5 um/px; it is now 0.25" in opened.model.notice.words
    press(opened, "Find again")
    assert [request.mpp for request in server.fake.requests] == [0.5, 0.25]
    assert not opened.scale.mention()


def test_coming_back_to_an_image_says_it_again(queue: ReviewController, server: FakeServer) -> None:
    server.fake.script = [started(), points((10, 10)), done(1)]
    queue.find.search()
    queue.scale.set(0.25, for_all=True)
    queue.images.go_to(1)
    assert queue.model.notice is None
    queue.images.go_to(0)
    assert queue.model.notice.action_label == "Find again"
    queue.scale.set(0.5)
    assert queue.model.notice is None
