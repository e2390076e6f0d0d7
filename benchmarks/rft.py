"""What matching-based shaping and filtering cost in a step of reinforcement fine-tuning.

The tiny preset with random weights on windows of noise, with as many nuclei and as long replies as
a crowded field has. A step is sampling, scoring, shaping, and one forward and backward pass over
all rollouts, without the optimiser. Random weights may end a reply early: sampling is then faster
than it would be, which counts against the claim.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks._harness import Claim, measure, report
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import LoadedCheckpoint, load_checkpoint
from napari_nunext.models.next_point.sampling import Sampling
from nunext_training.method.advantages import (
    filter_groups,
    group_advantages,
    token_advantages,
    varied_groups,
)
from nunext_training.method.rewards import ScoredReply, score_reply
from nunext_training.trainers.rollouts import (
    Rollouts,
    decode_windows,
    grammar_log_probabilities,
    rollout_batch,
)

WINDOWS = 2
ROLLOUTS = 8
NUCLEI = 30
RADIUS_UM = 3.0
REPEATS = 3


def replies(loaded: LoadedCheckpoint, truth: list[np.ndarray]) -> tuple[tuple[int, ...], ...]:
    """Replies of a model that finds most nuclei, some a little off, and some that are none."""
    rng = np.random.default_rng(1)
    side = loaded.description.window_px
    codec = loaded.description.codec
    said = []
    for true_xy in truth:
        for _ in range(ROLLOUTS):
            found = true_xy[rng.random(NUCLEI) < rng.uniform(0.6, 0.95)]
            false = rng.uniform(0, side, (rng.integers(2, 8), 2))
            off = rng.normal(scale=2.0, size=found.shape)
            said.append(codec.encode(np.concatenate([found + off, false])))
    return tuple(said)


def learn_s(loaded: LoadedCheckpoint, rollouts: Rollouts) -> float:
    """Best time of one forward and backward pass over all rollouts."""
    pad_id = loaded.windows.processor.tokenizer.pad_token_id
    inputs = rollout_batch(rollouts, ROLLOUTS, pad_id)
    ids, mask = inputs["completion_ids"], inputs["completion_mask"]
    sampling = Sampling(1.0, ())

    def learn() -> None:
        whole = rollouts.prompt.rows(inputs["window"]).followed_by(ids, mask)
        logits = loaded.model(**whole, logits_to_keep=ids.shape[1] + 1, use_cache=False).logits[
            :, :-1
        ]
        log_p, _ = grammar_log_probabilities(logits, ids, loaded.description.codec, sampling)
        (log_p * mask).sum().backward()
        loaded.model.zero_grad()

    return measure(learn, repeats=REPEATS).best_s


def main() -> None:
    """Measure."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "tiny"
        build_checkpoint(folder, size="tiny")
        loaded = load_checkpoint(folder, device="cpu", dtype=torch.float32)
    rng = np.random.default_rng(0)
    description = loaded.description
    side, codec = description.window_px, description.codec
    windows = list(rng.integers(0, 256, (WINDOWS, side, side, 3), dtype=np.uint8))
    truth = [rng.uniform(0, side, (NUCLEI, 2)) for _ in windows]
    rollouts = Rollouts(loaded.windows(windows), replies(loaded, truth))
    lengths = [len(reply) for reply in rollouts.replies]

    start = time.perf_counter()
    decode_windows(
        loaded,
        loaded.model,
        windows,
        max_points=NUCLEI,
        sampling=Sampling(1.0, range(WINDOWS), ROLLOUTS),
    )
    sampling_s = time.perf_counter() - start

    radius_px = RADIUS_UM / description.mpp

    def score() -> list[ScoredReply]:
        return [
            score_reply(reply, truth[i // ROLLOUTS], codec, radius_px=radius_px)
            for i, reply in enumerate(rollouts.replies)
        ]

    scored = score()
    rewards = np.array([s.reward for s in scored]).reshape(WINDOWS, ROLLOUTS)

    def shape() -> None:
        advantages = filter_groups(group_advantages(rewards), varied_groups(rewards, 0.02))
        token_advantages(scored, advantages.ravel(), lengths, 0.5)

    scoring_s = measure(score, repeats=REPEATS).best_s
    shaping_s = measure(shape, repeats=REPEATS).best_s
    learning_s = learn_s(loaded, rollouts)
    step_s = sampling_s + scoring_s + shaping_s + learning_s
    report(
        "rft",
        [
            Claim("method.shaping_share_of_step", shaping_s / step_s, 0.02, "lower"),
            Claim(
                "method.scoring_and_shaping_share_of_step",
                (scoring_s + shaping_s) / step_s,
                0.02,
                "lower",
            ),
        ],
        details={
            "sampling_s": sampling_s,
            "scoring_s": scoring_s,
            "shaping_s": shaping_s,
            "learning_s": learning_s,
            "windows": WINDOWS,
            "rollouts": ROLLOUTS,
            "nuclei": NUCLEI,
        },
    )


if __name__ == "__main__":
    main()
