"""Taking files of nuclei into the review: read, matched to an image, proposed in words, and done.

Reading and comparing happen in the background. What is done is one gesture, which one undo takes
back (`napari_nunext.store.imports.outside` says what it does).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.identity import content_sha256
from napari_nunext.core.nuclei import nuclei_in_words
from napari_nunext.core.predictions import Predictions
from napari_nunext.images import Tile, open_tile
from napari_nunext.images.nuclei.label_images import CELLPOSE_MASKS
from napari_nunext.images.nuclei.label_images import SUFFIXES as LABEL_SUFFIXES
from napari_nunext.images.nuclei_files import (
    NEVER_IMAGES,
    holds_labels,
    images_named,
    is_of_nuclei,
    read_nuclei,
    source_of,
    stem_of,
    suffix_of,
)
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.imports import ImportsModel, Proposal
from napari_nunext.store import Run
from napari_nunext.store.imports.outside import ROLES, OutsideError, intake, take, using, usual_role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.images.nuclei_files import NucleiOfImage
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.opening.opening import Opener
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.images import QueueItem
    from napari_nunext.store import Event, FieldState, ImageEntry
    from napari_nunext.store.imports.outside import Intake, Role, Taken


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What a file holds of one image, until that is shown and somebody has decided."""

    part: NucleiOfImage
    sha256: str
    path: Path
    """The image that it is of."""
    doubt: str = ""
    """Why it may be of another image; a sentence."""
    leave_outside_out: bool = False


class FileTaker:
    """The part of the review that takes nuclei from files.

    Parameters
    ----------
    session : Session
    finder : Finder
        Whose categories grow; its search goes before.
    opener : Opener
        Opens the image that a file is of.
    """

    def __init__(self, session: Session, finder: Finder, opener: Opener) -> None:
        self._session = session
        self._review = session.model
        self.model = ImportsModel()
        """What the panels show of it."""
        self._images = session.images
        self._finder = finder
        self._opener = opener
        self._waiting: list[_Waiting] = []
        self._later: list[Path] = []
        """Files that came while an image was being opened: they may be of that."""
        self._is_at_work = False
        """Whether a file is compared or taken in: the next one waits."""
        opener.shown.connect(self._go_on)
        opener.not_read.connect(self._forget)
        session.left.connect(self._forget)

    def for_import(self, paths: Sequence[Path]) -> list[Path]:
        """Those of some files that hold nuclei, and are no images to review."""
        labels = self.labels_among(paths)
        return [path for path in paths if path in labels or is_of_nuclei(path)]

    def labels_among(self, paths: Sequence[Path]) -> list[Path]:
        """The label images of images of the queue, or of Cellpose, among some files.

        None of the queue itself is one.
        """
        items = self._images.queue.items
        images = {item.path for item in items}
        stems = {stem_of(Path(item.name)).casefold() for item in items}
        return [
            path
            for path in paths
            if path not in images
            and suffix_of(path, LABEL_SUFFIXES) is not None
            and (path.stem.endswith(CELLPOSE_MASKS) or stem_of(path).casefold() in stems)
            and (suffix_of(path, NEVER_IMAGES) is not None or holds_labels(path))
        ]

    def take(self, paths: Sequence[Path]) -> None:
        """Read files of nuclei, then propose what to do with each."""
        if self._images.loading:
            self._later += paths
            return
        field = self._images.open_field
        if field is None:
            names = " and ".join(path.name for path in paths)
            self._session.notify(Notice(f"Open the image first, then import {names}.", "warning"))
            return
        items, here = self._images.queue.items, self._here

        def image_of(stem: str) -> Tile:
            named = images_named(stem, items)
            path = named[0].path if len(named) == 1 else here.path
            if path == here.path and isinstance(field.source, Tile):
                return field.source
            return open_tile(path)

        def read() -> list[_Waiting]:
            return [
                _for_image(part, content_sha256(path), items, here)
                for path in paths
                for part in read_nuclei(path, image_of)
            ]

        self._session.background.run(read, self._take_up)

    @property
    def _here(self) -> QueueItem:
        """The image that is shown."""
        queue = self._images.queue
        return queue.items[queue.index or 0]

    def _take_up(self, read: Sequence[_Waiting]) -> None:
        doubtful = [waiting for waiting in read if waiting.doubt]
        if len(read) > 1 and doubtful:  # which of many an unnamed one means nobody can say
            names = sorted({waiting.part.image for waiting in doubtful})
            read = [waiting for waiting in read if not waiting.doubt]
            left = f"No image of the list is called {', '.join(names[:3])}"
            left += f" and {len(names) - 3} more" if len(names) > 3 else ""
            self._session.notify(Notice(f"{left}: their nuclei were left out.", "warning"))
        self._waiting += read
        self._go_on()

    def _go_on(self) -> None:
        """Propose what waits first, or open its image."""
        field = self._images.open_field
        if field is None or self._is_at_work:
            return
        if self._later:
            later, self._later = self._later, []
            self.take(later)
        proposal = self.model.proposal
        if proposal is not None and not self._session.is_open(proposal.image_sha256):
            self.model.proposal = proposal = None  # somebody went on to another image
            self._waiting.clear()
        if proposal is not None or not self._waiting:
            return
        first = self._waiting[0]
        if first.path != self._here.path:
            index = [item.path for item in self._images.queue.items].index(first.path)
            self._opener.go_to(index)
            return
        self._waiting.pop(0)
        self._propose(first, field.entry, self._session.state_of(field.entry.sha256))

    def _forget(self) -> None:
        """Let go of what waits: its image cannot be read, or the project was left."""
        self._later.clear()
        self._waiting.clear()
        self._is_at_work = False

    # The proposal

    def _propose(self, waiting: _Waiting, entry: ImageEntry, state: FieldState) -> None:
        if self._finder.searching == entry.sha256:
            words = f"Stop the search, or wait for it, before {waiting.part.path.name} is imported."
            self._session.notify(Notice(words, "warning"))
            return
        named = self._session.book.named

        def compare() -> Proposal:
            given = self._intake(waiting, entry)
            usual = usual_role(state, given)
            effects = {role: take(state, given, role, named=named) for role in ROLES}
            return self._proposal(waiting, given, usual, effects)

        self._is_at_work = True
        self._session.background.run(
            compare, self._show, lambda error: self._refuse(error, waiting)
        )

    def _intake(self, waiting: _Waiting, entry: ImageEntry) -> Intake:
        part = waiting.part
        return intake(
            part.nuclei,
            entry,
            source=source_of(part),
            sha256=waiting.sha256,
            size_px=part.size_px,
            name=part.path.name,
            notes=part.notes,
            leave_outside_out=waiting.leave_outside_out,
        )

    def _proposal(
        self, waiting: _Waiting, given: Intake, usual: Role, effects: dict[Role, Taken]
    ) -> Proposal:
        corrections = effects["corrections"]
        title = f"{waiting.part.path.name}: {nuclei_in_words(len(given.nuclei))} of {given.source}"
        title += "" if waiting.doubt else f" for {given.entry.name}"
        title += "".join(f"; {note}" for note in given.notes)
        return Proposal(
            image_sha256=given.entry.sha256,
            title=f"{waiting.doubt} {title}.".strip(),
            effects={role: effect.words for role, effect in effects.items()},
            changing=frozenset(r for r, e in effects.items() if e.events or e.info),
            usual=usual,
            absent=corrections.absent if corrections.known else 0,
            choose=partial(self._choose, given),
            cancel=self._cancel,
        )

    def _show(self, proposal: Proposal) -> None:
        self._is_at_work = False
        if not self._session.is_open(proposal.image_sha256):
            self._waiting.clear()  # somebody went on to another image
            return
        if proposal.usual in proposal.changing or proposal.absent:
            self.model.proposal = proposal
            return
        words = f"{proposal.title} {proposal.effects[proposal.usual].capitalize()}."
        self._session.notify(Notice(f"{words} Nothing changed."))
        self._go_on()

    def _refuse(self, error: BaseException, waiting: _Waiting) -> None:
        self._is_at_work = False
        notice = in_words(error)
        if isinstance(error, OutsideError) and error.some_inside:
            again = replace(waiting, leave_outside_out=True)
            notice = replace(
                notice, action_label="Take those inside", action=lambda: self._take_up([again])
            )
        self._session.notify(notice)
        self._go_on()

    def _cancel(self) -> None:
        self.model.proposal = None
        self._go_on()

    # The deed

    def _choose(self, given: Intake, role: Role, absent_deleted: bool) -> None:
        self.model.proposal = None
        session, named = self._session, self._session.book.named
        state = session.state_of(given.entry.sha256)

        def work() -> _Done:
            is_merge = role == "corrections"
            taken = take(
                state, given, role, named=named, absent_deleted=absent_deleted and is_merge
            )
            run = self._recorded(given, taken)
            gesture = session.project.stamp(
                taken.events if run is None else using(given, run.run_id)
            )
            known = state if run is None else state.with_run(run)
            return _Done(taken.words, gesture, state, known.apply(*gesture), run)

        self._is_at_work = True
        session.background.run(work, lambda done: self._conclude(given, done), self._failed)

    def _failed(self, error: BaseException) -> None:
        self._is_at_work = False
        self._session.notify(in_words(error))
        self._go_on()

    def _recorded(self, given: Intake, taken: Taken) -> Run | None:
        """A run that is in the project now, and not shown yet; None where there is none to be."""
        session, info = self._session, taken.info
        if info is None:
            return None
        project, writer = session.project, session.writer
        run_id = writer.call(lambda: project.start_run(given.entry.sha256, info))
        writer.call(lambda: project.add_predictions(run_id, taken.predictions))
        writer.call(lambda: project.finish_run(run_id, "complete"))
        return Run(
            run_id=run_id,
            image_sha256=given.entry.sha256,
            info=info,
            status="complete",
            annotator=project.annotator,
            started_utc=datetime.now(UTC),
            nuclei=Predictions.of(taken.predictions),
        )

    def _conclude(self, given: Intake, done: _Done) -> None:
        self._is_at_work = False
        session, sha256 = self._session, given.entry.sha256
        names = dict.fromkeys(session.book.named(n.nucleus.category) for n in given.nuclei)
        known = {category.name for category in self._review.categories}
        if new := [name for name in names if name not in known]:
            self._finder.learn_categories(new)
        now = session.state_of(sha256)
        if now is not done.before and done.run is not None:
            session.show_state(sha256, now.with_run(done.run))
        words = "Nothing changed."
        if done.gesture:
            session.commit_made(sha256, done.gesture, done.before, done.after)
            words = f"Imported into {given.entry.name}: {done.words}. Undo takes it back."
        session.notify(Notice(words, of_last_gesture=bool(done.gesture)))
        self._go_on()


@dataclass(frozen=True, eq=False, slots=True)
class _Done:
    """What was made in the background, to be shown."""

    words: str
    gesture: tuple[Event, ...]
    before: FieldState
    """What it was made of."""
    after: FieldState
    run: Run | None


def _for_image(
    part: NucleiOfImage, sha256: str, items: Sequence[QueueItem], here: QueueItem
) -> _Waiting:
    """Which image of the queue a file is of: the one it is named after, else the one shown."""
    named = images_named(part.image, items)
    if len(named) == 1:
        return _Waiting(part, sha256, named[0].path)
    if here in named:
        return _Waiting(part, sha256, here.path)
    means = f"{len(named)} images" if named else "no image"
    doubt = f"{part.path.name} is named as {means} of the list. Is it of {here.name}?"
    return _Waiting(part, sha256, here.path, doubt)
