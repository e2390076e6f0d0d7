"""Evaluations in the layout of Tables 1 to 6 of arXiv 2505.15687."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.answers.reply import Reply
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from nunext_training.cli import main
from nunext_training.evaluation.answering.answer_scores import (
    IOUS,
    Answered,
    score_answers,
    score_subsets,
)
from nunext_training.evaluation.answering.paper_tables import (
    LESIONS,
    SETS,
    Evaluated,
    MethodRow,
    paper_tables,
)
from nunext_training.evaluation.answering.whole_set import score_whole_set
from nunext_training.method.answer_rewards import SeenAnswer, Truth
from tests.training.question_sets import QUESTION_SETS, imported

A, B, C = Box(0, 0, 10, 10), Box(20, 20, 30, 30), Box(100, 100, 104, 104)


def answered(said="", truth=None, *, boxes=None, found=(), think="why", **more):
    fields = {"image": "a", "task": "question", "image_tokens": 16} | more
    seen = SeenAnswer(Reply(think, said), Truth(truth, boxes), (), tuple(found))
    return Answered(seen=seen, **fields)


def figure(value, low=None, high=None, answers=10):
    interval = None if low is None else [low, high]
    return {"value": value, "interval": interval, "answers": answers}


def evaluation(data_set, split="test", *, subsets=None, thinks=1.0, tokens=64.0, **figures):
    """What ``ask evaluate --out`` writes."""
    named = {"tokens_per_image": tokens, "thinks": thinks} | figures
    made = {name: f if isinstance(f, dict) else figure(f) for name, f in named.items()}
    said = {"split": split, "budget": 256, "data": [{"imported_from": data_set}], "figures": made}
    return said | ({"subsets": subsets} if subsets else {})


def row(name, *evaluations):
    return MethodRow(name, tuple(Evaluated.of(each, f"{name}.json") for each in evaluations))


def cells(table, name):
    """A row by header; the column beside a figure is ``HEADER 95 %``."""
    (line,) = [line for line in table.rows if line[0] == name]
    names = [
        h if h != "95 %" else f"{table.header[i - 1]} 95 %" for i, h in enumerate(table.header)
    ]
    return dict(zip(names, line, strict=True))


# What an evaluation says


def test_parts_of_a_set_are_scored_apart():
    answers = [
        answered("yes", "yes", subset="Atlas", image="a"),
        answered("no", "yes", subset="Atlas", image="b"),
        answered("yes", "yes", subset="PubMed", image="c", think=" "),
        answered("yes", "no", image="d"),
    ]
    of = score_subsets(answers)
    assert {name: f["closed_accuracy"].value for name, f in of.items()} == {
        "Atlas": 0.5,
        "PubMed": 1,
    }
    assert of["Atlas"]["closed_accuracy"].answers == 2
    assert score_answers(answers)["thinks"].value == 0.75
    assert score_subsets(answers[3:]) == {}


def whole_set_by_hand(answers, iou):
    """Precision over 101 recalls of one list of all boxes, in the order written."""
    right, truths = [], 0
    for seen in (each.seen for each in answers):
        free = list(seen.truth.boxes)
        truths += len(free)
        for box in seen.boxes:
            overlaps = [overlap(box, other) for other in free]
            best = max(range(len(free)), key=lambda i: overlaps[i], default=None)
            hit = best is not None and overlaps[best] >= iou
            right.append(hit)
            if hit:
                del free[best]
    points = [
        (sum(right[: i + 1]) / truths, sum(right[: i + 1]) / (i + 1)) for i in range(len(right))
    ]
    return np.mean(
        [max((p for r, p in points if r >= level), default=0) for level in np.linspace(0, 1, 101)]
    )


def overlap(a, b):
    across = max(0, min(a.x1, b.x1) - max(a.x0, b.x0))
    down = max(0, min(a.y1, b.y1) - max(a.y0, b.y0))
    both = across * down
    return both / (a.width * a.height + b.width * b.height - both)


side = st.floats(0, 60)
box = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h), side, side, st.floats(1, 40), st.floats(1, 40)
)
picture = st.tuples(st.lists(box, max_size=3), st.lists(box, max_size=3), st.booleans())


@settings(max_examples=40, deadline=None)
@given(st.lists(picture, min_size=1, max_size=4))
def test_the_whole_set_is_that_of_brute_force_in_the_order_written(pictures):
    answers = [
        # Of its own truths too, moved a little: else nothing would match.
        answered(
            task="lesions",
            boxes=tuple(truth),
            found=[*said, *(Box(b.x0, b.y0, b.x1 + 0.25, b.y1) for b in truth if near)],
        )
        for truth, said, near in pictures
    ]
    found = score_whole_set(answers)
    if not any(truth for truth, *_ in pictures):
        assert found == {}
        return
    expected = [whole_set_by_hand(answers, iou) for iou in IOUS]
    assert [found[f"coco_map_{iou}"].value for iou in IOUS] == pytest.approx(expected, abs=1e-6)
    assert found["coco_map"].value == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["coco_map"].answers == len(answers)


def test_the_whole_set_is_another_figure_than_the_mean_of_pictures():
    answers = [
        answered(task="lesions", boxes=(A,), found=(C,), image="a"),
        answered(task="lesions", boxes=(B,), found=(B,), image="b"),
    ]
    assert score_answers(answers)["map"].value == 0.5
    assert score_whole_set(answers)["coco_map"].value == pytest.approx(51 / 101 / 2)
    # The same pictures in another order: the box that is right stands first.
    assert score_whole_set(answers[::-1])["coco_map"].value == pytest.approx(51 / 101)
    assert score_whole_set([answered("yes", "yes")]) == {}
    silent = [answered(task="lesions", boxes=(A,))]
    assert score_whole_set(silent)["coco_map_0.5"].value == 0


def test_without_pycocotools_there_is_no_figure_of_the_whole_set(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert score_whole_set([answered(task="lesions", boxes=(A,), found=(A,))]) == {}


# Tables


def test_table_1_has_the_parts_of_pathmmu_on_both_splits():
    subsets = {
        "PubMed": {"closed_accuracy": figure(0.747, 0.7, 0.8)},
        "pathcls": {"closed_accuracy": figure(0.5)},
    }
    rows = [
        row(
            "SFT",
            evaluation(
                "pathmmu",
                subsets=subsets,
                tokens=figure(200, answers=30),
                closed_accuracy=figure(0.7218, 0.7, 0.7449),
            ),
            evaluation(
                "pathmmu", "val", tokens=figure(100, answers=10), closed_accuracy=0.6, thinks=0.0
            ),
        ),
        row("other set", evaluation("pathvqa", closed_accuracy=0.3)),
    ]
    first, second = paper_tables(rows)
    assert (first.number, second.number) == (1, 2)
    assert [h for h in first.header if h != "95 %"] == [
        *("Method", "Overall Test", "Overall Val", "PubMed Test", "PubMed Val"),
        *("EduContent Test", "EduContent Val", "Atlas Test", "Atlas Val"),
        *("PathCLS Test", "PathCLS Val", "TPI", "Reasoning"),
    ]
    assert [line[0] for line in first.rows] == ["SFT"]
    of = cells(first, "SFT")
    assert (of["Overall Test"], of["Overall Test 95 %"]) == ("72.2", "70.0 to 74.5")
    assert (of["Overall Val"], of["Overall Val 95 %"]) == ("60.0", None)
    assert (of["PubMed Test"], of["PubMed Val"], of["Atlas Test"]) == ("74.7", None, None)
    assert of["PathCLS Test"] == "50.0"
    assert (of["TPI"], of["Reasoning"]) == ("175.0", "yes")
    assert "| 72.2 | 70.0 to 74.5 | 60.0 | - |" in first.to_markdown()


def test_tables_2_to_5_have_the_units_of_the_paper():
    precise = {f"map_{iou}": value for iou, value in zip(IOUS, (0.593, 0.541, 0.469), strict=True)}
    rows = [
        row(
            "SFT",
            evaluation("pathvqa", closed_accuracy=0.854, open_bleu=0.1814, thinks=0.2),
            evaluation("unitopatho", subtype_balanced_accuracy=0.369, subtype_weighted_f1=0.432),
            evaluation("digestpath", "val", map=figure(0.534, 0.5, 0.6), coco_map=0.3, **precise),
            evaluation("crag", **precise),
        ),
        row("base", evaluation("esca", subtype_balanced_accuracy=0.159, tokens=81)),
    ]
    two, three, four, five = paper_tables(rows)
    assert [t.number for t in (two, three, four, five)] == [2, 3, 4, 5]
    assert [two.title, four.title] == [
        "Answers to PathVQA, test split (layout of Table 2)",
        "Lesions of DigestPath2019 Tissue, val split (layout of Table 4)",
    ]
    answers = cells(two, "SFT")
    assert (answers["ACC (Close)"], answers["BLEU (Open)"]) == ("85.4", "0.181")
    assert answers["Reasoning"] == "no"
    sft, base = (cells(three, name) for name in ("SFT", "base"))
    assert (sft["UniToPatho Bal-ACC"], sft["UniToPatho W-F1"], sft["ESCA W-F1"]) == (
        *("36.9", "43.2"),
        None,
    )
    assert (base["ESCA Bal-ACC"], base["ESCA W-F1"], base["ESCA TPI"]) == ("15.9", None, "81.0")
    assert (base["UniToPatho TPI"], base["UniToPatho Bal-ACC"]) == (None, None)
    boxes = cells(four, "SFT")
    assert [boxes[f"mAP@{iou} by picture"] for iou in IOUS] == ["59.3", "54.1", "46.9"]
    assert (boxes["AVG by picture"], boxes["AVG by picture 95 %"]) == ("53.4", "50.0 to 60.0")
    # Two figures of the same boxes never share a column, nor a name.
    assert (boxes["AVG whole set"], boxes["AP@0.5 whole set"]) == ("30.0", None)
    assert len(set(boxes)) == len(four.header)
    assert "AVG whole set 95 %" not in boxes
    assert cells(five, "SFT")["AVG by picture"] is None


def test_rows_beside_each_other_are_of_one_split():
    both = [evaluation("crag", split, map=value) for split, value in (("val", 0.9), ("test", 0.2))]
    rows = [row("both", *both), row("val alone", both[0])]
    (table,) = paper_tables(rows)
    assert "test split" in table.title
    assert [(line[0], line[7]) for line in table.rows] == [("both", "20.0")]


def test_a_row_without_a_figure_of_a_table_is_not_in_it():
    learnt = [evaluation("pathmmu", "train", closed_accuracy=0.9), evaluation("crag")]
    assert paper_tables([row("nothing of these", *learnt)]) == []


def test_several_runs_have_their_mean_and_their_least_and_most():
    runs = [evaluation("crag", map=figure(value, 0, 1)) for value in (0.2, 0.3, 0.7)]
    (table,) = paper_tables([row("seeds", *runs)])
    of = cells(table, "seeds")
    assert of["AVG by picture"] == "40.0"
    assert of["AVG by picture 95 %"] == "20.0 to 70.0 (3 runs)"


def test_runs_that_are_averaged_have_one_budget():
    one, other = evaluation("pathmmu"), evaluation("pathmmu") | {"budget": 64}
    with pytest.raises(InputError, match=r"at 256 image tokens and at 64 .*--budgets"):
        row("SFT", one, other)
    allocated = one | {"allocation": {"menu": [16, 64], "look_tokens": 16}}
    with pytest.raises(InputError, match="up to 256 image tokens, as an allocator chose"):
        row("SFT", one, allocated)
    assert row("SFT", one, one).runs("pathmmu", "test")


def test_table_6_has_a_row_for_each_budget():
    budgets = [
        row(name, evaluation("pathmmu", closed_accuracy=value, tokens=tokens) | {"budget": budget})
        for name, value, tokens, budget in (
            ("64", 0.685, 60, 64),
            ("+ Allocator", 0.722, 40.2, 256),
        )
    ]
    (table,) = paper_tables([], budgets)
    assert (table.number, table.title) == (6, "Image tokens on PathMMU (layout of Table 6)")
    assert [cells(table, name)["TPI"] for name in ("64", "+ Allocator")] == ["60.0", "40.2"]
    assert cells(table, "64")["Overall Test"] == "68.5"


def test_reasoning_tells_points_from_prose_and_what_nobody_measured():
    points = evaluation("crag", map=0.5, thinks=0.0) | {"evidence": "own"}
    before = evaluation("crag", map=0.5)
    del before["figures"]["thinks"]  # as files of before are
    (table,) = paper_tables([row("points", points), row("before", before)])
    assert [line[-1] for line in table.rows] == ["points", None]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"data": [{"manifest_sha256": "0"}]}, "no published set that it names"),
        ({"data": [{"imported_from": "derived"}]}, "is of derived; expected one of pathmmu"),
        ({"data": [{"imported_from": "crag"}, {"imported_from": "esca"}]}, "crag, esca"),
        ({"data": "crag"}, "no figures of answers"),
        ({"data": []}, "no figures of answers (it has no data)"),
        ({"figures": {"map": 0.5}}, "no figures of answers"),
        ({"figures": {"map": {"value": 1, "interval": [0], "answers": 2}}}, "no figures of"),
        ({"subsets": [1]}, "no figures of answers"),
    ],
)
def test_what_is_no_evaluation_of_one_set_is_a_sentence(tmp_path, capsys, made, words):
    (tmp_path / "a.json").write_text(json.dumps(evaluation("crag", map=0.5) | made))
    assert main(["ask", "tables", f"a={tmp_path}/a.json", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_nothing_to_lay_out_is_a_sentence(tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(evaluation("crag", map=0.5)))
    out = ["--out", str(tmp_path / "out")]
    for rows in ([], ["--budgets", f"64={tmp_path}/a.json"]):
        assert main(["ask", "tables", *rows, *out]) == 2
        assert "nothing to lay out" in capsys.readouterr().err


# From a data set to its table


@pytest.mark.parametrize("name", sorted(SETS))
def test_each_importers_set_gets_its_table(name, tmp_path, capsys):
    export = tmp_path / "export"
    imported(name, QUESTION_SETS[name](tmp_path / "set"), export, "--split", "test")
    figures = tmp_path / "figures.json"
    asked = ["ask", "evaluate", "--data", str(export), "--learn", str(export)]
    # The rule says of each what is right most often where it learns, which is here itself.
    again = tmp_path / "again"
    imported(name, QUESTION_SETS[name](tmp_path / "same"), again, "--split", "train")
    asked[-1] = str(again)
    assert main([*asked, "--rule", "majority", "--out", str(figures)]) == 0
    written = json.loads(figures.read_text())
    assert [each["imported_from"] for each in written["data"]] == [name]
    out = tmp_path / "out"
    rows = [f"majority={figures}"]
    if name == "pathmmu":
        assert set(written["subsets"]) == {"PubMed"}
        rows += ["--budgets", *rows]
    assert main(["ask", "tables", *rows, "--out", str(out)]) == 0
    tables = json.loads((out / "tables.json").read_text())["tables"]
    numbers = {"pathmmu": [1, 6], "pathvqa": [2], "unitopatho": [3], "esca": [3]}
    assert [t["layout_of_table"] for t in tables] == numbers.get(name) or [LESIONS[name][1]]
    for table in tables:
        (line,) = table["rows"]
        assert (line[0], line[-1]) == ("majority", "no")
        measured = [cell for cell in line[1:-1] if cell is not None]
        assert measured
    assert (out / "tables.html").read_text().count("<table>") == len(tables)
    assert "majority" in (out / "tables.md").read_text()
