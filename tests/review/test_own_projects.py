from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.store import Project

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


def test_images_with_a_project_of_their_own_join_the_open_one_only_when_asked(
    opened: ReviewController, tmp_path: Path, tile_path: Callable[[str], Path]
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    tile_path("b.png").rename(folder / "b.png")
    Project.open(folder / "own.nunext", annotator="xy").close()
    opened.open_paths([folder])
    assert len(opened.model.queue.items) == 1
    notice = opened.model.notice
    assert notice is not None
    assert "own.nunext" in notice.words
    assert len(opened.session.project.images()) == 1
    assert notice.action is not None
    notice.action()
    assert [item.name for item in opened.model.queue.items][1:] == ["b.png"]
    assert len(opened.session.project.images()) == 2
