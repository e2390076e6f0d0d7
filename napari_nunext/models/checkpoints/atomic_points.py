"""What a checkpoint says of atomic points: a point for one forward pass. Beyond the paper.

The state from which a model says x knows something of which nucleus comes next, hence of its y and
its category. A small head (`napari_nunext.models.checkpoints.atomic_head`) guesses them; the model
then reads x and the guesses in one pass, and says at each of them what it makes of it itself: the y
that is reported, the category, the end and the confidence are the model's own, as without the head.
What the head decides is what the model has read meanwhile, and a guess that is too far off is read
again.

The model is not changed: the head has a file of its own, and readers that know nothing of it see
the checkpoint that it was made for. Torch is not imported here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nunext.core.errors import CheckpointError

if TYPE_CHECKING:
    from napari_nunext.core.codec import Codec

HEAD_FILE = Path("atomic") / "head.safetensors"
"""Inside a checkpoint's folder; in a folder of its own, where readers of weights do not look."""


@dataclass(frozen=True, slots=True)
class AtomicPoints:
    """That a detector has a head for atomic points, and how to use it.

    Parameters
    ----------
    used : bool
        Whether the detector decodes with it unless told otherwise.
    tolerance_um : float
        How far a guessed y may lie from the model's own before the point is read again. With 0
        every guess that is not the model's own is read again, categories too, and the reply is
        that of the model alone, token by token.
    """

    used: bool
    tolerance_um: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.tolerance_um) and self.tolerance_um >= 0):
            raise CheckpointError(
                f"The tolerance of atomic points is {self.tolerance_um} um; expected 0 or more."
            )

    def tolerance_bins(self, codec: Codec, mpp: float) -> int:
        """The tolerance in bins of windows of this scale, rounded."""
        return round(self.tolerance_um / (codec.bin_px * mpp))

    def to_json(self) -> dict[str, Any]:
        """As ``nunext.json`` holds it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> AtomicPoints | None:
        """Inverse of `to_json`; None for a checkpoint that says nothing of it."""
        if data is None:
            return None
        return cls(used=bool(data["used"]), tolerance_um=float(data["tolerance_um"]))


def check_head_file(folder: Path) -> None:
    """Raise `CheckpointError` unless the head lies in `folder`."""
    if not (folder / HEAD_FILE).is_file():
        raise CheckpointError(
            f"{folder.name} has no {HEAD_FILE.as_posix()}, which its description names. Copy the "
            "whole folder of the checkpoint."
        )
