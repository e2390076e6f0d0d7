"""What a review says of a nucleus, beside where it lies, and how files say it.

The names and words here are those of every format that can carry them (GeoJSON, CSV, COCO), for
writers and readers alike: what one writes the other understands. Whoever reads truth takes what
`Marks.stands` says stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from napari_nunext.core.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nunext.core.nuclei import Nucleus

Status: TypeAlias = Literal["unreviewed", "accepted", "rejected"]
STATUSES: tuple[Status, ...] = get_args(Status)
Origin: TypeAlias = Literal["model", "person"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)

STATUS, FLAGGED, ORIGIN, ANNOTATOR = "status", "flagged", "origin", "annotator"
"""Names of columns and properties."""
STATUS_IN_GEOJSON = "review"
"""There the metadata is shared with other tools, whose status may be of something else."""

_TRUE = ("true", "1", "yes")
"""As spreadsheets, too, may spell it."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What people made of a nucleus."""

    status: Status = "unreviewed"
    flagged: bool = False
    origin: Origin | None = None
    """Who found it; None where a file does not say."""
    annotator: str | None = None
    """Who touched it last."""

    @property
    def stands(self) -> bool:
        """Whether it counts as a nucleus: a rejected one is kept in view, and is none."""
        return self.status != "rejected"

    def to_text(self, *, status_name: str = STATUS) -> dict[str, str]:
        """Name and value of each mark, without those that say nothing."""
        text: dict[str, str] = {status_name: self.status}
        if self.annotator is not None:
            text[ANNOTATOR] = self.annotator
        if self.flagged:
            text[FLAGGED] = "true"
        if self.origin is not None:
            text[ORIGIN] = self.origin
        return text

    @classmethod
    def from_text(cls, text: Mapping[str, Any], *, status_name: str = STATUS) -> Marks:
        """Inverse of `to_text`; other names are passed over, and letter case does not count.

        Raises
        ------
        RecordError
            If there is a status, but none that is known: it might mean that the nucleus is none.
        """
        said = str(text.get(status_name) or "unreviewed").strip().casefold()
        status = next((known for known in STATUSES if known == said), None)
        if status is None:
            raise RecordError(
                f"{status_name} {text[status_name]!r} is unknown; expected {', '.join(STATUSES)}."
            )
        found_by = str(text.get(ORIGIN) or "").strip().casefold()
        annotator = text.get(ANNOTATOR)
        return cls(
            status=status,
            flagged=str(text.get(FLAGGED) or "").strip().casefold() in _TRUE,
            origin=next((known for known in ORIGINS if known == found_by), None),
            annotator=str(annotator) if annotator else None,
        )


UNMARKED = Marks()
"""Of a nucleus about which nobody said anything."""


@dataclass(frozen=True, slots=True)
class MarkedNucleus:
    """A nucleus with what a review says of it, as files hold it."""

    nucleus: Nucleus
    marks: Marks = UNMARKED
    identified: bool = True
    """Whether its uid is one that the file says; else it was made when the file was read."""
