"""To take a gesture back, and to bring it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.store.event import Event


UNDO = declare(
    EventKind(
        name="undo",
        about="gesture",
        words="took a step back",
        payload={"target": checks.is_uuid},
        undoable=False,
        reach="everything",
    )
)


def undo(image_sha256: str | None, group: UUID) -> Event:
    """Take a gesture back; `FieldState.next_undo` names it. None for one about the project."""
    return UNDO(image_sha256, {"target": str(group)})


REDO = declare(
    EventKind(
        name="redo",
        about="gesture",
        words="brought a step again",
        payload={"target": checks.is_uuid},
        undoable=False,
        reach="everything",
    )
)


def redo(image_sha256: str | None, group: UUID) -> Event:
    """Bring an undone gesture again; `FieldState.next_redo` names it. None as for `undo`."""
    return REDO(image_sha256, {"target": str(group)})
