"""What a person says of an image, or of a region of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_nunext.store import checks
from napari_nunext.store.event import EventKind, declare
from napari_nunext.store.state.acceptance import Acceptance, have_common_area
from napari_nunext.store.state.folding import Comment

if TYPE_CHECKING:
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.store.event import Event
    from napari_nunext.store.state.folding import Fold


def _comment(fold: Fold, event: Event) -> None:
    said = Comment(event.payload["text"], event.annotator, event.at_utc, event.uid)
    fold.comments = (*fold.comments, said)
    if old := fold.about(event):
        fold.touch(event, old)  # a nucleus that someone spoke of is touched


COMMENT = declare(
    EventKind(
        name="comment",
        about="image or nucleus",
        words="made a comment",
        payload={"text": checks.is_words},
        fold=_comment,
    )
)


def comment(image_sha256: str, text: str, uid: UUID | None = None) -> Event:
    """Say something about the field, or about one nucleus."""
    return COMMENT(image_sha256, {"text": text}, uid)


def _use_run(fold: Fold, event: Event) -> None:
    run = fold.runs.get(event.payload["run_id"])
    if run is not None:
        fold.use(run, event.region)


USE_RUN = declare(
    EventKind(
        name="use_run",
        about="region",
        words="searched for nuclei",
        payload={"run_id": checks.is_uuid, "region": checks.is_box},
        fold=_use_run,
        reach="everything",
        everybodys=True,
    )
)


def use_run(image_sha256: str, run_id: str, region: Box) -> Event:
    """Make a run's predictions the base within a region (see `napari_nunext.store.state.state`)."""
    return USE_RUN(image_sha256, {"run_id": str(run_id), "region": _box(region)})


def _complete_region(fold: Fold, event: Event) -> None:
    new, seen = event.region, event.payload.get("seen")
    # Journals from before acceptances kept what was seen cannot tell: they are believed.
    differs = seen is not None and not fold.is_as_seen(new, seen)
    kept = (a for a in fold.acceptances if a.region.clipped_to(new) != a.region)
    fold.acceptances = (*kept, Acceptance(new, event.annotator, changed=differs))


COMPLETE_REGION = declare(
    EventKind(
        name="complete_region",
        about="region",
        words="accepted a region",
        payload={"region": checks.is_box},
        fold=_complete_region,
        optional={"seen": checks.is_seen},
    )
)


def complete_region(image_sha256: str, region: Box, seen: dict[str, Any] | None = None) -> Event:
    """Every nucleus of the region is marked: it may serve as ground truth.

    `seen` is `FieldState.seen_in` of the region as it was on the screen; without it the acceptance
    is believed to be of what the journal says.
    """
    payload = {"region": _box(region)} | ({} if seen is None else {"seen": seen})
    return COMPLETE_REGION(image_sha256, payload)


def _reopen_region(fold: Fold, event: Event) -> None:
    fold.acceptances = tuple(
        a for a in fold.acceptances if not have_common_area(a.region, event.region)
    )


REOPEN_REGION = declare(
    EventKind(
        name="reopen_region",
        about="region",
        words="took back an acceptance",
        payload={"region": checks.is_box},
        fold=_reopen_region,
    )
)


def reopen_region(image_sha256: str, region: Box) -> Event:
    """Take back the completion of every region that overlaps this one."""
    return REOPEN_REGION(image_sha256, {"region": _box(region)})


def _flag_field(fold: Fold, event: Event) -> None:
    fold.flagged = event.payload["flagged"]


FLAG_FIELD = declare(
    EventKind(
        name="flag_field",
        about="image",
        words="changed the flag of the image",
        payload={"flagged": checks.is_flag},
        fold=_flag_field,
        everybodys=True,
    )
)


def flag_field(image_sha256: str, flagged: bool = True) -> Event:
    """Mark the whole image for a second look, or take the mark away."""
    return FLAG_FIELD(image_sha256, {"flagged": bool(flagged)})


def _import_file(fold: Fold, event: Event) -> None:
    fold.imports |= {event.group}


IMPORT_FILE = declare(
    EventKind(
        name="import_file",
        about="image",
        words="took in a file",
        payload={"source": checks.is_words, "sha256": checks.is_words},
        fold=_import_file,
    )
)


def import_file(image_sha256: str, source: str, sha256: str) -> Event:
    """A file of nuclei was taken in: the rest of the gesture is what it says, seen by nobody.

    `source` is what wrote the file, and `sha256` the hash of its bytes; names of files are of
    patients, and stay out of the journal.
    """
    return IMPORT_FILE(image_sha256, {"source": source, "sha256": sha256})


def _box(region: Box) -> list[float]:
    return list(region.as_tuple())
