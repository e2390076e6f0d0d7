"""What can go wrong in training that is not bad input."""

from __future__ import annotations

from napari_nunext.core.errors import NunextError


class TrainingError(NunextError, RuntimeError):
    """Training cannot go on, for example because the loss is no longer a number."""
