"""A SAM learns to draw nuclei from points: PromptNucSeg's loss, frozen prompts, its own command."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import SamModel

from napari_nunext.core.errors import CheckpointError, InputError, RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.models.checkpoints.description import read_segmenter_description as described
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.sam.build import SamSize, build_sam
from napari_nunext.models.sam.grafting import graft_trunk_on_sam
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.segmenter import Prompt
from napari_nunext.models.whole_image.masks import draw_masks
from nunext_training.cli import main
from nunext_training.data.importers.writing import write_export
from nunext_training.data.prompts import PromptedWindows
from nunext_training.evaluation.evaluate import evaluate_segmenter
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.recipes.stage_sections import SegmenterOptions
from nunext_training.runs.errors import TrainingError
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.stages.segmenter import run_segmenter
from nunext_training.stages.sft import SftJob, run_sft
from nunext_training.stages.stage import Job
from nunext_training.trainers.masks import prompt_loss

SIDE = 64
SIZE = SamSize(patch_px=8, attention_window=8, width=32, layers=1, channels=64, mlp=64)
RECIPE = """
[windows]
scale_range = [1.0, 1.0]
turn = false
stain_strength = 0.0
[segmenter]
prompts = 4
jitter = 0.0
weights = "float16"
[optimiser]
steps = 140
batch_size = 2
lr = 5e-3
warmup_steps = 5
[validation]
every_steps = 70
images = 1
"""


class Events:
    """A `Progress` that remembers."""

    def __init__(self):
        self.validations = []

    def start(self, **values):
        pass

    step = done = start

    def doing(self, *, what):
        pass

    def validation(self, **values):
        self.validations.append(values)


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(RECIPE, "quick")


@pytest.fixture(scope="module")
def brief(recipe):
    """Six steps, validated in between."""
    return replace(
        recipe,
        optimiser=replace(recipe.optimiser, steps=6),
        validation=replace(recipe.validation, every_steps=3),
    )


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    """A small random SAM. Do not write to it."""
    folder = tmp_path_factory.mktemp("sam") / "sam"
    build_sam(folder, window_px=SIDE, preset=SIZE)
    return folder


@pytest.fixture(scope="module")
def discs(tmp_path_factory, labelled_tile):
    """Tiles of discs with masks: two to train on; the one that validates is nearly the first."""
    folder = tmp_path_factory.mktemp("tiles")
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5

    def tile(name, split, points):
        masks = ((x - px) ** 2 + (y - py) ** 2 <= 64 for px, py in points)
        drawn = labelled_tile(folder, name, points, radius_px=8.0, split=split)
        return replace(drawn, masks=tuple(map(Mask.from_array, masks)))

    return (
        tile("a", "train", [(14, 14), (44, 18), (20, 46), (48, 48)]),
        tile("b", "train", [(32, 32), (12, 50), (52, 12)]),
        tile("c", "val", [(14, 15), (44, 18), (20, 46), (48, 48)]),
    )


@pytest.fixture(scope="module")
def masked(tmp_path_factory, discs):
    """An export of them."""
    folder = tmp_path_factory.mktemp("masked") / "export"
    write_export(discs, folder, categories=default_categories(["Round"]), origin="synthetic")
    return folder


@pytest.fixture(scope="module")
def learned(tmp_path_factory, sam, masked, recipe):
    """What the small SAM becomes, and what was reported on the way."""
    out, events = tmp_path_factory.mktemp("learned") / "out", Events()
    run_segmenter(Job((masked,), sam, out, recipe), events)
    return out, events


def drawn(folder, tile):
    """IoU of each nucleus of a tile with what is drawn from its centroid."""
    (found,) = evaluate_segmenter(SamSegmenter(folder, device="cpu"), [tile], data={}).outcomes
    scores = []
    for true in tile.masks:
        overlaps = [0.0]
        for mask, _ in found.prediction.instances:
            ours, theirs = whole(mask), whole(true)
            overlaps.append((ours & theirs).sum() / (ours | theirs).sum())
        scores.append(max(overlaps))
    return scores


def whole(mask):
    image = np.zeros((SIDE, SIDE), dtype=bool)
    rows = slice(mask.y0_px, mask.y0_px + mask.height_px)
    image[rows, mask.x0_px : mask.x0_px + mask.width_px] = mask.to_array()
    return image


def test_discs_are_learned_and_the_checkpoint_draws_them(learned, sam, discs):
    out, _ = learned
    assert max(drawn(sam, discs[0])) < 0.2
    assert min(drawn(out, discs[0])) > 0.7
    assert min(drawn(out, discs[1])) > 0.7


def test_image_encoder_and_mask_decoder_learn_and_prompts_stay(learned, sam):
    ours, parents = (load_file(f / "model.safetensors") for f in (learned[0], sam))
    changed = {k.split(".")[0] for k in ours if not torch.equal(ours[k], parents[k].half())}
    assert changed == {"vision_encoder", "mask_decoder"}
    assert {w.dtype for w in ours.values()} == {torch.float16}  # as the recipe says


def test_the_weights_are_those_with_the_best_validation(learned, masked, discs):
    out, events = learned
    best = max(v["pq"] for v in events.validations)
    assert [v["step"] for v in events.validations] == [70, 140]
    description = described(out)
    (figures,) = description.metrics
    assert figures["pq"] == best
    provenance = description.provenance
    assert (provenance["method"], provenance["steps"]) == ("segmenter", 140)
    of_best = [v["step"] for v in events.validations if v["pq"] == best]
    assert provenance["best_step"] in of_best
    # Validated in float32, stored in half precision.
    served = evaluate_segmenter(SamSegmenter(out, device="cpu"), [discs[2]], data={})
    assert served.instances.pq == pytest.approx(best, abs=0.02)


@pytest.mark.parametrize("outlines", [False, True])
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path, masked, sam, brief, outlines):
    told = replace(brief.segmenter, clicks=2 * outlines, outlines=outlines)
    job = Job((masked,), sam, tmp_path / "out", replace(brief, segmenter=told))
    uncut = run_segmenter(replace(job, out=tmp_path / "uncut"), Events())
    asked = iter(range(1, 100))
    assert run_segmenter(job, Events(), stop=lambda: next(asked) >= 4) is None
    out = run_segmenter(replace(job, resume=True), Events())
    ours, theirs = (load_file(f / "model.safetensors") for f in (out, uncut))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)
    lines = [(f / "metrics.jsonl").read_text() for f in (out, uncut)]
    assert lines[0] == lines[1]


def test_a_recipe_may_have_it_see_more_closely(tmp_path, masked, sam, brief):
    closer = replace(brief, segmenter=replace(brief.segmenter, mpp=0.3))
    seen = run_segmenter(Job((masked,), sam, tmp_path / "closer", closer), Events())
    same = run_segmenter(Job((masked,), sam, tmp_path / "same", brief), Events())
    assert (described(sam).mpp, described(seen).mpp, described(same).mpp) == (0.5, 0.3, 0.5)
    # It is trained and validated on windows of that scale, which hold other pixels.
    assert described(seen).metrics[0]["loss"] != described(same).metrics[0]["loss"]


def test_the_command_goes_on_from_a_converted_checkpoint(
    tmp_path, masked, learned, original_sam_state, capsys
):
    torch.save({"model": original_sam_state(learned[0])}, tmp_path / "promptnucseg.pth")
    converted, out = tmp_path / "converted", tmp_path / "out"
    file = str(tmp_path / "promptnucseg.pth")
    assert main(["convert-sam", file, "--out", str(converted), "--mpp", "0.5"]) == 0
    assert f"{SIDE} px windows" in capsys.readouterr().out
    (tmp_path / "quick.toml").write_text(RECIPE)
    training = ["segmenter", "--data", str(masked), "--checkpoint", str(converted)]
    options = ["--recipe", str(tmp_path / "quick.toml"), "--steps", "2", "--lr", "1e-6"]
    assert main([*training, "--out", str(out), *options, "--progress", "jsonl"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events] == [
        "start",
        "step",
        "step",
        "doing",
        "validation",
        "doing",
        "done",
    ]
    assert [e["what"] for e in events if e["event"] == "doing"] == ["validation", "saving"]
    assert events[-3]["pq"] > 0.5  # it was taught before
    assert described(out).provenance["parent_sha256"] == checkpoint_sha256(converted)


def test_a_segmenter_is_scored_alone_by_the_command(tmp_path, masked, learned, capsys):
    asked = ["evaluate", "--model", "centroids", "--data", str(masked), "--split", "train"]
    assert main(asked) == 2
    assert "--segmenter" in capsys.readouterr().err
    report = tmp_path / "report.json"
    drawn = [*asked, "--segmenter", str(learned[0]), "--clicks", "1", "--out", str(report)]
    assert main(drawn) == 0
    out = capsys.readouterr().out
    assert "say nothing" in out
    read = json.loads(report.read_text())
    before, after = read["iou_by_clicks"]
    assert before > 0.7
    assert f"Mean IoU after 0 to 1 clicks: {before:.4f}, {after:.4f}" in out
    assert read["instances"]["pq"] > 0.7
    assert read["subject"]["model"] == "centroids"


def test_the_task_guided_reward_pays_for_masks_of_a_segmenter_that_learned(
    tmp_path, masked, learned, sam, checkpoint
):
    recipe = parse_recipe(
        """
        [windows]
        scale_range = [1.0, 1.0]
        turn = false
        stain_strength = 0.0
        [optimiser]
        steps = 40
        batch_size = 8
        lr = 4e-3
        warmup_steps = 5
        [validation]
        images = 1
        [rft]
        steps = 1
        windows_per_step = 1
        rollouts = 2
        validate_every = 1
        task_guided = true
        gamma = 0.5
        """,
        "guided",
    )
    taught = tmp_path / "taught"
    run_sft(SftJob((masked,), checkpoint, taught, recipe), Events())

    def first_reward(segmenter, name):
        job = RftJob((masked,), taught, tmp_path / name, recipe, segmenter=segmenter)
        out = run_rft(job, Events())
        of_out = read_description(out).provenance["segmenter_sha256"]
        assert of_out == checkpoint_sha256(segmenter)
        lines = [json.loads(x) for x in (out / "metrics.jsonl").read_text().splitlines()]
        return next(x["reward"] for x in lines if x["event"] == "validation")

    # The same replies to the same windows: what differs is gamma times panoptic quality.
    paid = first_reward(learned[0], "learned") - first_reward(sam, "random")
    assert 0.02 < paid <= 0.5


def test_the_loss_of_a_prompt_is_promptnucsegs():
    logits = torch.tensor([[[[2.0, -1.0], [0.5, -3.0]]]])
    labels = torch.tensor([[[7, -7], [3, 0]]], dtype=torch.int32)
    score = torch.tensor([[0.9]])
    found = prompt_loss(logits, score, labels, torch.tensor([[7]]), SegmenterOptions()).item()
    focal = overlap = total = 0.0
    for logit, true in ((2.0, 1), (-1.0, 0), (0.5, 0), (-3.0, 0)):
        p = 1 / (1 + math.exp(-logit))
        of_truth, weight = (p, 0.25) if true else (1 - p, 0.75)
        focal += weight * (1 - of_truth) ** 2 * -math.log(of_truth) / 4
        overlap, total = overlap + p * true, total + p + true
    dice = 1 - (2 * overlap + 1) / (total + 1)
    iou = 1 / 2  # two pixels are positive, one of them is the nucleus
    assert found == pytest.approx(20 * focal + dice + (0.9 - iou) ** 2, rel=1e-5)


def test_prompts_without_a_nucleus_count_nothing():
    logits, scores = torch.randn(1, 2, 4, 4, requires_grad=True), torch.tensor([[0.3, 0.9]])
    labels = torch.zeros(1, 8, 8, dtype=torch.int32)
    labels[0, :4] = 5
    options = SegmenterOptions()
    both = prompt_loss(logits, scores, labels, torch.tensor([[5, 0]]), options)
    one = prompt_loss(logits[:, :1], scores[:, :1], labels, torch.tensor([[5]]), options)
    torch.testing.assert_close(both, one)
    none = prompt_loss(logits, scores, labels, torch.tensor([[0, 0]]), options)
    none.backward()
    assert none.item() == 0
    assert not logits.grad.any()


def test_what_cannot_be_trained_is_refused(tmp_path, export, checkpoint, masked, sam, brief):
    with pytest.raises(RecordError, match="without a mask"):
        run_segmenter(Job((export,), sam, tmp_path / "o", brief), Events())
    with pytest.raises(CheckpointError, match="segmenter"):
        run_segmenter(Job((masked,), checkpoint, tmp_path / "o", brief), Events())
    assert not list(tmp_path.glob("o*"))
    with pytest.raises(InputError, match=r"segmenter\.jitter is 1\.5; expected 0 to 1"):
        parse_recipe("[segmenter]\njitter = 1.5\n", "bad")


def test_weights_that_are_no_numbers_stop_and_leave_their_batch(tmp_path, masked, sam, brief):
    model = SamModel.from_pretrained(sam, local_files_only=True)
    with torch.no_grad():
        model.mask_decoder.iou_token.weight[0, 0] = float("nan")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in sam.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    model.save_pretrained(broken)
    with pytest.raises(TrainingError, match="loss of step 1 is nan"):
        run_segmenter(Job((masked,), broken, tmp_path / "out", brief), Events())
    batch = load_file(tmp_path / "out.training" / "bad_batch.safetensors")
    assert batch["input_points"].shape == (2, 4, 1, 2)


# Outlines that clicks correct


@pytest.fixture(scope="module")
def follows(tmp_path_factory, masked, learned, recipe):
    """What draws discs, taught to correct outlines."""
    taught = replace(
        recipe,
        segmenter=replace(recipe.segmenter, clicks=2, outlines=True, weights="float32"),
        optimiser=replace(recipe.optimiser, steps=40, lr=2e-3),
        validation=replace(recipe.validation, every_steps=40),
    )
    out = tmp_path_factory.mktemp("follows") / "out"
    run_segmenter(Job((masked,), learned[0], out, taught), Events())
    return out


def test_it_learns_to_read_outlines_and_says_so(follows, learned):
    ours, parents = (load_file(f / "model.safetensors") for f in (follows, learned[0]))
    changed = {k for k in ours if k.startswith("prompt_encoder") and (ours[k] != parents[k]).any()}
    assert changed
    assert {k.split(".")[1] for k in changed} == {"mask_embed"}
    assert described(follows).reads_outlines
    assert not described(learned[0]).reads_outlines
    assert SamSegmenter(follows, device="cpu").info.reads_outlines


@pytest.mark.parametrize("trunk", [False, True])
def test_where_every_batch_is_corrected_the_whole_encoder_learns(
    tmp_path, masked, sam, brief, monkeypatch, trunk
):
    """transformers' `get_image_embeddings` keeps gradients from it."""
    monkeypatch.setattr(PromptedWindows, "_further_clicks", lambda *_: 1)
    start = sam
    if trunk:
        start = tmp_path / "start"
        graft_trunk_on_sam(sam, start)
    told = replace(brief.segmenter, clicks=1, outlines=True, weights="float32")
    rates = replace(brief.optimiser, steps=3, weight_decay=0.0, trunk_lr_ratio=0.1)
    out = tmp_path / "out"
    run_segmenter(
        Job((masked,), start, out, replace(brief, segmenter=told, optimiser=rates)), Events()
    )
    ours, parents = (load_file(f / "model.safetensors") for f in (out, start))
    encoder = {k: (ours[k] - parents[k]).abs() for k in ours if k.startswith("vision_encoder")}
    assert [k for k, moved in encoder.items() if not moved.any()] == []
    # AdamW moves a weight by about the rate in each step.
    stages = [moved.max() for k, moved in encoder.items() if ".stages." in k]
    assert len(stages) > 20 if trunk else not stages
    assert all(moved < 2 * 3 * 0.1 * rates.lr for moved in stages)


def test_told_an_outline_it_keeps_to_it_where_nothing_was_clicked(follows, discs):
    """A hole is bitten out of a nucleus' outline; a click there brings it back, and no more."""
    tile = discs[0]
    segmenter = SamSegmenter(follows, device="cpu")
    image, true = tile.open(), whole(tile.masks[0])
    bitten = true.copy()
    bitten[:, :12] = False
    prompt = Prompt(
        np.array([[14.0, 14.0], [9.5, 14.5]]), (True, True), outline=Mask.from_array(bitten)
    )
    ((answer,),) = draw_masks(image, [prompt], segmenter, mpp=tile.mpp)
    got = whole(answer.mask)
    assert (got & true).sum() / (got | true).sum() > 0.7
