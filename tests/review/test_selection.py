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


def test_a_nucleus_says_how_far_off_it_may_be_until_somebody_moves_it(
    opened: ReviewController, server: FakeServer
) -> None:
    server.fake.script = [started(), points((10, 10), position_error_um=0.83), done(1)]
    opened.find.search()
    (uid,) = opened.model.state.nuclei

    def words() -> str:
        return selection_words(opened.model.table, [uid], opened.view.model.sure_above)

    def said_um() -> float | None:
        return opened.model.state.nuclei[uid].nucleus.position_error_um

    assert words() == "1 selected: Lymphocyte, sure (0.90), place ± 0.8 µm"
    opened.correct.relabel([uid], "Stromal")
    assert said_um() == 0.83
    assert opened.model.table.position_error_um.tolist() == [0.83]
    opened.correct.move({uid: (14.0, 12.0)})
    assert said_um() is None
    opened.history.undo()
    assert said_um() == 0.83
