"""A nucleus as people left it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_nunext.core.nuclei import Nucleus

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.marks import Status


@dataclass(frozen=True, slots=True)
class ReviewedNucleus:
    """A nucleus as it stands after review."""

    nucleus: Nucleus
    run_id: str | None = None
    """The run that predicted it; None where a person placed it."""
    touched: bool = False
    """Whether any event of a person is about it."""
    status: Status = "unreviewed"
    flagged: bool = False
    annotator: str | None = None
    """Who touched it last."""
    predicted_xy: tuple[float, float] | None = None
    """Where the model put it, level-0 px; None where a person placed it."""

    @property
    def uid(self) -> UUID:
        """Its identity."""
        return self.nucleus.uid

    @property
    def is_human(self) -> bool:
        """Whether a person placed it."""
        return self.run_id is None

    def of_category(self, category: str) -> ReviewedNucleus:
        """The same nucleus, whose category is called something else."""
        return replace(self, nucleus=recategorised(self.nucleus, category))


def recategorised(n: Nucleus, category: str) -> Nucleus:
    """The same nucleus of another category."""
    # Built outright: `dataclasses.replace` would double the time of a refold.
    rest = n.confidence, n.mask, n.position_error_um
    return Nucleus(n.uid, n.x_px, n.y_px, category, *rest)
