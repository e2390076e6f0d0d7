"""The one fold of a server's stream into nuclei, for whoever asks a server."""

from __future__ import annotations

import math
from collections import ChainMap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias
from uuid import UUID, uuid4

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.nuclei import UNCATEGORISED, Nucleus
from napari_nunext.core.sentences import counted
from napari_nunext.serving.protocol import (
    Done,
    Failed,
    Hidden,
    Masks,
    Points,
    Resume,
    Sighted,
    Started,
    WindowDone,
    WindowFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.serving.protocol import DetectEvent

Finish: TypeAlias = Literal["end", "limit"]
"""How a window ends: by itself, or at the most nuclei that a model lists."""


@dataclass(frozen=True, slots=True)
class FoundWindow:
    """A window that is done, with all that it saw."""

    number: int
    finish: Finish
    nuclei: tuple[Nucleus, ...]
    """In the window's order, those included that do not stand; without masks."""
    hidden: tuple[UUID, ...]
    """Those that do not stand."""


@dataclass(frozen=True, slots=True)
class FoundChange:
    """What an event changes."""

    shown: tuple[Nucleus, ...] = ()
    """Nuclei that nobody has heard of yet; some may be hidden at once."""
    hidden: tuple[UUID, ...] = ()
    """Nuclei that do not stand: a surer sighting does."""
    back: tuple[UUID, ...] = ()
    """Nuclei that were hidden and stand again."""
    masks: dict[UUID, Mask] = field(default_factory=dict)
    window: FoundWindow | None = None
    """The window that has ended by it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A nucleus that a window which is done had seen."""

    window: int
    nucleus: Nucleus
    stands: bool


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was kept of a search that was broken off, to go on with it."""

    plan: str
    windows: dict[int, Finish]
    """The windows that are done, and how each ended."""
    seen: tuple[Seen, ...]
    """What the server has to know; see `napari_nunext.serving.protocol.Resume`."""
    others: int = 0
    """How many nuclei stand besides."""
    others_outlined: int = 0
    """How many of those have masks."""

    def asked(self) -> Resume:
        """As the server is asked."""
        return Resume(
            plan=self.plan,
            done=list(self.windows),
            sighted=[
                Sighted(
                    window=seen.window,
                    x=seen.nucleus.x_px,
                    y=seen.nucleus.y_px,
                    category=seen.nucleus.category,
                    confidence=seen.nucleus.confidence or 0.0,
                    outlined=seen.nucleus.mask is not None,
                )
                for seen in self.seen
            ],
        )


@dataclass(frozen=True, slots=True)
class Held:
    """What stays of windows that are searched again: people said something of it.

    What such a window sees in the place of one of these is that one. Everything else it sees has a
    uid that nobody has used: what was said of a nucleus is never taken for another's.
    """

    nuclei: dict[int, list[Nucleus]]
    """By window; they leave as they are seen again."""
    radius_px: float
    """How far apart two sightings of one nucleus may be."""
    places: int
    """How many places of every such window are used up."""

    def let_go(self, window: int, x_px: float, y_px: float) -> Nucleus | None:
        """The nucleus that lies there, which is held no longer; None where none does."""
        here = self.nuclei.get(window, [])
        near = min(here, key=lambda n: math.hypot(n.x_px - x_px, n.y_px - y_px), default=None)
        if near is None or math.hypot(near.x_px - x_px, near.y_px - y_px) > self.radius_px:
            return None
        here.remove(near)
        return near


def any_uid(window: int, place: int) -> UUID:
    """A uid for a nucleus that nobody will look for by its window and its place in that."""
    return uuid4()


def failed_words(found: Found) -> str:
    """What could not be read, for a person; empty where all could."""
    if not (failed := list(found.windows_failed.values())):
        return ""
    count = counted(len(failed), "window")
    return f"{count} could not be read, and will be tried again by the next search. {failed[0]}"


def left_out_words(started: Started) -> str:
    """What is not searched, for a person."""
    if not started.windows:
        return "no tissue was seen, so nothing is searched"
    count = started.windows_left_out
    return f"{count} window{'' if count == 1 else 's'} of glass left out"


@dataclass(slots=True)
class Found:
    """What a stream amounts to so far."""

    uid_of: Callable[[int, int], UUID] = any_uid
    """Gives each nucleus its uid, by its window and its place in that."""
    earlier: Earlier | None = None
    """What the server was asked to go on with; it counts once the server says that it does."""
    started: Started | None = None
    """How it is made; None before the first event."""
    standing: dict[int, Nucleus] = field(default_factory=dict)
    """Nuclei that stand, by their index in the stream."""
    windows_done: int = 0
    windows: int = 0
    windows_cut_off: int = 0
    """Windows that held more nuclei than the model lists."""
    windows_failed: dict[int, str] = field(default_factory=dict)
    """Windows that cannot be read, by number, and why; they are not done."""
    outlined: int = 0
    """How many nuclei have their masks."""
    finish: Literal["complete", "incomplete", "cancelled"] | None = None
    """How it ended; None before its last event."""
    _held: Held = field(default_factory=lambda: Held({}, 0.0, 0))
    _hidden: dict[int, Nucleus] = field(default_factory=dict)
    _open: dict[int, list[int]] = field(default_factory=dict)
    """Indices of what the windows saw that are not done."""
    _others: int = 0

    @property
    def count(self) -> int:
        """How many nuclei stand."""
        return len(self.standing) + self._others

    def hold(self, held: Held) -> None:
        """Know nuclei of windows that are searched again: what is seen there is one of them."""
        self._held = held

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
                if event.resumed and self.earlier is not None:
                    self._go_on(self.earlier)
            case Points():
                return self._see(event)
            case Hidden():
                return FoundChange(hidden=tuple(self._hide(event.indices)))
            case WindowDone():
                return self._end(event)
            case WindowFailed():
                self.windows_failed[event.window] = event.message
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

    def _go_on(self, earlier: Earlier) -> None:
        for index, seen in enumerate(earlier.seen):
            (self.standing if seen.stands else self._hidden)[index] = seen.nucleus
            self.outlined += seen.stands and seen.nucleus.mask is not None
        self._others, self.windows_done = earlier.others, len(earlier.windows)
        self.outlined += earlier.others_outlined
        self.windows_cut_off = sum(finish == "limit" for finish in earlier.windows.values())

    def _see(self, event: Points) -> FoundChange:
        shown, back = [], []
        for p in event.points:
            if p.index in self.standing:
                continue
            if p.index in self._hidden:
                self.standing[p.index] = self._hidden.pop(p.index)
                back.append(self.standing[p.index].uid)
                continue
            held = self._held.let_go(event.window, p.x, p.y)
            if held is not None:
                self.standing[p.index] = held
                continue
            here = self._open.setdefault(event.window, [])
            uid = self.uid_of(event.window, self._held.places + len(here))
            nucleus = Nucleus(
                uid,
                p.x,
                p.y,
                p.category or UNCATEGORISED,
                p.confidence,
                position_error_um=p.position_error_um,
            )
            self.standing[p.index] = nucleus
            here.append(p.index)
            shown.append(nucleus)
        return FoundChange(shown=tuple(shown), back=tuple(back))

    def _hide(self, indices: Sequence[int]) -> Iterator[UUID]:
        for index in indices:
            if index in self.standing:
                self._hidden[index] = self.standing.pop(index)
                yield self._hidden[index].uid

    def _end(self, event: WindowDone) -> FoundChange:
        self.windows_done = event.done
        self.windows_cut_off += event.finish == "limit"
        return FoundChange(window=self._window(event.window, event.finish))

    def _window(self, number: int, finish: Finish) -> FoundWindow:
        indices = self._open.pop(number, [])
        lost = tuple(self._hidden[i].uid for i in indices if i in self._hidden)
        known = ChainMap(self.standing, self._hidden)
        return FoundWindow(number, finish, tuple(known[i] for i in indices), lost)

    def unfinished(self) -> list[Nucleus]:
        """What stands of the windows that are not done."""
        return [
            self.standing[i] for seen in self._open.values() for i in seen if i in self.standing
        ]

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
