from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_nunext.core.nuclei import OKABE_ITO, UNCATEGORISED
from napari_nunext.store import events
from tests.review.fakes import FakeServer, done, points, review_on, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


@pytest.fixture
def two(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> ReviewController:
    """Two images, each with three lymphocytes that were found; the second is open."""
    controller.find.connect()
    folder = tile_path("a.png").parent
    tile_path("b.png")
    controller.open.paths([folder])
    server.fake.script = [started(), points((10, 10), (30, 20), (50, 40)), done(3)]
    for index in (0, 1):
        controller.images.go_to(index)
        controller.find.search()
    return controller


def names(controller: ReviewController) -> list[str]:
    return [category.name for category in controller.model.categories]


def carried(controller: ReviewController) -> list[list[str]]:
    """The categories of every image's nuclei, sorted; the disk has to agree with the screen."""
    found = []
    project = controller.session.project
    for index in range(len(controller.images.model.queue.items)):
        controller.images.go_to(index)
        field, state = controller.images.model.open_field, controller.model.state
        assert field is not None
        assert state is not None
        assert project.state(field.entry.sha256) == state
        found.append(sorted(n.nucleus.category for n in state.nuclei.values()))
    assert list(project.categories()) == list(controller.model.categories)
    return found


def test_a_category_is_renamed_on_every_image_and_back_again(two: ReviewController) -> None:
    two.categories.rename("Lymphocyte", "TIL")
    assert names(two) == ["TIL", "Stromal"]
    assert carried(two) == [["TIL"] * 3] * 2
    assert not any(n.touched for n in two.model.state.nuclei.values())
    two.history.undo()
    assert names(two) == ["Lymphocyte", "Stromal"]
    assert carried(two) == [["Lymphocyte"] * 3] * 2
    two.history.redo()
    assert carried(two) == [["TIL"] * 3] * 2


def test_a_search_after_a_renaming_gives_the_new_name(
    two: ReviewController, server: FakeServer
) -> None:
    two.categories.rename("Lymphocyte", "TIL")
    two.find.search()
    assert names(two) == ["TIL", "Stromal"]
    assert carried(two)[1] == ["TIL"] * 3


def test_a_category_is_merged_and_its_nuclei_with_it(two: ReviewController) -> None:
    two.model.current_category = "Lymphocyte"
    two.categories.merge("Lymphocyte", "Stromal")
    assert names(two) == ["Stromal"]
    assert two.model.current_category == "Stromal"
    assert carried(two) == [["Stromal"] * 3] * 2
    two.history.undo()
    assert names(two) == ["Lymphocyte", "Stromal"]
    assert carried(two) == [["Lymphocyte"] * 3] * 2


def test_a_name_that_is_taken_asks_whether_to_merge(two: ReviewController) -> None:
    two.categories.rename("Lymphocyte", "stromal")
    assert names(two) == ["Lymphocyte", "Stromal"]
    notice = two.model.notice
    assert notice.action_label == "Merge Lymphocyte into it"
    notice.action()
    assert names(two) == ["Stromal"]


def test_a_name_may_be_given_again_once_its_category_has_another(two: ReviewController) -> None:
    two.categories.rename("Lymphocyte", "TIL")
    two.categories.add("Lymphocyte")
    two.correct.add(5, 5)
    assert carried(two) == [["TIL"] * 3, ["Lymphocyte", "TIL", "TIL", "TIL"]]
    two.find.search()  # the model's lymphocytes are what the user called TIL, in every search
    assert carried(two) == [["TIL"] * 3, ["Lymphocyte", "TIL", "TIL", "TIL"]]


def test_a_model_s_category_keeps_its_new_name_when_another_takes_the_old_one(
    two: ReviewController,
) -> None:
    two.categories.rename("Lymphocyte", "TIL")
    two.categories.rename("Stromal", "Lymphocyte")
    two.find.search()
    assert names(two) == ["TIL", "Lymphocyte"]
    assert carried(two) == [["TIL"] * 3] * 2
    two.history.undo()  # the search
    two.history.undo()
    assert names(two) == ["TIL", "Stromal"]
    assert carried(two) == [["TIL"] * 3] * 2


def test_what_is_hidden_and_what_is_chosen_stay_so_under_another_name(
    two: ReviewController,
) -> None:
    view, model = two.view.model, two.model
    two.categories.choose("Stromal")
    two.categories.show("Stromal", False)
    for name in ("Fibroblast", "Connective"):
        two.categories.rename(model.current_category, name)
        assert (view.hidden_categories, model.current_category) == ({name}, name)
    two.history.undo()
    assert (view.hidden_categories, model.current_category) == ({"Fibroblast"}, "Fibroblast")
    two.history.redo()
    assert (view.hidden_categories, model.current_category) == ({"Connective"}, "Connective")
    two.categories.merge("Connective", "Lymphocyte")
    assert view.hidden_categories == set(), "as what it was merged into"
    assert model.current_category == "Lymphocyte"
    two.history.undo()
    two.categories.show("Lymphocyte", False)
    two.categories.merge("Connective", "Lymphocyte")
    assert view.hidden_categories == {"Lymphocyte"}


def test_undo_after_an_edit_elsewhere_takes_the_renaming_from_all_images_alike(
    two: ReviewController,
) -> None:
    two.categories.rename("Lymphocyte", "TIL")
    two.images.go_to(0)
    two.correct.add(5, 5)
    two.history.undo()
    two.history.undo()
    assert names(two) == ["Lymphocyte", "Stromal"]
    assert carried(two) == [["Lymphocyte"] * 3] * 2


def test_colours_are_never_repeated_and_can_be_changed(two: ReviewController) -> None:
    for i in range(12):
        two.categories.add(f"Kind {i}")
    colors = [category.color for category in two.model.categories]
    assert len(set(colors)) == len(colors) == 14
    assert set(OKABE_ITO) <= set(colors)
    two.categories.recolor("Kind 3", (1, 2, 3))
    assert two.model.categories[5].color == (1, 2, 3)
    two.categories.recolor("Kind 4", (1, 2, 3))
    assert "Kind 3 has this colour already" in two.model.notice.words
    assert two.model.categories[6].color != (1, 2, 3)
    two.history.undo()
    assert [category.color for category in two.model.categories] == colors


def test_an_acceptance_outlives_a_renaming(two: ReviewController) -> None:
    field = two.images.model.open_field
    two.decide.accept()
    two.images.go_to(1)
    assert two.model.state.complete
    two.categories.rename("Lymphocyte", "TIL")
    assert two.model.state.complete
    assert two.session.project.state(field.entry.sha256).complete


def test_all_of_it_is_there_in_a_later_session(two: ReviewController, tmp_path: Path) -> None:
    two.categories.add("Mitosis")
    two.categories.rename("Lymphocyte", "TIL")
    two.categories.recolor("TIL", (9, 9, 9))
    shown = two.model.categories
    expected = carried(two)
    two.close()
    later = review_on(tmp_path, FakeServer())
    later.open.paths([tmp_path / "tiles"])
    assert later.model.categories == shown
    assert carried(later) == expected
    later.history.undo()
    later.history.undo()
    assert names(later) == ["Lymphocyte", "Stromal", "Mitosis"]
    later.close()


def colors_of_all(controller: ReviewController) -> dict[str, tuple[int, int, int]]:
    """The colour that each category in use is listed with; every one has to be."""
    listed = {c.name: c.color for c in controller.model.categories}
    in_use = {n.nucleus.category for n in controller.model.state.nuclei.values()}
    assert in_use <= listed.keys()
    assert len(set(listed.values())) == len(listed)
    return {name: listed[name] for name in in_use}


def test_a_nucleus_placed_before_the_first_search_keeps_a_listed_category(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    controller.find.connect()
    tile_path("b.png")
    controller.open.paths([tile_path("a.png").parent])
    controller.correct.add(20, 20)
    controller.images.next()  # the search is of another image: nothing there is touched
    server.fake.script = [started(), points((10, 10)), done(1)]
    controller.find.search()
    assert names(controller) == ["Lymphocyte", "Stromal", UNCATEGORISED]
    controller.images.previous()
    assert colors_of_all(controller).keys() == {UNCATEGORISED}


def test_a_nucleus_whose_default_category_went_meanwhile_comes_back_listed(
    opened: ReviewController, server: FakeServer
) -> None:
    opened.correct.add(20, 20)
    opened.history.undo()
    server.fake.script = [started(), points((10, 10)), done(1)]
    opened.find.search()
    assert names(opened) == ["Lymphocyte", "Stromal"]
    uid = opened.correct.add(50, 50)
    assert opened.model.state.nuclei[uid].nucleus.category == "Lymphocyte"  # the first of the list
    opened.history.undo()
    sha256 = opened.images.model.open_field.entry.sha256
    opened.session.commit(sha256, [events.add(sha256, 40, 40, UNCATEGORISED)])
    assert colors_of_all(opened).keys() == {"Lymphocyte", UNCATEGORISED}
    opened.history.undo()
    assert names(opened) == ["Lymphocyte", "Stromal"]


def test_what_is_listed_because_it_is_in_use_is_recoloured_renamed_and_undone_like_any(
    opened: ReviewController,
) -> None:
    sha256 = opened.images.model.open_field.entry.sha256
    opened.session.commit(sha256, [events.add(sha256, 40, 40, "Mitosis")])
    opened.categories.recolor("Mitosis", (1, 2, 3))
    assert colors_of_all(opened) == {"Mitosis": (1, 2, 3)}
    opened.categories.rename("Mitosis", "Mitotic figure")
    assert colors_of_all(opened) == {"Mitotic figure": (1, 2, 3)}
    assert "Mitosis" not in names(opened)
    opened.history.undo()
    assert colors_of_all(opened) == {"Mitosis": (1, 2, 3)}
    assert opened.session.project.categories() == opened.model.categories


def test_the_nuclei_of_a_category_are_counted_in_the_whole_project(two: ReviewController) -> None:
    said: list[tuple[int, int]] = []
    first = next(iter(two.model.state.nuclei))
    two.correct.relabel([first], "Stromal")
    two.categories.count("Lymphocyte", lambda *counts: said.append(counts))
    two.categories.count("Stromal", lambda *counts: said.append(counts))
    two.categories.rename("Lymphocyte", "TIL")
    two.categories.count("TIL", lambda *counts: said.append(counts))
    two.categories.count("Lymphocyte", lambda *counts: said.append(counts))
    assert said == [(5, 2), (1, 1), (5, 2), (0, 0)]
