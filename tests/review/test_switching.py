"""From one project to another in the same window: each keeps what is its own, and nothing else."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import InputError
from napari_nunext.review.opening.switching import HERE_INSTEAD
from napari_nunext.store import Project, events
from tests.review.fakes import FakeServer, InlineExecutor, done, points, review_on, started
from tests.waiting import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_nunext.review.controller import ReviewController

SIDE_PX = 64
MEANT = ("_home", "_models_dir", "_mpp_for")
"""What names the first project's folder for the whole life of a window."""


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[..., Path]:
    """A folder of tiles that nobody else has, with a project of its own unless that is unwanted."""

    def make(name: str, tiles: int = 2, *, project: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(list(name.encode()))
        for i in range(tiles):
            rgb = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
            Image.fromarray(rgb).save(folder / f"{name}-{i}.png")
        if project:
            made = review_on(folder, FakeServer())
            made.open.paths([folder])
            for _ in range(tiles - 1):
                made.images.next()
            made.close()
        return folder

    return make


@pytest.fixture
def switched(
    folder_of: Callable[..., Path], server: FakeServer
) -> tuple[ReviewController, Path, Path]:
    """A review of folder A, and folder B with a project of its own."""
    a, b = folder_of("A"), folder_of("B")
    controller = review_on(a, server)
    controller.find.connect()
    controller.open.paths([a])
    return controller, a, b


def switch(controller: ReviewController, folder: Path) -> None:
    """As a person does: open the folder, and say yes."""
    controller.open.paths([folder])
    notice = controller.model.notice
    assert notice is not None
    assert notice.action_label == "Open its project", notice.words
    controller.model.notice = None
    notice.action()


def journal_of(folder: Path) -> list[Any]:
    with Project.open(folder / "review.nunext", annotator="r", mode="r") as project:
        project.verify()
        shas = [entry.sha256 for entry in project.images()]
        found = [event for sha256 in shas for event in project.journal(sha256)]
    return sorted(found, key=lambda event: event.seq)


def test_a_folder_with_a_project_of_its_own_is_offered_with_what_is_in_it(
    switched: tuple[ReviewController, Path, Path],
) -> None:
    controller, a, b = switched
    with Project.open(b / "review.nunext", annotator="xy") as project:
        entry = project.images()[0]
        project.append([events.complete_region(entry.sha256, entry.box)])
    controller.open.paths([b])
    notice = controller.model.notice
    assert "B/review.nunext: 2 images, 1 reviewed, 1 accepted" in notice.words
    assert controller.session.project.path == a / "review.nunext"
    assert len(controller.images.model.queue.items) == 2
    assert notice.other_label == HERE_INSTEAD
    notice.other()
    assert [item.path.parent.name for item in controller.images.model.queue.items] == [*"AABB"]
    assert controller.session.project.path == a / "review.nunext"


def test_there_and_back_again_each_project_has_its_own(
    switched: tuple[ReviewController, Path, Path], server: FakeServer
) -> None:
    controller, a, b = switched
    mine = controller.correct.add(10, 10)
    controller.categories.add("Mitosis")
    controller.view.set_region(controller.images.model.open_field.box)
    switch(controller, b)
    model = controller.model
    images = controller.images.model
    assert model.project == b / "review.nunext"
    assert [item.path.parent for item in images.queue.items] == [b, b]
    assert images.open_field.entry.name == "B-0.png"
    assert not model.state.nuclei
    assert (model.undo_steps, model.can_redo) == (0, False)
    assert "Mitosis" not in {category.name for category in model.categories}
    assert controller.view.model.region is None
    assert Path(a / "review.nunext-wal").exists() is False
    with Project.open(a / "review.nunext", annotator="cd") as free:  # its lock was let go
        assert not free.lost_log
    yours = controller.correct.add(20, 20)
    switch(controller, a)
    assert set(model.state.nuclei) == {mine}
    assert model.undo_steps == 2
    controller.history.undo()
    controller.history.undo()
    assert not model.state.nuclei
    switch(controller, b)
    assert set(model.state.nuclei) == {yours}
    assert (server.restarts, server.stopped) == (0, False)
    controller.close()
    assert server.stopped


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_and_however_often_each_journal_holds_its_own_edits(
    switched: tuple[ReviewController, Path, Path], server: FakeServer, seed: int
) -> None:
    """Random gestures, searches, steps and switches, with writes and images in threads."""
    unhurried, a, b = switched
    unhurried.close()
    rng = np.random.default_rng(seed)
    posted: list[Callable[[], None]] = []
    with ThreadPoolExecutor(4) as threads:
        controller = review_on(a, server, threads, on_main=posted.append, writer_executor=None)

        def settle() -> None:
            session = controller.session
            while posted or not (session.lasting.is_idle and session.is_at_rest):
                while posted:
                    posted.pop(0)()
                pause()

        controller.find.connect()
        controller.open.paths([a])
        settle()
        expected: dict[str, list[Any]] = {"A": [], "B": []}
        here = "A"
        for _ in range(40):
            kind = rng.choice(["add", "add", "undo", "flag", "find", "step", "switch"])
            x, y = (float(v) for v in rng.uniform(1, SIDE_PX - 1, 2))
            if kind == "add":
                expected[here].append(controller.correct.add(x, y))
            elif kind == "undo":
                controller.history.undo()
            elif kind == "flag":
                controller.correct.flag()
            elif kind == "step":
                controller.images.next() if rng.random() < 0.5 else controller.images.previous()
            elif kind == "find":
                server.fake.script = [started(), points((x, y)), done(1)]
                controller.find.search()
            else:
                here = "B" if here == "A" else "A"
                settle()  # the notice of a search would stand in the way
                controller.open.paths([a.parent / here])
                settle()
                controller.model.notice.action()
                if rng.random() < 0.5 and controller.model.state is not None:
                    # Still the other's: what is done until it is left belongs to it.
                    other = "B" if here == "A" else "A"
                    expected[other].append(controller.correct.add(x, y))
                settle()
                assert controller.model.project.parent.name == here
            if rng.random() < 0.5:
                settle()
        settle()
        controller.close()
    for name, folder in (("A", a), ("B", b)):
        journal = journal_of(folder)
        assert [e.uid for e in journal if e.kind == "add"] == expected[name]
        with Project.open(folder / "review.nunext", annotator="r", mode="r") as project:
            assert {Path(entry.path).parent for entry in project.images()} == {folder}
            assert not project.lost_log


def test_the_scale_of_the_command_line_is_that_of_the_first_projects_images(
    folder_of: Callable[..., Path], server: FakeServer
) -> None:
    a, b = folder_of("A"), folder_of("B")
    controller = review_on(a, server, mpp=0.25)
    controller.open.paths([a])
    switch(controller, b)
    assert controller.images.model.open_field.entry.mpp_source == "assumed"
    switch(controller, a)
    controller.images.next()
    entry = controller.images.model.open_field.entry
    assert (entry.name, entry.mpp, entry.mpp_source) == ("A-1.png", 0.25, "user")


def test_nothing_of_a_project_that_was_left_is_kept(
    switched: tuple[ReviewController, Path, Path], server: FakeServer
) -> None:
    controller, a, b = switched
    server.fake.script = [started(), points((30, 30)), done(1)]
    controller.find.search()
    uid = controller.correct.add(10, 10)
    controller.view.select([uid])
    controller.decide.accept()
    controller.outline.click(10, 10, inside=True)
    controller.learn.refresh()
    controller.scale.set(4.0)  # asks
    sha256 = [entry.sha256 for entry in controller.session.project.images()]
    switch(controller, b)

    def is_of_a(what: object) -> bool:
        if isinstance(what, (str, Path)):
            return str(what) in sha256 or str(what).startswith(str(a))
        return isinstance(what, UUID) and what == uid

    kept = [where.rsplit(".")[-1] for where in remains(controller, is_of_a)]
    assert set(kept) <= set(MEANT)


def remains(root: object, is_mark: Callable[[object], bool]) -> Iterator[str]:
    """Where anything that is reachable from an object is a mark."""
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        where, what = waiting.pop()
        if id(what) in seen:
            continue
        seen.add(id(what))
        if is_mark(what):
            yield where
        if isinstance(what, dict):
            waiting += [(f"{where}[{k!r}]", v) for k, v in what.items()]
            waiting += [(f"{where} key", k) for k in what]
        elif isinstance(what, (list, tuple, set, frozenset)):
            waiting += [(f"{where}[]", v) for v in what]
        elif type(what).__module__.startswith("napari_nunext"):
            if dataclasses.is_dataclass(what):
                named = {f.name: getattr(what, f.name) for f in dataclasses.fields(what)}
            else:
                named = vars(what) if hasattr(what, "__dict__") else {}
            waiting += [(f"{where}.{name}", value) for name, value in named.items()]


# What stands in the way


def test_a_project_that_is_open_elsewhere_changes_nothing(
    switched: tuple[ReviewController, Path, Path],
) -> None:
    controller, a, b = switched
    controller.correct.add(10, 10)
    with Project.open(b / "review.nunext", annotator="other"):
        switch(controller, b)
        assert "is open for writing" in controller.model.notice.words
        assert controller.model.notice.action_label == "Try again"
        assert controller.model.project == a / "review.nunext"
        assert len(controller.model.state.nuclei) == 1
        controller.correct.add(20, 20)
    controller.model.notice = None
    switch(controller, b)
    assert controller.model.project == b / "review.nunext"


def test_a_damaged_project_is_said_to_be_damaged(
    switched: tuple[ReviewController, Path, Path],
) -> None:
    controller, a, b = switched
    (b / "review.nunext").write_bytes(b"SQLite format 3\x00" + b"\x00" * 5000)
    controller.open.paths([b])
    notice = controller.model.notice
    assert "cannot be opened" in notice.words
    assert notice.action is None
    notice.other()
    assert len(controller.images.model.queue.items) == 4
    assert controller.model.project == a / "review.nunext"


def test_a_copy_beside_the_project_that_is_open_is_not_offered(
    switched: tuple[ReviewController, Path, Path], tmp_path: Path
) -> None:
    controller, a, _ = switched
    controller.session.project.backup(a / "monday.nunext")
    Image.fromarray(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)).save(a / "late.png")
    controller.open.paths([a / "late.png"])
    assert controller.images.model.open_field.entry.name == "late.png"


def test_a_window_that_closes_meanwhile_leaves_no_project_open(
    switched: tuple[ReviewController, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, a, b = switched

    def closing(*_: Any, **__: Any) -> None:
        controller.close()
        raise InputError("read no further")

    monkeypatch.setattr("napari_nunext.review.opening.switching.arrival", closing)
    switch(controller, b)
    for folder in (a, b):
        with Project.open(folder / "review.nunext", annotator="cd") as project:
            assert not project.lost_log


def test_what_runs_is_stopped_only_when_that_is_said(
    switched: tuple[ReviewController, Path, Path], server: FakeServer
) -> None:
    controller, a, b = switched
    asked: list[str] = []

    def meanwhile() -> None:
        controller.open.project(b / "review.nunext")
        asked.append(controller.model.notice.action_label)

    server.fake.script = [started(), points((10, 10)), meanwhile, done(1)]
    controller.find.search()
    assert asked == ["Stop it and open"]
    assert controller.model.project == a / "review.nunext"
    assert len(controller.model.state.nuclei) == 1
    learn = controller.learn.model
    learn.training = dataclasses.replace(learn.training, phase="training")
    controller.open.project(b / "review.nunext")
    assert "training is running" in controller.model.notice.words
    controller.model.notice.action()
    assert controller.model.project == b / "review.nunext"
    assert learn.training.phase == "idle"


def test_a_project_is_not_left_before_all_of_it_is_saved(
    folder_of: Callable[..., Path], server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_nunext.review.opening.switching.PATIENCE_S", 2.0)
    a, b = folder_of("A"), folder_of("B")
    controller = review_on(a, server, InlineExecutor(), writer_executor=None)
    controller.open.paths([a])
    append, full = Project.append, [True]

    def write(project: Project, new: Any) -> Any:
        if full:
            raise OSError(28, "No space left on device")
        return append(project, new)

    monkeypatch.setattr(Project, "append", write)
    controller.correct.add(10, 10)
    switch(controller, b)
    assert "1 changes are not saved yet" in controller.model.notice.words
    assert controller.model.project == a / "review.nunext"
    full.clear()
    controller.model.notice.action()
    assert controller.model.project == b / "review.nunext"
    controller.close()
    assert [event.kind for event in journal_of(a)] == ["add"]


# Images of a project


def test_moved_images_of_a_project_are_found_again_in_the_folder_that_is_named(
    folder_of: Callable[..., Path], tmp_path: Path, server: FakeServer
) -> None:
    a, b = folder_of("A"), folder_of("B", tiles=3)
    controller = review_on(a, server)
    controller.open.paths([a])
    elsewhere = tmp_path / "moved" / "deep"
    elsewhere.mkdir(parents=True)
    (b / "B-0.png").rename(elsewhere / "renamed.png")
    (b / "B-1.png").unlink()
    Image.fromarray(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)).save(elsewhere / "B-1.png")
    wanted: list[bool] = []
    controller.locate.folder_wanted.connect(lambda: wanted.append(True))
    controller.open.project(b / "review.nunext")
    model = controller.model
    images = controller.images.model
    assert [item.status for item in images.queue.items] == ["unreadable", "unreadable", "open"]
    assert images.open_field.entry.name == "B-2.png"
    assert "for 2 images: 0 found, 2 missing" in model.notice.words
    model.notice.action()
    assert wanted
    controller.locate.find_images(tmp_path / "moved")
    assert "for 2 images: 1 found, 1 with other pixels" in model.notice.words
    assert [item.name for item in images.queue.items] == ["renamed.png", "B-1.png", "B-2.png"]
    controller.images.go_to(0)
    assert images.open_field.entry.name == "renamed.png"
    assert images.queue.items[0].status == "open"


def test_another_image_in_the_place_of_a_reviewed_one_is_said_to_be_another(
    switched: tuple[ReviewController, Path, Path],
) -> None:
    controller, _, b = switched
    Image.fromarray(np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)).save(b / "B-0.png")
    switch(controller, b)
    assert "B-0.png holds other pixels" in controller.model.notice.words
