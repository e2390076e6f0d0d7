from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.decoder import decode_batch
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.trainers.rollouts import (
    decode_windows,
    grammar_log_probabilities,
    rollout_batch,
    rollout_seed,
)

GROUP = 3


def sampling(temperature=1.0, narrow=1.0):
    return Sampling(temperature, (7, 8), GROUP, narrow)


def noise(n):
    return list(np.random.default_rng(3).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8))


@pytest.fixture(params=["checkpoint", "category_checkpoint"])
def loaded(request):
    return load_checkpoint(request.getfixturevalue(request.param), dtype=torch.float32)


def batch_and_log_p(loaded, temperature=1.0, narrow=1.0):
    """Rollouts, and what the training's forward pass says of them."""
    drawn_by = sampling(temperature, narrow)
    rollouts = decode_windows(loaded, loaded.model, noise(2), max_points=4, sampling=drawn_by)
    batch = rollout_batch(rollouts, GROUP, loaded.windows.processor.tokenizer.pad_token_id)
    length = batch["completion_ids"].shape[1]
    with torch.no_grad():
        prompt = rollouts.prompt.rows(batch["window"])
        whole = prompt.followed_by(batch["completion_ids"], batch["completion_mask"])
        logits = loaded.model(**whole, logits_to_keep=length + 1).logits[:, :-1]
    codec = loaded.description.codec
    log_p, entropy = grammar_log_probabilities(logits, batch["completion_ids"], codec, drawn_by)
    return rollouts, batch, logits, log_p, entropy


def test_learning_sees_the_probabilities_that_sampling_drew_from(loaded):
    rollouts, _, _, log_p, entropy = batch_and_log_p(loaded)
    steps = decode_batch(
        loaded.model,
        loaded.windows(noise(2)),
        loaded.description.codec,
        max_points=4,
        sampling=sampling(),
    )
    compared = 0
    for step in steps:
        said = zip(step.rows, step.positions, step.token_ids, step.probabilities, strict=True)
        for row, position, token, p in said:
            assert rollouts.replies[row][position] == token  # the same seed, the same draw
            drawn = p[step.allowed_ids == token].log()
            torch.testing.assert_close(log_p[row, position], drawn[0], atol=1e-4, rtol=1e-4)
            expected = -(p * p.log()).sum()
            torch.testing.assert_close(entropy[row, position], expected, atol=1e-4, rtol=1e-4)
            compared += 1
    assert compared == sum(len(reply) for reply in rollouts.replies)


@pytest.mark.parametrize("narrow", [1.0, 0.3])
def test_log_probabilities_by_brute_force_at_temperatures(loaded, narrow):
    _, batch, logits, log_p, _ = batch_and_log_p(loaded, 0.7, narrow)
    codec = loaded.description.codec
    first = codec.coordinate_start_id
    seen = set()
    for row, reply in enumerate(batch["completion_ids"]):
        for t in range(int(batch["completion_mask"][row].sum())):
            weights = {i: float(logits[row, t, i] / 0.7) for i in codec.allowed_at(t).tolist()}
            total = np.logaddexp.reduce(list(weights.values()))
            expected = weights[int(reply[t])] - total
            places = {i: w for i, w in weights.items() if first <= i < first + codec.bins}
            if int(reply[t]) in places:
                among = {i: w / narrow for i, w in places.items()}
                expected = np.logaddexp.reduce(list(places.values())) - total
                expected += among[int(reply[t])] - np.logaddexp.reduce(list(among.values()))
            assert float(log_p[row, t]) == pytest.approx(expected, abs=1e-4)
            seen.add(int(reply[t]) in places)
    assert seen == {True, False}


def test_padding_is_masked_and_harmless(loaded):
    rollouts, batch, _, log_p, entropy = batch_and_log_p(loaded)
    assert batch["completion_mask"].sum(dim=1).tolist() == [len(r) for r in rollouts.replies]
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(entropy).all()


def test_each_window_is_repeated_for_its_replies(loaded):
    rollouts, batch, _, _, _ = batch_and_log_p(loaded)
    prompt = rollouts.prompt.rows(batch["window"])
    pixels = prompt["pixel_values"].unflatten(0, (2 * GROUP, -1))
    assert torch.equal(pixels[0], pixels[GROUP - 1])
    assert not torch.equal(pixels[0], pixels[GROUP])
    assert len(batch["prompt_ids"]) == len(prompt["image_grid_thw"]) == 2 * GROUP


def test_greedy_decoding_has_one_reply_a_window_and_leaves_the_mode(loaded):
    loaded.model.train()
    rollouts = decode_windows(loaded, loaded.model, noise(2), max_points=4)
    assert len(rollouts.replies) == 2
    assert loaded.model.training


def test_every_window_draws_on_its_own_and_always_the_same():
    seeds = {rollout_seed(seed, window) for seed in range(3) for window in range(20)}
    assert len(seeds) == 60
    assert rollout_seed(0, 5) == rollout_seed(0, 5)
