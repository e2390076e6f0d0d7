"""Figures of answers beside sums by hand, and beside scikit-learn's published definitions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.answers.reply import Reply, ReplyFailure
from napari_nunext.core.geometry import Box
from nunext_training.cli import main
from nunext_training.evaluation.answering.answer_scores import Answered, score_answers
from nunext_training.method.answer_rewards import SeenAnswer, Truth

TYPES = ("adenoma", "carcinoma", "polyp")


def answered(said, truth=None, *, task="question", options=(), boxes=None, found=(), **more):
    seen = SeenAnswer(Reply("why", said), Truth(truth, boxes), options, found)
    fields = {"image": "a", "image_tokens": 16, "output_tokens": 5} | more
    return Answered(task=task, seen=seen, **fields)


def values(figures):
    return {name: figure.value for name, figure in figures.items()}


def test_each_kind_of_question_has_its_figure():
    figures = score_answers(
        [
            answered("yes", "Yes"),
            answered("no", "yes", image="b"),
            answered("B", "dense", options=("sparse", "dense")),
            answered("10", "12"),
            answered("spindle cells", "spindle cells", image_tokens=64),
            answered("cells", "spindle cells"),
        ]
    )
    assert values(figures) == pytest.approx(
        {
            "format": 1,
            "thinks": 1,
            "tokens_per_image": (5 * 16 + 64) / 6,
            "output_tokens": 5,
            "closed_accuracy": 2 / 3,
            "number_closeness": 1 - 2 / 12,
            "open_bleu": figures["open_bleu"].value,
            "open_bleu_1": figures["open_bleu_1"].value,
        }
    )
    assert figures["closed_accuracy"].answers == 3
    assert 0.5 < figures["open_bleu"].value < 1


def test_map_is_the_mean_over_pictures_and_overlaps():
    true = Box(0, 0, 10, 10)
    half = Box(0, 0, 10, 4)  # IoU 0.4
    figures = score_answers(
        [
            answered("", task="lesions", boxes=(true,), found=(half,)),
            answered("", task="lesions", boxes=(), found=(), image="b"),
        ]
    )
    of = values(figures)
    assert (of["map_0.1"], of["map_0.3"], of["map_0.5"]) == (1, 1, 0.5)
    assert of["map"] == pytest.approx(2.5 / 3)


def by_hand(pairs):
    """Balanced accuracy and weighted F1 as scikit-learn defines them."""
    recalls, f1s, weights = [], [], []
    for name in {true for true, _ in pairs}:
        tp = sum(t == s == name for t, s in pairs)
        true, said = (sum(pair[i] == name for pair in pairs) for i in (0, 1))
        recalls.append(tp / true)
        f1s.append(2 * tp / (true + said))
        weights.append(true)
    return np.mean(recalls), np.average(f1s, weights=weights)


@given(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.sampled_from((*TYPES, "I cannot say"))),
        min_size=1,
        max_size=20,
    )
)
def test_subtypes_are_scored_by_category(pairs):
    figures = score_answers(
        [answered(said, true, task="subtype", options=TYPES) for true, said in pairs]
    )
    balanced, weighted = by_hand(pairs)
    assert figures["subtype_balanced_accuracy"].value == pytest.approx(balanced)
    assert figures["subtype_weighted_f1"].value == pytest.approx(weighted)


def test_intervals_are_drawn_by_image():
    alike = [answered("yes" if i % 2 else "no", "yes", image="one") for i in range(40)]
    assert score_answers(alike)["closed_accuracy"].interval is None
    apart = [answered("yes" if i % 2 else "no", "yes", image=str(i)) for i in range(40)]
    interval = score_answers(apart)["closed_accuracy"].interval
    assert 0.3 < interval.low < 0.5 < interval.high < 0.7
    constant = [answered("yes", "yes", image=str(i)) for i in range(4)]
    assert score_answers(constant)["closed_accuracy"].interval.to_json() == [1, 1]


def test_a_reply_that_breaks_the_form_counts_as_it_was_read():
    seen = SeenAnswer(Reply("", "yes", ReplyFailure("no tags", 0)), Truth("yes"))
    of = values(score_answers([Answered("a", "question", seen, 4)]))
    assert (of["format"], of["closed_accuracy"]) == (0, 1)


def test_the_command_line_scores_an_answerer(answers_export, answerer_folder, tmp_path, capsys):
    out = tmp_path / "figures.json"
    command = ["ask", "evaluate", "--data", str(answers_export), "--checkpoint"]
    options = ["--split", "train", "--budget", "4", "--max-tokens", "4", "--out", str(out)]
    assert main([*command, str(answerer_folder), *options]) == 0
    table = capsys.readouterr().out
    assert "| closed_accuracy |" in table
    assert "| map_0.5 |" in table
    said = json.loads(out.read_text("utf-8"))
    assert said["figures"]["tokens_per_image"]["value"] <= 4
    assert said["figures"]["map"]["answers"] == said["data"][0]["answers"]["train"] / 2
    assert main([*command, str(answerer_folder), "--split", "test"]) == 2
    assert "no question whose answer is known" in capsys.readouterr().err
