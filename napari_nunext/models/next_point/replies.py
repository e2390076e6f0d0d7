"""Replies as they are decoded: when one ends, what its tokens say, and how sure the model was.

The confidence of a point is **ours**, not the paper's: the probability mass of x within
`CONFIDENCE_RADIUS_UM` of the chosen bin, times that of y, times one minus the probability of the
end where the end was the alternative to the point. Soft-maxes run over the tokens that the grammar
allows. The category does not enter. Where a checkpoint is calibrated, that is turned into the share
of such points that are right. How widely x and y spread within `SPREAD_RADIUS_UM` says, where a
checkpoint is calibrated for it, how far off a point may be.

Every engine that decodes reads replies here. The one of vLLM imports this too, in an environment
of its own: torch, numpy and the codec are all that it may need.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.codec import TOKENS_PER_POINT
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.models.detector import WindowEnd, WindowPoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.description import CheckpointDescription
    from napari_nunext.models.detector import WindowEvent

CONFIDENCE_RADIUS_UM = 1.5
"""Probability within this distance of the chosen bin, along each axis, speaks for the point.

Half the customary matching radius. Soft supervision (NuNext, Eq. 7) spreads a sure model's mass
over the neighbouring bins, so the chosen bin's own probability says little.
"""


SPREAD_RADIUS_UM = 2.5
"""Probability within this distance of the chosen bin, along each axis, tells how vague a place is.

Wider, other nuclei count in; narrower, the vaguest places are not told from vague ones. Measured:
docs/decisions/confidence.md.
"""


def confidence_radius_bins(codec: Codec, mpp: float) -> int:
    """`CONFIDENCE_RADIUS_UM` in bins of windows of this scale; at least 1."""
    return _in_bins(CONFIDENCE_RADIUS_UM, codec, mpp)


def spread_radius_bins(codec: Codec, mpp: float) -> int:
    """`SPREAD_RADIUS_UM` in bins of windows of this scale; at least 1."""
    return _in_bins(SPREAD_RADIUS_UM, codec, mpp)


def _in_bins(radius_um: float, codec: Codec, mpp: float) -> int:
    return max(1, round(radius_um / (codec.bin_px * mpp)))


def sureness(
    probabilities: torch.Tensor,
    allowed_ids: torch.Tensor,
    token_ids: torch.Tensor,
    codec: Codec,
    position: int,
    radius_bins: int,
) -> torch.Tensor:
    """What the tokens at one position contribute to the confidence of their points.

    Parameters
    ----------
    probabilities : Tensor, shape (n, A)
        Soft-max over the tokens that the grammar allows at `position`.
    allowed_ids : Tensor of int, shape (A,)
        Those tokens, ascending.
    token_ids : Tensor of int, shape (n,)
        The token that each reply chose.
    codec : Codec
    position : int
    radius_bins : int
        See `confidence_radius_bins`.

    Returns
    -------
    Tensor, shape (n,)
        Factors: at a coordinate, the probability within `radius_bins` of the chosen bin; after a
        point, that of not ending; at a category, 1.
    """
    if codec.phase_at(position) == "after":
        return 1 - probabilities[:, allowed_ids == codec.end_id].sum(dim=1)
    return _near(probabilities, allowed_ids, token_ids, codec, radius_bins).sum(dim=1)


def end_by_majority(scores: torch.Tensor, is_end: torch.Tensor) -> torch.Tensor:
    """Scores in which the end wins where it is likelier than all that could follow together.

    The likeliest *token* is no fair judge of whether there is another nucleus: the coordinates
    share the probability of "yes" among K bins, the more evenly the less sure the model is of the
    place (and soft supervision, Eq. 7, teaches it to share), while the end has all of "no" to
    itself. **Ours**, for greedy decoding; where nothing is shared, as with a comma or the end, it
    changes nothing.

    Parameters
    ----------
    scores : Tensor, shape (n, A)
        Logits of the tokens that the grammar allows.
    is_end : Tensor of bool, shape (A,)
        Which of them ends the reply; none may.

    Returns
    -------
    Tensor, shape (n, A)
    """
    column = is_end.to(scores.device)
    ends = scores.softmax(dim=-1)[:, column] > 0.5
    return scores.masked_fill(column, -math.inf).masked_fill(
        column & ends.any(dim=-1, keepdim=True), math.inf
    )


def expected_bins(
    probabilities: torch.Tensor,
    allowed_ids: torch.Tensor,
    token_ids: torch.Tensor,
    codec: Codec,
    radius_bins: int,
) -> torch.Tensor:
    """Mean bin within `radius_bins` of the chosen one, by probability: a place between two bins.

    **Ours**. Parameters as in `sureness`, at a position where a coordinate stands.

    Returns
    -------
    Tensor, shape (n,)
        Fractional bins, float32; a reply that ends here has a number that means nothing.
    """
    near = _near(probabilities, allowed_ids, token_ids, codec, radius_bins)
    return _shares(near) @ _bins(allowed_ids, codec)


def spread_bins2(
    probabilities: torch.Tensor,
    allowed_ids: torch.Tensor,
    token_ids: torch.Tensor,
    codec: Codec,
    radius_bins: int,
) -> torch.Tensor:
    """Variance of the bin within `radius_bins` of the chosen one, around their mean.

    **Ours**. Parameters as in `sureness`, at a position where a coordinate stands.

    Returns
    -------
    Tensor, shape (n,)
        Squared bins, float32; a reply that ends here has a number that means nothing.
    """
    shares = _shares(_near(probabilities, allowed_ids, token_ids, codec, radius_bins))
    bins = _bins(allowed_ids, codec)
    apart = bins - (shares @ bins)[:, None]
    return (shares * apart**2).sum(dim=1)


def _near(
    probabilities: torch.Tensor,
    allowed_ids: torch.Tensor,
    token_ids: torch.Tensor,
    codec: Codec,
    radius_bins: int,
) -> torch.Tensor:
    """Probabilities of the bins within a radius of the chosen one, 0 for others; shape (n, A)."""
    near = (allowed_ids - token_ids[:, None]).abs() <= radius_bins
    return probabilities * (near & (allowed_ids != codec.end_id))


def _shares(near: torch.Tensor) -> torch.Tensor:
    """The same, of sum 1."""
    return near / near.sum(dim=1, keepdim=True).clamp_min(1e-12)


def _bins(allowed_ids: torch.Tensor, codec: Codec) -> torch.Tensor:
    """The number of each token's bin, shape (A,)."""
    return (allowed_ids - codec.coordinate_start_id).float()


class ReplyReader:
    """One window's reply as it is read: turns tokens into events.

    A model that repeats a point of the same window (same bins) is not heard twice.

    Parameters
    ----------
    window : int
        Its place in the batch, which events carry.
    description : CheckpointDescription
        Its codec, its scale, and what was fitted to what it says.
    """

    def __init__(self, window: int, description: CheckpointDescription) -> None:
        self.window = window
        self._codec = description.codec
        self._calibration = description.calibration
        self._positions = description.position_calibration
        self._bin_um = self._codec.bin_px * description.mpp
        self._sent: set[tuple[int, int]] = set()
        self._ended = False
        self.restart()

    @property
    def tokens(self) -> tuple[int, ...]:
        """What was read so far."""
        return tuple(self._tokens)

    def restart(self) -> None:
        """Begin the reply anew; what was sent stays sent."""
        self._tokens: list[int] = []
        self._places: list[float] = []
        self._spread_bins2: list[float | None] = []
        self._confidence = 1.0

    def take(
        self,
        position: int,
        token: int,
        sureness: float,
        *,
        is_last: bool,
        expected_bin: float | None = None,
        spread_bins2: float | None = None,
        reported: int | None = None,
    ) -> Iterator[WindowEvent]:
        """Read the next token; yield the point it completes, and the end of the window.

        With an `expected_bin`, the point is there rather than in the middle of the token's bin.
        With the `spread_bins2` of x and of y, a calibrated checkpoint says how far off it may be.
        With a `reported` token, that is its category.
        """
        codec, phase = self._codec, self._codec.phase_at(position)
        self._tokens.append(token)
        bin_ = token - codec.coordinate_start_id
        self._places.append(bin_ if expected_bin is None else expected_bin)
        self._spread_bins2.append(spread_bins2)
        ended = token == codec.end_id
        if not ended:
            self._confidence *= sureness
            if codec.has_categories and phase == "after":
                said = token if reported is None else reported
                yield from self._point(codec.category_names[codec.category_ids.index(said)])
            elif phase == "y" and not codec.has_categories:
                yield from self._point(UNCATEGORISED)
        if (ended or is_last) and not self._ended:
            self._ended = True
            yield WindowEnd(self.window, "end" if ended else "limit", len(self._tokens))

    def _point(self, category: str) -> Iterator[WindowEvent]:
        """The point of the last x and y, unless this window had it already."""
        start = (len(self._tokens) - 1) // TOKENS_PER_POINT * TOKENS_PER_POINT
        x, y = (
            token - self._codec.coordinate_start_id for token in self._tokens[start : start + 2]
        )
        confidence, self._confidence = min(self._confidence, 1.0), 1.0
        if self._calibration is not None:
            confidence = self._calibration(confidence)
        if (x, y) not in self._sent:
            self._sent.add((x, y))
            points_xy = self._codec.to_points(np.array([self._places[start : start + 2]]))
            error_um = self._error_um(self._spread_bins2[start : start + 2])
            yield WindowPoints(
                self.window,
                points_xy,
                (category,),
                (confidence,),
                None if error_um is None else (error_um,),
            )

    def _error_um(self, spreads_bins2: list[float | None]) -> float | None:
        """How far off a point with these spreads may be; None where nobody says."""
        known = [spread for spread in spreads_bins2 if spread is not None]
        if self._positions is None or len(known) < len(spreads_bins2):
            return None
        return self._positions(sum(known) * self._bin_um**2)
