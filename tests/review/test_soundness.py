from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from napari_nunext.store.exports.formats import export_format
from tests.review.fakes import FakeServer, review_on

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController


def change(project: Path) -> None:
    """Change what was written, outside the application."""
    with closing(sqlite3.connect(project)) as connection, connection:
        connection.execute("UPDATE event SET annotator = 'xy' WHERE seq = 1")


def test_a_changed_project_is_said_at_opening_over_what_the_image_has_to_say(
    tmp_path: Path, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    tile = tile_path("t.png")
    first = review_on(tmp_path, server)
    first.open.paths([tile])
    assert first.model.notice is None
    first.correct.add(20, 20)
    first.close()
    change(tmp_path / "review.nunext")
    again = review_on(tmp_path, server)
    again.open.paths([tile])
    assert again.model.notice is not None
    assert "does not verify at event 1" in again.model.notice.words
    again.close()


def test_a_copy_that_lost_its_log_is_said_at_opening(
    tmp_path: Path, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    tile = tile_path("t.png")
    first = review_on(tmp_path, server)
    first.open.paths([tile])
    first.correct.add(20, 20)
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "review.nunext", tmp_path / "other")
    first.close()
    again = review_on(tmp_path / "other", server)
    again.open.paths([tile])
    assert again.model.notice is not None
    assert "without its log" in again.model.notice.words
    again.close()


@pytest.mark.parametrize("what", ["training data", "GeoJSON", "training"])
def test_nothing_is_made_of_a_broken_project_unless_a_person_says_so(
    opened: ReviewController, tmp_path: Path, what: str
) -> None:
    opened.correct.add(20, 20)
    opened.decide.accept()
    if opened.model.notice is not None and opened.model.notice.action is not None:
        opened.model.notice.action()
    change(tmp_path / "review.nunext")
    asked = []
    if what == "training":
        opened.learn._train = asked.append  # type: ignore[method-assign, assignment]
        opened.learn.train()
        button = "Train all the same"
    elif what == "GeoJSON":
        opened.export.nuclei(tmp_path / "out", export_format("geojson"))
        button = "Export all the same"
    else:
        opened.export.training(tmp_path / "out")
        button = "Export all the same"
    notice = opened.model.notice
    assert notice is not None
    assert "does not verify" in notice.words
    assert notice.action_label == button
    assert not (tmp_path / "out").exists()
    assert asked == []
    assert notice.action is not None
    notice.action()
    assert (tmp_path / "out").exists() or asked
