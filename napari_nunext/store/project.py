"""A review project: images, what models said of them, and what people did about it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from sqlalchemy import select

from napari_nunext.core.errors import InputError, StoreError
from napari_nunext.core.predictions import Predictions
from napari_nunext.store import events as event_of
from napari_nunext.store.entries import Run
from napari_nunext.store.state.state import FieldState, events_of, for_every_image
from napari_nunext.store.tables import answers, journal, runs, schema, settings
from napari_nunext.store.tables.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import TracebackType

    from sqlalchemy import Connection

    from napari_nunext.core.nuclei import Category, Nucleus
    from napari_nunext.core.uids import Uids
    from napari_nunext.store.answers import Answer
    from napari_nunext.store.entries import (
        ImageEntry,
        Origin,
        RunFound,
        RunInfo,
        RunStatus,
        WindowFinish,
    )
    from napari_nunext.store.events import Event
    from napari_nunext.store.tables.connections import Mode
    from napari_nunext.store.tables.journal import Gesture

logger = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Project:
    """An open project. Made by `Project.open`; a context manager.

    Methods may be called from any thread; writers wait for each other. A method that writes has
    made it durable when it returns, and has changed nothing when it raises.

    Attributes
    ----------
    path : Path
        The project file.
    uid : UUID
        Identity of the project for life.
    annotator : str
        Who is working.
    mode : {"rw", "r"}
        Whether it is open for writing.
    lost_log : bool
        Whether it was opened without its newest changes, as far as is known.
    copy_of_before : Path or None
        Where a project of an earlier version is kept as it was, if this opening carried it up.
    """

    def __init__(self, database: Database, annotator: str, clock: Callable[[], datetime]) -> None:
        self.path = database.path
        self.mode = database.mode
        self.lost_log = database.lost_log
        self.copy_of_before = database.copy_of_before
        self.annotator = annotator
        self.database = database
        self._clock = clock
        self._write_lock = threading.RLock()
        with database.reading() as connection:
            self.uid = UUID(connection.scalar(select(schema.project.c.uid)))

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        annotator: str,
        mode: Mode = "rw",
        create: bool = True,
        clock: Callable[[], datetime] = utc_now,
    ) -> Project:
        """Open a project, or begin one.

        Parameters
        ----------
        path : Path or str
            The project file.
        annotator : str
            Name or initials of who is working; every event carries it.
        mode : {"rw", "r"}
            ``"r"`` may be opened beside a writer.
        create : bool
            Whether a missing file is made.
        clock : callable
            Gives the time in UTC.

        Raises
        ------
        ProjectLockedError
            If another window or process has it open for writing.
        StoreError
            If it is missing, unreadable, not a project, or of a newer schema.
        InputError
            If `annotator` is blank or `mode` unknown.
        """
        if not annotator.strip():
            raise InputError("The annotator has no name. Give a name or initials.")
        if mode not in ("rw", "r"):
            raise InputError(f"Mode {mode!r} is unknown; expected 'rw' or 'r'.")
        database = Database(Path(path), annotator=annotator, mode=mode, create=create, clock=clock)
        try:
            project = cls(database, annotator, clock)
            if mode == "rw":
                project._close_runs_left_open()
                project.checkpoint()
        except BaseException:
            database.close()
            raise
        logger.debug("Opened a project for %s", "writing" if mode == "rw" else "reading")
        return project

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._write_lock:
            self.database.close()

    def checkpoint(self) -> bool:
        """Bring everything into the one file, so that it may be copied alone.

        False where it has to wait: another process is reading, or the disk is full. What was saved
        is safe nevertheless, in the file beside it.
        """
        with self._write_lock:
            try:
                return self.database.checkpoint()
            except StoreError as error:
                logger.warning("The log could not be brought into the project: %s", error)
                return False

    def backup(self, target: Path) -> None:
        """Copy the project, which may be open elsewhere, into one new file.

        Raises
        ------
        StoreError
            If `target` exists, or cannot be written.
        """
        self.database.backup(Path(target))

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Images and categories

    def add_image(self, entry: ImageEntry) -> ImageEntry:
        """Add an image, or find it again.

        Known by its hash: a known image takes the new path and name, and a patient where it had
        none. Its scale stays what the project says, because a person may have set it.
        """
        with self._writing() as connection:
            return settings.add_image(connection, entry)

    def images(self) -> tuple[ImageEntry, ...]:
        """The images in the order they were added."""
        with self.database.reading() as connection:
            return settings.images(connection)

    def image(self, image_sha256: str) -> ImageEntry:
        """The image with this hash; `StoreError` where the project has none."""
        with self.database.reading() as connection:
            return settings.known_image(connection, image_sha256)

    def set_scale(self, image_sha256: str, mpp: float, source: str) -> Event:
        """Set an image's micrometres per level-0 pixel, and record who said so."""
        return self.append([event_of.set_scale(image_sha256, mpp, source)])[0]

    def set_scale_of_all(self, mpp: float, *, over_files: bool) -> Event:
        """Set the scale of all images, those included that are added later.

        Images whose file says its scale keep it, unless `over_files`.
        """
        return self.append([event_of.set_scale_of_all(mpp, over_files=over_files)])[0]

    def with_scale_of_all(self, entry: ImageEntry) -> ImageEntry:
        """An image that is new, with the scale that a person gave all images, if that counts."""
        with self.database.reading() as connection:
            return settings.with_scale_of_all(connection, entry)

    def origins(self) -> dict[str, Origin]:
        """What exports said of the images that came from them, by hash; the latest counts."""
        with self.database.reading() as connection:
            return settings.origins(connection)

    def categories(self) -> tuple[Category, ...]:
        """The categories in their order: the first is key 1."""
        with self.database.reading() as connection:
            return settings.categories(connection)

    def set_categories(self, categories: Sequence[Category]) -> Event:
        """Replace the categories; nuclei keep the names they have.

        Raises
        ------
        InputError
            If two categories share a name.
        """
        if len({c.name for c in categories}) != len(categories):
            raise InputError("Two categories share a name; give each its own.")
        return self.append([event_of.set_categories(categories)])[0]

    # Runs

    def start_run(self, image_sha256: str, info: RunInfo, *, run_id: str = "") -> str:
        """Record that a model begins, and return the run's id: the given UUID, or a random one.

        What it predicts shows once a `use_run` event says so.
        """
        run_id = run_id or str(uuid4())
        run = Run(run_id, image_sha256, info, "running", self.annotator, self._clock())
        with self._writing() as connection:
            settings.known_image(connection, image_sha256)
            runs.start(connection, run)
        return run_id

    def windows_done(self, run_id: str) -> dict[int, WindowFinish]:
        """The windows that a run is done with, by number, and how each ended."""
        with self.database.reading() as connection:
            return runs.windows_done(connection, run_id)

    def add_predictions(self, run_id: str, nuclei: Iterable[Nucleus]) -> None:
        """Append predictions of a running run that are of no window, as those of a file are.

        They keep their uids, and never change afterwards.
        """
        with self._writing() as connection:
            runs.while_running(connection, run_id).add_unplaced(Predictions.of(nuclei))

    def keep_unfinished(self, run_id: str, nuclei: Iterable[Nucleus]) -> None:
        """Record what a run found in windows that it is not done with; twice is once.

        It goes when the run goes on, but for what an event is about: record it before the event.
        A run that has ended has recorded it all.
        """
        with self._writing() as connection:
            runs.keep(connection, run_id, Predictions.of(nuclei))

    def add_found(self, run_id: str, found: RunFound) -> None:
        """Record at once what a running run has found since the last time."""
        with self._writing() as connection:
            runs.while_running(connection, run_id).add_found(found)

    def go_on_with_run(self, run_id: str) -> Uids:
        """Open an interrupted run again, without what its unfinished windows had found.

        What an event is about stays; the uids of that are returned, shape (N, 16).
        """
        with self._writing() as connection:
            return runs.go_on(connection, run_id)

    def finish_run(self, run_id: str, status: RunStatus) -> None:
        """Close a run as ``"complete"``, ``"cancelled"`` or ``"interrupted"``.

        An interrupted one may be cancelled later: it is not to go on then.
        """
        runs.check_is_final(status)
        with self._writing() as connection:
            runs.finish(connection, run_id, status, self._clock())

    def predictions(self, image_sha256: str, *, no_nuclei: bool = False) -> tuple[Run, ...]:
        """The runs over an image, with all they predicted, in the order they were started.

        A run that its process left open reads as interrupted. `no_nuclei` reads no predictions.
        """
        with self.database.reading() as connection:
            found = runs.read(connection, image_sha256, no_nuclei=no_nuclei)
        if any(run.status == "running" for run in found) and not self.database.is_being_written():
            found = runs.interrupted(found)
        return found

    # Answers

    def add_answer(self, answer: Answer) -> Answer:
        """Record an answer for ever, before an event names it; returns it with who and when."""
        stamped = answer.stamped(self.annotator, self._clock())
        with self._writing() as connection:
            settings.known_image(connection, answer.image_sha256)
            answers.add(connection, stamped)
        return stamped

    def answers(self, image_sha256: str | None = None) -> tuple[Answer, ...]:
        """The answers about an image, or all of the project's, in the order they were recorded."""
        with self.database.reading() as connection:
            return tuple(answers.read(connection, image_sha256))

    # The journal

    def journal_of_project(self) -> tuple[Event, ...]:
        """The events about the project as a whole, in the order they were written."""
        with self.database.reading() as connection:
            return journal.read_of_project(connection)

    def stamp(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Give events who and when, so that a state can show them before they are durable."""
        now = self._clock()
        return tuple(event.stamped(self.annotator, now) for event in events)

    def append(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Write events, all or none; durable when it returns.

        Returns
        -------
        tuple of Event
            The same, stamped, with their place in the journal.

        Raises
        ------
        StoreError
            If the disk is full or the image unknown. Nothing is written then, and the project can
            be used on.
        """
        stamped = self.stamp(events)
        if not stamped:
            return ()
        with self._writing() as connection:
            for sha256 in {e.image_sha256 for e in stamped if e.image_sha256 is not None}:
                settings.known_image(connection, sha256)
            written = journal.append(connection, stamped)
            for event in written:
                settings.follow(connection, event)
            return written

    def journal(self, image_sha256: str) -> tuple[Event, ...]:
        """The events about an image, in the order they were written."""
        with self.database.reading() as connection:
            return journal.read(connection, image_sha256)

    def gestures(self) -> list[Gesture]:
        """What this annotator did and took back in the whole project, in order."""
        with self.database.reading() as connection:
            return journal.read_gestures(connection, self.annotator)

    def state(
        self, image_sha256: str, annotators: Collection[str] | None = None, *, no_runs: bool = False
    ) -> FieldState:
        """The current state of an image, as the chosen annotators left it; None chooses all.

        `no_runs` reads no predictions: whether acceptances still hold is not known then.
        """
        with self.database.reading() as connection:
            found = () if no_runs else runs.read(connection, image_sha256)
            shared = for_every_image(journal.read_of_project(connection))
            events = (*journal.read(connection, image_sha256), *shared)
        return FieldState.fold(found, events_of(sorted(events, key=attrgetter("seq")), annotators))

    def verify(self) -> int:
        """Check the journal's hash chain and return how many events it has.

        Raises
        ------
        StoreError
            Naming the first event that was changed, put in, or taken out.
        """
        with self.database.reading() as connection:
            return journal.verify(connection)

    # Inside

    def _close_runs_left_open(self) -> None:
        with self._writing() as connection:
            runs.interrupt_all(connection, self._clock())

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock, self.database.writing() as connection:
            yield connection
