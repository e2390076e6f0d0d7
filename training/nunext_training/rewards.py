"""Rewards of reinforcement fine-tuning, as pure functions of tokens and truth.

NuNext, section 3.4: a reply that fails the format check is worth nothing; any other is worth its
F1 against the nuclei of the window (Eq. 13-17), and, where masks are wanted, the panoptic quality
of the masks that its points prompt (Eq. 19).

Ours, because the paper does not say: nothing written where nothing is has F1 = 1, and so has its
panoptic quality; categories do not enter; points of a reply that fails the check are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_nunext.core.instances import pq
from napari_nunext.core.matching import match_points
from napari_nunext.core.metrics import DetectionScore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec, Parsed
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.matching import Matching, Method


@dataclass(frozen=True, eq=False, slots=True)
class ScoredReply:
    """What a reply is worth, and which of its points are right."""

    parsed: Parsed
    is_true_positive: NDArray[np.bool_] | None
    """Shape (N,): the verdict on each point of `parsed`; None where the points were not judged."""
    reward: float


def follows_format(parsed: Parsed) -> bool:
    """The format check of section 3.4: the whole reply follows the grammar, to its end."""
    return parsed.failure is None


def distribution_matching_reward(matching: Matching) -> float:
    """F1 of a matching (Eq. 13-17), in [0, 1]; 1 for empty against empty."""
    return DetectionScore.of(matching).f1


def panoptic_reward(
    points_xy: PointsXY,
    true_labels: NDArray[np.integer[Any]],
    draw_masks: Callable[[PointsXY], NDArray[np.integer[Any]]],
) -> float:
    """Panoptic quality of the masks that points prompt (the second term of Eq. 19), in [0, 1].

    Parameters
    ----------
    points_xy : ndarray, shape (N, 2)
        Predicted centroids.
    true_labels : ndarray of int, shape (H, W)
        0 is background, every other value one nucleus.
    draw_masks : callable
        Points to the label image of their masks, shape (H, W).
    """
    return pq(draw_masks(points_xy), true_labels)


def task_guided_reward(detection: float, panoptic: float, gamma: float) -> float:
    """``r_DM + gamma r_PQ`` (Eq. 19), in [0, 1 + gamma]."""
    return detection + gamma * panoptic


def score_reply(
    reply_ids: Sequence[int],
    true_xy: PointsXY,
    codec: Codec,
    *,
    radius_px: float,
    method: Method = "hungarian",
    panoptic: Callable[[PointsXY], float] | None = None,
    gamma: float = 0.0,
) -> ScoredReply:
    """Check, match and reward one reply.

    Parameters
    ----------
    reply_ids : sequence of int
        Without latent tokens and padding, with the end token.
    true_xy : ndarray, shape (M, 2)
        Every nucleus of the window, window pixels.
    codec : Codec
    radius_px : float
        Largest distance of a true positive, window pixels.
    method : {"hungarian", "gated"}
        The paper minimises the total distance first, and then applies the radius (Eq. 13-14).
    panoptic : callable, optional
        Panoptic quality that points in window pixels lead to; not asked where the format is wrong.
    gamma : float
        Weight of `panoptic`.
    """
    parsed = codec.parse(reply_ids)
    if not follows_format(parsed):
        return ScoredReply(parsed, None, 0.0)
    points_xy = codec.to_points(parsed.bins_xy)
    matching = match_points(points_xy, true_xy, radius_px=radius_px, method=method)
    reward = distribution_matching_reward(matching)
    if panoptic is not None:
        reward = task_guided_reward(reward, panoptic(points_xy), gamma)
    return ScoredReply(parsed, matching.is_true_positive, reward)
