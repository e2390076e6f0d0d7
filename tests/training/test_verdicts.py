from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.core.formats.json_lines import read_jsonl, write_jsonl
from napari_nunext.core.formats.records import RFT_FILE, JudgedPoint, RftRecord, Rollout, SftRecord
from napari_nunext.core.geometry import Box
from napari_nunext.core.identity import file_sha256
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.data.crops import Crop
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import (
    LabelledImage,
    known_categories_only,
    rename_categories,
)
from nunext_training.data.sources import read_source
from nunext_training.data.verdicts import JudgedWindow, Verdicts
from nunext_training.data.windows import Example, RandomWindows, WindowSpec
from nunext_training.method.advantages import advantages_in_groups, group_advantages
from nunext_training.method.rewards import score_reply
from nunext_training.recipes.recipe import parse_recipe
from nunext_training.recipes.sections import WindowOptions
from nunext_training.recipes.stage_sections import RftOptions
from nunext_training.stages.rft import RftJob, run_rft
from nunext_training.tasks.scoring import RolloutScorer
from nunext_training.trainers.grpo import NextPointGrpoTrainer

RECIPE = parse_recipe(
    """
    [windows]
    scale_range = [1.0, 1.0]
    stain_strength = 0.0
    [validation]
    images = 0
    [rft]
    steps = 1
    windows_per_step = 2
    rollouts = 2
    warmup_steps = 0
    """,
    "verdicts",
)
MPP = 0.5
REACH_PX = 3.0 / MPP


def said(points_xy, verdicts, categories=None):
    names = categories or ["Round"] * len(verdicts)
    return tuple(
        JudgedPoint(float(x), float(y), name, None, verdict)
        for (x, y), verdict, name in zip(points_xy, verdicts, names, strict=True)
    )


def judged_image(nuclei_xy, points, missed):
    nuclei_xy = np.asarray(nuclei_xy, dtype=float).reshape(-1, 2)
    return LabelledImage(
        *("a", "a.png", MPP, "user", nuclei_xy, ("Round",) * len(nuclei_xy), "train", "p"),
        rollout=Rollout(points, missed),
    )


def turned(point_xy, crop):
    """A point's place in a window, by complex numbers about the window's middle."""
    middle = complex(crop.box.x0 + crop.box.x1, crop.box.y0 + crop.box.y1) / 2
    z = (complex(*point_xy) - middle) * crop.window_px / crop.box.width
    if crop.mirrored:
        z = -z.conjugate()
    z *= (-1j) ** crop.quarter_turns  # counter-clockwise, with y pointing down
    return z.real + crop.window_px / 2, z.imag + crop.window_px / 2


@given(st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 3))
def test_a_window_has_its_own_points_and_its_own_misses(seed, mirrored, turns):
    rng = np.random.default_rng(seed)
    # So far apart that each true positive has one nucleus within 3 um, wherever it was moved.
    cells = rng.permutation(16)[: rng.integers(1, 12)]
    nuclei = np.stack([cells % 4, cells // 4], axis=1) * 25.0 + 10 + rng.uniform(-1, 1, (1, 2))
    found = rng.random(len(nuclei)) < 0.6
    angle = rng.uniform(0, 2 * np.pi, len(nuclei))
    moved = nuclei + (
        rng.uniform(0, REACH_PX, (len(nuclei), 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
    )
    invented = rng.uniform(0, 100, (rng.integers(0, 5), 2))
    points_xy = np.concatenate([moved[found], invented])
    verdicts = ["tp"] * found.sum() + ["fp"] * len(invented)
    order = rng.permutation(len(points_xy))
    points = said(points_xy[order], [verdicts[i] for i in order])
    image = judged_image(nuclei, points, missed=int((~found).sum()))
    x0, y0, side = *rng.uniform(-5, 70, 2), rng.uniform(20, 50)
    crop = Crop(Box(x0, y0, x0 + side, y0 + side), 32, mirrored, turns)

    def inside(p):
        return x0 <= p[0] < x0 + side and y0 <= p[1] < y0 + side

    seen = np.array([i for i, p in enumerate(nuclei) if inside(p)], dtype=int)
    seen_xy = np.array([turned(nuclei[i], crop) for i in seen]).reshape(-1, 2)
    window = Verdicts.of(image).in_window(crop, seen, seen_xy)
    expected = [p for p in points if inside((p.x, p.y))]
    assert [p.verdict for p in window.points] == [p.verdict for p in expected]
    for got, want in zip(window.points, expected, strict=True):
        assert (got.x, got.y) == pytest.approx(turned((want.x, want.y), crop))
    missed = [
        turned(p, crop)
        for p, m, was_found in zip(nuclei, moved, found, strict=True)
        if inside(p) and not (was_found and inside(m))
    ]
    np.testing.assert_allclose(window.missed_xy, np.array(missed).reshape(-1, 2), atol=1e-9)


def test_a_whole_region_misses_what_people_counted():
    points = said([(10, 10), (32, 30), (80, 80)], ["tp", "tp", "fp"])
    image = judged_image([(10, 10), (30, 30), (60, 60), (61, 20)], points, missed=2)
    crop = Crop(Box(0, 0, 100, 100), 100)
    whole = Verdicts.of(image).in_window(crop, np.arange(4), image.points_xy)
    assert whole.points == image.rollout.points
    assert whole.missed_xy.tolist() == [[60, 60], [61, 20]]
    assert Verdicts.of(replace(image, rollout=None)) is None


def test_what_the_checkpoint_cannot_write_is_left_out_and_names_follow_the_nuclei():
    image = judged_image([(5, 5)], said([(5, 5), (9, 9)], ["tp", "fp"], ["Old", "round"]), 0)
    (renamed,) = rename_categories([image], {"Old": "ROUND"})
    kept, _ = known_categories_only([renamed, image], ["Round"], strict=True)
    assert [p.category for p in kept[0].rollout.points] == ["Round", "Round"]
    assert kept[1].rollout is None
    assert len(kept[1].points_xy) == 1  # its truth is learned from as before


@given(st.lists(st.lists(st.floats(0, 1), min_size=2, max_size=5), min_size=1, max_size=4))
def test_eq_11_is_a_mean_of_groups_however_many_rollouts_each_has(groups):
    """The loss of log-probabilities that are their own row's number, with some rows to spare."""
    rewards = np.array([r for group in groups for r in group])
    of = np.array([i for i, group in enumerate(groups) for _ in group])
    kept = np.array([np.std(group) >= 0.1 for group in groups])
    rows = len(rewards) + 2
    advantages = advantages_in_groups(rewards, of, kept, rows=rows)
    loss = sum(a * n for n, a in enumerate(advantages, start=1)) / rows
    terms, n = [], 0
    for group, is_kept in zip(groups, kept, strict=True):
        own = group_advantages([group])[0]
        term = np.mean([a * (n + i) for i, a in enumerate(own, start=1)])
        n += len(group)
        if is_kept:
            terms.append(term)
    assert loss == pytest.approx(np.mean(terms) if terms else 0.0, abs=1e-9)


# Through an export and a run


@pytest.fixture(scope="module")
def export(tmp_path_factory, labelled_tile):
    """Two tiles of the size of a window, so that every window is a whole region; one is judged."""
    folder = tmp_path_factory.mktemp("judged")
    tiles = [
        labelled_tile(folder, name, points, width=32, height=32)
        for name, points in (("a", [(8, 8), (24, 8), (16, 24)]), ("b", [(20, 20)]))
    ]
    write_export(
        tiles, folder / "export", categories=default_categories(["Round"]), origin="synthetic"
    )
    judge_first(
        folder / "export", said([(24.4, 8.2), (10.3, 26.1), (8.1, 8.3)], ["tp", "fp", "tp"])
    )
    return folder / "export"


def judge_first(folder, points):
    records = []
    for _, sft in read_jsonl(folder / "sft.jsonl", SftRecord.from_json):
        rollout = Rollout(points, missed=1, rating=0.9) if len(sft.nuclei) == 3 else None
        prompt = sft.messages[:1]
        records.append(
            RftRecord(sft.id, "nuclei", sft.images, prompt, sft.nuclei, sft.source, rollout)
        )
    write_jsonl(folder / RFT_FILE, records)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][RFT_FILE] = file_sha256(folder / RFT_FILE)
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Silent:
    def start(self, **values):
        pass

    step = doing = validation = done = start


@pytest.fixture
def batches(monkeypatch):
    seen = []
    compute = NextPointGrpoTrainer._compute_loss

    def spy(self, model, inputs):
        loss = compute(self, model, inputs)
        seen.append((inputs | dict(self._prompt.rows(inputs["window"])), loss.item()))
        return loss

    monkeypatch.setattr(NextPointGrpoTrainer, "_compute_loss", spy)
    return seen


def changed(**rft):
    return replace(RECIPE, rft=replace(RECIPE.rft, **rft))


def rows_of(batches):
    """Reply without padding, its advantages, and the pixels it is about, of every row of a run."""
    rows = []
    for inputs, _ in batches:
        pixels = inputs["pixel_values"].reshape(len(inputs["completion_ids"]), -1)
        for ids, mask, advantages, seen in zip(
            *(inputs["completion_ids"], inputs["completion_mask"], inputs["advantages"], pixels),
            strict=True,
        ):
            n = int(mask.sum())
            assert not advantages[n:].any()
            rows.append((tuple(ids[:n].tolist()), advantages[:n].numpy(), seen.numpy().tobytes()))
    return rows


def metrics(out):
    (step,) = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return step


def test_an_exports_rollout_comes_with_its_image(export):
    judged, plain = sorted(read_source(export).images, key=lambda i: -len(i.points_xy))
    assert [p.verdict for p in judged.rollout.points] == ["tp", "fp", "tp"]
    assert plain.rollout is None


@pytest.mark.parametrize("accumulation", [1, 4])
def test_a_judged_reply_joins_the_group_of_its_window(
    tmp_path, export, checkpoint, batches, accumulation
):
    """Rows, rewards, Eq. 12 and Eq. 18 of a batch, computed again by hand."""
    recipe = changed(windows_per_step=6, filter_groups=False, accumulation=accumulation)
    run_rft(RftJob((export,), checkpoint, tmp_path / "out", recipe), Silent())
    codec = load_checkpoint(checkpoint).description.codec
    windows = RandomWindows(
        read_source(export).images,
        WindowSpec(codec.window_px, MPP),
        replace(WindowOptions(), scale_range=(1.0, 1.0), stain_strength=0.0),
        length=6,
        seed=RECIPE.seed,
        verdicts=True,
    )
    judged = [windows[i] for i in range(6) if windows[i].judged is not None]
    assert 0 < len(judged) < 6
    assert len({example.crop for example in judged}) > 1  # turned in several ways
    assert metrics(tmp_path / "out")["verdicts"] == len(judged)

    rows = rows_of(batches)
    spare = -(12 + len(judged)) % accumulation
    assert len(rows) == 12 + len(judged) + spare
    assert sum(not advantages.any() for _, advantages, _ in rows) >= spare
    for example in judged:
        points = example.judged.points
        reply = codec.encode(np.array([(p.x, p.y) for p in points]))
        ((advantages, pixels),) = ((a, p) for ids, a, p in rows if ids == reply and a.any())
        sampled = [ids for ids, _, p in rows if p == pixels and ids != reply]
        assert len(sampled) == 2
        rewards = [
            score_reply(ids, example.points_xy, codec, radius_px=REACH_PX).reward for ids in sampled
        ]
        rewards.append(2 * 2 / (2 * 2 + 1 + 1))  # two found, one invented, one missed; no rating
        whole = advantages[-1]
        assert whole == pytest.approx(len(rows) / (6 * 3) * group_advantages([rewards])[0, -1])
        right = {tuple(codec.to_bins(np.array([[p.x, p.y]]))[0]): p.verdict == "tp" for p in points}
        for n, advantage in enumerate(advantages[:-1]):
            start = n // 3 * 3
            bins = tuple(t - codec.coordinate_start_id for t in reply[start : start + 2])
            spared = right[bins] == (whole < 0)
            assert advantage == pytest.approx(whole / 2 if spared else whole)


def test_verdicts_can_be_left_out(tmp_path, export, checkpoint, batches):
    out = tmp_path / "out"
    run_rft(RftJob((export,), checkpoint, out, changed(use_verdicts=False)), Silent())
    assert len(rows_of(batches)) == 4
    assert metrics(out)["verdicts"] == 0


def test_verdicts_on_more_points_than_a_reply_may_have_are_left_out(checkpoint):
    loaded = load_checkpoint(checkpoint)
    most = loaded.description.max_points
    scorer = RolloutScorer(loaded, RftOptions())

    def example(n):
        points = said(np.full((n, 2), 5.0), ["tp"] * n)
        crop = Crop(Box(0, 0, 32, 32), 32)
        return Example(
            None, np.empty((0, 2)), None, "a", crop, judged=JudgedWindow(points, np.empty((0, 2)))
        )

    reply, scored = scorer.score_verdicts(example(most))
    assert (len(reply), scored.reward) == (3 * most, 1.0)
    assert scorer.score_verdicts(example(most + 1)) is None


def test_the_task_guided_reward_counts_the_masks_of_judged_points_too(checkpoint):
    truth = np.zeros((32, 32), dtype=np.int32)
    truth[4:9, 4:9] = 1
    asked = []

    def draw(rgb, points_xy):
        asked.append(points_xy)
        return truth

    example = Example(
        *(None, np.array([(6.5, 6.5)]), None, "a", Crop(Box(0, 0, 32, 32), 32), truth),
        judged=JudgedWindow(
            said([(20.1, 20.2), (6.4, 6.6)], ["fp", "tp"]), missed_xy=np.empty((0, 2))
        ),
    )
    scorer = RolloutScorer(
        load_checkpoint(checkpoint), RftOptions(task_guided=True, gamma=0.25), draw
    )
    _, scored = scorer.score_verdicts(example)
    assert scored.reward == pytest.approx(2 / 3 + 0.25)
    np.testing.assert_allclose(asked[0], [(6.5, 6.5), (20.5, 20.5)])  # as the tokens say them


def test_what_lies_in_the_margin_counts_for_nothing_in_verdicts_either(checkpoint):
    points = said([(1, 16), (16, 16), (31, 9), (20, 20)], ["fp", "tp", "tp", "fp"])
    missed = np.array([(2.0, 2.0), (16.0, 25.0)])
    example = Example(
        *(None, np.empty((0, 2)), None, "a", Crop(Box(0, 0, 32, 32), 32)),
        judged=JudgedWindow(points, missed),
    )
    loaded = load_checkpoint(checkpoint)  # 0.5 um/px

    def rewards(margin_um):
        _, scored = RolloutScorer(loaded, RftOptions(margin_um=margin_um)).score_verdicts(example)
        return scored.reward, scored.is_false_positive.tolist()

    # In raster order: (31, 9) tp, (1, 16) fp, (16, 16) tp, (20, 20) fp.
    assert rewards(0.0) == (pytest.approx(2 * 2 / (4 + 2 + 2)), [False, True, False, True])
    assert rewards(2.0) == (pytest.approx(2 * 1 / (2 + 1 + 1)), [False, False, False, True])
