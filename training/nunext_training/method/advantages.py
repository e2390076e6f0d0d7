"""Advantages of reinforcement fine-tuning, as pure functions of rewards and verdicts.

NuNext, section 3.4: rewards are standardised within a group of rollouts of one window (Eq. 12),
groups that hardly vary are left out (low-variance group filtering), and the tokens of points that
do not deserve their rollout's advantage get a part of it (fine-grained advantage shaping, Eq. 18).

Ours, because the paper does not say: the standard deviation is the population's; a group of equal
rewards has no advantage; kept groups are weighed up by N / N_kept, so that the mean goes over them
alone; the separator or category after a point belongs to it; the end token keeps its advantage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext.core.geometry import points_at
from napari_nunext.core.scores.metrics import DetectionScore
from nunext_training.method.register import weighed
from nunext_training.method.rewards import F1_ALONE, REWARDS, ScoredReply, SeenReply, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_nunext.core.codec import Codec
    from napari_nunext.core.formats.records import Rollout
    from napari_nunext.core.geometry import PointsXY
    from nunext_training.method.rewards import WindowMasks

EQUAL_STD = 1e-9
"""Rewards that differ by less are the same but for rounding."""


def group_advantages(rewards: ArrayLike) -> NDArray[np.float64]:
    """Standardise rewards within their groups (Eq. 12).

    Parameters
    ----------
    rewards : array_like, shape (N, G)
        A row for each group.

    Returns
    -------
    ndarray, shape (N, G)
        Each row has mean 0 and standard deviation 1; 0 throughout where all rewards are equal.
    """
    r = np.asarray(rewards, dtype=np.float64)
    std = r.std(axis=1, keepdims=True)
    varies = std > EQUAL_STD
    advantages: NDArray[np.float64] = np.where(
        varies, (r - r.mean(axis=1, keepdims=True)) / np.where(varies, std, 1.0), 0.0
    )
    return advantages


def varied_groups(rewards: Iterable[ArrayLike], min_std: float) -> NDArray[np.bool_]:
    """Groups whose rewards have a standard deviation of `min_std` (delta) or more.

    Low-variance group filtering keeps these. Takes N groups of any size, gives shape (N,).
    """
    return np.array([np.std(np.asarray(r, dtype=np.float64)) >= min_std for r in rewards], bool)


def filter_groups(
    advantages: NDArray[np.float64], kept: NDArray[np.bool_], kept_share: float | None = None
) -> NDArray[np.float64]:
    """Take groups out of the loss and of its mean.

    Parameters
    ----------
    advantages : ndarray, shape (N, G)
    kept : ndarray of bool, shape (N,)
    kept_share : float, optional
        N_kept / N over all processes; that of `kept` when None.

    Returns
    -------
    ndarray, shape (N, G)
        Times N / N_kept where kept and 0 elsewhere: a mean over all groups is then the mean over
        the kept ones. All 0 where no group is kept.
    """
    share = float(kept.mean()) if kept_share is None else kept_share
    if share == 0:
        return np.zeros_like(advantages)
    return np.where(kept[:, None], advantages / share, 0.0)


def advantages_in_groups(
    rewards: NDArray[np.float64],
    groups: NDArray[np.integer[Any]],
    kept: NDArray[np.bool_],
    kept_share: float | None = None,
    *,
    rows: int | None = None,
) -> NDArray[np.float64]:
    """Advantages of groups of different size (Eq. 12), filtered.

    Parameters
    ----------
    rewards : ndarray, shape (R,)
    groups : ndarray of int, shape (R,)
        Which of the groups 0..N-1 each belongs to; none is empty.
    kept : ndarray of bool, shape (N,)
    kept_share : float, optional
        As `filter_groups`.
    rows : int, optional
        Rows that the loss is a mean over; R when None.

    Returns
    -------
    ndarray, shape (R,)
        Weighed so that a mean over the rows is a mean over kept groups of means over their
        rollouts, as Eq. 11 has it: for groups of one size, those of `filter_groups`.
    """
    rows = len(rewards) if rows is None else rows
    share = float(kept.mean()) if kept_share is None else kept_share
    advantages = np.zeros(len(rewards))
    for group, is_kept in enumerate(kept):
        members = np.flatnonzero(groups == group)
        own = filter_groups(group_advantages([rewards[members]]), np.array([is_kept]), share)[0]
        advantages[members] = own * (rows / (len(kept) * len(members)))
    return advantages


def shape_advantage(
    advantage: float, scored: ScoredReply, length: int, decay: float
) -> NDArray[np.float64]:
    """Advantage of each token of a reply (Eq. 18).

    Parameters
    ----------
    advantage : float
        A of the whole reply.
    scored : ScoredReply
    length : int
        Tokens of the reply.
    decay : float
        Beta, 0 to 1; 1 leaves every token with A.

    Returns
    -------
    ndarray, shape (length,)
        ``beta A`` at the tokens of a false positive where A > 0 and of a true positive where A < 0;
        A elsewhere.
    """
    tokens = np.full(length, advantage)
    right, wrong = scored.is_true_positive, scored.is_false_positive
    if right is None or wrong is None:
        return tokens
    undeserving = right if advantage < 0 else wrong
    for i in np.flatnonzero(undeserving):
        start, stop = scored.parsed.spans[i]
        tokens[start:stop] *= decay
    return tokens


def token_advantages(
    scored: Sequence[ScoredReply],
    advantages: Sequence[float] | NDArray[np.float64],
    lengths: Sequence[int],
    decay: float,
) -> NDArray[np.float64]:
    """`shape_advantage` of every reply, padded with 0. Shape (replies, longest)."""
    table = np.zeros((len(scored), max(lengths)))
    for row, reply, advantage, length in zip(table, scored, advantages, lengths, strict=True):
        row[:length] = shape_advantage(float(advantage), reply, length, decay)
    return table


# People's verdicts


def reply_from_verdicts(
    rollout: Rollout,
    codec: Codec,
    *,
    margin_px: float = 0.0,
    weights: Mapping[str, float] = F1_ALONE,
    masks: WindowMasks | None = None,
    true_xy: PointsXY | None = None,
) -> tuple[tuple[int, ...], ScoredReply]:
    """A model's output that people judged, as the reply it was and what it is worth.

    Parameters
    ----------
    rollout : Rollout
        Points in window pixels. `missed` counts the nuclei of the window that none stands for,
        without those in the margin.
    codec : Codec
    margin_px, weights, masks
        As in `nunext_training.method.rewards.score_reply`; a pair counts where its point does.
    true_xy : ndarray, shape (M, 2), optional
        Every nucleus of the window, for rewards that look at more than the verdicts; None has none.

    Returns
    -------
    tuple of int
        The reply, in raster order.
    ScoredReply
        The verdicts in the order of the reply. In place of F1 (Eq. 15-17) stands the
        person's rating where there is one.

    Raises
    ------
    InputError
        If a category is not one of the codec's.
    """
    points_xy = points_at(rollout.points)
    categories = None
    if codec.has_categories:
        index = {name: i for i, name in enumerate(codec.category_names)}
        # An index beyond the last is refused: a reply always says a category that is known.
        categories = [index.get(p.category, len(index)) for p in rollout.points]
    reply = codec.encode(points_xy, categories)
    bins_xy = codec.to_bins(points_xy)
    order = np.lexsort((bins_xy[:, 0], bins_xy[:, 1]))  # as the codec writes them
    is_true_positive = np.array([p.verdict == "tp" for p in rollout.points], dtype=bool)[order]
    inside = within(points_xy[order], codec.window_px, margin_px)
    tp = int((is_true_positive & inside).sum())
    score = DetectionScore(tp, int(inside.sum()) - tp, rollout.missed)
    parsed = codec.parse(reply)
    seen = SeenReply(
        points_xy=codec.to_points(parsed.bins_xy),
        true_xy=np.empty((0, 2)) if true_xy is None else true_xy,
        is_true_positive=is_true_positive,
        score=score,
        window_px=codec.window_px,
        margin_px=margin_px,
        rating=rollout.rating,
    )
    terms = REWARDS.terms(weights, seen, masks=masks)
    ignored = ~is_true_positive & ~inside
    return reply, ScoredReply(parsed, is_true_positive, weighed(terms, weights), ignored, terms)
