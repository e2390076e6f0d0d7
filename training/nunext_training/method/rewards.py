"""Rewards of reinforcement fine-tuning, as pure functions of tokens and truth.

NuNext, section 3.4: a reply that fails the format check is worth nothing; any other is worth its
F1 against the nuclei of the window (Eq. 13-17), and, where masks are wanted, the panoptic quality
of the masks that its points prompt (Eq. 19).

Ours, because the paper does not say: nothing written where nothing is has F1 = 1, and so has its
panoptic quality; categories do not enter; points of a reply that fails the check are not judged.
Ours as well, and off unless asked for: what lies in a margin at the window's edge counts for
nothing, because detection leaves it to the neighbouring window, which sees it whole.

The next reward is a function here with a name in `REWARDS`, and a recipe that weighs it:
docs/extending.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.scores.instances import match_instances, pq
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import DetectionScore
from nunext_training.method.register import Rewards, weighed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec, Parsed
    from napari_nunext.core.geometry import PointsXY
    from napari_nunext.core.scores.matching import Matching, Method


@dataclass(frozen=True, eq=False, slots=True)
class ScoredReply:
    """What a reply is worth, and which of its points are right."""

    parsed: Parsed
    is_true_positive: NDArray[np.bool_] | None
    """Shape (N,): the verdict on each point of `parsed`; None where the points were not judged."""
    reward: float
    is_ignored: NDArray[np.bool_] | None = None
    """Shape (N,): points in the margin that stand for nothing, neither right nor wrong; None for
    no point."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """What each reward said, before its weight; empty where the format is wrong."""

    @property
    def is_false_positive(self) -> NDArray[np.bool_] | None:
        """Shape (N,): the points that are wrong; None where the points were not judged."""
        if self.is_true_positive is None or self.is_ignored is None:
            return None if self.is_true_positive is None else ~self.is_true_positive
        return ~self.is_true_positive & ~self.is_ignored


@dataclass(frozen=True, eq=False, slots=True)
class SeenReply:
    """What a reward looks at: a reply that follows the format, in pixels of its window."""

    points_xy: PointsXY
    """Shape (N, 2): what was said, in the order of the reply."""
    true_xy: PointsXY
    """Shape (M, 2): every nucleus of the window."""
    is_true_positive: NDArray[np.bool_]
    """Shape (N,): the verdict on each point (Eq. 14), or a person's."""
    score: DetectionScore
    """True positives, false positives and misses, as far as they count."""
    window_px: int
    margin_px: float = 0.0
    """What lies nearer to the window's edge counts for nothing."""
    rating: float | None = None
    """A person's, 0 to 1, where people judged the reply and rated it."""


@dataclass(frozen=True, eq=False, slots=True)
class WindowMasks:
    """The masks of a window, for rewards that ask for ``masks``."""

    true_labels: NDArray[np.integer[Any]]
    """Shape (window_px, window_px): 0 is background, every other value one nucleus."""
    draw: Callable[[PointsXY], NDArray[np.integer[Any]]]
    """Points to the label image of the masks that they prompt."""


REWARDS = Rewards("nunext_training.rewards", also=("masks",))
"""Of replies to a window. A reward is called with a `SeenReply`, and with `WindowMasks` where it
has a second parameter ``masks``."""

F1_ALONE: Mapping[str, float] = {"f1": 1.0}


@REWARDS.register("f1")
def detection_reward(reply: SeenReply) -> float:
    """Distribution matching (Eq. 15-17): F1, in [0, 1]; a person's rating where there is one."""
    return reply.score.f1 if reply.rating is None else reply.rating


@REWARDS.register("pq")
def prompted_masks_reward(reply: SeenReply, masks: WindowMasks) -> float:
    """Panoptic quality of the masks that the points prompt (Eq. 19), in [0, 1]."""
    return panoptic_reward(reply.points_xy, masks.true_labels, masks.draw, reply.margin_px)


def follows_format(parsed: Parsed) -> bool:
    """The format check of section 3.4: the whole reply follows the grammar, to its end."""
    return parsed.failure is None


def detection_score(
    matching: Matching,
    pred_counts: NDArray[np.bool_] | None = None,
    true_counts: NDArray[np.bool_] | None = None,
) -> DetectionScore:
    """What a matching found, and what it missed (Eq. 13-17); F1 is 1 for empty against empty.

    Parameters
    ----------
    matching : Matching
    pred_counts, true_counts : ndarray of bool, shape (N,) and (M,), optional
        Which points and which nuclei count; all when None. A pair counts where either does.
    """
    if pred_counts is None or true_counts is None:
        return DetectionScore.of(matching)
    pairs = pred_counts[matching.pred_index] | true_counts[matching.true_index]
    return DetectionScore(
        tp=int(pairs.sum()),
        fp=int(np.delete(pred_counts, matching.pred_index).sum()),
        fn=int(np.delete(true_counts, matching.true_index).sum()),
    )


def within(points_xy: PointsXY, window_px: float, margin_px: float) -> NDArray[np.bool_]:
    """Which points lie `margin_px` or more from every edge of a window. Shape (N,)."""
    points = np.asarray(points_xy, dtype=np.float64).reshape(-1, 2)
    near = (points < margin_px) | (points > window_px - margin_px)
    return ~near[:, 0] & ~near[:, 1]


def panoptic_reward(
    points_xy: PointsXY,
    true_labels: NDArray[np.integer[Any]],
    draw_masks: Callable[[PointsXY], NDArray[np.integer[Any]]],
    margin_px: float = 0.0,
) -> float:
    """Panoptic quality of the masks that points prompt (the second term of Eq. 19), in [0, 1].

    Parameters
    ----------
    points_xy : ndarray, shape (N, 2)
        Predicted centroids.
    true_labels : ndarray of int, shape (window_px, window_px)
        The nuclei that the points are to name: 0 is background, every other value one nucleus.
    draw_masks : callable
        Points to the label image of their masks, shape (window_px, window_px).
    margin_px : float
        Masks whose middle lies nearer to the window's edge count for nothing, as points do in F1;
        a pair counts where either does.
    """
    drawn = draw_masks(points_xy)
    if margin_px <= 0:
        return pq(drawn, true_labels)
    matching = match_instances(drawn, true_labels)
    drawn_ids, drawn_counts = _masks_within(drawn, margin_px)
    true_ids, true_counts = _masks_within(true_labels, margin_px)
    paired_drawn = np.isin(drawn_ids, matching.pred_label)
    paired_true = np.isin(true_ids, matching.true_label)
    counts = np.isin(matching.pred_label, drawn_ids[drawn_counts]) | np.isin(
        matching.true_label, true_ids[true_counts]
    )
    fp = int((drawn_counts & ~paired_drawn).sum())
    fn = int((true_counts & ~paired_true).sum())
    total = int(counts.sum()) + fp / 2 + fn / 2
    return float(matching.iou[counts].sum() / total) if total else 1.0


def _masks_within(
    labels: NDArray[np.integer[Any]], margin_px: float
) -> tuple[NDArray[np.integer[Any]], NDArray[np.bool_]]:
    """The labels of a window, and which of them have their middle within its margin."""
    rows, columns = np.nonzero(labels)
    ids, number = np.unique(labels[rows, columns], return_inverse=True)
    area_px = np.bincount(number, minlength=len(ids))
    middles_xy = np.stack(
        [np.bincount(number, at + 0.5, len(ids)) / area_px for at in (columns, rows)], axis=1
    )
    return ids, within(middles_xy, labels.shape[0], margin_px)


def score_reply(
    reply_ids: Sequence[int],
    true_xy: PointsXY,
    codec: Codec,
    *,
    radius_px: float,
    method: Method = "hungarian",
    margin_px: float = 0.0,
    weights: Mapping[str, float] = F1_ALONE,
    masks: WindowMasks | None = None,
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
    margin_px : float
        What lies nearer to the window's edge counts for nothing; 0 counts everything, as the paper
        does.
    weights : mapping
        Of the rewards, by their names in `REWARDS`; F1 alone by default.
    masks : WindowMasks, optional
        For the rewards that ask for them; nothing is drawn where the format is wrong.
    """
    parsed = codec.parse(reply_ids)
    if not follows_format(parsed):
        return ScoredReply(parsed, None, 0.0)
    points_xy = codec.to_points(parsed.bins_xy)
    matching = match_points(points_xy, true_xy, radius_px=radius_px, method=method)
    pred_inside = within(points_xy, codec.window_px, margin_px)
    true_inside = within(true_xy, codec.window_px, margin_px)
    right = matching.is_true_positive
    seen = SeenReply(
        points_xy=points_xy,
        true_xy=true_xy,
        is_true_positive=right,
        score=detection_score(matching, pred_inside, true_inside),
        window_px=codec.window_px,
        margin_px=margin_px,
    )
    terms = REWARDS.terms(weights, seen, masks=masks)
    return ScoredReply(parsed, right, weighed(terms, weights), ~right & ~pred_inside, terms)
