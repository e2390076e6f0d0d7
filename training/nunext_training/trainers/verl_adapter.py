"""Our advantages as an estimator of verl, which scales reinforcement learning by Ray.

verl asks an estimator for advantages of shape (bs, T), and gives it token-level rewards, the
response mask and the prompt of each row; nothing about points. So verdicts travel in the rewards:
`token_rewards` marks the tokens of right points by a little more than nothing and those of wrong
ones by a little less, and the last token holds the balance, so that a row still sums to its reward.

In a verl environment (this package needs no verl to be imported)::

    from nunext_training.trainers.verl_adapter import register, token_rewards
    register()                                   # algorithm.adv_estimator=nunext
    reward_tensor[i, :length] = torch.from_numpy(token_rewards(scored, length))

The signature is that of verl 0.9: ``token_level_rewards``, ``response_mask``, ``index`` and
``config`` by name, and perhaps others, which are not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_nunext.core.errors import InputError
from nunext_training.method.advantages import filter_groups, group_advantages, varied_groups
from nunext_training.recipes.stage_sections import RftOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from nunext_training.method.rewards import ScoredReply

NAME = "nunext"
"""Of the estimator, in verl's ``algorithm.adv_estimator``."""

MARK = 2.0**-10
"""Of a token whose point was judged. A power of two, so that small sums stay exact in float32."""


def register(options: RftOptions | None = None, name: str = NAME) -> Callable[..., Any]:
    """Register the estimator with verl; once in each process that computes advantages.

    Parameters
    ----------
    options : RftOptions, optional
        What is filtered and shaped, as in a recipe's section ``rft``; its defaults when None.
    name : str

    Returns
    -------
    callable
        The estimator.

    Raises
    ------
    InputError
        If verl is not installed, or `options` wants coordinates drawn at a temperature of their
        own: verl draws replies itself, and has one.
    """
    chosen = options or RftOptions()
    if chosen.coordinate_temperature != 1:
        raise InputError(
            f"rft.coordinate_temperature is {chosen.coordinate_temperature:g}; expected 1 with "
            "verl, which draws all tokens at one temperature. Leave it out, or train with "
            "nunext-train rft."
        )
    try:
        from verl.trainer.ppo.core_algos import register_adv_est
    except ImportError as error:
        raise InputError(
            f"verl cannot be imported ({error}). Run this in verl's own environment; "
            "docs/scale-out.md says how."
        ) from error

    def estimate(
        token_level_rewards: Tensor,
        response_mask: Tensor,
        index: NDArray[Any],
        config: Any = None,
        **unused: Any,
    ) -> tuple[Tensor, Tensor]:
        """Advantages, and the same as returns: there is no critic."""
        advantages = fine_grained_advantages(token_level_rewards, response_mask, index, chosen)
        return advantages, advantages

    estimator: Callable[..., Any] = register_adv_est(name)(estimate)
    return estimator


def token_rewards(scored: ScoredReply, length: int) -> NDArray[np.float32]:
    """A reply's reward with the verdicts on its points, one number for each token.

    Parameters
    ----------
    scored : ScoredReply
    length : int
        Tokens of the reply, 1 or more.

    Returns
    -------
    ndarray of float32, shape (length,)
        `MARK` at the tokens of a true positive, minus `MARK` at those of a false one, 0 elsewhere
        (a point in the margin that stands for nothing is neither);
        the rest of the reward at the last token, which is the end and belongs to no point. A reply
        whose points were not judged has its reward there alone.
    """
    rewards = np.zeros(length, dtype=np.float32)
    right, wrong = scored.is_true_positive, scored.is_false_positive
    if right is not None and wrong is not None:
        marks = MARK * (right.astype(np.float32) - wrong.astype(np.float32))
        for (start, stop), mark in zip(scored.parsed.spans, marks.tolist(), strict=True):
            rewards[start:stop] = mark
    rewards[-1] = scored.reward - rewards[:-1].sum()
    return rewards


def fine_grained_advantages(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    index: NDArray[Any],
    options: RftOptions,
) -> Tensor:
    """Eq. 12, low-variance group filtering and Eq. 18, from token-level rewards.

    Parameters
    ----------
    token_level_rewards : Tensor, shape (bs, T)
        As `token_rewards` writes them, padded with 0 on the right.
    response_mask : Tensor, shape (bs, T)
        1 at the tokens of the reply.
    index : ndarray, shape (bs,)
        What the rows of a group share: the prompt's id. Rows of a group need not be neighbours, nor
        groups be of one size.
    options : RftOptions

    Returns
    -------
    Tensor, shape (bs, T)
        0 beyond the reply.
    """
    mask = response_mask.bool().cpu().numpy()
    marks = np.where(mask, token_level_rewards.detach().float().cpu().numpy(), 0.0)
    rewards = marks.astype(np.float64).sum(axis=1)
    # What stands at the last token of a row is the rest of its reward, not a verdict.
    marks[np.arange(len(marks)), _last_token(mask)] = 0.0
    _, group_of = np.unique(np.asarray(index), return_inverse=True)
    groups = [np.flatnonzero(group_of == g) for g in range(int(group_of.max()) + 1)]
    min_std = options.min_std if options.filter_groups else 0.0
    kept = np.array([bool(varied_groups([rewards[rows]], min_std)[0]) for rows in groups])
    share = float(sum(len(rows) for rows, k in zip(groups, kept, strict=True) if k) / len(rewards))
    whole = np.zeros(len(rewards))
    for rows, keep in zip(groups, kept, strict=True):
        standardised = group_advantages([rewards[rows]])
        whole[rows] = filter_groups(standardised, np.array([keep]), share)[0]
    tokens = np.where(mask, whole[:, None], 0.0)
    undeserving = np.where(whole[:, None] < 0, marks > 0, marks < 0)
    if options.shape_advantages:
        tokens = np.where(undeserving, tokens * options.beta, tokens)
    return torch.from_numpy(tokens).to(token_level_rewards)


def _last_token(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Position of the last token of each row."""
    last: NDArray[np.intp] = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
    return last
