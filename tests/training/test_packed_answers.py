"""Questions packed behind their picture: the losses of each alone, and runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.answers.reply import parse_reply, reply_text
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.answerers.about import new_tokens
from napari_nunext.models.answerers.base import build_answer_base
from napari_nunext.models.answerers.loaded import load_answerer
from napari_nunext.models.families.pictures import each_picture
from napari_nunext.places import BUNDLED_WEIGHTS
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.packing import PackedExamples, Tokens, pack, pictures_of
from nunext_training.data.importers.questions.base import AnsweredImage, KnownAnswer
from nunext_training.data.importers.questions.writing import write_questions
from nunext_training.data.importers.writing import write_manifest
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.runs.context import RunContext
from nunext_training.runs.folder import RunFolder
from nunext_training.stages.answers import AnswerJob, AnswerStage, run_answers
from nunext_training.tasks.packed_answers import PackedAnswers
from nunext_training.trainers.answers.by_trl import groups_of
from nunext_training.trainers.answers.packed import packed_losses
from tests.training.test_answers import Heard

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def small_base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "ask-base"
    build_answer_base(BUNDLED_WEIGHTS / "nunext-small", folder)
    return folder


@pytest.fixture
def recipe():
    return changed(
        load_recipe("ask_small"),
        optimiser={"steps": 2, "batch_size": 2, "warmup_steps": 0},
        validation={"every_steps": 1},
        ask={"budget": 9},
    )


@pytest.fixture(params=["conv_qwen", "qwen2_5_vl"])
def folder(request, small_base, answerer_folder):
    return small_base if request.param == "conv_qwen" else answerer_folder


def data_of(export, folder, budget=9, thought="prose"):
    patch_px = 8 if folder.name == "ask-base" else 28
    return read_answers(
        [export], "sft", budget=budget, patch_px=patch_px, strict=True, thought=thought
    )


def alone(answerer, example, question):
    """Cross-entropy of the reply of one question, in a forward of its own."""
    ids = torch.from_numpy(question.ids)[None]
    pictures = answerer.processor.image_processor(
        [example.picture], do_resize=False, return_tensors="pt"
    )
    logits = answerer.model(
        input_ids=ids,
        mm_token_type_ids=(ids == answerer.image_id).long(),
        attention_mask=torch.ones_like(ids),
        pixel_values=pictures["pixel_values"],
        image_grid_thw=pictures["image_grid_thw"],
    ).logits[0]
    n = len(question.reply)
    return torch.nn.functional.cross_entropy(logits[-n - 1 : -1], ids[0, -n:], reduction="none")


@pytest.mark.parametrize("budgets", [[9], [4, 9, 16]])
def test_each_question_has_the_loss_that_it_has_alone(answers_export, folder, recipe, budgets):
    answerer = load_answerer(AnswererFolder("it", folder), "float32")
    recipe = changed(recipe, ask={"budgets": budgets, "answer_weight": 3.0})
    task = PackedAnswers(answerer, data_of(answers_export, folder), recipe)
    examples = task.examples(8)
    batch = [examples[i] for i in range(4)]
    assert max(len(example.questions) for example in batch) > 1
    with torch.no_grad():
        inputs = task.encode(batch)
        losses, weights = packed_losses(answerer.model, inputs)
        for row, example in enumerate(batch):
            for owner, question in enumerate(example.questions, start=1):
                mine = (inputs["owners"][row, 1:] == owner) & (weights[row] > 0)
                expected = alone(answerer, example, question)
                assert torch.allclose(losses[row][mine], expected, atol=1e-4)
                assert weights[row][mine].tolist() == question.weights.tolist()


def test_prompts_are_those_of_serving_and_answers_weigh_more(answers_export, small_base, recipe):
    answerer = load_answerer(AnswererFolder("it", small_base), "float32")
    task = PackedAnswers(answerer, data_of(answers_export, small_base), recipe)
    row = data_of(answers_export, small_base).train[0]
    tokens = task.tokens(row)
    said = {message["role"]: message["content"] for message in row["prompt"]}
    rgb = np.asarray(row["images"][0].open())
    asked = answerer.read(rgb, said["user"], said["system"])["input_ids"][0]
    assert tokens.prompt.tolist() == asked.tolist()
    assert tokens.reply[-1] == answerer.ends[0]
    decode = answerer.processor.tokenizer.decode
    light = decode(tokens.reply[tokens.weights == 1])
    heavy = decode(tokens.reply[tokens.weights == recipe.ask.answer_weight])
    assert light.endswith("<answer>")
    assert light + heavy.removesuffix("<|im_end|>") == row["completion"][-1]["content"]


def tokens_of(prompt, reply):
    weights = np.ones(len(reply), dtype=np.float32)
    return Tokens(np.array(prompt), np.array(reply), weights)


def test_a_prefix_is_what_all_prompts_share_and_never_all_of_one():
    packed = pack([tokens_of([1, 2, 3, 4], [9]), tokens_of([1, 2, 3, 5, 6], [8, 7])])
    assert packed.prefix == 3
    assert packed.ids.tolist() == [1, 2, 3, 4, 9, 5, 6, 8, 7]
    assert packed.owners.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert packed.places.tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 6]
    assert packed.weights.tolist() == [0, 0, 0, 0, 1, 0, 0, 1, 1]
    assert pack([tokens_of([1, 2, 3], [9])] * 2).prefix == 2
    assert pack([tokens_of([1, 2, 3], [9]), tokens_of([1, 2], [9])]).prefix == 1


def test_examples_are_a_function_of_seed_and_index(answers_export, small_base):
    at = {budget: data_of(answers_export, small_base, budget).train for budget in (4, 16)}

    def tokens(row):
        return tokens_of([id(row)], [1])

    def examples(seed, questions=1):
        return PackedExamples(at, tokens, count=24, seed=seed, questions=questions, per_step=2)

    def drawn(examples):
        return [
            (each.picture.size, [int(q.prompt[0]) for q in each.questions])
            for each in (examples[i] for i in range(len(examples)))
        ]

    first = drawn(examples(0))
    assert first == drawn(examples(0))
    assert first != drawn(examples(1))
    sizes = [size for size, _ in first]
    assert all(sizes[i] == sizes[i + 1] for i in range(0, 24, 2))
    assert len(set(sizes)) == 2
    pictures = pictures_of(at[4])
    assert sum(len(each.rows) for each in pictures) == len(at[4])
    with pytest.raises(IndexError):
        examples(0)[24]


@pytest.mark.parametrize(
    ("folder", "rank"),
    # All weights of one are kept and taken up as those of the other; the additions of ours hold
    # new words as well.
    [("conv_qwen", 0), ("conv_qwen", 4), ("qwen2_5_vl", 4)],
    indirect=["folder"],
)
def test_a_packed_run_that_was_stopped_goes_on_to_the_same_weights(
    answers_export, folder, recipe, tmp_path, rank
):
    recipe = changed(recipe, lora={"rank": rank})
    whole = AnswerJob((answers_export,), folder, tmp_path / "whole", recipe)
    heard = Heard()
    run_answers(whole, heard)
    assert len(heard.losses) == 2
    job = replace(whole, out=tmp_path / "halves")
    assert run_answers(job, Heard(), stop=lambda: True) is None
    run_answers(replace(job, resume=True), Heard())
    name = "adapter_model.safetensors" if rank else "model.safetensors"
    a, b = (load_file(tmp_path / each / name) for each in ("whole", "halves"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_additions_leave_the_detector_and_learn_the_new_words(
    answers_export, small_base, recipe, tmp_path
):
    recipe = changed(recipe, lora={"rank": 4}, optimiser={"lr": 1e-2})
    run_answers(AnswerJob((answers_export,), small_base, tmp_path / "new", recipe), Heard())
    before = load_answerer(AnswererFolder("a", small_base), "float32").model
    place = AnswererFolder("b", small_base, adapter=tmp_path / "new")
    after = load_answerer(place, "float32").model
    new = new_tokens(small_base)
    rows = before.get_input_embeddings().weight
    for layer in (after.get_input_embeddings(), after.get_output_embeddings()):
        learnt = getattr(layer, "weight", None)
        assert torch.equal(learnt[: new.start], rows[: new.start])
        assert not torch.equal(learnt[new.start : new.stop], rows[new.start : new.stop])
    towers = (model.model.visual.state_dict() for model in (before, after))
    one, other = towers
    assert all(torch.equal(one[name], other[name]) for name in one)
    saved = load_file(tmp_path / "new" / "adapter_model.safetensors")
    assert any("lora_A" in name for name in saved)
    kept = [weight for name, weight in saved.items() if "embed_tokens" in name]
    assert [tuple(each.shape) for each in kept] == [(len(new), rows.shape[1])]


@pytest.mark.parametrize("method", ["grpo", "dpo", "kto"])
def test_a_small_answerer_learns_as_large_ones_do(
    answers_export, small_base, recipe, tmp_path, method
):
    """Beside a model that stays as it was, and prompts of several lengths in a batch."""
    recipe = changed(
        recipe,
        optimiser={"steps": 1, "batch_size": 12},
        ask={"rollouts": 2, "max_tokens": 4, "kl": 0.1},
    )
    heard = Heard()
    job = AnswerJob((answers_export,), small_base, tmp_path / "new", recipe, method=method)
    assert run_answers(job, heard) == tmp_path / "new"
    assert np.isfinite(heard.losses).all()


@pytest.mark.parametrize(
    ("thought", "think", "nuclei"),
    [("none", "", 0), ("prose", "Round 2.", 0), ("points", "", 3)],
)
def test_a_right_answer_goes_by_what_the_recipe_says(tmp_path, thought, think, nuclei):
    export = asked_tissue(tmp_path / "export")
    row, other = data_of(export, tmp_path, budget=4, thought=thought).train
    said = parse_reply(row["completion"][-1]["content"])
    assert said.exact
    assert (said.think, said.answer) == (think, "2")
    prompt = row["prompt"][-1]["content"]
    assert prompt.count(";") == nuclei
    assert prompt.endswith("How many round nuclei are there?")
    # Nuclei do not say this: the record's own thought stays, but where none is to be learnt.
    thoughts = {"none": "", "prose": "mucus", "points": ""}
    assert parse_reply(other["completion"][-1]["content"]).think == thoughts[thought]


def asked_tissue(folder):
    """A picture with three nuclei and two questions."""
    nuclei = [[1.5, 2.5, "Round"], [9.5, 2.5, "Round"], [5.5, 20.5, "Pale"]]
    picture = AnsweredImage(
        name="tissue",
        rgb=np.full((56, 56, 3), 200, np.uint8),
        split="train",
        answers=(
            KnownAnswer(Question("question", "How many round nuclei are there?"), "2"),
            KnownAnswer(Question("question", "Is there mucus?"), "yes"),
        ),
    )
    write_questions([lambda: [picture]], folder, origin="t", mpp=0.5, mpp_source="assumed")
    path = folder / "answers_sft.jsonl"
    rows = [json.loads(line) | {"nuclei": nuclei} for line in path.read_text().splitlines()]
    rows[1]["completion"][0]["content"] = reply_text("mucus", "yes")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (folder / "manifest.json").unlink()
    counts = {"answers_sft": 2, "answers_rft": 2, "images": 1}
    write_manifest(folder, counts, origin="t", categories=default_categories(("Round", "Pale")))
    return folder


def replies_of_trl(answerer, prompts, replies):
    """Rows as TRL has them: prompts padded on the left, replies on the right."""
    longest = max(len(each["input_ids"][0]) for each in prompts)
    most = max(map(len, replies))
    rows, kinds = [], []
    for prompt, reply in zip(prompts, replies, strict=True):
        ids, kind = prompt["input_ids"][0], prompt["mm_token_type_ids"][0]
        left, right = longest - len(ids), most - len(reply)
        rows.append([-1] * left + ids.tolist() + reply + [-1] * right)
        kinds.append([0] * left + kind.tolist() + [0] * most)
    ids = torch.tensor(rows)
    return {
        "input_ids": ids.clamp(min=0),
        "attention_mask": (ids >= 0).long(),
        "logits_to_keep": most,
        "compute_entropy": True,
        "mm_token_type_ids": torch.tensor(kinds),
        "num_images": [1] * len(rows),
        "pixel_values": torch.cat([each["pixel_values"] for each in prompts]),
        "image_grid_thw": torch.cat([each["image_grid_thw"] for each in prompts]),
    }


def test_replies_behind_one_prefill_are_as_likely_as_alone(
    answers_export, folder, recipe, tmp_path
):
    recipe = changed(recipe, optimiser={"batch_size": 2}, ask={"rollouts": 2, "temperature": 0.7})
    job = AnswerJob((answers_export,), folder, tmp_path / "new", recipe, method="grpo")
    stage = AnswerStage(job)
    run = RunFolder.open(job.out, stage.identity, resume=False)
    trainer = stage.trainer(RunContext(run, Heard(), lambda: False))
    answerer = load_answerer(AnswererFolder("it", folder), "float32")
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 56, 56, 3), dtype=np.uint8)
    asked = [(one, "How many?")] * 3 + [(other, "How many?"), (other, "Is there mucus here?")]
    prompts = [answerer.read(rgb, prompt, "Think.") for rgb, prompt in asked]
    replies = [[5, 6, 7], [5, 6], [8], [5, 6, 7, 9], [4]]
    rows = replies_of_trl(answerer, prompts, replies)
    model = trainer.model.eval()
    with torch.no_grad():
        packed = trainer._get_per_token_logps_and_entropies(model, **rows)
        trainer._packed = False
        alone = trainer._get_per_token_logps_and_entropies(model, **rows)
    assert len(groups_of(*list(rows.values())[:3], each_picture(rows))) == 3
    for row, reply in enumerate(replies):
        for mine, theirs in zip(packed[:2], alone[:2], strict=True):
            here, there = mine[row, : len(reply)], theirs[row, : len(reply)]
            assert torch.allclose(here, there, atol=1e-4)
            assert not mine[row, len(reply) :].any()
    assert packed[0].abs().max() > 1
