"""An allocator of image tokens: its table, its policy, its training. Eq. 10 of arXiv 2505.15687."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.prompts import SYSTEM, allocation_prompt
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers import allocator
from napari_nunext.models.answerers.about import Allocation
from napari_nunext.models.answerers.allocator import (
    choose_tokens,
    reply_ids,
    reply_log_likelihoods,
    said,
)
from napari_nunext.models.answerers.answerer import AnswerSampling
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.reward_table import (
    TabledQuestion,
    TableOf,
    open_table,
    read_table,
)
from nunext_training.evaluation.answering.answers import ask_all
from nunext_training.evaluation.answering.tabulating import tabulate
from nunext_training.method.answer_rewards import allocation_reward, score_answer
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.stages.allocator import AllocatorJob, AllocatorStage, run_allocator
from nunext_training.tasks.allocation import worth_of
from nunext_training.trainers.answers.allocator import choice_log_policy, drawn_choices
from tests.training.test_answers import Heard

torch.set_num_threads(1)
BUDGETS = (1, 4, 9)
SAMPLING = AnswerSampling(0.0, 0, 8)
WEIGHTS = {"format": 1.0, "answer": 1.0, "boxes": 1.0}


def quiet(done, total):
    """Tells nobody."""


def rows_at(export, budgets=BUDGETS):
    data = read_answers([export], "grpo", budget=budgets[-1], patch_px=28, strict=True)
    return {budget: data.at(budget).train for budget in budgets}


@pytest.fixture(scope="module")
def answerer(answerer_folder):
    """It, loaded. Do not write to it."""
    return load_answerer(AnswererFolder("it", answerer_folder), "float32")


def table_of(answerer, folder, export, path):
    """The table of the answerer's real rewards."""
    of = TableOf(checkpoint_sha256(folder), None, "train", BUDGETS, ("ab",))
    rows = rows_at(export)
    return tabulate(path, of, answerer, rows, SAMPLING, WEIGHTS, patch_px=28, tell=quiet)


def made_table(folder, export, path, rewards):
    """A table in which each question has these rewards."""
    rows = rows_at(export)[BUDGETS[0]]
    of = TableOf(checkpoint_sha256(folder), None, "train", BUDGETS, ("ab",))
    lines = [of.to_json()]
    lines += [
        {"id": r["id"], "image": r["image"], "kind": "k", "tokens": BUDGETS, "rewards": rewards}
        for r in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def recipe():
    return changed(
        load_recipe("allocate_small"),
        optimiser={"steps": 2, "batch_size": 2},
        allocator={"look_tokens": 1},
    )


def job_of(folder, export, table, out, recipe, **more):
    return AllocatorJob(
        data=(export,), checkpoint=folder, out=out, recipe=recipe, table=table, **more
    )


@pytest.fixture(scope="module")
def tabled(answerer, answerer_folder, answers_export, tmp_path_factory):
    """The file of that table, and what was read from it. Do not write to it."""
    path = tmp_path_factory.mktemp("tables") / "t.jsonl"
    return path, table_of(answerer, answerer_folder, answers_export, path)


def test_the_table_has_the_reward_of_every_question_at_every_budget(
    answerer, answers_export, tabled
):
    _, table = tabled
    weights = {"answer": 1.0, "boxes": 1.0}
    for column, (budget, rows) in enumerate(rows_at(answers_export).items()):
        answered = ask_all(answerer, rows, SAMPLING, patch_px=28, tell=quiet)
        by_id = table.by_id()
        for row, answer in zip(rows, answered, strict=True):
            question = by_id[row["id"]]
            assert question.tokens[column] == answer.image_tokens <= budget
            assert question.rewards[column] == score_answer(answer.seen, weights).reward


def test_a_table_that_was_cut_off_in_a_line_goes_on_to_the_same(
    answerer, answerer_folder, answers_export, tabled, tmp_path
):
    whole, _ = tabled
    cut = tmp_path / "cut.jsonl"
    text = whole.read_text()
    assert text.count("\n") > 2
    second = text.index("\n", text.index("\n") + 1) + 1
    cut.write_text(text[: second + 20])
    table_of(answerer, answerer_folder, answers_export, cut)
    assert sorted(cut.read_text().splitlines()) == sorted(text.splitlines())


def test_a_table_of_something_else_is_not_gone_on_with(tmp_path):
    of = TableOf("ab", None, "val", BUDGETS, ("cd",))
    open_table(tmp_path / "t.jsonl", of)
    with pytest.raises(InputError, match="another performer"):
        open_table(tmp_path / "t.jsonl", replace(of, split="test"))


@pytest.mark.parametrize(
    "text",
    ["", "{}\n", "no\n", '{"id": "a"}\n'],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path, text):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(InputError, match="no table of rewards"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    ("tokens", "rewards"),
    [((1, 4), (0.0,)), ((0, 4), (0.0, 1.0)), ((1, 4), (math.nan, 1.0)), ((), ())],
)
def test_a_question_without_every_reward_is_refused(tokens, rewards):
    with pytest.raises(InputError, match="expected"):
        TabledQuestion("a", "i", "k", tokens, rewards)


def test_equation_10_weighs_what_is_saved_against_what_is_lost():
    question = TabledQuestion("a", "i", "k", (16, 64, 256), (0.2, 1.0, 0.7))
    assert worth_of(question, 0.1) == [
        allocation_reward(0.2, 0.7, 16, 256, 0.1),
        allocation_reward(1.0, 0.7, 64, 256, 0.1),
        0.0,
    ]
    # By hand: -0.5 + 0.1 * 240 / 256, and 0.3 + 0.1 * 192 / 256.
    assert worth_of(question, 0.1)[:2] == pytest.approx([-0.40625, 0.375])


def test_the_policy_is_the_likelihood_of_each_reply_among_all(
    answerer, answerer_folder, answers_export, tmp_path, recipe
):
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [0.0, 0.5, 1.0])
    stage = AllocatorStage(job_of(answerer_folder, answers_export, table, tmp_path / "out", recipe))
    task = stage.task()
    examples = list(task.examples(8))
    inputs = task.encode(examples)
    with torch.no_grad():
        policy = choice_log_policy(stage.model, inputs)
    assert policy.shape == (8, len(BUDGETS))
    assert policy.exp().sum(dim=1) == pytest.approx(np.ones(len(policy)), abs=1e-5)
    for row, likelihoods in zip(map(task.row_of, examples), policy, strict=True):
        chosen = choose_tokens(
            answerer,
            np.asarray(row["images"][0].open()),
            row["evidence"].question,
            BUDGETS,
            current_tokens=BUDGETS[-1],
            most_tokens=BUDGETS[-1],
        )
        assert chosen == BUDGETS[int(likelihoods.argmax())]


def test_a_lot_falls_on_a_choice_as_often_as_the_policy_has_it():
    log_policy = torch.tensor([[0.2, 0.0, 0.5, 0.3], [0.0, 1.0, 0.0, 0.0]]).log()
    lots = (torch.arange(100, dtype=torch.float64) + 0.5).expand(2, -1) / 100
    drawn = drawn_choices(log_policy, lots)
    assert [torch.bincount(row, minlength=4).tolist() for row in drawn] == [
        [20, 0, 50, 30],
        [0, 100, 0, 0],
    ]
    ends = torch.tensor([[0.0, 1 - 1e-16]] * 2, dtype=torch.float64)
    assert drawn_choices(log_policy, ends).tolist() == [[0, 3], [1, 1]]


def test_what_it_writes_is_a_reply_of_the_papers_form(answerer):
    ids = reply_ids(answerer, said(36))
    assert ids[-1] in answerer.ends
    text = answerer.processor.tokenizer.decode(ids[:-1])
    assert text == "<think></think><answer>36</answer>"


def test_replies_behind_one_prompt_are_as_likely_as_alone(answerer, rng, monkeypatch):
    read = answerer.read(rng.integers(0, 256, (28, 56, 3), dtype=np.uint8), "How many?", SYSTEM)
    replies = [reply_ids(answerer, said(tokens)) for tokens in (1, 36, 16384)]
    assert len({len(reply) for reply in replies}) > 1
    together = reply_log_likelihoods(answerer, read, replies)
    monkeypatch.setattr(allocator, "can_share", lambda _: False)
    assert together == pytest.approx(reply_log_likelihoods(answerer, read, replies), abs=1e-3)


def test_only_what_a_budget_allows_can_be_chosen():
    allocation = Allocation((16, 36, 64), 16)
    assert allocation.within(256) == (16, 36, 64)
    assert allocation.within(40) == (16, 36)
    assert allocation.within(9) == (9,)


def test_it_learns_to_choose_what_is_worth_most_and_leaves_the_performer(
    answerer_folder, answers_export, tmp_path, recipe
):
    # Four tokens answer right, and neither fewer nor more do.
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [0.0, 1.0, 0.0])
    before = {f.name: f.read_bytes() for f in answerer_folder.iterdir()}
    recipe = changed(recipe, optimiser={"steps": 10, "lr": 1e-2})
    out = run_allocator(
        job_of(answerer_folder, answers_export, table, tmp_path / "few", recipe), Heard()
    )
    assert out == tmp_path / "few"
    assert {f.name: f.read_bytes() for f in answerer_folder.iterdir()} == before
    about = json.loads((out / "training.json").read_text())
    assert (about["menu"], about["look_tokens"], about["mu"]) == ([1, 4, 9], 1, 0.1)
    place = AnswererFolder("it", answerer_folder, adapter=out)
    taught = load_answerer(place, "float32")
    rows = rows_at(answers_export, (1,))[1]
    chosen = [
        choose_tokens(
            taught,
            np.asarray(row["images"][0].open()),
            row["evidence"].question,
            BUDGETS,
            current_tokens=9,
            most_tokens=9,
        )
        for row in rows
    ]
    assert chosen == [4] * len(rows)


def test_rewards_that_are_all_the_same_teach_to_save(
    answerer_folder, answers_export, tmp_path, recipe
):
    # Nothing to lose: where mu is 0 nothing moves, and no number is broken.
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [1.0, 1.0, 1.0])
    recipe = changed(recipe, allocator={"mu": 0.0, "entropy": 0.0}, optimiser={"weight_decay": 0})
    out = run_allocator(
        job_of(answerer_folder, answers_export, table, tmp_path / "few", recipe), Heard()
    )
    moved = load_file(out / "adapter_model.safetensors")
    assert all(not weight.any() for name, weight in moved.items() if "lora_B" in name)


def test_a_run_that_was_stopped_goes_on_to_the_same_allocator(
    answerer_folder, answers_export, tmp_path, recipe
):
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [0.0, 1.0, 0.5])
    recipe = changed(recipe, optimiser={"steps": 4})
    given = answerer_folder, answers_export, table
    whole = run_allocator(job_of(*given, tmp_path / "whole", recipe), Heard())
    heard = Heard()
    stopped = run_allocator(
        job_of(*given, tmp_path / "cut", recipe), heard, stop=lambda: len(heard.losses) > 1
    )
    assert stopped is None
    cut = run_allocator(job_of(*given, tmp_path / "cut", recipe, resume=True), Heard())
    one, other = (load_file(out / "adapter_model.safetensors") for out in (whole, cut))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_table_of_another_performer_is_refused(
    answerer_folder, answers_export, tmp_path, recipe
):
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [0.0, 1.0, 0.5])
    lines = table.read_text().splitlines()
    first = json.loads(lines[0]) | {"performer_sha256": "00"}
    table.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="another performer's rewards"):
        AllocatorStage(job_of(answerer_folder, answers_export, table, tmp_path / "out", recipe))


def test_a_prompt_is_the_papers_with_the_tokens_of_now_and_at_most(
    answerer, answerer_folder, answers_export, tmp_path, recipe
):
    table = made_table(answerer_folder, answers_export, tmp_path / "t.jsonl", [0.0, 1.0, 0.5])
    stage = AllocatorStage(job_of(answerer_folder, answers_export, table, tmp_path / "out", recipe))
    task = stage.task()
    example = task.examples(1)[0]
    row = task.row_of(example)
    asked = allocation_prompt(row["evidence"].question, current_tokens=9, most_tokens=9)
    rgb = np.asarray(row["images"][0].open())
    expected = answerer.read(rgb, asked, SYSTEM)["input_ids"][0]
    assert example.packed.questions[0].prompt.tolist() == expected.tolist()
