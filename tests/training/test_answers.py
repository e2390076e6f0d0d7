"""From a project in which people asked and judged to an answerer that is served."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError
from napari_nunext.models.answerers.answerer import AnswerSampling, Ended
from napari_nunext.models.answerers.loaded import Drawn, load_answerer
from napari_nunext.models.next_point.sampling import Sampling
from napari_nunext.store import Project
from nunext_training.cli import main
from nunext_training.data.answers import read_answers
from nunext_training.data.answers.order import shown_in_turn
from nunext_training.recipes.recipe import changed, load_recipe
from nunext_training.runs.errors import TrainingError
from nunext_training.stages.answers import AnswerJob, run_answers
from nunext_training.trainers.answers import by_trl
from tests.store.answering import AskingLab
from tests.training.conftest import NO, YES

torch.set_num_threads(1)


@pytest.fixture
def recipe():
    return changed(
        load_recipe("ask_small"),
        optimiser={"steps": 2, "batch_size": 2, "warmup_steps": 0},
        validation={"every_steps": 1},
        ask={"budget": 4, "rollouts": 2, "max_tokens": 6, "packed": False, "thought": "prose"},
    )


class Heard:
    def __init__(self):
        self.losses = []

    def start(self, *, step, steps):
        pass

    def step(self, *, step, loss):
        self.losses.append(loss)

    def doing(self, *, what):
        pass

    def validation(self, **figures):
        pass

    def done(self, **figures):
        pass


@pytest.mark.parametrize("method", ["sft", "dpo", "kto", "grpo"])
@pytest.mark.parametrize("rank", [0, 4], ids=["all weights", "additions"])
def test_judged_answers_train_an_answerer_that_answers(
    answers_export, answerer_folder, recipe, tmp_path, method, rank
):
    recipe = changed(recipe, lora={"rank": rank, "alpha": 8.0})
    heard = Heard()
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "new", recipe, method=method)
    assert run_answers(job, heard) == tmp_path / "new"
    assert len(heard.losses) == 2
    assert not (tmp_path / "new.training").exists()
    about = json.loads((tmp_path / "new" / "training.json").read_text("utf-8"))
    assert about["provenance"]["method"] == method
    assert str(tmp_path) not in "".join(
        f.read_text("utf-8") for f in (tmp_path / "new").rglob("*.json")
    )
    place = AnswererFolder("mine", tmp_path / "new")
    if rank:
        place = AnswererFolder("mine", answerer_folder, adapter=tmp_path / "new")
        saved = load_file(tmp_path / "new" / "adapter_model.safetensors")
        assert not any("visual" in name for name in saved)
    rgb = torch.randint(0, 256, (56, 56, 3), dtype=torch.uint8).numpy()
    told = load_answerer(place, "float32").answer(
        rgb, "Is there necrosis?", "Think.", AnswerSampling(max_tokens=4), cancelled=lambda: False
    )
    assert isinstance([*told][-1], Ended)


def test_weights_change_and_the_parent_stays(answers_export, answerer_folder, recipe, tmp_path):
    before = load_file(answerer_folder / "model.safetensors")
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "new", recipe)
    run_answers(job, Heard())
    after = load_file(tmp_path / "new" / "model.safetensors")
    assert any(not torch.equal(before[name], after[name]) for name in before)
    now = load_file(answerer_folder / "model.safetensors")
    assert all(torch.equal(before[name], now[name]) for name in before)


@pytest.mark.parametrize(
    ("said", "goes_by"), [([], "none"), (["--thought", "prose"], "prose")], ids=["parent", "person"]
)
def test_an_answerer_is_taught_to_go_by_what_its_parent_goes_by(
    answers_export, answerer_folder, tmp_path, said, goes_by
):
    parent = tmp_path / "parent"
    shutil.copytree(answerer_folder, parent)
    (parent / "training.json").write_text(json.dumps({"thought": "none"}), "utf-8")
    given = ["--data", str(answers_export), "--checkpoint", str(parent), "--steps", "1", *said]
    out = tmp_path / "new"
    assert main(["ask", "sft", *given, "--rank", "4", "--out", str(out), "--batch-size", "1"]) == 0
    assert json.loads((out / "training.json").read_text("utf-8"))["thought"] == goes_by


@pytest.mark.parametrize("method", ["sft", "grpo"])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    answers_export, answerer_folder, recipe, tmp_path, method
):
    whole = AnswerJob((answers_export,), answerer_folder, tmp_path / "whole", recipe, method=method)
    run_answers(whole, Heard())
    job = replace(whole, out=tmp_path / "halves")
    assert run_answers(job, Heard(), stop=lambda: True) is None
    with pytest.raises(InputError, match="--resume"):
        run_answers(job, Heard())
    run_answers(replace(job, resume=True), Heard())
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "halves"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_replies_have_no_tokens_that_stand_for_pictures():
    scores = torch.zeros(2, 5)
    scores[:, [1, 3]] = 40.0
    drawn = Drawn(Sampling(1.0, (7,), 2), never=[1, 3])(torch.empty(0), scores)
    assert set(drawn.argmax(dim=-1).tolist()) <= {0, 2, 4}
    seen = SimpleNamespace(image_token_id=3, video_token_id=None)
    assert by_trl._seen_ids(seen) == [3]


def test_a_batch_of_parts_of_groups_is_refused(answers_export, answerer_folder, recipe, tmp_path):
    recipe = changed(recipe, ask={"rollouts": 4})
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "new", recipe, method="grpo")
    with pytest.raises(InputError, match=r"is 2, and groups have 4 replies.*--batch-size"):
        run_answers(job, Heard())


@pytest.mark.parametrize(("rows", "count"), [(3, 7), (3, 2), (1, 4), (5, 0)])
def test_rows_are_shown_in_turn_and_no_step_changes_where_more_follow(rows, count):
    order = shown_in_turn(rows, count, seed=4).tolist()
    assert len(order) == count
    assert order == shown_in_turn(rows, count + 9, seed=4).tolist()[:count]
    for first in range(0, count - rows + 1, rows):
        assert sorted(order[first : first + rows]) == list(range(rows))


def test_pictures_are_drawn_to_the_budget_and_boxes_follow(answers_export):
    rows = read_answers([answers_export], "grpo", budget=4, patch_px=28, strict=True).train
    lesions = [row for row in rows if row["truth"] is None]
    assert lesions
    for row in lesions:
        picture = row["images"][0].open()
        assert picture.size == tuple(row["size_px"])
        assert (picture.width // 28) * (picture.height // 28) <= 4
        # The region is 60 x 40 px from (10, 20) on, and the box was drawn in level-0 px.
        across, down = picture.width / 60, picture.height / 40
        assert row["boxes"] == [pytest.approx([10 * across, 10 * down, 40 * across, 35 * down])]
    sft = read_answers([answers_export], "sft", budget=4, patch_px=28, strict=True).train
    (said,) = {row["completion"][0]["content"] for row in sft if "[[" in str(row["completion"])}
    assert said.startswith("<think>")
    x0, y0 = lesions[0]["boxes"][0][:2]
    assert f"[[{int(x0)}, {int(y0)}" in said


def test_what_cannot_be_trained_on_is_said_in_a_sentence(
    answers_export, answerer_folder, recipe, tmp_path
):
    patients = frozenset(
        json.loads(line)["source"]["patient"]
        for line in (answers_export / "answers_sft.jsonl").read_text("utf-8").splitlines()
    )
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "new", recipe, left_out=patients)
    with pytest.raises(InputError, match="No answer can be trained on"):
        run_answers(job, Heard())
    assert not (tmp_path / "new.training").exists()


def test_additions_are_trained_further_and_the_last_weights_are_kept(
    answers_export, answerer_folder, recipe, tmp_path
):
    first = changed(recipe, lora={"rank": 4, "alpha": 8.0})
    job = AnswerJob((answers_export,), answerer_folder, tmp_path / "one", first, keep="last")
    run_answers(job, Heard())
    about = json.loads((tmp_path / "one" / "training.json").read_text("utf-8"))
    assert (about["metrics"], about["provenance"]["kept"]) == ([], "last")
    for method in ("sft", "dpo", "kto"):
        out = tmp_path / method
        again = replace(job, out=out, recipe=recipe, method=method, adapter=tmp_path / "one")
        run_answers(again, Heard())
        before, after = (
            load_file(each / "adapter_model.safetensors") for each in (tmp_path / "one", out)
        )
        assert before.keys() == after.keys()  # no reference beside it
        assert any(not torch.equal(before[name], after[name]) for name in before)
        assert 0 < max(float((before[n] - after[n]).abs().max()) for n in before) < 0.01
        place = AnswererFolder("mine", answerer_folder, adapter=out)
        assert load_answerer(place, "float32").model is not None


def test_a_loss_that_is_no_number_ends_the_run_in_the_words_that_the_window_looks_for(
    answers_export, answerer_folder, recipe, tmp_path
):
    broken = shutil.copytree(answerer_folder, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    name = next(each for each in weights if "layers.0.mlp" in each)
    weights[name].fill_(torch.nan)
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    job = AnswerJob((answers_export,), broken, tmp_path / "new", recipe, keep="last")
    with pytest.raises(TrainingError, match="loss of step 1 is nan"):
        run_answers(job, Heard())
    assert not (tmp_path / "new").exists()


def test_what_readers_accepted_is_known_where_nobody_wrote_the_truth(tmp_path):
    with Project.open(tmp_path / "p.nunext", annotator="jd") as project:
        lab = AskingLab(project)
        for seed in range(2):
            sha = lab.add_image(seed, patient=f"p{seed}")
            open_question = Question("question", "What is there")
            lab.rate(sha, lab.ask(sha, YES.replace("yes", "fat cells"), open_question), 5)
            lab.rate(sha, lab.ask(sha, NO, open_question), 1)
        lab.export(tmp_path / "export")
    read = partial(read_answers, [tmp_path / "export"], "grpo", budget=4, patch_px=28, strict=True)
    assert read().train == read().val == ()
    known = [read(accepted=True).train, read(accepted=True).val]
    assert [[row["truth"] for row in rows] for rows in known] == [["fat cells"], ["fat cells"]]
