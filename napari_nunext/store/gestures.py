"""The gestures of everyone in one line each: what an undo or a redo reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from napari_nunext.store.event import Event


@dataclass(frozen=True, slots=True)
class History:
    """One person's gestures: what undo and redo reach next is last."""

    done: tuple[UUID, ...] = ()
    undone: tuple[UUID, ...] = ()


def histories_after(
    events: Iterable[Event], start: dict[str | None, History], inactive: frozenset[UUID]
) -> tuple[dict[str | None, History], frozenset[UUID]]:
    """Everyone's gestures after `events`, and which groups no longer count."""
    # Dictionaries serve as ordered sets: a group stands once, however many events it has.
    done = {who: dict.fromkeys(history.done) for who, history in start.items()}
    undone = {who: dict.fromkeys(history.undone) for who, history in start.items()}
    out = set(inactive)
    last: Event | None = None
    for event in events:
        if last and event.group is last.group and event.annotator == last.annotator:
            continue  # one gesture, told in many events
        last = event if event.is_edit else None
        mine = done.setdefault(event.annotator, {})
        back = undone.setdefault(event.annotator, {})
        if event.is_edit and event.group not in out:
            if event.group not in mine:  # what joins a gesture later is no new one
                back.clear()
            mine[event.group] = None
        elif event.kind == "undo" and _reaches(mine, event):
            back[event.target] = mine.pop(event.target)
            out.add(event.target)
        elif event.kind == "redo" and _reaches(back, event):
            mine[event.target] = back.pop(event.target)
            out.discard(event.target)
    histories = {
        who: History(tuple(done[who]), tuple(undone[who]))
        for who in done
        if done[who] or undone[who]
    }
    return histories, frozenset(out)


def groups_taken_back(events: Iterable[Event]) -> frozenset[UUID]:
    """The gestures among these events that were undone, and not brought again."""
    return histories_after(events, {}, frozenset())[1]


def _reaches(groups: dict[UUID, None], event: Event) -> bool:
    """Whether an undo or redo may take its target from these groups.

    The last one; a gesture about the project also from between those about one image.
    """
    if event.image_sha256 is None:
        return event.target in groups
    return next(reversed(groups), None) == event.target
