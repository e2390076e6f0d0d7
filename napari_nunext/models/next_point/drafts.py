"""Guesses of the points under way: what a decoder lets the model read before it has said it.

A decoder that has drafts reads x, a guess of y and a guess of what follows in one forward pass. The
states that come back say what the model would have said in their place. `amiss` says which
guesses are too far off: those are read again, from there to the end of the point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from napari_nunext.core.codec import Codec
    from napari_nunext.models.checkpoints.atomic_head import AtomicHead
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint


def choosing_points(checkpoint: LoadedCheckpoint, atomic: bool | None) -> LoadedCheckpoint:
    """The checkpoint, decoding with its head or without; as it says itself when None.

    Raises
    ------
    CheckpointError
        If a head is asked for that it does not have.
    """
    said = checkpoint.description.atomic
    if said is None and atomic:
        raise CheckpointError(
            f"{checkpoint.folder.name} has no head for atomic points. Train one with nunext-train "
            "atomic, or decode token by token."
        )
    if said is None or atomic is None:
        return checkpoint
    description = replace(checkpoint.description, atomic=replace(said, used=atomic))
    return replace(checkpoint, description=description)


def drafts_of(checkpoint: LoadedCheckpoint) -> Drafts | None:
    """New drafts for a decoder of this checkpoint; None where it decodes without a head."""
    description, head = checkpoint.description, checkpoint.atomic_head
    if description.atomic is None or not description.atomic.used or head is None:
        return None
    codec = description.codec
    return Drafts(head, codec, description.atomic.tolerance_bins(codec, description.mpp))


def points_read(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    """How a detector that is made of this checkpoint reads points, for `DetectorInfo.decoding`."""
    atomic = checkpoint.description.atomic
    if atomic is None or not atomic.used:
        return {"points": "autoregressive"}
    return {"points": "atomic", "tolerance_um": atomic.tolerance_um}


class Drafts:
    """Guesses for replies that come and go, in the order in which the decoder has them.

    Tokens are on the CPU, shape (n,), as the decoder keeps them; states are where the model is.

    Parameters
    ----------
    head : AtomicHead
        The checkpoint's.
    codec : Codec
    tolerance_bins : int
        See `napari_nunext.models.checkpoints.atomic_points.AtomicPoints`.
    """

    def __init__(self, head: AtomicHead, codec: Codec, tolerance_bins: int) -> None:
        self._head = head
        self._codec = codec
        self._tolerance_bins = tolerance_bins
        self._category_ids = torch.tensor(codec.category_ids, dtype=torch.long)
        self._seen: torch.Tensor | None = None
        """What the head looks at, shape (n, T, 2 * width)."""
        self._state: torch.Tensor | None = None
        """From which x was said, shape (n, width)."""
        self._x = torch.empty(0, dtype=torch.long)
        """Bins."""

    def look(self, image_states: torch.Tensor, copies: int) -> torch.Tensor:
        """What `arrive` takes: new windows, `copies` of each in succession, behind the others.

        `image_states` are as `AtomicHead.look` takes them.
        """
        seen = self._head.look(image_states).repeat_interleave(copies, dim=0)
        return seen if self._seen is None else torch.cat([self._seen, seen])

    def arrive(self, seen: torch.Tensor) -> None:
        """Take in new replies; a point begins next."""
        self._seen, self._state = seen, None

    def keep(self, order: torch.Tensor) -> None:
        """Reorder the replies, or let some go; `order` as `RowCache.keep` gives it."""
        if self._seen is None:
            return
        there = order.to(self._seen.device)
        self._seen = self._seen[there]
        if self._state is not None:
            self._state, self._x = self._state[there], self._x[order]

    def begin(self, state: torch.Tensor, x_ids: torch.Tensor) -> None:
        """A point has begun: x was said, from these states of shape (n, width)."""
        self._state, self._x = state, x_ids - self._codec.coordinate_start_id

    def rest(self) -> list[torch.Tensor]:
        """Guesses of y and of what follows it."""
        seen, state, x = self._of(slice(None))
        y = self._head.y_scores(seen, state, x)[:, 0].argmax(dim=-1).cpu()
        y_ids = y + self._codec.coordinate_start_id
        return [y_ids, self.after(y_ids, slice(None))]

    def after(self, y_ids: torch.Tensor, rows: torch.Tensor | slice) -> torch.Tensor:
        """A guess of what follows the y of some replies: the category, or the comma."""
        if not self._codec.has_categories:
            return torch.full_like(y_ids, self._codec.separator_id)
        seen, state, x = self._of(rows)
        y = (y_ids - self._codec.coordinate_start_id)[:, None].to(seen.device)
        scores = self._head.category_scores(seen, state, x, y)
        assert scores is not None
        return self._category_ids[scores[:, 0].argmax(dim=-1).cpu()]

    def amiss(self, read: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        """Which guesses that were read are too far from what the model says, shape (n,), bool."""
        if self._tolerance_bins == 0:
            return said != read
        first = self._codec.coordinate_start_id
        is_y = (first <= read) & (read < first + self._codec.bins)
        return is_y & ((said - read).abs() > self._tolerance_bins)

    def _of(self, rows: torch.Tensor | slice) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the head asks for, of some replies: one point of each."""
        assert self._seen is not None
        assert self._state is not None
        there = rows if isinstance(rows, slice) else rows.to(self._seen.device)
        x = self._x[rows][:, None].to(self._seen.device)
        return self._seen[there], self._state[there][:, None], x
