"""Ways of choosing image tokens, compared on a table; and the plot of what they buy."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.about import Allocation, taught_allocation
from napari_nunext.models.answerers.loaded import load_answerer
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.reward_table import RewardTable, TabledQuestion, TableOf
from nunext_training.evaluation.answering.budgets import (
    Way,
    best_of_kinds,
    fixed_ways,
    is_best_buy,
    oracle,
    spending_table,
    spendings,
)
from nunext_training.evaluation.answering.choosing import choices_of, rows_as_chosen
from nunext_training.reports.spending import pareto_svg
from tests.answering import small_allocator

BUDGETS = (16, 64, 256)
SVG = "{http://www.w3.org/2000/svg}"


def table_of(*questions, budgets=BUDGETS, prefix="q"):
    """Of (image, kind, rewards), each question costing all that a budget allows."""
    of = TableOf("ab", None, "test", budgets, ("cd",))
    return RewardTable(
        of,
        tuple(
            TabledQuestion(f"{prefix}{i}", image, kind, budgets, tuple(map(float, rewards)))
            for i, (image, kind, rewards) in enumerate(questions)
        ),
    )


@pytest.fixture
def table():
    """Two kinds, one of them asked more often, of three images."""
    return table_of(
        ("a", "count", (0.0, 0.5, 1.0)),
        ("a", "present", (1.0, 1.0, 1.0)),
        ("b", "count", (0.2, 0.4, 0.3)),
        ("b", "count", (0.1, 0.9, 0.8)),
        ("c", "present", (0.0, 0.0, 1.0)),
    )


def test_a_fixed_budget_has_its_columns_mean_of_kinds(table):
    spent = spendings(table, fixed_ways(table))
    assert [each.name for each in spent] == ["16 for all", "64 for all", "256 for all"]
    # By hand: counts (0 + .2 + .1) / 3 and presences (1 + 0) / 2, each kind alike.
    assert spent[0].reward.value == pytest.approx((0.1 + 0.5) / 2)
    assert spent[2].reward.value == pytest.approx((0.7 + 1.0) / 2)
    assert [each.tokens.value for each in spent] == list(BUDGETS)
    assert spent[0].by_kind["count"] == pytest.approx((0.1, 16))
    assert spent[1].gain.value == pytest.approx(spent[1].reward.value - spent[2].reward.value)
    assert (spent[2].gain.value, spent[2].gain.interval.low) == (0, 0)


def test_the_look_counts_among_the_tokens(table):
    choices = np.array([0, 1, 2, 0, 1])
    (spent,) = spendings(table, [Way("it", choices, look_tokens=np.array([4, 4, 9, 9, 9]))])
    counts, presences = (16 + 256 + 16 + 4 + 9 + 9) / 3, (64 + 64 + 4 + 9) / 2
    assert spent.tokens.value == pytest.approx((counts + presences) / 2)
    assert spent.look_tokens == pytest.approx((22 / 3 + 13 / 2) / 2)


def test_no_choice_is_worth_more_than_the_oracles(table):
    for mu in (0.0, 0.1, 0.5):
        worth = [
            [r - mu * t / 256 for r, t in zip(q.rewards, q.tokens, strict=True)]
            for q in table.questions
        ]
        expected = [max(range(3), key=each.__getitem__) for each in worth]
        assert oracle(table, mu).choices.tolist() == expected


def test_the_best_of_each_kind_is_chosen_by_the_other_table(table):
    other = table_of(
        ("x", "count", (0.0, 0.9, 0.9)), ("y", "present", (0.5, 0.5, 0.51)), prefix="other"
    )
    assert best_of_kinds(table, other, 0.1).choices.tolist() == [1, 0, 1, 1, 0]
    # Where tokens cost nothing, the smallest gain is worth all of them; of equals, the least.
    assert best_of_kinds(table, other, 0.0).choices.tolist() == [1, 2, 1, 1, 2]


def test_budgets_are_not_chosen_by_what_they_are_tried_on(table):
    with pytest.raises(InputError, match="share 5 questions"):
        best_of_kinds(table, table, 0.1)
    with pytest.raises(InputError, match="same --budgets"):
        best_of_kinds(table, table_of(budgets=(16, 64), prefix="o"), 0.1)
    with pytest.raises(InputError, match="kind present"):
        best_of_kinds(table, table_of(("x", "count", (0, 0, 0)), prefix="o"), 0.1)


def test_intervals_are_over_images_against_brute_force(table):
    (spent,) = spendings(table, [fixed_ways(table)[0]])
    rng = np.random.default_rng(0)
    by_image = {"a": ([0.0], [1.0]), "b": ([0.2, 0.1], []), "c": ([], [0.0])}
    drawn = []
    for times in rng.multinomial(3, [1 / 3] * 3, size=2000):
        kinds = [
            [
                value
                for name, n in zip("abc", times, strict=True)
                for value in by_image[name][kind] * n
            ]
            for kind in (0, 1)
        ]
        drawn.append(np.mean([np.mean(values) for values in kinds if values]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert spent.reward.interval.low == pytest.approx(low)
    assert spent.reward.interval.high == pytest.approx(high)


def test_one_image_has_no_interval_and_no_question_no_figure():
    (spent,) = spendings(
        table_of(("a", "count", (0, 0, 1))), [Way("it", np.array([2]), is_fixed=True)]
    )
    assert spent.reward.interval is None
    assert spending_table([spent]).rows[0][:4] == ("it", 1.0, None, None)
    assert "<svg" in pareto_svg([spent])
    with pytest.raises(InputError, match="no question"):
        spendings(table_of(), [])


def test_what_is_beaten_in_both_is_no_best_buy(table):
    ways = [*fixed_ways(table), oracle(table, 0.1), Way("worse", np.full(5, 2), look_tokens=16)]
    spent = spendings(table, ways)
    points = [(each.tokens.value, each.reward.value) for each in spent]
    expected = [
        not any((t < tokens and r >= reward) or (t <= tokens and r > reward) for t, r in points)
        for tokens, reward in points
    ]
    assert is_best_buy(spent) == expected
    assert expected[0]
    assert not expected[-1]


def test_a_plot_has_a_mark_for_each_way_where_it_belongs(table):
    spent = spendings(table, [*fixed_ways(table), oracle(table, 0.1)])
    drawn = ET.fromstring(pareto_svg(spent))  # our own
    circles = drawn.findall(f"{SVG}circle")
    assert [each.find(f"{SVG}title").text.split(":")[0] for each in circles] == [
        "16 for all",
        "64 for all",
        "256 for all",
    ]
    xs = [float(each.get("cx")) for each in circles]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)  # a logarithm
    ys = [float(each.get("cy")) for each in circles]
    assert sorted(range(3), key=lambda i: -ys[i]) == sorted(
        range(3), key=lambda i: spent[i].reward.value
    )
    assert "oracle" in [each.text for each in drawn.findall(f"{SVG}text")]


def test_names_in_a_plot_are_words_and_never_markup(table):
    spent = spendings(table, [Way("<b>&", np.zeros(5, dtype=int))])
    drawn = ET.fromstring(pareto_svg(spent))  # our own
    assert "<b>&" in [each.text for each in drawn.findall(f"{SVG}text")]


def rows_of(export, look):
    data = read_answers([export], "grpo", budget=look, patch_px=28, strict=True)
    return data.train


def tabled(export, budgets=(1, 4, 9)):
    rows = rows_of(export, budgets[-1])
    of = TableOf("ab", None, "train", budgets, ("cd",))
    return RewardTable(
        of, tuple(TabledQuestion(r["id"], r["image"], "k", budgets, (0, 1, 0)) for r in rows)
    )


@pytest.fixture(scope="module")
def allocator(tmp_path_factory, answerer_folder):
    """Do not write to it."""
    return small_allocator(tmp_path_factory.mktemp("allocator") / "few", answerer_folder)


def choose(answerer, table, rows, menu=(1, 4, 9)):
    return choices_of(
        "it", table, answerer, Allocation(menu, 4), rows, patch_px=28, tell=lambda *_: None
    )


def test_an_allocators_choices_are_of_the_menu_and_its_look_is_counted(
    answerer_folder, answers_export, allocator
):
    place = AnswererFolder("it", answerer_folder, allocator=allocator)
    answerer = load_answerer(place, "float32")
    table, rows = tabled(answers_export), rows_of(answers_export, 4)
    way = choose(answerer, table, rows)
    assert set(way.choices.tolist()) <= {0, 1, 2}
    for row, look in zip(rows, way.look_tokens, strict=True):
        width_px, height_px = row["size_px"]
        assert look == width_px * height_px // 28**2 <= 4
    with pytest.raises(InputError, match="--budgets 1 2"):
        choose(answerer, table, rows, menu=(1, 2))
    with pytest.raises(InputError, match="do not have the question"):
        choose(answerer, table, rows[1:])


def test_a_performer_is_asked_at_the_tokens_that_its_allocator_chooses(
    answerer_folder, answers_export, allocator
):
    answerer = load_answerer(AnswererFolder("it", answerer_folder, allocator=allocator), "float32")

    def rows_at(budget):
        return rows_of(answers_export, budget)

    def asked(menu, budget=9):
        allocation = Allocation(menu, 4)
        return rows_as_chosen(
            answerer, allocation, rows_at, budget, patch_px=28, tell=lambda *_: None
        )

    way = choose(answerer, tabled(answers_export), rows_at(4))
    rows, looks = asked((1, 4, 9))
    budgets = [(1, 4, 9)[choice] for choice in way.choices]
    expected = [rows_at(budget)[i] for i, budget in enumerate(budgets)]
    assert [row["id"] for row in rows] == [row["id"] for row in rows_at(9)]
    assert [row["size_px"] for row in rows] == [row["size_px"] for row in expected]
    assert looks == way.look_tokens.tolist()
    # Nothing to choose: nothing is looked at, and the picture is what the budget sends.
    for menu, budget in (((4,), 9), ((4, 9), 4), ((36, 64), 64)):
        rows, looks = asked(menu, budget)
        assert set(looks) == {0}
        whole = [row["size_px"] for row in rows_at(budget)]
        assert [row["size_px"] for row in rows] == whole


def test_an_evaluation_counts_what_its_allocator_chose_and_looked_at(
    answerer_folder, answers_export, allocator, tmp_path, capsys
):
    asked = ["ask", "evaluate", "--data", str(answers_export), "--split", "train"]
    given = ["--checkpoint", str(answerer_folder), "--budget", "9", "--max-tokens", "4"]
    out = tmp_path / "figures.json"
    assert main([*asked, *given, "--allocator", str(allocator), "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    allocation = taught_allocation(allocator)
    assert written["allocation"] == {
        "menu": list(allocation.menu),
        "look_tokens": allocation.look_tokens,
    }
    answerer = load_answerer(AnswererFolder("it", answerer_folder, allocator=allocator))
    rows, looks = rows_as_chosen(
        answerer,
        allocation,
        lambda budget: rows_of(answers_export, budget),
        9,
        patch_px=28,
        tell=lambda *_: None,
    )
    sizes = [row["size_px"][0] * row["size_px"][1] // 28**2 for row in rows]
    tokens = written["figures"]["tokens_per_image"]["value"]
    assert tokens == pytest.approx(np.mean(np.add(sizes, looks)))
    capsys.readouterr()
    assert main([*asked, "--rule", "majority", "--allocator", str(allocator)]) == 2
    assert "--allocator is of a checkpoint" in capsys.readouterr().err


def test_a_report_is_written_by_a_command(
    answerer_folder, answers_export, allocator, tmp_path, capsys
):
    given = ["--data", str(answers_export), "--checkpoint", str(answerer_folder)]
    budgets = ["--budgets", "1", "4", "9", "--max-tokens", "4", "--threads", "1"]
    for split in ("train", "val"):
        out = ["--out", str(tmp_path / f"{split}.jsonl"), "--split", split]
        assert main(["ask", "table", *given, *budgets, *out]) == 0
    capsys.readouterr()
    tables = ["--table", str(tmp_path / "train.jsonl"), "--choose-by", str(tmp_path / "val.jsonl")]
    more = ["--allocator", str(allocator), "--out", str(tmp_path / "report")]
    assert main(["ask", "budgets", *tables, *given, *more]) == 0
    ways = ["1 for all", "4 for all", "9 for all", "best budget of each kind", "allocator"]
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [way["name"] for way in report["ways"]] == [*ways, "oracle"]
    said = capsys.readouterr().out
    for name in ("report.md", "report.html", "pareto.svg"):
        text = (tmp_path / "report" / name).read_text()
        assert all(way in text for way in ways)
    assert all(way in said for way in ways)


def test_an_allocator_is_tried_with_its_own_performer_alone(
    answerer_folder, answers_export, allocator, tmp_path, capsys
):
    table = tabled(answers_export)
    lines = [table.of.to_json()]
    lines += [
        {"id": q.id, "image": q.image, "kind": "k", "tokens": q.tokens, "rewards": q.rewards}
        for q in table.questions
    ]
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = ["ask", "budgets", "--table", str(path), "--out", str(tmp_path / "r")]
    assert main([*given, "--allocator", str(allocator)]) != 0
    assert "--checkpoint and --data" in capsys.readouterr().err
    more = ["--checkpoint", str(answerer_folder), "--data", str(answers_export)]
    assert main([*given, "--allocator", str(allocator), *more]) != 0
    assert "another performer" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*given, "--mu", "nan"])
    assert "no number from 0 up" in capsys.readouterr().err
