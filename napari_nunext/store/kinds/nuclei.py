"""What a person does to one nucleus."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.nuclei import Nucleus
from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare
from napari_nunext.store.state.reviewed import ReviewedNucleus, recategorised

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.folding import Fold


def _add(fold: Fold, event: Event) -> None:
    if event.uid is None or event.uid in fold.nuclei:
        return
    p = event.payload
    nucleus = Nucleus(event.uid, float(p["x_px"]), float(p["y_px"]), p["category"], mask=event.mask)
    fold.deleted.pop(event.uid, None)
    fold.nuclei.place(ReviewedNucleus(nucleus, touched=True, annotator=event.annotator))


ADD = declare(
    EventKind(
        name="add",
        about="nucleus",
        words="placed a nucleus",
        payload={
            "x_px": checks.is_number,
            "y_px": checks.is_number,
            "category": checks.is_words,
            "mask": checks.is_mask_or_none,
        },
        fold=_add,
    )
)


def add(
    image_sha256: str,
    x_px: float,
    y_px: float,
    category: str,
    *,
    uid: UUID | None = None,
    mask: Mask | None = None,
) -> Event:
    """Place a nucleus that no prediction stands for; a new uid unless one is given."""
    payload = {
        "x_px": float(x_px),
        "y_px": float(y_px),
        "category": category,
        "mask": None if mask is None else mask.to_json(),
    }
    return ADD(image_sha256, payload, uid or uuid4())


def _move(fold: Fold, event: Event) -> None:
    old = fold.about(event)
    if old is None:
        return
    n, x_px, y_px = old.nucleus, float(event.payload["x_px"]), float(event.payload["y_px"])
    mask = n.mask
    if mask is not None and not mask.covers(x_px, y_px):
        mask = None  # it outlines what the point has left
    fold.touch(event, old, nucleus=Nucleus(n.uid, x_px, y_px, n.category, n.confidence, mask))


MOVE = declare(
    EventKind(
        name="move",
        about="nucleus",
        words="moved a nucleus",
        payload={"x_px": checks.is_number, "y_px": checks.is_number},
        fold=_move,
    )
)


def move(image_sha256: str, uid: UUID, x_px: float, y_px: float) -> Event:
    """Put a nucleus where it belongs."""
    return MOVE(image_sha256, {"x_px": float(x_px), "y_px": float(y_px)}, uid)


def _delete(fold: Fold, event: Event) -> None:
    gone = fold.about(event)
    if gone is not None:
        fold.nuclei.put(gone.uid, None)
        fold.deleted[gone.uid] = gone.predicted_xy or (gone.nucleus.x_px, gone.nucleus.y_px)


DELETE = declare(
    EventKind(
        name="delete",
        about="nucleus",
        words="deleted a nucleus",
        payload={},
        fold=_delete,
    )
)


def delete(image_sha256: str, uid: UUID) -> Event:
    """There is no nucleus here."""
    return DELETE(image_sha256, {}, uid)


def _relabel(fold: Fold, event: Event) -> None:
    if old := fold.about(event):
        fold.touch(event, old, nucleus=recategorised(old.nucleus, event.payload["category"]))


RELABEL = declare(
    EventKind(
        name="relabel",
        about="nucleus",
        words="gave a nucleus another category",
        payload={"category": checks.is_words},
        fold=_relabel,
    )
)


def relabel(image_sha256: str, uid: UUID, category: str) -> Event:
    """Give a nucleus another category."""
    return RELABEL(image_sha256, {"category": category}, uid)


def _accept(fold: Fold, event: Event) -> None:
    if old := fold.about(event):
        fold.touch(event, old, status="accepted")


ACCEPT = declare(
    EventKind(
        name="accept",
        about="nucleus",
        words="accepted a nucleus",
        payload={},
        fold=_accept,
    )
)


def accept(image_sha256: str, uid: UUID) -> Event:
    """Say that a nucleus is right as it stands."""
    return ACCEPT(image_sha256, {}, uid)


def _reject(fold: Fold, event: Event) -> None:
    if old := fold.about(event):
        fold.touch(event, old, status="rejected")


REJECT = declare(
    EventKind(
        name="reject",
        about="nucleus",
        words="rejected a nucleus",
        payload={},
        fold=_reject,
    )
)


def reject(image_sha256: str, uid: UUID) -> Event:
    """Say that a nucleus is wrong, but keep it in view."""
    return REJECT(image_sha256, {}, uid)


def _flag_nucleus(fold: Fold, event: Event) -> None:
    if old := fold.about(event):
        fold.touch(event, old, flagged=event.payload["flagged"])


FLAG_NUCLEUS = declare(
    EventKind(
        name="flag_nucleus",
        about="nucleus",
        words="changed the flag of a nucleus",
        payload={"flagged": checks.is_flag},
        fold=_flag_nucleus,
    )
)


def flag_nucleus(image_sha256: str, uid: UUID, flagged: bool = True) -> Event:
    """Mark a nucleus for a second look, or take the mark away."""
    return FLAG_NUCLEUS(image_sha256, {"flagged": bool(flagged)}, uid)


def _edit_mask(fold: Fold, event: Event) -> None:
    if old := fold.about(event):
        fold.touch(event, old, nucleus=replace(old.nucleus, mask=event.mask))


EDIT_MASK = declare(
    EventKind(
        name="edit_mask",
        about="nucleus",
        words="changed the outline of a nucleus",
        payload={"mask": checks.is_mask_or_none},
        fold=_edit_mask,
    )
)


def edit_mask(image_sha256: str, uid: UUID, mask: Mask | None) -> Event:
    """Replace a nucleus' outline; None takes it away."""
    return EDIT_MASK(image_sha256, {"mask": None if mask is None else mask.to_json()}, uid)
