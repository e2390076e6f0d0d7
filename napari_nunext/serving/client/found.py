"""The one fold of a server's stream into nuclei, for whoever asks a server."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus
from napari_nunext.serving.protocol import (
    Done,
    Failed,
    Hidden,
    Masks,
    Points,
    Started,
    WindowDone,
)

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.serving.protocol import DetectEvent


@dataclass(frozen=True, slots=True)
class FoundChange:
    """What an event changes."""

    shown: tuple[Nucleus, ...] = ()
    hidden: tuple[UUID, ...] = ()
    """Nuclei that a surer sighting replaced."""
    masks: dict[UUID, Mask] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """What a stream amounts to so far."""

    started: Started | None = None
    """How it is made; None before the first event."""
    standing: dict[int, Nucleus] = field(default_factory=dict)
    """Nuclei that stand, by their index in the stream."""
    windows_done: int = 0
    windows: int = 0
    windows_cut_off: int = 0
    """Windows that held more nuclei than the model lists."""
    outlined: int = 0
    """How many nuclei have their masks."""
    finish: Literal["complete", "cancelled"] | None = None
    """How it ended; None before its last event."""

    def take(self, event: DetectEvent) -> FoundChange:
        """Add an event of the stream.

        Raises
        ------
        ServerUnavailableError
            For an event that says that the run broke.
        """
        match event:
            case Started():
                self.started, self.windows = event, event.windows
            case Points():
                shown = {
                    p.index: Nucleus(uuid4(), p.x, p.y, p.category or UNCATEGORISED, p.confidence)
                    for p in event.points
                }
                self.standing |= shown
                return FoundChange(shown=tuple(shown.values()))
            case Hidden():
                return FoundChange(hidden=tuple(self.standing.pop(i).uid for i in event.indices))
            case WindowDone():
                self.windows_done = event.done
                self.windows_cut_off += event.finish == "limit"
            case Masks():
                drawn: dict[UUID, Mask] = {}
                for mask in event.masks:
                    nucleus = self.standing[mask.index]
                    drawn[nucleus.uid] = mask.to_mask()
                    self.standing[mask.index] = replace(nucleus, mask=drawn[nucleus.uid])
                self.outlined += len(drawn)
                return FoundChange(masks=drawn)
            case Done():
                self.finish = event.finish
            case Failed():
                raise ServerUnavailableError(event.message)
        return FoundChange()

    @property
    def searched(self) -> bool:
        """Whether every window is."""
        return 0 < self.windows <= self.windows_done

    @property
    def outlines_wanted(self) -> bool:
        """Whether masks come as well."""
        return self.started is not None and self.started.segmenter is not None

    def nuclei(self) -> list[Nucleus]:
        """Those that stand, in the order in which they were found."""
        return [nucleus for _, nucleus in sorted(self.standing.items())]
