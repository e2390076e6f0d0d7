"""Files of nuclei from outside, taken into a project: as corrections, or as predictions.

As *corrections* a file is what a person says: each nucleus is merged (`merging` beside this). As
*predictions* it is what another program found: a run like a model's, which is no truth before
people have accepted it. Either way it is one gesture, and reading the same file again changes
nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args
from uuid import UUID, uuid5

from napari_nunext.core.errors import RecordError
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import nuclei_in_words, points_of
from napari_nunext.store import events
from napari_nunext.store.entries import RunInfo
from napari_nunext.store.imports.merging import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_nunext.core.marks import MarkedNucleus
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.store.entries import ImageEntry, Run
    from napari_nunext.store.events import Event
    from napari_nunext.store.state.state import FieldState

Role: TypeAlias = Literal["corrections", "predictions"]
ROLES: tuple[Role, ...] = get_args(Role)

OUTSIDE = "outside"
"""Id of the model of such runs."""
EDGE_UM = 10.0
"""A nucleus so far outside is of another image; nearer, it was cut by the edge."""

_NAMESPACE = UUID("5d0f3c52-4a8e-5f0b-8f5e-6a0a7f1e9c21")
"""Of the uids that nuclei without one get, so that they have the same when they come again."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What a file says of one image, ready to be taken in."""

    entry: ImageEntry
    source: str
    """What wrote it."""
    sha256: str
    """Hash of the file's bytes."""
    nuclei: tuple[MarkedNucleus, ...]
    """All of them inside the image, under the uids that they will have."""
    notes: tuple[str, ...] = ()
    """What was left out, and how the file was read; a phrase for each."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking a file in does."""

    events: tuple[Event, ...]
    """One gesture; empty where nothing changes."""
    words: str
    """Of what changes, and what does not; a phrase."""
    info: RunInfo | None = None
    """Of the run that is to be recorded first; its id goes into the event `use_run`."""
    predictions: tuple[Nucleus, ...] = ()
    known: int = 0
    """Nuclei of the file whose uid the project knows."""
    absent: int = 0
    """Nuclei that stand here, and not in the file."""


def intake(
    nuclei: Sequence[MarkedNucleus],
    entry: ImageEntry,
    *,
    source: str,
    sha256: str,
    size_px: tuple[int, int] | None,
    name: str,
    notes: Sequence[str] = (),
    leave_outside_out: bool = False,
) -> Intake:
    """What a file says of an image, once it is sure that it means that image.

    Parameters
    ----------
    nuclei : sequence of MarkedNucleus
    entry : ImageEntry
    source, sha256
        As `Intake` has them.
    size_px : tuple of int, optional
        Width and height of the image that the file means, where it says so.
    name : str
        The file's, for messages.
    notes : sequence of str
    leave_outside_out : bool
        Take what lies inside of a file that is not of this image alone.

    Raises
    ------
    RecordError
        If the file is of an image of another size, or of one that reaches further.
    """
    size = f"{entry.width_px} x {entry.height_px} px"
    if size_px is not None and size_px != (entry.width_px, entry.height_px):
        raise RecordError(
            f"{name} is of an image of {size_px[0]} x {size_px[1]} px, but {entry.name} "
            f"has {size}. Choose the image that it was made for."
        )
    points_xy = points_of([n.nucleus for n in nuclei])
    inside = entry.box.contains(points_xy)
    edge_px = EDGE_UM / entry.mpp
    near = Box(-edge_px, -edge_px, entry.width_px + edge_px, entry.height_px + edge_px)
    far = int((~near.contains(points_xy)).sum())
    if far and not (leave_outside_out and inside.any()):
        raise OutsideError(
            f"{far} of the {nuclei_in_words(len(nuclei))} of {name} lie outside {entry.name} "
            f"({size}): it is of another image, or its coordinates are no pixels of the whole "
            "image.",
            some_inside=bool(inside.any()),
        )
    kept = [n for n, is_inside in zip(nuclei, inside.tolist(), strict=True) if is_inside]
    left_out = len(nuclei) - len(kept)
    if left_out:
        notes = (*notes, f"left out {nuclei_in_words(left_out)} outside the image")
    return Intake(entry, source, sha256, tuple(_identified(kept, entry)), tuple(notes))


class OutsideError(RecordError):
    """Nuclei of a file lie far outside the image.

    Attributes
    ----------
    some_inside : bool
        Whether any lies inside, so that these can be taken.
    """

    def __init__(self, words: str, *, some_inside: bool) -> None:
        super().__init__(words)
        self.some_inside = some_inside


def _identified(nuclei: Sequence[MarkedNucleus], entry: ImageEntry) -> list[MarkedNucleus]:
    """With a uid that is the same whenever the file comes again: that of the place."""
    seen: Counter[tuple[str, str]] = Counter()
    made = []
    for n in nuclei:
        if not n.identified:
            place = f"{n.nucleus.x_px:.2f}", f"{n.nucleus.y_px:.2f}"
            seen[place] += 1
            key = f"{entry.sha256} {' '.join(place)} {seen[place]}"
            n = replace(n, nucleus=replace(n.nucleus, uid=uuid5(_NAMESPACE, key)))
        made.append(n)
    return made


def usual_role(state: FieldState, given: Intake) -> Role:
    """As what a file is meant, unless somebody says otherwise.

    Corrections are what comes back from a review: the file has a uid of this image, or says what
    people did.
    """
    said = any(
        n.marks.status != "unreviewed" or n.marks.flagged or n.marks.origin == "person"
        for n in given.nuclei
    )
    ours = state.nuclei.keys() | state.deleted.keys()
    ours |= {n.uid for run in state.runs.values() for n in run.nuclei}
    is_back = any(n.identified and n.nucleus.uid in ours for n in given.nuclei)
    return "corrections" if said or is_back else "predictions"


def take(
    state: FieldState,
    given: Intake,
    role: Role,
    *,
    named: Callable[[str], str] = lambda name: name,
    absent_deleted: bool = False,
) -> Taken:
    """What taking a file in as `role` changes; nothing is changed yet.

    Parameters
    ----------
    state : FieldState
        The image as it stands.
    given : Intake
    role : {"corrections", "predictions"}
    named : callable
        What a category is called now.
    absent_deleted : bool
        Whether nuclei that stand here and not in a file of corrections were deleted there.

    Raises
    ------
    RecordError
        If `absent_deleted` is asked of a file that knows none of the nuclei here.
    """
    if role == "predictions":
        return _predictions(state, given)
    merged = merge(state, given.entry, given.nuclei, named=named, absent_deleted=absent_deleted)
    if absent_deleted and not merged.known:
        raise RecordError(
            f"No nucleus of the file is known in {given.entry.name}, so it cannot say which were "
            "deleted. Only a file that was exported from this project can."
        )
    return Taken(
        _gesture(given, merged.events),
        merged.words,
        known=merged.known,
        absent=merged.counts["absent"],
    )


def _predictions(state: FieldState, given: Intake) -> Taken:
    standing = tuple(n.nucleus for n in given.nuclei if n.marks.stands)
    rejected = len(given.nuclei) - len(standing)
    words = f"{nuclei_in_words(len(standing))} of {given.source} to be reviewed"
    if rejected:
        words += f", {rejected} rejected ones left out"
    sha256, region = given.entry.sha256, given.entry.box
    before = _run_of(state, given)
    if before is not None and before.run_id == (state.bases[-1].run_id if state.bases else None):
        return Taken((), f"{words}, here already")
    replaced = sum(not n.touched for n in state.nuclei.values())
    if replaced:
        words += f", in the place of {replaced} that nobody has touched"
    if before is not None:
        use = events.use_run(sha256, before.run_id, region)
        return Taken(_gesture(given, (use,)), words)
    info = RunInfo(
        model=ModelDescription(given.source, OUTSIDE, kind="detector", id=OUTSIDE),
        decoding={},
        mpp=given.entry.mpp,
        codec_version=0,
        region=region,
        extra={
            "file_sha256": given.sha256,
            "categories": sorted({n.category for n in standing}),
        },
    )
    return Taken((), words, info, standing)


def _run_of(state: FieldState, given: Intake) -> Run | None:
    """The run that this file was recorded as before, whatever its source was called."""
    for run in reversed(state.runs.values()):
        is_same = run.info.extra.get("file_sha256") == given.sha256
        if run.info.model.id == OUTSIDE and is_same and run.status == "complete":
            return run
    return None


def using(given: Intake, run_id: str) -> tuple[Event, ...]:
    """The gesture that shows a run which was recorded for a file."""
    return _gesture(given, (events.use_run(given.entry.sha256, run_id, given.entry.box),))


def _gesture(given: Intake, found: Sequence[Event]) -> tuple[Event, ...]:
    if not found:
        return ()
    first = events.import_file(given.entry.sha256, given.source, given.sha256)
    return events.grouped((first, *found))
