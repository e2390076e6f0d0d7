from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from napari_nunext.models.next_point.decoder import decode_batch, end_by_majority, last_position
from napari_nunext.models.next_point.sampling import Sampling

if TYPE_CHECKING:
    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

MAX_POINTS = 12
Windows = "list[NDArray[np.uint8]]"


class Grammar(LogitsProcessor):
    """The codec's grammar, and its end, for transformers' own `generate`: the whole vocabulary."""

    def __init__(self, codec: Codec, prompt_length: int) -> None:
        self.codec = codec
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        allowed = torch.from_numpy(self.codec.allowed_at(input_ids.shape[1] - self.prompt_length))
        masked = torch.full_like(scores, -torch.inf)
        masked[:, allowed] = end_by_majority(scores[:, allowed], allowed == self.codec.end_id)
        return masked


def decode(
    checkpoint: LoadedCheckpoint, windows: Windows, rollouts: int = 1, **options: Any
) -> list[list[int]]:
    replies: list[list[int]] = [[] for _ in range(len(windows) * rollouts)]
    steps = decode_batch(
        checkpoint.model,
        checkpoint.windows(windows),
        checkpoint.description.codec,
        max_points=MAX_POINTS,
        **options,
    )
    for step in steps:
        for row, position, token in zip(
            step.rows.tolist(), step.positions.tolist(), step.token_ids.tolist(), strict=True
        ):
            assert len(replies[row]) == position
            replies[row].append(token)
    return replies


def generate(checkpoint: LoadedCheckpoint, windows: Windows) -> list[list[int]]:
    codec = checkpoint.description.codec
    inputs = checkpoint.windows(windows)
    length = inputs["input_ids"].shape[1]
    output = checkpoint.model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=last_position(codec, MAX_POINTS) + 1,
        logits_processor=LogitsProcessorList([Grammar(codec, length)]),
    )
    replies = output[:, length:].tolist()
    return [r[: r.index(codec.end_id) + 1] if codec.end_id in r else r for r in replies]


def test_greedy_decoding_gives_the_tokens_of_generate_under_the_same_grammar(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    expected = generate(checkpoint, windows)
    assert decode(checkpoint, windows) == expected
    assert len({tuple(r) for r in expected}) > 1, "the windows must not all read alike"


def test_a_reply_ends_where_ending_is_likelier_than_all_coordinates_together() -> None:
    probabilities = torch.tensor(
        [
            [0.2, 0.2, 0.2, 0.4],  # the end is the likeliest token, yet more nuclei are likelier
            [0.1, 0.2, 0.1, 0.6],
            [0.5, 0.2, 0.2, 0.1],
            [0.25, 0.15, 0.1, 0.5],  # a tie goes on
        ]
    )
    is_end = torch.tensor([False, False, False, True])
    assert end_by_majority(probabilities.log(), is_end).argmax(dim=-1).tolist() == [0, 3, 0, 0]


def test_without_an_end_or_with_one_rival_it_is_the_likeliest_token() -> None:
    scores = torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    no_end = torch.zeros(7, dtype=torch.bool)
    assert torch.equal(end_by_majority(scores, no_end).argmax(-1), scores.argmax(-1))
    comma_or_end = torch.tensor([False, True])
    pair = scores[:, :2]
    assert torch.equal(end_by_majority(pair, comma_or_end).argmax(-1), pair.argmax(-1))


def test_a_batch_reads_as_its_windows_one_by_one(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    assert decode(checkpoint, windows) == [decode(checkpoint, [w])[0] for w in windows]


def test_every_reply_follows_the_grammar_or_was_cut_off_at_the_last_position(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    codec = checkpoint.description.codec
    for reply in decode(checkpoint, windows):
        parsed = codec.parse(reply)
        if parsed.failure is not None:
            assert parsed.failure.reason == "no end"
            assert len(reply) == last_position(codec, MAX_POINTS) + 1


def test_probabilities_are_the_soft_max_of_a_full_forward_over_the_allowed_tokens(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    codec = checkpoint.description.codec
    inputs = checkpoint.windows(windows[:2])
    steps = list(decode_batch(checkpoint.model, inputs, codec, max_points=MAX_POINTS))
    reply = decode(checkpoint, windows[:1])[0]
    ids = torch.cat([inputs["input_ids"][:1], torch.tensor([reply])], dim=1)
    patches = len(inputs["pixel_values"]) // 2
    with torch.no_grad():
        logits = checkpoint.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=torch.nn.functional.pad(
                inputs["mm_token_type_ids"][:1], (0, len(reply))
            ),
            pixel_values=inputs["pixel_values"][:patches],
            image_grid_thw=inputs["image_grid_thw"][:1],
        ).logits[0]
    before = inputs["input_ids"].shape[1] - 1
    for position, step in enumerate(steps[: len(reply)]):
        here = step.rows.tolist().index(0)
        assert step.positions[here] == position
        expected = logits[before + position, step.allowed_ids].softmax(-1)
        torch.testing.assert_close(
            step.probabilities[here].double(), expected, rtol=1e-5, atol=1e-6
        )


def test_cancelling_stops_at_the_next_step(checkpoint: LoadedCheckpoint, windows: Windows) -> None:
    seen = 0

    def cancelled() -> bool:
        return seen >= 2

    steps = decode_batch(
        checkpoint.model,
        checkpoint.windows(windows),
        checkpoint.description.codec,
        max_points=MAX_POINTS,
        cancelled=cancelled,
    )
    for _ in steps:
        seen += 1
    assert seen == 2


def test_decoding_leaves_gradients_as_the_caller_has_them(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    steps = decode_batch(
        checkpoint.model,
        checkpoint.windows(windows),
        checkpoint.description.codec,
        max_points=2,
    )
    next(steps)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_rollouts_follow_the_grammar_differ_and_repeat_with_the_seed(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    def sample(seed: int) -> list[list[int]]:
        sampling = Sampling(1.0, (seed, seed + 1), rollouts=4)
        return decode(checkpoint, windows[:2], rollouts=4, sampling=sampling)

    replies = sample(0)
    assert len(replies) == 8
    assert len({tuple(r) for r in replies}) > 4
    assert replies == sample(0)
    for reply in replies:
        failure = checkpoint.description.codec.parse(reply).failure
        assert failure is None or failure.reason == "no end"


def test_what_a_window_draws_does_not_depend_on_its_neighbours(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    def sample(some: Windows, *seeds: int) -> list[list[int]]:
        return decode(checkpoint, some, rollouts=3, sampling=Sampling(1.0, seeds, rollouts=3))

    together = sample(windows[:3], 5, 6, 7)
    assert together[3:6] == sample(windows[1:2], 6)
    assert together[:3] + together[6:] == sample([windows[0], windows[2]], 5, 7)


def test_a_cold_temperature_samples_the_likeliest_tokens(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    cold = Sampling(1e-4, range(len(windows)))
    steps = decode_batch(
        checkpoint.model,
        checkpoint.windows(windows),
        checkpoint.description.codec,
        max_points=MAX_POINTS,
        sampling=cold,
    )
    for step in steps:
        likeliest = step.allowed_ids[step.probabilities.argmax(dim=-1)]
        assert torch.equal(step.token_ids, likeliest)


def test_sampling_refuses_a_temperature_of_zero() -> None:
    with pytest.raises(ValueError, match="greedy"):
        Sampling(0.0, (0,))
