"""The review searches for some categories alone, says how, and keeps the choice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.naming import only_in_decoding
from napari_nunext.review.finding.search import Wanted
from tests.review.fakes import done, model_info, points, review_on, started, window_done

if TYPE_CHECKING:
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer


def answer(only: tuple[str, ...], *, asked: bool):
    said = started()
    decoding = said.decoding | only_in_decoding(only, asked=asked)
    return [
        said.model_copy(update={"decoding": decoding}),
        points((10, 10)),
        window_done(1, 1),
        done(1),
    ]


def test_a_search_asks_for_what_is_chosen_and_says_how_it_was_made(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.find.look_for(["Lymphocyte"])
    for asked, words in ((True, "was asked for Lymphocyte alone"), (False, "were left out")):
        server.fake.script = answer(("Lymphocyte",), asked=asked)
        opened.find.search()
        assert server.fake.requests[-1].only == ["Lymphocyte"]
        assert words in opened.model.notice.words


def test_categories_that_the_chosen_model_does_not_know_are_not_asked_for(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.find.look_for(["Eosinophil"])
    server.fake.script = [started(), done(0)]
    opened.find.search()
    assert server.fake.requests[-1].only is None
    opened.find.look_for(["Lymphocyte", "Stromal"])
    assert opened.find.model.asked == ()  # that is all it knows


def test_the_choice_is_kept_with_the_project(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    opened.find.look_for(["Stromal"])
    server.fake.script = answer(("Stromal",), asked=True)
    opened.find.search()
    (run,) = opened.model.state.runs.values()
    assert Wanted.again(run, None).only == ("Stromal",)
    path = Path(opened.images.model.open_field.entry.path)
    opened.close()
    again = review_on(tmp_path, server)
    try:
        again.find.connect()
        again.open.paths([path])
        assert again.find.model.only == ("Stromal",)
        assert again.find.model.asked == ("Stromal",)
    finally:
        again.close()


def test_all_images_are_searched_for_what_is_chosen(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.offered = [model_info()]
    opened.find.look_for(["Stromal"])
    server.fake.script = answer(("Stromal",), asked=True)
    opened.find_all.search()
    opened.model.notice.action()  # of an image whose scale nobody said
    assert [request.only for request in server.fake.requests] == [
        ["Stromal"]
    ] * 3  # how, twice; then the image
