"""TRL's trainers take exported answers as they are, with their images."""

from __future__ import annotations

import math

import datasets
import pytest
from transformers import AutoModelForImageTextToText
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    SFTConfig,
    SFTTrainer,
)

from napari_nunext.core.geometry import Box
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.families import get_family
from napari_nunext.store import Project
from tests.store.answering import LESIONS, AskingLab
from tests.training.conftest import SIZE, WINDOW_PX

# TRL calls transformers by a name that is going away.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")

REGION = Box(0, 0, 32, 24)
YES = "<think>It is pale.</think><answer>yes</answer>"
NO = "<think>It is not.</think><answer>no</answer>"
BOXES = "<think>There.</think><answer>[[0, 0, 14, 14]]</answer>"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    build_checkpoint(folder, size=SIZE, family="qwen2_5_vl", window_px=WINDOW_PX)
    return folder


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export of one patient, in TRL's form, with two rows or more of every kind."""
    folder = tmp_path_factory.mktemp("answers")
    with Project.open(folder / "p.nunext", annotator="jd") as project:
        lab = AskingLab(project)
        sha = lab.add_image()
        right, wrong, third = (lab.ask(sha, raw, region=REGION) for raw in (YES, NO, NO))
        drawn = lab.ask(sha, BOXES, LESIONS, region=REGION)
        lab.rate(sha, right, 5)
        lab.rate(sha, wrong, 1, "wrong finding")
        lab.rate(sha, third, 3)
        lab.correct(sha, drawn, boxes=[Box(4, 4, 20, 20)])
        lab.prefer(sha, right, wrong, "left")
        lab.export(folder / "export", flavour="trl")
    return folder / "export" / "trl"


@pytest.fixture
def rows(export, tmp_path):
    """``rows(name)``: a file of the export, loaded as docs/records.md says."""

    def load(name):
        found = datasets.load_dataset(
            "json",
            data_files=str(export / f"{name}-train.jsonl"),
            split="train",
            cache_dir=str(tmp_path / "cache"),
        )
        return found.cast_column("images", datasets.Sequence(datasets.Image()))

    return load


@pytest.fixture
def parts(checkpoint, tmp_path):
    """A model with its processor, and the arguments that all trainers share."""
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    given = {
        "output_dir": str(tmp_path / "out"),
        "per_device_train_batch_size": 2,
        "max_steps": 1,
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
    }
    return model, get_family("qwen2_5_vl").load_processor(checkpoint), given


def changed(trainer) -> bool:
    """Train a step, and tell whether the tower that sees and the model that speaks learned."""
    names = ("visual.blocks.0.attn.qkv.weight", "language_model.layers.0.mlp.up_proj.weight")
    watched = [p for n, p in trainer.model.named_parameters() if n.endswith(names)]
    assert len(watched) == 2
    before = [p.detach().clone() for p in watched]
    trainer.train()
    assert all(math.isfinite(log["loss"]) for log in trainer.state.log_history if "loss" in log)
    return all(not p.equal(b) for p, b in zip(watched, before, strict=True))


@pytest.mark.parametrize(
    ("name", "trainer", "config", "count"),
    [
        ("answers_sft", SFTTrainer, SFTConfig, 2),
        ("answers_preferences", DPOTrainer, DPOConfig, 2),
        ("answers_kto", KTOTrainer, KTOConfig, 2),
    ],
)
def test_a_trainer_takes_a_step_on_the_file_as_it_is(rows, parts, name, trainer, config, count):
    found = rows(name)
    assert len(found) == count
    model, processor, given = parts
    args = config(**given, max_length=None)
    assert changed(trainer(model=model, args=args, train_dataset=found, processing_class=processor))


def test_rewards_are_the_truth_where_there_is_one_and_else_the_rating(rows, parts):
    found = rows("answers_rft")
    assert sorted((row["truth"] or "", row["rating"]) for row in found) == [
        ("", 0.0),
        ("", 0.5),
        ("[[4, 4, 20, 20]]", None),
        ("yes", 1.0),
    ]
    seen = []

    def truth_reward(completions, truth, **_):
        seen.extend(truth)
        lengths = (len(completion[0]["content"]) for completion in completions)
        return [
            None if t is None else -abs(n - len(t)) for n, t in zip(lengths, truth, strict=True)
        ]

    def rating_reward(completions, rating, truth, **_):
        return [r if t is None else None for r, t in zip(rating, truth, strict=True)]

    model, processor, given = parts
    args = GRPOConfig(
        **given | {"per_device_train_batch_size": 8},
        num_generations=2,
        max_completion_length=8,
        remove_unused_columns=False,
        loss_type="grpo",
    )
    trainer = GRPOTrainer(
        model=model,
        args=args,
        train_dataset=found,
        processing_class=processor,
        reward_funcs=[truth_reward, rating_reward],
    )
    assert changed(trainer)
    assert set(seen) == {None, "yes", "[[4, 4, 20, 20]]"}
