"""Answers by rule, and figures by kind of derived question."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.answers.reply import Reply
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from nunext_training.cli import main
from nunext_training.commands.asking import figures
from nunext_training.data.importers.questions.base import AnsweredImage, known_answer, known_boxes
from nunext_training.data.importers.questions.writing import write_questions
from nunext_training.evaluation.answering.answer_scores import Answered
from nunext_training.evaluation.answering.kinds import MEAN, score_kinds
from nunext_training.evaluation.answering.rules import RULES
from nunext_training.method.answer_rewards import SeenAnswer, Truth

NUCLEI = ((10.0, 10.0, "Lymphocyte"), (50.0, 50.0, "Lymphocyte"), (20.0, 50.0, "Stromal"))
WHERE = ("upper", "lower")


def kinded(known, kind):
    return replace(known, kind=kind)


def asked(n, where, boxes=()):
    return (
        kinded(known_answer("it", str(n), text="How many lymphocytes are there?"), "count"),
        kinded(known_answer("it", where, text="Where are they?", options=WHERE), "place"),
        kinded(known_boxes("clusters of lymphocytes", "tissue", boxes, (64, 64)), "boxes"),
    )


def export(folder, pictures):
    """Pictures of noise: (split, what is asked)."""
    rng = np.random.default_rng(3)

    def member(number, split, answers):
        return lambda: [
            AnsweredImage(
                name=f"{number}",
                rgb=rng.integers(0, 255, (64, 64, 3), dtype=np.uint8),
                split=split,
                answers=answers,
                nuclei=NUCLEI,
            )
        ]

    write_questions(
        [member(i, *each) for i, each in enumerate(pictures)],
        folder,
        origin="derived",
        mpp=0.5,
        mpp_source="user",
        categories=default_categories(["Lymphocyte", "Stromal", "Tumour"]),
    )
    return folder


@pytest.fixture
def data(tmp_path):
    some = (Box(4, 4, 30, 30),)
    learnt = [(0, "upper"), (0, "upper"), (3, "lower"), (4, "upper"), (5, "lower")]
    return export(
        tmp_path / "export",
        [
            *(("train", asked(n, where)) for n, where in learnt),
            ("test", asked(2, "lower")),
            ("test", asked(3, "upper", some)),
        ],
    )


def kinds_of(rule, data, out, *options):
    command = ["ask", "evaluate", "--data", str(data), "--rule", rule, "--out", str(out), *options]
    assert main(command) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize(
    ("rule", "count", "place", "boxes"),
    [
        # Zero is right most often; of 2 and 3 it is worth 1 - 2 / 4 and 1 - 3 / 4.
        ("majority", (0.5 + 0.25) / 2, 0.5, 0.5),
        # Over 0, 0, 3, 4 and 5, three is worth (0.25 + 0.25 + 1 + 0.75 + 0.6) / 5, and 0 less.
        ("constant", (0.75 + 1) / 2, 0.5, 0.5),
        # Two lymphocytes; two of three nuclei are in the lower half; three are no cluster.
        ("counts", (1 + 0.75) / 2, 0.5, 0.5),
    ],
)
def test_a_rule_is_worth_what_it_is_by_hand(rule, count, place, boxes, data, tmp_path, capsys):
    told = kinds_of(rule, data, tmp_path / "figures.json")
    assert {name: f["value"] for name, f in told["kinds"].items()} == pytest.approx(
        {"count": count, "place": place, "boxes": boxes, MEAN: (count + place + boxes) / 3}
    )
    assert told["rule"] == rule
    assert told["figures"]["format"]["value"] == 1
    assert told["figures"]["tokens_per_image"]["value"] == 0
    assert "Kinds of questions" in capsys.readouterr().out


def test_what_was_never_asked_has_the_answer_of_its_kind(tmp_path):
    new = kinded(known_answer("it", "7", text="How many stars are there?"), "count")
    old = [("train", asked(7, "upper")), ("train", asked(7, "upper"))]
    data = export(tmp_path / "export", [*old, ("test", (new,))])
    assert kinds_of("majority", data, tmp_path / "a.json")["kinds"]["count"]["value"] == 1
    assert kinds_of("counts", data, tmp_path / "b.json")["kinds"]["count"]["value"] == 0


def test_a_rule_does_not_look_at_what_is_scored(data, tmp_path):
    """Only answers of the test split are changed: what the rule says stays."""
    other = export(
        tmp_path / "other",
        [
            *(("train", asked(n, "upper")) for n in (0, 0, 0)),
            *(("test", asked(9, "lower")) for _ in range(4)),
        ],
    )
    for rule in ("majority", "constant"):
        kinds = kinds_of(rule, other, tmp_path / f"{rule}.json")["kinds"]
        assert (kinds["count"]["value"], kinds["place"]["value"]) == (0, 0)


def test_a_rule_may_learn_from_other_exports(data, tmp_path):
    report = export(tmp_path / "report", [("test", asked(0, "upper"))])
    told = kinds_of("majority", report, tmp_path / "figures.json", "--learn", str(data))
    assert told["kinds"]["count"]["value"] == told["kinds"]["place"]["value"] == 1


def test_questions_of_people_count_by_their_task(tmp_path, capsys):
    known = known_answer("it", "yes", text="Is it?")
    data = export(tmp_path / "export", [("train", (known,)), ("test", (known,))])
    told = kinds_of("majority", data, tmp_path / "figures.json")
    assert told["figures"]["closed_accuracy"]["value"] == 1
    assert told["kinds"]["question"]["value"] == 1
    assert "Kinds" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rule", "majority", "--split", "val"], "train split"),
        (["--rule", "counts", "--split", "train"], "no question"),
        (["--rule", "counts", "--adapter", "there"], "--adapter"),
    ],
)
def test_a_rule_that_cannot_answer_says_so(options, said, tmp_path, capsys):
    data = export(tmp_path / "export", [("val", asked(1, "upper"))])
    assert main(["ask", "evaluate", "--data", str(data), *options]) == 2
    assert said in capsys.readouterr().err


def test_the_command_line_knows_every_rule():
    assert figures.RULES == RULES


# Figures by kind


def answered(image, kind, said, truth):
    return Answered(image, "question", SeenAnswer(Reply("", said), Truth(truth)), 0, kind=kind)


def test_kinds_weigh_alike_and_intervals_are_over_images():
    every = [answered(f"{i % 4}", "count", "2", "2") for i in range(40)]
    every += [answered("0", "place", "no", "yes"), answered("1", "place", "yes", "yes")]
    scored = score_kinds(every)
    assert list(scored) == ["count", "place", MEAN]
    assert [f.value for f in scored.values()] == [1.0, 0.5, 0.75]
    assert [f.answers for f in scored.values()] == [40, 2, 42]
    assert scored["count"].interval.to_json() == [1.0, 1.0]
    low, high = scored["place"].interval.to_json()
    assert (low, high) == (0, 1)
    # A drawing without a question of a kind is the mean of the others.
    assert scored[MEAN].interval.to_json() == [0.5, 1.0]
    assert score_kinds(every[:1])["count"].interval is None
    assert score_kinds([]) == {}


def test_what_was_not_derived_counts_by_its_task():
    scored = score_kinds([answered("0", None, "no", "yes"), answered("1", "count", "2", "2")])
    assert {name: f.value for name, f in scored.items()} == {"question": 0, "count": 1, MEAN: 0.5}
