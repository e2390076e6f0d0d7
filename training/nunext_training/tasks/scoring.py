"""What replies are worth: the reward of a rollout, and of what people judged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from napari_nunext.core.formats.records import Rollout
from nunext_training.method.advantages import reply_from_verdicts
from nunext_training.method.rewards import REWARDS, WindowMasks, score_reply, within
from nunext_training.runs.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.core.scores.matching import Method
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from nunext_training.data.windows import Example
    from nunext_training.method.rewards import ScoredReply
    from nunext_training.recipes.stage_sections import RftOptions
    from nunext_training.tasks.prompted_masks import PromptedMasks


class RolloutScorer:
    """Rewards of replies to known windows.

    Parameters
    ----------
    checkpoint : LoadedCheckpoint
    options : RftOptions
    masks : PromptedMasks, optional
        For rewards that ask for masks; examples then need their true labels.
    """

    def __init__(
        self,
        checkpoint: LoadedCheckpoint,
        options: RftOptions,
        masks: PromptedMasks | None = None,
    ) -> None:
        self._codec = checkpoint.description.codec
        self._radius_px = options.radius_um / checkpoint.description.mpp
        self._margin_px = options.margin_um / checkpoint.description.mpp
        self._method: Method = options.matching
        self._weights = options.reward_weights
        self._masks = masks if REWARDS.asking(self._weights, "masks") else None
        self._max_points = checkpoint.description.max_points

    def score(self, example: Example, reply: Sequence[int]) -> ScoredReply:
        """Check, match and reward a reply to a window.

        The radius is in the pixels of the window: where a window is scaled, it goes with the size
        of the nuclei.
        """
        return score_reply(
            reply,
            example.points_xy,
            self._codec,
            radius_px=self._radius_px,
            method=self._method,
            margin_px=self._margin_px,
            weights=self._weights,
            masks=self._masks_of(example),
        )

    def score_verdicts(self, example: Example) -> tuple[tuple[int, ...], ScoredReply] | None:
        """What people judged in a window, as a reply and its reward.

        None where they judged nothing, and where the model may not write as many points.
        """
        judged = example.judged
        if judged is None or len(judged.points) > self._max_points:
            return None
        missed = within(judged.missed_xy, self._codec.window_px, self._margin_px)
        return reply_from_verdicts(
            Rollout(judged.points, int(missed.sum())),  # a region's rating is none of a window's
            self._codec,
            margin_px=self._margin_px,
            weights=self._weights,
            masks=self._masks_of(example),
            true_xy=example.points_xy,
        )

    def _masks_of(self, example: Example) -> WindowMasks | None:
        if self._masks is None:
            return None
        if example.own_labels is None:
            raise TrainingError(f"{example.image_name} has no true masks for Eq. 19.")
        return WindowMasks(example.own_labels, partial(self._masks, example.rgb))
