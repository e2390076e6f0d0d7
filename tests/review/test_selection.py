from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.review.correcting.selection import selection_words
from tests.review.fakes import done, points, started

if TYPE_CHECKING:
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer


def test_a_selection_is_described(opened: ReviewController, server: FakeServer) -> None:
    server.fake.script = [
        started(),
        points((10, 10), (30, 10), confidence=0.9),
        points((50, 10), first=2, confidence=0.31),
        done(3),
    ]
    opened.find.search()
    first, second, unsure = opened.model.state.nuclei

    def words(*uids: object) -> str:
        return selection_words(opened.model.table, uids, opened.view.model.sure_above)

    assert words() == ""
    assert words(first) == "1 selected: Lymphocyte, sure (0.90)"
    assert words(unsure) == "1 selected: Lymphocyte, unsure (0.31)"
    assert words(first, second) == "2 selected: Lymphocyte, all sure"
    assert words(first, unsure) == "2 selected: Lymphocyte, 1 unsure"
    opened.correct.relabel([first], "Stromal")
    assert words(first) == "1 selected: Stromal, seen to by a person"
    assert words(first, second, unsure) == "3 selected: several categories, 1 unsure"
    opened.correct.delete([first])
    assert words(first) == ""
