"""Answers are kept as they were given, and what people say of them is told, changed and undone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.boxes import AnswerBox
from napari_nunext.core.answers.opinions import MOST_STARS, Correction, Preference, Rating
from napari_nunext.core.answers.prompts import SYSTEM, Question
from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.geometry import Box, as_points_xy
from napari_nunext.core.uids import as_uids
from napari_nunext.store import FieldState, Project, events
from napari_nunext.store.answers import COUNTS, Answer, AnsweredBy, Asked, Evidence, Said
from napari_nunext.store.kinds.answers import Opinion, kept_options, opinions, preferences
from tests.store.conftest import IMAGE, WHOLE, entry, ticking

BOXES = (AnswerBox(Box(1, 2, 30, 40), "lesion"), AnswerBox(Box(5, 5, 9, 9)))


def an_answer(**more) -> Answer:
    asked = Asked(
        question=Question("question", "Is there necrosis", ("yes", "no")),
        region=WHOLE,
        mpp=0.5,
        prompt="Is there necrosis? (A) yes, (B) no",
        system=SYSTEM,
        sent_px=(112, 84),
        budget=256,
        image_tokens=12,
        region_tokens=12,
        temperature=0.0,
        max_tokens=64,
    )
    said = Said(
        answer="نعم, yes",
        think="It is pale.",
        raw="<think>It is pale.</think><answer>نعم, yes</answer>",
        choice=0,
        boxes=BOXES,
        boxes_left_out={"outside": 2},
        finish="length",
        prompt_tokens=40,
        notes=("It was cut off.",),
    )
    by = AnsweredBy(name="qwen", model="qwen2.5vl:7b", host="127.0.0.1", patch_px=28)
    fields = {"image_sha256": IMAGE, "asked": asked, "by": by, "said": said}
    return Answer(answer_id=str(uuid4()), **(fields | more))


def counted() -> Answer:
    evidence = Evidence(
        uids=as_uids([UUID(int=1), UUID(int=2)]),
        places_xy=as_points_xy([(1.25, 2), (3, 1 / 3)]),
        categories=("b", "b"),
    )
    asked = Asked(question=Question("question", "How many nuclei are there"), region=WHOLE, mpp=0.5)
    return an_answer(asked=asked, by=COUNTS, said=Said(answer="2"), evidence=evidence)


def test_an_answer_is_read_as_it_was_recorded(project, path):
    answers = [
        project.add_answer(a) for a in (an_answer(), counted(), an_answer(asked_together="x"))
    ]
    assert [a.annotator for a in answers] == ["jd"] * 3
    assert project.answers(IMAGE) == tuple(answers)
    project.close()
    with Project.open(path, annotator="mk", mode="r") as reopened:
        assert reopened.answers() == tuple(answers)
        assert reopened.answers("cd" * 32) == ()


def test_an_answer_is_recorded_once_and_about_an_image_that_is_there(project):
    answer = project.add_answer(an_answer())
    with pytest.raises(InputError, match="recorded already"):
        project.add_answer(answer)
    with pytest.raises(StoreError, match="not in this project"):
        project.add_answer(an_answer(image_sha256="cd" * 32))
    assert len(project.answers()) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE answer SET asked = '{}'",
        "UPDATE answer SET said = 'x'",
        'UPDATE answer SET answered_by = \'{"name": "a", "wrong": 1}\'',
        "UPDATE answer SET evidence_uids = x'00'",
        "UPDATE answer SET evidence_xy = x'0000'",
        "UPDATE answer SET evidence_categories = '{'",
        "UPDATE answer SET evidence_categories = '[[\"a\"], [0]]'",
        "UPDATE answer SET evidence_categories = '[[\"a\"], [0, 1]]'",
    ],
)
def test_a_damaged_answer_is_one_sentence(project, path, damage):
    answer = project.add_answer(counted())
    project.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    with (
        Project.open(path, annotator="jd") as reopened,
        pytest.raises(StoreError, match=rf"{answer.answer_id}.*damaged.*backup"),
    ):
        reopened.answers()


def test_the_last_opinion_of_each_annotator_counts_and_everybodys_is_kept(project, path):
    answer_id = project.add_answer(an_answer()).answer_id
    right = Correction("no", BOXES[:1])
    project.append([events.rate_answer(IMAGE, answer_id, Rating(1, ("unsafe",)))])
    project.append([events.correct_answer(IMAGE, answer_id, right)])
    project.append([events.rate_answer(IMAGE, answer_id, Rating(3, ("wrong place",), "hm"))])
    project.close()
    with Project.open(path, annotator="mk", clock=ticking()) as other:
        other.append([events.rate_answer(IMAGE, answer_id, Rating(5))])
        state = other.state(IMAGE)
    assert opinions(state) == {
        answer_id: {
            "jd": Opinion(Rating(3, ("wrong place",), "hm"), right),
            "mk": Opinion(Rating(5)),
        }
    }


def test_a_preference_is_of_a_pair_whatever_the_sides(project):
    a, b = (project.add_answer(an_answer()).answer_id for _ in range(2))
    project.append([events.compare_answers(IMAGE, Preference(a, b, "left", blind=True))])
    last = Preference(b, a, "both_bad", blind=False)
    project.append([events.compare_answers(IMAGE, last)])
    assert preferences(project.state(IMAGE)) == {last.pair: {"jd": last}}
    assert last.better_id is None
    assert Preference(a, b, "right", blind=True).better_id == b


def test_an_opinion_is_undone_and_done_again_beside_nuclei(project):
    answer_id = project.add_answer(an_answer()).answer_id
    done = []

    def do(event):
        done.extend(project.append([event]))
        return done[-1].group

    do(events.rate_answer(IMAGE, answer_id, Rating(2)))
    do(events.add(IMAGE, 5, 5, "Nucleus"))
    second = do(events.rate_answer(IMAGE, answer_id, Rating(4)))
    flag = do(events.flag_field(IMAGE, True))

    def seen():
        state = project.state(IMAGE)
        assert state == FieldState.fold((), ()).apply(*done)
        return opinions(state)[answer_id]["jd"].rating.stars, len(state.nuclei), state.flagged

    assert seen() == (4, 1, True)
    do(events.undo(IMAGE, flag))
    do(events.undo(IMAGE, second))
    assert seen() == (2, 1, False)
    do(events.redo(IMAGE, second))
    do(events.redo(IMAGE, flag))
    assert seen() == (4, 1, True)


def test_lists_of_options_are_kept_by_name(project):
    for name, options in (("WHO", ["a", "b"]), ("Lobes", ["x", "y"]), ("WHO", ["c", "d"])):
        project.append([events.keep_options(name, options)])
    project.append([events.keep_options("Lobes", [])])
    assert kept_options(project.journal_of_project()) == {"WHO": ("c", "d")}
    with pytest.raises(InputError, match="options"):
        events.keep_options("WHO", ["  "])


stars = st.integers(1, 5)
tags = st.sampled_from(sorted(MOST_STARS))
clicks = st.lists(stars | tags, max_size=12)


@given(clicks)
def test_a_rating_never_contradicts_itself_and_the_last_click_counts(done):
    rating = Rating()
    for click in done:
        before = rating
        rating = rating.with_stars(click) if isinstance(click, int) else rating.with_tag(click)
        assert Rating.from_json(rating.to_json()) == rating  # which would raise
        if isinstance(click, int):
            assert rating.stars == (None if before.stars == click else click)
        else:
            assert (click in rating.tags) != (click in before.tags)


@pytest.mark.parametrize("tag", MOST_STARS)
def test_stars_and_reasons_that_do_not_go_together_are_refused(tag):
    most = MOST_STARS[tag]
    Rating(most, (tag,))
    with pytest.raises(InputError, match="goes with"):
        Rating(most + 1, (tag,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rating(0),
        lambda: Rating(True),
        lambda: Rating(2.5),
        lambda: Rating(None, ("too vague", "unsafe")),
        lambda: Rating(None, ("bad",)),
        lambda: Rating(comment="x" * 20_001),
        lambda: Rating(comment="\ud800"),
        lambda: Correction("\udfff"),
        lambda: Correction(boxes=BOXES[:1] * 101),
        lambda: Preference("a", "a", "tie", blind=True),
        lambda: Preference("a", "b", "up", blind=True),
        lambda: Rating.from_json({"stars": 1, "tags": [], "comment": "", "blind": 1}),
    ],
)
def test_what_is_no_opinion_is_refused(make):
    with pytest.raises(InputError):
        make()


@pytest.mark.parametrize(
    "payload",
    [
        {"rating": {"stars": 9, "tags": [], "comment": "", "blind": False}},
        {"rating": {"stars": None, "tags": 3, "comment": "", "blind": False}},
        {"rating": []},
        {"answer_id": "one"},
    ],
)
def test_a_rating_that_is_none_is_no_event(payload):
    good = {"answer_id": str(uuid4()), "rating": Rating(1).to_json()}
    with pytest.raises(InputError, match="rate_answer"):
        events.Event("rate_answer", IMAGE, good | payload)


def test_a_project_of_schema_2_takes_answers(tmp_path, repo_root):
    path = tmp_path / "p.nunext"
    with closing(sqlite3.connect(path)) as database:
        script = repo_root / "tests" / "store" / "version_2.sql"
        database.executescript(script.read_text("utf-8"))
    with Project.open(path, annotator="jd", mode="r", create=False) as read_only:
        assert read_only.answers() == ()
    with Project.open(path, annotator="jd", create=False) as project:
        assert project.copy_of_before == tmp_path / "p.nunext.version-2"
        (image,) = project.images()
        state = project.state(image.sha256)
        assert sorted((n.nucleus.x_px, n.nucleus.category) for n in state.nuclei.values()) == [
            (10.5, "Tumour"),
            (30.0, "Stroma"),
            (50.0, "Tumour"),
        ]
        assert project.verify() == 5
        answer = project.add_answer(replace(an_answer(), image_sha256=image.sha256))
        project.append([events.rate_answer(image.sha256, answer.answer_id, Rating(4))])
    with Project.open(path, annotator="jd", create=False) as project:
        assert project.copy_of_before is None
        assert project.answers() == (answer,)
    with Project.open(tmp_path / "new.nunext", annotator="jd") as new:
        new.add_image(entry())
    assert _columns(path) == _columns(tmp_path / "new.nunext")


def test_a_project_of_schema_3_keeps_its_answers_and_takes_categories(tmp_path):
    path = tmp_path / "p.nunext"
    with Project.open(path, annotator="jd") as project:
        project.add_image(entry())
        old = project.add_answer(counted())
    with closing(sqlite3.connect(path)) as database, database:
        (said,) = database.execute("SELECT answered_by FROM answer").fetchone()
        by = {name: value for name, value in json.loads(said).items() if name != "reads_nuclei"}
        database.execute("UPDATE answer SET answered_by = ?", (json.dumps(by),))
        database.execute("ALTER TABLE answer DROP COLUMN evidence_categories")
        database.execute("UPDATE migration SET version = 3")
    without = replace(old, evidence=replace(old.evidence, categories=()))
    with Project.open(path, annotator="jd", mode="r", create=False) as read_only:
        assert read_only.answers() == (without,)
    with Project.open(path, annotator="jd", create=False) as project:
        assert project.copy_of_before == tmp_path / "p.nunext.version-3"
        assert project.answers() == (without,)
        new = project.add_answer(counted())
    with Project.open(path, annotator="jd", create=False) as project:
        assert project.copy_of_before is None
        assert project.answers() == (without, new)
    with Project.open(tmp_path / "new.nunext", annotator="jd") as fresh:
        fresh.add_image(entry())
    assert _columns(path) == _columns(tmp_path / "new.nunext")


def test_evidence_has_a_category_for_each_nucleus_or_none_at_all():
    two = {"uids": as_uids([UUID(int=1), UUID(int=2)]), "places_xy": as_points_xy([(1, 2), (3, 4)])}
    assert Evidence(**two) != Evidence(**two, categories=("a", "b"))
    with pytest.raises(InputError, match="2 nuclei have 1 categories"):
        Evidence(**two, categories=("a",))


def _columns(path):
    with closing(sqlite3.connect(path)) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
        return {name: database.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
