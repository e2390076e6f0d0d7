"""Answerers beside each other, seed by seed, on the same questions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_nunext.core.bootstrap import RESAMPLES, SEED
from napari_nunext.core.errors import InputError
from nunext_training.cli import main
from nunext_training.evaluation.answering.answer_rows import (
    AnswerRow,
    condensed,
    table_of_groups,
    table_of_rows,
)
from nunext_training.evaluation.answering.kinds import MEAN, gain, score_values


def evaluation(values, tokens=64.0, **figures):
    """What ``ask evaluate --out`` writes of derived questions."""
    named = {"tokens_per_image": tokens} | figures
    return {
        "figures": {name: {"value": value} for name, value in named.items()},
        "values": [list(each) for each in values],
    }


def drawn_values(rng, shift=0.0):
    """Two kinds over five images, one kind missing in one."""
    return [
        (f"tile {tile}", kind, float(np.clip(rng.random() + shift, 0, 1)))
        for tile in range(5)
        for kind in ("count", "boxes")
        for _ in range(3)
        if (tile, kind) != (4, "boxes")
    ]


def mean_of_kinds(values):
    kinds = {kind for _, kind, _ in values}
    return np.mean([np.mean([v for _, k, v in values if k == kind]) for kind in kinds])


def test_the_gain_is_of_the_mean_of_kinds_and_drawn_image_by_image(rng):
    mine, other = drawn_values(rng, 0.2), drawn_values(rng)
    found = gain(mine, other)
    assert found.value == pytest.approx(mean_of_kinds(mine) - mean_of_kinds(other))
    times = np.random.default_rng(SEED).multinomial(5, [0.2] * 5, size=RESAMPLES)
    brute = []
    for drawing in times[:: RESAMPLES // 200]:
        both = [
            mean_of_kinds([v for v in values for _ in range(drawing[int(v[0][-1])])])
            for values in (mine, other)
        ]
        brute.append(both[0] - both[1])
    assert found.interval is not None
    assert found.interval.low == pytest.approx(np.quantile(brute, 0.025), abs=0.05)
    assert found.interval.high == pytest.approx(np.quantile(brute, 0.975), abs=0.05)
    assert found.interval.low < found.value < found.interval.high


def test_a_row_beside_itself_gains_nothing_with_certainty(rng):
    values = drawn_values(rng)
    found = gain(values, values)
    assert (found.value, found.interval.low, found.interval.high) == (0, 0, 0)


def test_answers_to_other_questions_are_not_put_beside(rng):
    values = drawn_values(rng)
    with pytest.raises(InputError, match="other images or kinds"):
        gain(values, [v for v in values if v[1] == "count"])
    with pytest.raises(InputError, match="other images or kinds"):
        gain(values, [("another", "count", 1.0), *values])


def test_seeds_are_told_together_and_apart(rng):
    seeds = [drawn_values(rng), drawn_values(rng, 0.3)]
    row = AnswerRow.of("points", [evaluation(v, follows_its_evidence=0.9) for v in seeds])
    assert row.by_run == pytest.approx([mean_of_kinds(values) for values in seeds])
    assert (row.runs, row.tokens, row.follows) == (2, 64, 0.9)
    together = score_values(row.values)
    assert together[MEAN].value == pytest.approx(np.mean(row.by_run))
    rule = AnswerRow.of("rule", [evaluation(drawn_values(rng), tokens=0.0)])
    table = table_of_rows([rule, row], rule)
    assert [line[0] for line in table.rows] == ["rule", "points"]
    at = {name: i for i, name in enumerate(table.header)}
    assert table.rows[1][at["count"]] == together["count"].value
    assert table.rows[1][at["Beside rule"]] == gain(row.values, rule.values).value
    assert table.rows[0][at["Beside rule"]] is None
    assert table.rows[0][at["Follows"]] is None
    assert table.rows[1][at["Least and most of a run"]] == (
        f"{min(row.by_run):.4f} to {max(row.by_run):.4f}"
    )


def test_an_evaluation_without_its_single_answers_gives_the_same_rows(rng):
    whole = [evaluation(drawn_values(rng, by), follows_its_evidence=0.8) for by in (0.1, 0.3)]
    short = json.loads(json.dumps([condensed(each) for each in whole]))
    assert [len(kinds) for kinds in short[0]["means"].values()] == [2, 2, 2, 2, 1]
    assert condensed(short[0]) == short[0]
    rows = [AnswerRow.of("same", evaluations) for evaluations in (whole, short)]
    found, expected = (table_of_rows([row], row).rows[0] for row in rows)
    numbers = [i for i, cell in enumerate(expected) if isinstance(cell, float)]
    assert numbers
    assert [found[i] for i in numbers] == pytest.approx([expected[i] for i in numbers], abs=1e-6)


def test_groups_of_kinds_have_means_of_their_own(rng):
    rows = [
        AnswerRow.of(name, [evaluation(drawn_values(rng, by))])
        for name, by in (("a", 0), ("b", 0.2))
    ]
    table = table_of_groups(rows, {"places": ["boxes"], "all": ["count", "boxes"]}, rows[0])
    of_boxes = [[v for v in row.values if v[1] == "boxes"] for row in rows]
    a, b = table.rows
    assert b[1] == pytest.approx(mean_of_kinds(of_boxes[1]))
    assert b[3] == pytest.approx(gain(of_boxes[1], of_boxes[0]).value)
    assert b[5] == pytest.approx(mean_of_kinds(rows[1].values))
    assert b[7] == pytest.approx(gain(rows[1].values, rows[0].values).value)
    assert a[3] is None
    with pytest.raises(InputError, match="a has no answers of the kind dark_count, which dark"):
        table_of_groups(rows, {"dark": ["boxes", "dark_count"]})


def test_the_command_writes_the_table(rng, tmp_path, capsys):
    for name in ("rule", "a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps(evaluation(drawn_values(rng))))
    rows = [f"Counts={tmp_path}/rule.json", f"model={tmp_path}/a.json,{tmp_path}/b.json"]
    out = tmp_path / "out"
    assert (
        main(
            [
                "ask",
                "rows",
                *rows,
                "--beside",
                "Counts",
                "--group",
                "places=boxes",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    written = json.loads((out / "rows.json").read_text())
    assert [line[:2] for line in written["tables"][0]["rows"]] == [["Counts", "1"], ["model", "2"]]
    assert [line[0] for line in written["tables"][1]["rows"]] == ["Counts", "model"]
    assert "Beside Counts" in (out / "rows.md").read_text()
    assert "model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("Counts", "no row"),
        ("=x.json", "no row"),
        ("a={tmp}/absent.json", "no figures of answers"),
        ("a={tmp}/empty.json", "no figures of answers"),
        ("a={tmp}/text.json", "no figures of answers"),
    ],
)
def test_what_is_no_row_is_a_sentence(tmp_path, capsys, row, words):
    (tmp_path / "empty.json").write_text('{"figures": {}, "values": []}')
    (tmp_path / "text.json").write_text("no json")
    given = ["ask", "rows", row.format(tmp=tmp_path), "--out", str(tmp_path / "out")]
    assert main(given) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("boxes", "no group"),
        ("=boxes", "no group"),
        ("places=", "no group"),
        ("places=quadrant", "kind quadrant, which places asks for"),
    ],
)
def test_what_is_no_group_is_a_sentence(rng, tmp_path, capsys, group, words):
    (tmp_path / "a.json").write_text(json.dumps(evaluation(drawn_values(rng))))
    given = ["ask", "rows", f"a={tmp_path}/a.json", "--group", group, "--out", str(tmp_path / "o")]
    assert main(given) == 2
    assert words in capsys.readouterr().err


def test_a_row_to_put_others_beside_has_to_be_there(rng, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(evaluation(drawn_values(rng))))
    given = ["ask", "rows", f"a={tmp_path}/a.json", "--beside", "b", "--out", str(tmp_path / "o")]
    assert main(given) == 2
    assert "no row 'b'" in capsys.readouterr().err
