"""The second look at categories, while replies are decoded; see `checkpoints.second_look`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from napari_nunext.models.checkpoints.second_look import CATEGORIES, SECOND_LOOK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.checkpoints.second_look import LookLayer
    from napari_nunext.models.next_point.decoder import DecodeStep


class SecondLooking:
    """Decides once more about the categories of a step.

    Parameters
    ----------
    layer : LookLayer
    category_ids : sequence of int
        Tokens of the categories, in the layer's order.
    device : torch.device
        Where the states are.
    """

    def __init__(self, layer: LookLayer, category_ids: Sequence[int], device: torch.device) -> None:
        self._ids = torch.tensor(category_ids, dtype=torch.long)
        self._weight = torch.from_numpy(layer.weight).to(device)
        self._bias = torch.from_numpy(layer.bias).to(device)

    @torch.no_grad()
    def __call__(self, step: DecodeStep) -> torch.Tensor:
        """The tokens of a step whose categories are written, as they are to be reported.

        Returns
        -------
        Tensor of int64, shape (n,), CPU
            Those of `step.token_ids` that are none of the layer's categories as they are. A
            category that the grammar of the step does not allow is never chosen.
        """
        places = torch.searchsorted(step.allowed_ids, self._ids).clamp(
            max=len(step.allowed_ids) - 1
        )
        forbidden = step.allowed_ids[places] != self._ids
        added = functional.linear(step.seen.float(), self._weight, self._bias)
        scores = step.scores[:, places.to(step.scores.device)] + added
        scores = scores.masked_fill(forbidden.to(scores.device), -torch.inf)
        chosen = self._ids[scores.argmax(dim=-1).cpu()]
        return torch.where(torch.isin(step.token_ids, self._ids), chosen, step.token_ids)


def second_look_of(checkpoint: LoadedCheckpoint) -> SecondLooking | None:
    """What looks twice with this checkpoint; None where nothing does."""
    said, layer = checkpoint.description.second_look, checkpoint.look_layer
    if said is None or layer is None:
        return None
    codec = checkpoint.description.codec
    ids = [codec.category_ids[codec.category_names.index(name)] for name in said.categories]
    return SecondLooking(layer, ids, checkpoint.device)


def categories_read(checkpoint: LoadedCheckpoint) -> dict[str, Any]:
    """That categories are looked at twice, for `DetectorInfo.decoding`."""
    return {} if checkpoint.look_layer is None else {CATEGORIES: SECOND_LOOK}
