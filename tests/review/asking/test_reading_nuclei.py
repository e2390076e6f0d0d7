"""An answerer that reads nuclei: what it is told, what its answer rests on, what became of that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import pytest

from napari_nunext.core.answers.points import MOST_NUCLEI
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.uids import as_uids
from napari_nunext.review.asking import round as rounds
from napari_nunext.review.asking.since import difference
from napari_nunext.review.shown.answers import Since
from napari_nunext.review.shown.ask import Way
from napari_nunext.store.answers import Evidence
from tests.review.fakes import answerer_info, done, points, started, window_done

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer

HOW_MANY = Question("question", "How many nuclei are there?")
READER = Way("reader")


@pytest.fixture
def reading(ask: Asker, server: FakeServer) -> Asker:
    """The same with an answerer that reads nuclei, which is chosen."""
    server.fake.answering = [*server.fake.answering, answerer_info("reader", reads_nuclei=True)]
    ask.answerers.look()
    ask.answerers.choose("reader")
    return ask


def uid_at(review: ReviewController, x: float) -> UUID:
    return next(u for u, n in review.model.state.nuclei.items() if n.nucleus.x_px == x)


def test_it_is_told_the_standing_nuclei_of_the_region_as_they_were_corrected(
    reading: Asker, opened: ReviewController, server: FakeServer
) -> None:
    opened.categories.add("Stromal")
    opened.correct.delete([uid_at(opened, 60)])
    opened.correct.add(35, 60)
    opened.view.set_region(Box(0, 0, 40, 64))
    reading.choose_where("region")
    reading.ask(HOW_MANY)
    (request,) = server.fake.asked
    first = opened.model.state.nuclei[uid_at(opened, 10)].nucleus.category
    assert [(x, y) for x, y, _ in request.nuclei] == [(10, 10), (30, 20), (35, 60)]
    assert request.nuclei[0][2] == first
    (shown,) = reading.model.answers
    assert shown.answer.by.reads_nuclei
    assert shown.answer.asked.prompt.startswith("Nuclei (x y category): ")
    assert shown.answer.asked.prompt.endswith("How many nuclei are there?")
    told = shown.answer.evidence
    assert told.named() == request.nuclei
    assert set(told.uuids()) == {uid_at(opened, x) for x in (10, 30, 35)}
    assert reading.model.evidence == told
    opened.session.writer.call(lambda: None)
    assert opened.session.project.answers() == (shown.answer,)


def test_others_are_told_nothing(ask: Asker, opened: ReviewController, server: FakeServer) -> None:
    ask.ask(HOW_MANY, Way("vlm"))
    assert server.fake.asked[0].nuclei is None
    assert len(ask.model.answers[0].answer.evidence) == 0
    assert ask.model.since is None
    opened.correct.add(50, 50)
    assert ask.model.since is None


def test_its_nuclei_light_up_from_the_first_word(
    reading: Asker, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "DRAFT_S", 0.0)
    seen = []
    server.fake.says = ["<answer>th", lambda: seen.append(reading.model.evidence), "ree</answer>"]
    reading.ask(HOW_MANY)
    assert [len(each) for each in seen] == [3]


def test_where_nobody_has_looked_it_says_so_before_and_when_it_is_asked(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    controller.find.connect()
    controller.open.paths([tile_path("a.png")])
    server.fake.answering = [answerer_info("reader", reads_nuclei=True)]
    controller.ask.answerers.look()
    ask = controller.ask
    assert ask.telling().lacks == ""  # Counts is chosen
    ask.answerers.choose("reader")
    assert "nobody has looked for any here. Find them first" in ask.telling().lacks
    ask.ask(HOW_MANY)
    assert "Find them first" in controller.model.notice.words
    assert server.fake.asked == []
    server.fake.script = [started(), window_done(1, 1), done(0)]
    controller.find.search()
    assert ask.telling().lacks == ask.telling().doubt == ""
    ask.ask(HOW_MANY)
    assert server.fake.asked[0].nuclei == ()
    assert ask.model.answers[0].answer.asked.prompt.startswith("Nuclei (x y category): none;")


def test_a_search_that_was_broken_off_leaves_a_doubt(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    controller.find.connect()
    controller.open.paths([tile_path("a.png")])
    server.fake.answering = [answerer_info("reader", reads_nuclei=True)]
    controller.ask.answerers.look()
    controller.ask.answerers.choose("reader")
    server.fake.script = [started(2), points((5.0, 5.0)), window_done(1, 2), done(1, "cancelled")]
    controller.find.search()
    telling = controller.ask.telling()
    assert telling.lacks == ""
    assert "nuclei may be missing" in telling.doubt
    controller.ask.ask(HOW_MANY)
    assert [(x, y) for x, y, _ in server.fake.asked[0].nuclei] == [(5, 5)]


def test_more_nuclei_than_it_reads_are_told_before_anything_is_sent(
    reading: Asker, opened: ReviewController, server: FakeServer
) -> None:
    many = points(*((i % 70 + 1.0, 1.0 + i // 70) for i in range(2 * MOST_NUCLEI)))
    server.fake.script = [started(), many, window_done(1, 1), done(2 * MOST_NUCLEI)]
    opened.find.search()
    assert f"reads {MOST_NUCLEI} or fewer. Ask about a smaller region" in reading.telling().lacks
    reading.ask(HOW_MANY)
    assert server.fake.asked == []
    assert "smaller region" in opened.model.notice.words


@pytest.mark.parametrize("way", [Way(), READER], ids=["counted", "read"])
def test_an_answer_says_what_became_of_its_nuclei_and_is_asked_again(
    reading: Asker, opened: ReviewController, server: FakeServer, way: Way
) -> None:
    opened.view.set_region(Box(0, 0, 70, 64))
    reading.choose_where("region")
    reading.ask(HOW_MANY, way)
    assert reading.model.since is None
    opened.correct.add(75, 5)  # beyond the region
    assert reading.model.since is None
    opened.correct.delete([uid_at(opened, 60)])
    assert reading.model.since == Since(3, changed=1)
    opened.correct.move({uid_at(opened, 30): (32, 22)})
    opened.correct.add(5, 60)
    assert reading.model.since == Since(3, changed=2, new=1)
    reading.choose_where("field")
    reading.ask_again()
    assert reading.model.since is None
    again, before = reading.model.answers
    assert again.answer.asked.question == HOW_MANY
    assert again.answer.asked.region == before.answer.asked.region == Box(0, 0, 70, 64)
    assert again.answer.by == before.answer.by
    assert len(again.answer.evidence) == 3
    reading.book.select(before.id)
    assert reading.model.since == Since(3, changed=2, new=1)
    for _ in range(3):
        opened.history.undo()
    assert reading.model.since is None


def test_another_category_is_a_change_for_who_reads_it(
    reading: Asker, opened: ReviewController
) -> None:
    reading.ask(HOW_MANY)
    opened.categories.add("Stromal")
    opened.correct.relabel([uid_at(opened, 10)], "Stromal")
    assert reading.model.since == Since(3, changed=1)


def test_counts_says_so_where_its_nuclei_are_the_same_and_the_answer_is_not(
    ask: Asker, opened: ReviewController
) -> None:
    for name in ("Lymphocyte", "Stromal"):
        opened.categories.add(name)
    opened.correct.relabel(list(opened.model.state.nuclei), "Lymphocyte")
    ask.ask(Question("question", "What percentage of the nuclei are lymphocytes?"))
    assert ask.model.selected.text.startswith("100")
    opened.categories.choose("Stromal")
    opened.correct.add(5, 60)
    assert ask.model.since == Since(3, says_other=True)


def test_nuclei_that_are_found_again_where_they_were_have_not_changed(
    controller: ReviewController, server: FakeServer, tile_path: Callable[[str], Path]
) -> None:
    controller.find.connect()
    controller.open.paths([tile_path("a.png")])
    server.fake.answering = [answerer_info("reader", reads_nuclei=True)]
    controller.ask.answerers.look()
    where = ((5.0, 5.0), (30.0, 20.0))
    for further in ((), ((60.0, 50.0),)):
        server.fake.script = [started(), points(*where, *further), window_done(1, 1), done(2)]
        controller.find.search()
        if not further:
            controller.ask.ask(HOW_MANY, READER)
    assert controller.ask.model.since == Since(2, new=1)


def test_what_is_shown_of_another_image_is_not_measured_by_this_one(
    reading: Asker, opened: ReviewController, tile_path: Callable[[str], Path]
) -> None:
    reading.ask(HOW_MANY)
    opened.correct.delete([uid_at(opened, 60)])
    opened.open.paths([tile_path("b.png")])
    assert reading.model.since is None
    opened.images.go_to(0)
    reading.book.select(reading.model.answers[0].id)
    assert reading.model.since == Since(3, changed=1)


def test_two_ways_one_of_which_reads_are_compared_blind(
    reading: Asker, opened: ReviewController, server: FakeServer
) -> None:
    reading.ask_two(HOW_MANY, READER, Way("vlm"))
    pair = reading.model.pair
    assert pair is not None
    assert pair.hides_names
    assert [each.nuclei is None for each in server.fake.asked] == [False, True]
    rests = {len(side.answer.evidence) for side in (pair.left, pair.right)}
    assert rests == {0, 3}
    # Which of them was told nuclei would say whose it is.
    for side in (pair.left, pair.right):
        reading.book.select(side.id)
        assert len(reading.model.evidence) == 0
    reading.compare.judge("tie")
    shown = {len(side.evidence) for side in (reading.model.pair.left, reading.model.pair.right)}
    assert shown == {0, 3}


def evidence(*nuclei: tuple[int, float, float, str]) -> Evidence:
    return Evidence(
        uids=as_uids(UUID(int=uid) for uid, *_ in nuclei),
        places_xy=as_points_xy([(x, y) for _, x, y, _ in nuclei]),
        categories=tuple(category for *_, category in nuclei),
    )


def test_the_difference_of_what_an_answer_rests_on() -> None:
    then = evidence((1, 1, 1, "a"), (2, 2, 2, "a"), (3, 3, 3, "b"))
    assert not difference(then, then).is_other
    assert not difference(evidence(), evidence()).is_other
    assert difference(then, evidence()) == Since(3, changed=3)
    assert difference(evidence(), then) == Since(0, new=3)
    now = evidence((4, 2, 2, "a"), (1, 1, 1.5, "a"), (5, 9, 9, "b"))
    # 1 was moved, 2 is found again, 3 is gone, 5 is new.
    assert difference(then, now) == Since(3, changed=2, new=1)
    relabelled = replace(then, categories=("a", "a", "c"))
    assert difference(then, relabelled) == Since(3, changed=1)
    # Where categories were not kept, nobody can say that they have changed.
    assert not difference(replace(then, categories=()), relabelled).is_other


def test_twins_are_counted_as_often_as_they_are_there() -> None:
    then = evidence((1, 1, 1, "a"), (2, 1, 1, "a"))
    assert difference(then, evidence((3, 1, 1, "a"))) == Since(2, changed=1)
    assert difference(evidence((3, 1, 1, "a")), then) == Since(1, new=1)


def test_a_large_field_is_compared_by_columns(rng: np.random.Generator) -> None:
    n = 50_000
    then = Evidence(
        uids=rng.integers(1, 256, (n, 16), dtype=np.uint8),
        places_xy=rng.uniform(0, 1e5, (n, 2)),
        categories=("a",) * n,
    )
    order = rng.permutation(n)
    now = Evidence(
        uids=then.uids[order][5:], places_xy=then.places_xy[order][5:], categories=("a",) * (n - 5)
    )
    assert difference(then, now) == Since(n, changed=5)
