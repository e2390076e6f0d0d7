from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from napari_nunext.store import Project
from napari_nunext.store.exports.formats import export_format
from tests.review.fakes import FakeServer, done, points, review_on, started

if TYPE_CHECKING:
    from napari_nunext.review.controller import ReviewController
    from napari_nunext.store import FieldState

MakeTile = "Callable[[str], Path]"


def the_state(controller: ReviewController) -> FieldState:
    state = controller.model.state
    assert state is not None
    return state


def saved_state(controller: ReviewController) -> FieldState:
    field = controller.images.model.open_field
    assert field is not None
    return controller.session.project.state(field.entry.sha256)


def places(state: FieldState) -> list[tuple[float, float, str]]:
    return sorted(
        (n.nucleus.x_px, n.nucleus.y_px, n.nucleus.category) for n in state.nuclei.values()
    )


# Opening


def test_opening_a_folder_queues_its_images_and_shows_the_first(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    folder = tile_path("b 2.png").parent
    tile_path("a_0.98.24.png")
    controller.open.paths([folder])
    assert [item.name for item in controller.images.model.queue.items] == [
        "a_0.98.24.png",
        "b 2.png",
    ]
    assert controller.images.model.queue.index == 0
    field = controller.images.model.open_field
    assert field is not None
    assert field.entry.name == "a_0.98.24.png"
    assert (field.entry.mpp, field.entry.mpp_source) == (0.5, "assumed")
    assert field.source.read_region(field.box).shape == (64, 80, 3)


def test_a_scale_set_by_the_user_is_kept_and_no_longer_assumed(opened: ReviewController) -> None:
    opened.scale.set(0.25)
    field = opened.images.model.open_field
    assert field is not None
    assert (field.entry.mpp, field.entry.mpp_source) == (0.25, "user")
    stored = opened.session.project.image(field.entry.sha256)
    assert (stored.mpp, stored.mpp_source) == (0.25, "user")


def test_an_absurd_scale_is_refused_in_words(opened: ReviewController) -> None:
    opened.scale.set(500)
    assert opened.model.notice is not None
    assert "500 um/px" in opened.model.notice.words
    assert opened.images.model.open_field.entry.mpp == 0.5


def test_the_scale_given_at_the_start_prevails(tmp_path: Path, tile_path: MakeTile) -> None:
    made = review_on(tmp_path, FakeServer(), mpp=0.33)
    made.open.paths([tile_path("t.png")])
    assert made.images.model.open_field.entry.mpp == 0.33
    assert made.images.model.open_field.entry.mpp_source == "user"
    made.close()


def spoil(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:300])
    return path


def test_an_unreadable_first_image_is_marked_and_passed(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    controller.open.paths([spoil(tile_path("bad.png")), tile_path("good.png")])
    assert controller.images.model.open_field.entry.name == "good.png"
    bad, good = controller.images.model.queue.items
    assert (bad.status, good.status) == ("unreadable", "open")
    assert "bad.png" in bad.problem
    assert controller.model.notice is not None
    assert "bad.png" in controller.model.notice.words


def test_unreadable_images_block_neither_the_way_on_nor_the_way_back(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    names = ("a.png", "bad1.png", "bad2.png", "d.png", "e bad.png")
    controller.open.paths([tile_path(name).parent for name in names[:1]])
    paths = [tile_path(name) for name in names[1:]]
    for path in paths:
        if "bad" in path.name:
            spoil(path)
    controller.open.paths(paths)
    assert controller.images.model.queue.index == 3, "the first of the new ones that can be read"
    controller.images.previous()
    assert controller.images.model.queue.index == 0
    controller.images.next()
    assert controller.images.model.queue.index == 3
    controller.images.next()
    assert controller.images.model.queue.index == 3, "nothing readable follows"
    assert controller.images.model.queue.items[4].status == "unreadable"
    assert controller.images.model.loading == ""
    controller.correct.add(10, 10)
    controller.decide.accept()
    assert [i.status for i in controller.images.model.queue.items] == [
        "open",
        "unreadable",
        "unreadable",
        "done",
        "unreadable",
    ]


def test_an_unreadable_image_that_is_chosen_says_why_and_is_tried_again(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    bad, good = tile_path("bad.png"), tile_path("good.png")
    whole = bad.read_bytes()
    controller.open.paths([spoil(bad), good])
    controller.model.notice = None
    controller.images.go_to(0)
    assert controller.images.model.queue.index == 1
    assert "bad.png" in controller.model.notice.words
    bad.write_bytes(whole)
    controller.images.go_to(0)
    assert controller.images.model.open_field.entry.name == "bad.png"
    assert controller.images.model.queue.items[0].status == "open"


def test_a_folder_of_unreadable_images_ends_in_words(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    controller.open.paths([spoil(tile_path("a.png")), spoil(tile_path("b.png"))])
    assert controller.images.model.open_field is None
    assert [item.status for item in controller.images.model.queue.items] == ["unreadable"] * 2
    assert "b.png" in controller.model.notice.words


def test_nothing_to_open_is_said_in_one_sentence(
    controller: ReviewController, tmp_path: Path
) -> None:
    controller.open.paths([tmp_path / "missing.png"])
    assert controller.model.notice is not None
    assert "missing.png" in controller.model.notice.words
    assert controller.images.model.loading == ""


def test_a_project_that_is_open_elsewhere_is_said_in_words(
    controller: ReviewController, tmp_path: Path, tile_path: MakeTile
) -> None:
    with Project.open(tmp_path / "review.nunext", annotator="someone"):
        controller.open.paths([tile_path("t.png")])
        assert controller.images.model.open_field is None
        assert controller.model.notice is not None
        assert "another window of this application" in controller.model.notice.words


# Correcting


def test_every_gesture_is_in_the_journal_and_comes_back_when_reopened(
    opened: ReviewController, tmp_path: Path
) -> None:
    a = opened.correct.add(10.25, 20.5)
    b = opened.correct.add(30, 40)
    c = opened.correct.add(50, 60)
    opened.correct.move({a: (11, 21)})
    opened.categories.add("Plasma cell")
    opened.correct.relabel([b], "Plasma cell")
    opened.correct.delete([c])
    expected = [(11.0, 21.0, "Nucleus"), (30.0, 40.0, "Plasma cell")]
    assert places(the_state(opened)) == expected
    assert places(saved_state(opened)) == expected
    assert opened.model.save.phase == "saved"
    assert opened.session.project.verify() >= 7
    sha256 = opened.images.model.open_field.entry.sha256
    opened.close()
    with Project.open(tmp_path / "review.nunext", annotator="ab") as project:
        assert places(project.state(sha256)) == expected
        assert [c.name for c in project.categories()] == ["Nucleus", "Plasma cell"]


def test_undo_and_redo_walk_through_gestures(opened: ReviewController) -> None:
    uids = [opened.correct.add(x, 10) for x in (10, 20, 30)]
    opened.correct.delete(uids[:2])
    assert opened.model.undo_steps == 4
    opened.history.undo()
    assert len(the_state(opened).nuclei) == 3, "a lasso delete is one step"
    assert opened.model.can_redo
    opened.history.redo()
    assert len(the_state(opened).nuclei) == 1
    assert not opened.model.can_redo
    for _ in range(10):
        opened.history.undo()
    assert the_state(opened).nuclei == {}
    assert opened.model.undo_steps == 0
    assert places(saved_state(opened)) == []


def test_a_category_key_relabels_what_is_selected_and_new_nuclei(opened: ReviewController) -> None:
    opened.categories.add("Stromal")
    a = opened.correct.add(10, 10)
    opened.view.select([a])
    opened.categories.choose("Nucleus")
    assert the_state(opened).nuclei[a].nucleus.category == "Nucleus"
    b = opened.correct.add(20, 20)
    assert the_state(opened).nuclei[b].nucleus.category == "Nucleus"


def test_what_is_deleted_is_no_longer_selected(opened: ReviewController) -> None:
    a, b = opened.correct.add(10, 10), opened.correct.add(20, 20)
    opened.view.select([a, b])
    opened.correct.delete([a])
    assert opened.view.model.selected == {b}


# Deciding


def test_accepting_completes_the_whole_field_and_goes_on(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    controller.open.paths([tile_path("a.png"), tile_path("b.png")])
    controller.correct.add(10, 10)
    controller.decide.accept()
    queue = controller.images.model.queue
    assert (queue.index, queue.done) == (1, 1)
    assert [item.status for item in queue.items] == ["done", "open"]
    assert (controller.learn.model.harvest.fields, controller.learn.model.harvest.nuclei) == (1, 1)
    assert controller.learn.model.harvest.ready
    controller.images.previous()
    (box,) = the_state(controller).complete
    assert box.as_tuple() == (0, 0, 80, 64)
    controller.decide.reopen()
    assert controller.images.model.queue.done == 0
    assert not controller.learn.model.harvest.ready


def test_flags_and_comments_are_kept(opened: ReviewController) -> None:
    uid = opened.correct.add(5, 5)
    opened.correct.flag()
    opened.correct.comment("  blurred here ")
    opened.correct.comment("mitosis?", uid)
    opened.correct.comment("   ")
    state = saved_state(opened)
    assert state.flagged
    assert [(c.text, c.uid) for c in state.comments] == [("blurred here", None), ("mitosis?", uid)]
    assert opened.images.model.queue.items[0].status == "flagged"
    opened.correct.flag()
    assert not saved_state(opened).flagged


def test_coming_back_to_an_image_shows_what_was_done_there(
    controller: ReviewController, tile_path: MakeTile
) -> None:
    controller.open.paths([tile_path("a.png"), tile_path("b.png")])
    controller.correct.add(10, 10)
    controller.images.next()
    assert the_state(controller).nuclei == {}
    controller.images.previous()
    assert places(the_state(controller)) == [(10.0, 10.0, "Nucleus")]


def test_the_next_unsure_nucleus_is_selected_and_looked_at(
    opened: ReviewController, server: FakeServer
) -> None:
    looked: list[tuple[float, float]] = []
    opened.view.focus_requested.connect(lambda x, y: looked.append((x, y)))
    server.fake.script = [
        started(),
        points((10, 10), confidence=0.9),
        points((30, 12), (60, 11), first=1, confidence=0.2),
        done(3),
    ]
    opened.find.search()
    opened.view.next_unsure()
    opened.view.next_unsure()
    opened.view.next_unsure(-1)
    assert looked == [(30, 12), (60, 11), (30, 12)]
    opened.view.set_sure_above(0.1)
    opened.view.next_unsure()
    assert opened.model.notice is not None
    assert "No unsure" in opened.model.notice.words


# Keeping


def test_geojson_holds_the_nuclei_as_they_stand(opened: ReviewController, tmp_path: Path) -> None:
    uid = opened.correct.add(10.5, 20.25)
    opened.export.nuclei(tmp_path / "out.geojson", export_format("geojson"))
    (feature,) = json.loads((tmp_path / "out.geojson").read_text())["features"]
    assert feature["id"] == str(uid)
    assert feature["geometry"]["coordinates"] == [10.5, 20.25]
    assert "out.geojson" in opened.model.notice.words


def test_geojson_is_not_written_beside_a_file_that_holds_other_pixels(
    opened: ReviewController, tile_path: MakeTile, tmp_path: Path
) -> None:
    opened.correct.add(10.5, 20.25)
    name = opened.images.model.open_field.entry.name
    tile_path(name)  # another image, in its place
    opened.export.nuclei(tmp_path / "out.geojson", export_format("geojson"))
    assert not (tmp_path / "out.geojson").exists()
    assert name in opened.model.notice.words
    assert "not the image that was reviewed" in opened.model.notice.words
    Path(opened.images.model.open_field.entry.path).unlink()
    opened.export.nuclei(tmp_path / "out.geojson", export_format("geojson"))
    assert (tmp_path / "out.geojson").exists()
    assert "not checked" in opened.model.notice.words


def test_the_training_export_holds_exactly_the_corrections(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    server.fake.script = [started(), points((10, 10), (30, 30), (50, 50)), done(3)]
    opened.find.search()
    first, second, third = the_state(opened).nuclei
    opened.correct.delete([first])
    opened.correct.move({second: (32.0, 31.0)})
    opened.correct.relabel([third], "Stromal")
    opened.categories.choose("Stromal")
    opened.correct.add(70, 20)
    opened.decide.accept()
    opened.export.training(tmp_path / "export")
    (line,) = (tmp_path / "export" / "sft.jsonl").read_text().splitlines()
    exported = {(n["x"], n["y"], n["category"]) for n in json.loads(line)["nuclei"]}
    assert exported == {(32, 31, "Lymphocyte"), (50, 50, "Stromal"), (70, 20, "Stromal")}


def test_exporting_before_anything_is_accepted_says_what_to_do(
    opened: ReviewController, tmp_path: Path
) -> None:
    opened.export.training(tmp_path / "export")
    assert opened.model.notice.level == "error"
    assert not (tmp_path / "export").exists()


def test_closing_lets_go_of_the_project_and_the_server(
    opened: ReviewController, server: FakeServer, tmp_path: Path
) -> None:
    opened.correct.add(1, 1)
    assert opened.close()
    assert server.stopped
    with Project.open(tmp_path / "review.nunext", annotator="cd") as project:
        assert len(project.images()) == 1


def test_every_method_is_harmless_before_an_image_is_open(controller: ReviewController) -> None:
    controller.find.search()
    controller.find.stop()
    controller.history.undo()
    controller.history.redo()
    controller.decide.accept()
    controller.correct.flag()
    controller.view.next_unsure()
    controller.images.next()
    controller.correct.comment("x")
    controller.scale.set(0.5)
    controller.learn.refresh()
    controller.learn.train()
    assert controller.model.notice is None


@pytest.mark.parametrize("name", ["Tëst tile.v1.2.png", "плитка.png"])
def test_names_of_any_kind_open(
    controller: ReviewController, tile_path: MakeTile, name: str
) -> None:
    controller.open.paths([tile_path(name)])
    assert controller.images.model.open_field.entry.name == name
    field = controller.images.model.open_field
    assert field.source.read_region(field.box).ndim == 3
