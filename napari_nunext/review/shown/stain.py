"""What the part for stains shows: densities of the open image, cut-offs, and what they give."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

from napari_nunext.core.stains.counting import CutOffs
from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from napari_nunext.core.stains.figures import StainFigures
    from napari_nunext.review.stained.counted import CountedStain


@dataclass(eq=False)
class StainModel:
    """What the panel shows of a stain."""

    opened: bool = False
    """Whether anybody wants to see it in this project; nothing is measured before."""
    measuring: bool = False
    counted: CountedStain | None = None
    """What was measured last of the open image; None before."""
    cut_offs: CutOffs = field(default_factory=CutOffs)
    figures: tuple[StainFigures, ...] = ()
    """Of the open image, then of each region."""
    colored: bool = True
    """Whether nuclei have the colours of positive and negative on the image."""
    marking: bool = False
    """Whether nuclei are being given their categories."""
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"counted": operator.is_, "figures": operator.is_}
    )

    def forget_project(self) -> None:
        """Show nothing of the project that was left."""
        reset(self, keep=("colored",))
