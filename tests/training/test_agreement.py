"""Whether an answerer finds likelier what readers prefer."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.models.answerers.loaded import load_answerer
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.evaluation.answering import agreement
from nunext_training.evaluation.answering.agreement import AGREES, Couples, log_likelihood

torch.set_num_threads(1)


def row(image, **more):
    prompt = [{"role": "system", "content": "Say."}, {"role": "user", "content": "Is it?"}]
    picture = SimpleNamespace(open=lambda: Image.new("RGB", (56, 56)))
    return {"image_sha256": image, "images": [picture], "prompt": prompt} | more


def reply(text):
    return [{"role": "assistant", "content": text}]


PAIR = row("a", chosen=reply("yes"), rejected=reply("no"))
GOOD = row("b", completion=reply("yes"), label=True)
BAD = row("c", completion=reply("no"), label=False)
ELSEWHERE = BAD | {"prompt": [{"role": "user", "content": "Is it another?"}]}


def test_couples_are_pairs_and_good_beside_bad_to_the_same_words():
    couples = Couples.of([PAIR], [GOOD, BAD, ELSEWHERE])
    assert [(a["reply"], b["reply"]) for a, b in couples.sides] == [("yes", "no")] * 2
    assert [a["image_sha256"] for a, _ in couples.sides] == ["a", "b"]
    assert len(Couples.of([], [GOOD, ELSEWHERE])) == 0
    assert Couples.of([], []).score(None) == {}


def test_the_figure_is_the_share_that_it_finds_likelier(monkeypatch):
    liked = {"a": 0.0, "b": -1.0, "c": -2.0}
    monkeypatch.setattr(agreement, "log_likelihood", lambda _, side: liked[side["image_sha256"]])
    figure = Couples.of([PAIR], [GOOD, BAD]).score(None)[AGREES]
    assert (figure.value, figure.answers) == (0.75, 2)  # the pair is a tie, for its one image
    assert figure.interval.low <= 0.75 <= figure.interval.high


def test_the_likelihood_is_that_of_the_replys_own_tokens(answerer_folder):
    answerer = load_answerer(AnswererFolder("it", answerer_folder), "float32")
    side = row("a", reply="yes")
    asked = (torch.zeros(56, 56, 3, dtype=torch.uint8).numpy(), "Is it?", "Say.")
    before = answerer.read(*asked)["input_ids"][0].tolist()
    ids = answerer.read(*asked, "yes")["input_ids"][0].tolist()
    assert ids[: len(before)] == before
    assert "yes" in answerer.processor.tokenizer.decode(ids[len(before) :])
    with torch.inference_mode():
        logits = answerer.model(**answerer.read(*asked, "yes")).logits[0]
    told = [float(logits[at - 1].log_softmax(-1)[ids[at]]) for at in range(len(before), len(ids))]
    assert log_likelihood(answerer, side) == pytest.approx(math.fsum(told) / len(told), abs=1e-5)


def test_evaluate_has_the_figure_and_tells_how_far_it_is(
    answers_export, answerer_folder, tmp_path, capsys
):
    out = tmp_path / "figures.json"
    told = ["--progress", "jsonl", "--budget", "4", "--max-tokens", "2", "--out", str(out)]
    data = ["--data", str(answers_export), "--split", "val"]
    checkpoint = ["--checkpoint", str(answerer_folder), "--threads", "1"]
    assert main(["ask", "evaluate", *data, *checkpoint, *told]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    val = read_answers([answers_export], "grpo", budget=4, patch_px=28, strict=True).val
    assert [line["done"] for line in lines] == [*range(1, len(val) + 1)]
    assert {(line["event"], line["total"]) for line in lines} == {("question", len(val))}
    figure = json.loads(out.read_text("utf-8"))["figures"][AGREES]
    pairs = read_answers([answers_export], "dpo", budget=4, patch_px=28, strict=True).val
    rated = read_answers([answers_export], "kto", budget=4, patch_px=28, strict=True).val
    assert figure["answers"] == len(Couples.of(pairs, rated)) > len(pairs)
    assert 0 <= figure["value"] <= 1
