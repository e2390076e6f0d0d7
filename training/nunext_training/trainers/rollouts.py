"""Rollouts: sampled replies, as the tensors that a policy gradient needs.

Sampling and learning see one distribution: the tokens that the codec's grammar allows at a
position, at the temperatures of the rollouts (`napari_nunext.models.next_point.sampling`). A
token's log-probability is that among its alternatives, not in the whole vocabulary, of which
sampling never drew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from napari_nunext.models.next_point.decoder import decode_batch
from napari_nunext.models.next_point.sampling import tempered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.families.prompt import Prompt
    from napari_nunext.models.next_point.sampling import Sampling


@dataclass(frozen=True, eq=False, slots=True)
class Rollouts:
    """Replies to the windows of a batch."""

    prompt: Prompt
    """One row for each window."""
    replies: tuple[tuple[int, ...], ...]
    """Without padding; the k-th of window i at ``i * rollouts + k``. One that was cut off has no
    end token."""


def decode_windows(
    checkpoint: LoadedCheckpoint,
    model: PreTrainedModel,
    windows: Sequence[NDArray[np.uint8]],
    *,
    max_points: int,
    sampling: Sampling | None = None,
    asked: Sequence[Sequence[str]] = (),
) -> Rollouts:
    """Decode replies to windows under the grammar.

    Parameters
    ----------
    checkpoint : LoadedCheckpoint
        Gives codec and prompt.
    model : PreTrainedModel
        With the weights of now; left in the mode that it is in.
    windows : sequence of ndarray
        RGB, of the checkpoint's size.
    max_points : int
        A reply that has not ended after so many points is cut off.
    sampling : Sampling, optional
        Greedy when None, with one reply for each window.
    asked : sequence of sequence of str, optional
        The categories that each window is asked for alone; everything by default.
    """
    asked = [tuple(each) for each in asked] or [()] * len(windows)
    copies = 1 if sampling is None else sampling.rollouts
    replies: list[list[int]] = [[] for _ in range(len(windows) * copies)]
    was_training = model.training
    model.train(False)
    try:
        for each in dict.fromkeys(asked):  # a decoder wants prompts without padding
            mine = [i for i, other in enumerate(asked) if other == each]
            steps = decode_batch(
                model,
                checkpoint.windows([windows[i] for i in mine], model.device, [each] * len(mine)),
                checkpoint.description.codec,
                max_points=max_points,
                sampling=_of_windows(sampling, mine),
            )
            for step in steps:
                for row, token in zip(step.rows.tolist(), step.token_ids.tolist(), strict=True):
                    replies[mine[row // copies] * copies + row % copies].append(token)
    finally:
        model.train(was_training)
    prompt = checkpoint.windows(windows, model.device, asked)
    return Rollouts(prompt, tuple(tuple(reply) for reply in replies))


def _of_windows(sampling: Sampling | None, windows: Sequence[int]) -> Sampling | None:
    if sampling is None:
        return None
    return replace(sampling, seeds=tuple(sampling.seeds[i] for i in windows))


def rollout_seed(seed: int, window: int) -> int:
    """Seed of the rollouts of a run's i-th window.

    A run that goes on draws what it would have drawn, and so does one that several processes share.
    """
    return int(np.random.SeedSequence((seed, window)).generate_state(1)[0])


def rollout_batch(
    rollouts: Rollouts,
    group_size: int,
    pad_id: int,
    more: Sequence[tuple[int, Sequence[int]]] = (),
) -> dict[str, Tensor]:
    """Replies, and which prompt each follows, by the names that TRL knows.

    Parameters
    ----------
    rollouts : Rollouts
    group_size : int
        G, replies to each window.
    pad_id : int
    more : sequence of (int, sequence of int)
        Replies that were not sampled, each with the index of its window: the last rows.

    Returns
    -------
    dict of Tensor
        ``prompt_ids``, ``prompt_mask`` (N, P); ``completion_ids``, ``completion_mask`` (N, T), one
        row for each reply; and ``window`` (N,), its row in `Rollouts.prompt`. TRL shuffles rows and
        cuts them into passes: so images stay where they are, once for each window.
    """
    prompt = rollouts.prompt
    device = prompt.ids.device
    window_of = torch.arange(len(prompt.ids)).repeat_interleave(group_size).tolist()
    at = torch.tensor([*window_of, *(window for window, _ in more)], device=device)
    said = (*rollouts.replies, *(reply for _, reply in more))
    replies = [torch.tensor(reply, device=device) for reply in said]
    ids = pad_sequence(replies, batch_first=True, padding_value=pad_id)
    mask = pad_sequence([torch.ones_like(r) for r in replies], batch_first=True)
    return {
        "prompt_ids": prompt.ids[at],
        "prompt_mask": prompt.mask[at],
        "completion_ids": ids,
        "completion_mask": mask,
        "window": at,
    }


def grammar_log_probabilities(
    logits: Tensor, reply_ids: Tensor, codec: Codec, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """Log-probability of each token among those that the grammar allows, and the entropy.

    Parameters
    ----------
    logits : Tensor, shape (N, T, V)
        ``logits[:, t]`` predicts ``reply_ids[:, t]``.
    reply_ids : Tensor of int, shape (N, T)
        Padded on the right.
    codec : Codec
    sampling : Sampling
        What the replies were drawn by: its temperatures are those of the distribution.

    Returns
    -------
    Tensor, shape (N, T)
        Log-probabilities, float32. What stands at padding means nothing, and is finite.
    Tensor, shape (N, T)
        Entropy of the distribution, in nats; carries no gradient.
    """
    length = reply_ids.shape[1]
    log_p = logits.new_zeros(reply_ids.shape, dtype=torch.float32)
    entropy = torch.zeros_like(log_p)
    phases = [codec.phase_at(t) for t in range(length)]
    for phase in dict.fromkeys(phases):
        at = torch.tensor([t for t in range(length) if phases[t] == phase], device=logits.device)
        allowed = torch.from_numpy(codec.allowed_at(int(at[0]))).to(logits.device)
        scores = tempered(
            logits[:, at][..., allowed].float(),
            torch.from_numpy(codec.coordinates_at(int(at[0]))),
            sampling.temperature,
            sampling.coordinate_temperature,
        )
        all_log_p = scores.log_softmax(dim=-1)
        # Ids are ascending; those of padding land anywhere inside.
        index = torch.searchsorted(allowed, reply_ids[:, at].contiguous())
        chosen = all_log_p.gather(-1, index.clamp(max=len(allowed) - 1)[..., None])[..., 0]
        log_p = log_p.index_copy(1, at, chosen)
        with torch.no_grad():
            entropy[:, at] = -(all_log_p.exp() * all_log_p).sum(dim=-1)
    return log_p, entropy
