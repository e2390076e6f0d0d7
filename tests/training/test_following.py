"""Whether answers follow from what they go by, and questions of a picture answered together."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.answers.reply import parse_reply, reply_text
from napari_nunext.core.geometry import Box
from napari_nunext.models.answerers.answerer import AnswerSampling
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.answerers.together import answer_together, shared_length
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.evidence import Evidence
from nunext_training.evaluation.answering.answers import answer_by_turns, ask_all
from nunext_training.evaluation.answering.following import follows, written

CATEGORIES = ("Lymphocyte", "Stromal")
NUCLEI = (
    *((10.0, 10.0, "Lymphocyte"),) * 3,
    (90.0, 10.0, "Lymphocyte"),
    (90.0, 90.0, "Stromal"),
)
QUADRANTS = ("upper left", "upper right", "lower left", "lower right")


def evidence(text, options=(), nuclei=NUCLEI):
    question = Question("question", text, options)
    return Evidence(question, nuclei, Box.of_image(100, 100), 0.5, CATEGORIES)


@pytest.mark.parametrize(
    ("text", "options", "right", "wrong"),
    [
        ("How many lymphocytes are there?", (), "4", "5"),
        ("Which category dominates?", CATEGORIES, "Lymphocyte", "Stromal"),
        ("Are there at least 2 stromal nuclei?", (), "no", "yes"),
        ("Where are most lymphocytes?", QUADRANTS, "upper left", "lower right"),
    ],
)
def test_an_answer_follows_where_it_is_what_the_nuclei_say(text, options, right, wrong):
    told = evidence(text, options)
    assert follows(parse_reply(reply_text("", right)), told) == 1.0
    assert follows(parse_reply(reply_text("", wrong)), told) == 0.0
    assert follows(parse_reply("nonsense without tags"), told) == 0.0


@pytest.mark.parametrize(
    ("text", "nuclei"),
    [
        ("Is the stroma desmoplastic?", NUCLEI),
        ("Where are clusters of lymphocytes?", NUCLEI),
        ("How many lymphocytes are there?", None),
    ],
)
def test_where_nuclei_do_not_say_nothing_follows(text, nuclei):
    assert follows(parse_reply(reply_text("", "yes")), evidence(text, nuclei=nuclei)) is None


@pytest.mark.parametrize(
    ("text", "options", "think", "answer", "value"),
    [
        ("How many lymphocytes are there?", (), "Lymphocyte 7.", "7", 1.0),
        ("How many lymphocytes are there?", (), "Lymphocyte 7.", "4", 0.0),
        ("Which category dominates?", CATEGORIES, "Stromal 9, Lymphocyte 2.", "Stromal", 1.0),
        ("Which category dominates?", CATEGORIES, "Stromal 9, Lymphocyte 2.", "Lymphocyte", 0.0),
        (
            "Where are most lymphocytes?",
            QUADRANTS,
            "upper left 1, upper right 0, lower left 6, lower right 2.",
            "lower left",
            1.0,
        ),
        ("Are there at least 3 stromal nuclei?", (), "Stromal 3.", "yes", 1.0),
    ],
)
def test_an_answer_follows_its_own_figures_whatever_is_true(text, options, think, answer, value):
    reply = parse_reply(reply_text(think, answer))
    told = written(reply, evidence(text, options))
    assert told is not None
    assert follows(reply, told) == value


@pytest.mark.parametrize("think", ["", "There are many.", "Lymphocyte many, Stromal none."])
def test_a_thought_without_figures_has_none_to_follow(think):
    reply = parse_reply(reply_text(think, "4"))
    assert written(reply, evidence("How many lymphocytes are there?")) is None


def test_where_no_categories_are_told_apart_places_are_of_nuclei():
    reply = parse_reply(reply_text("upper left 1, lower left 6.", "lower left"))
    asked = evidence("Where are most nuclei?", QUADRANTS)
    told = written(reply, replace(asked, nuclei=None, categories=()))
    assert told is not None
    assert follows(reply, told) == 1.0
    counted = replace(evidence("How many nuclei are there?"), nuclei=None, categories=())
    assert written(parse_reply(reply_text("No nuclei.", "0")), counted) is None


def test_figures_beyond_belief_do_not_fill_the_memory():
    reply = parse_reply(reply_text("Lymphocyte 9999.", "9999"))
    told = written(reply, evidence("How many lymphocytes are there?"))
    assert told is not None
    assert len(told.nuclei) == 512


def test_prompts_share_what_they_begin_with_and_each_keeps_its_last_token():
    assert shared_length([[1, 2, 3, 4], [1, 2, 5]]) == 2
    assert shared_length([[1, 2, 3]]) == 2
    assert shared_length([[1, 2], [1, 2, 3]]) == 1
    assert shared_length([[1], [2]]) == 0


QUESTIONS = ["Is there necrosis?", "Is there necrosis here, or mucus?", "How many?"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_questions_together_have_the_replies_that_they_have_alone(answerer_folder, temperature):
    answerer = load_answerer(AnswererFolder("it", answerer_folder), "float32")
    rgb = torch.randint(0, 256, (56, 84, 3), dtype=torch.uint8).numpy()
    sampling = AnswerSampling(temperature, seed=5, max_tokens=12)
    asked = answerer, rgb, QUESTIONS, "Think.", sampling
    together, alone = answer_together(*asked), answer_by_turns(*asked)
    assert together == alone
    assert len({each.text for each in together}) > 1


def with_nuclei(export, tmp_path):
    """The export with nuclei in each record, other ones of each picture."""
    import shutil

    from napari_nunext.core.identity import file_sha256

    folder = tmp_path / "with-nuclei"
    shutil.copytree(export, folder)
    path = folder / "answers_rft.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    pictures = sorted({row["images"][0] for row in rows})
    for row in rows:
        count = 1 + pictures.index(row["images"][0])
        row["nuclei"] = [[5.0, 5.0, "Round"]] * count
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["files"][path.name] = file_sha256(path)
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder


def test_nuclei_are_told_before_the_question_and_shuffled_they_are_another_pictures(
    answers_export, tmp_path
):
    folder = with_nuclei(answers_export, tmp_path)

    def rows(**further):
        return read_answers(
            [folder], "grpo", budget=4, patch_px=28, strict=True, thought="points", **further
        ).train

    own, other = rows(), rows(shuffled=0)
    assert len({row["images"][0].path for row in own}) > 1
    for row, moved in zip(own, other, strict=True):
        prompt = row["prompt"][-1]["content"]
        assert prompt.startswith("Nuclei (x y category): ")
        assert prompt.count("Round;") == len(row["evidence"].nuclei)
        assert row["images"] == moved["images"]
        assert moved["prompt"][-1]["content"].count("Round;") != prompt.count("Round;")


def test_records_without_nuclei_are_left_out_where_they_are_read(answers_export):
    from napari_nunext.core.errors import InputError

    with pytest.raises(InputError, match="nuclei of the picture are not known"):
        read_answers(
            [answers_export], "grpo", budget=4, patch_px=28, strict=False, thought="points"
        )


def test_evidence_of_one_that_reads_none_cannot_be_shuffled(
    answers_export, answerer_folder, capsys
):
    asked = ["--data", str(answers_export), "--checkpoint", str(answerer_folder)]
    assert main(["ask", "evaluate", *asked, "--split", "train", "--evidence", "shuffled"]) == 2
    assert "reads no nuclei" in capsys.readouterr().err


def test_each_question_is_answered_once_and_in_order(answers_export, answerer_folder):
    answerer = load_answerer(AnswererFolder("it", answerer_folder), "float32")
    rows = read_answers([answers_export], "grpo", budget=4, patch_px=28, strict=True).train
    told = []
    answered = ask_all(
        answerer,
        rows,
        AnswerSampling(max_tokens=3),
        patch_px=28,
        tell=lambda *progress: told.append(progress),
    )
    assert [(a.image, a.task) for a in answered] == [(r["image"], r["task"]) for r in rows]
    assert told[-1] == (len(rows), len(rows))
    assert all(np.isfinite(a.image_tokens) for a in answered)
