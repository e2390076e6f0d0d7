"""How a person looks at the open image: the tool, what is selected, what is drawn of the nuclei."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_nunext.review.shown.resetting import reset

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.review.drafts import Draft
    from napari_nunext.review.stained.tint import Tint

SURE_ABOVE = 0.45
"""Confidence from which a nucleus counts as sure, until the user moves the slider."""
SURE_CALIBRATED = 0.75
"""The same where a confidence is the share that is right: three in four such nuclei are."""

Tool = Literal["look", "select", "add", "outline"]
"""What the mouse does on the image: move the view, select and move nuclei, place nuclei, say what
belongs to a nucleus."""

OutlineWay = Literal["click", "brush", "polygon"]
"""How outlines are corrected: clicks that a model answers, or drawn by hand."""


@dataclass(frozen=True, slots=True)
class Held:
    """Which nuclei of the open image are drawn one by one."""

    within: Box | None = None
    """Those in this box, level-0 px, around what is in view; None for all there are."""
    too_many: bool = False
    """None of them: there are too many in view. Their density is shown."""


@dataclass(eq=False)
class ViewModel:
    """What the panels and the canvas show of the view; none of it is kept in the project."""

    tool: Tool = "look"
    outline_way: OutlineWay = "click"
    """What the tool for outlines does."""
    brush_um: float = 3.0
    """Diameter of the brush that paints outlines."""
    draft: Draft | None = None
    """The outline that is being drawn by hand; in no journal yet."""
    selected: frozenset[UUID] = frozenset()
    view_xy: tuple[float, float] | None = None
    """The place in the middle of the canvas, level-0 px; None where there is no canvas."""
    view_box: Box | None = None
    """What the canvas shows, level-0 px, beyond the image too; None where there is no canvas."""
    held: Held = field(default_factory=Held)
    """Which nuclei are drawn one by one; the others are there all the same."""
    region: Box | None = None
    """The region the user has drawn, level-0 px."""
    hidden_categories: frozenset[str] = frozenset()
    """Categories whose nuclei are not drawn."""
    sure_above: float = SURE_ABOVE
    outlines: bool = True
    """Whether masks are drawn, and asked for when nuclei are searched."""
    points: bool = True
    """Whether the nuclei's points are drawn."""
    opacity: float = 1.0
    """Of points and outlines."""
    tint: Tint | None = None
    """Colours of nuclei by their stain; None where they have those of their categories."""
    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(
        equality_operators={"tint": operator.is_}
    )

    @property
    def only_selected(self) -> UUID | None:
        """The nucleus that is selected; None where none is, or several are."""
        return next(iter(self.selected)) if len(self.selected) == 1 else None

    def forget_image(self) -> None:
        """Show nothing that is of one image."""
        self.region = None
        self.selected = frozenset()
        self.held = Held()

    def forget_project(self) -> None:
        """Show nothing of the project that was left; the tool and how nuclei are drawn stay."""
        reset(
            self,
            keep=(
                "tool",
                "outline_way",
                "brush_um",
                "sure_above",
                "outlines",
                "points",
                "opacity",
            ),
        )
