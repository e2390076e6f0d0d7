"""From one project to another in the same window, and nothing of the first left behind.

The other project is opened before the present one is left, so that one that is locked or damaged
changes nothing. Then all that was done in the present one is made durable, what runs for it has
ended, and only when nothing of it is under way any more it is forgotten on the screen and in
memory, made whole in its one file, and its lock released. The model server stays.
"""

from __future__ import annotations

import threading
from concurrent.futures import wait
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_nunext.core.errors import InputError
from napari_nunext.images import ImageFinder
from napari_nunext.places import check_is_there, is_project
from napari_nunext.review.background import in_words
from napari_nunext.review.model import Notice
from napari_nunext.review.opening.projects import arrival, project_beside, shown_project

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.review.asking.asker import Asker
    from napari_nunext.review.batch.all_images import AllImages
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.learning.improving import Improver
    from napari_nunext.review.learning.teaching import Teacher
    from napari_nunext.review.opening.locating import Locator
    from napari_nunext.review.opening.opening import Opener
    from napari_nunext.review.opening.projects import Arrival, Neighbour
    from napari_nunext.review.opening.taking import FileTaker
    from napari_nunext.review.session import Session
    from napari_nunext.store import Project

PATIENCE_S = 60.0
"""For what runs for the present project to end, and for what was done to become durable."""
HERE_INSTEAD = "Review them here"


class Switcher:
    """The part of the review that opens projects, and images into the right one.

    Parameters
    ----------
    session : Session
    opener : Opener
    taker : FileTaker
        Takes the files of nuclei.
    locator : Locator
        Says what became of a project's images.
    finder, all_images, improver, teacher, asker
        What may be running for the present project.
    open_project : callable
        Opens a project by its file; called in the background.
    """

    def __init__(
        self,
        session: Session,
        opener: Opener,
        taker: FileTaker,
        locator: Locator,
        finder: Finder,
        all_images: AllImages,
        improver: Improver,
        teacher: Teacher,
        asker: Asker,
        open_project: Callable[[Path], Project],
    ) -> None:
        self._session = session
        self._review = session.model
        self._images = session.images
        self._opener = opener
        self._taker = taker
        self._locator = locator
        self._finder = finder
        self._all_images = all_images
        self._improver = improver
        self._teacher = teacher
        self._asker = asker
        self._open_project = open_project
        self._lock = threading.Lock()
        self._arriving: Project | None = None
        """A project that is open, and not shown yet."""
        self._closed = False
        self._is_under_way = False

    # Images

    def paths(self, paths: Sequence[Path]) -> None:
        """Open images and folders of images, or a project; take files of nuclei in.

        Images beside a project of their own join the present one only when that is asked for.
        """
        nuclei = self._taker.for_import(paths)
        images = [path for path in paths if path not in nuclei]
        if images or not nuclei:
            self._open_images(images)
        if nuclei:
            self._taker.take(nuclei)

    def _open_images(self, paths: Sequence[Path]) -> None:
        project = next((path for path in paths if is_project(path)), None)
        if project is not None:
            self.project(project)
        elif self._is_under_way:
            self._tell("Another project is being opened. Try again once it is there.")
        elif not self._session.has_project:
            self._opener.add(paths)
        else:
            current = self._session.project.path
            self._images.loading = paths[0].name if paths else ""
            self._session.background.run(
                lambda: project_beside(paths, current),
                lambda other: self._join_or_ask(paths, other),
                self._failed,
            )

    def _join_or_ask(self, paths: Sequence[Path], other: Neighbour | None) -> None:
        if other is None:
            self._opener.add(paths)
            return
        self._images.loading = ""
        path = other.path
        notice = Notice(
            other.words,
            "warning",
            other_label=HERE_INSTEAD,
            other=lambda: self._opener.add(paths),
        )
        if not other.problem:
            notice = replace(
                notice,
                action_label="Open its project",
                action=lambda: self.project(path, images=paths),
            )
        self._session.notify(notice)

    # Projects

    def project(
        self,
        path: Path,
        *,
        images: Sequence[Path] = (),
        folders: Sequence[Path] = (),
        stopping: bool = False,
    ) -> None:
        """Open a project in the place of the present one.

        Parameters
        ----------
        path : Path
            Its file.
        images : sequence of Path
            Files and folders of images to show first.
        folders : sequence of Path
            Where its images lie, if they were moved.
        stopping : bool
            Whether to stop what runs for the present project; without it that is asked first.
        """
        name = shown_project(path)
        if self._is_under_way:
            self._tell("Another project is being opened. Try again once it is there.")
            return
        if self._session.has_project and path.resolve() == self._session.project.path.resolve():
            self._tell(f"{name} is the project that is open.")
            return
        running = self._running()
        if running and not stopping:
            self._session.notify(
                Notice(
                    f"{running} To open {name}, it has to be stopped; what is there so far stays.",
                    "warning",
                    "Stop it and open",
                    lambda: self.project(path, images=images, folders=folders, stopping=True),
                )
            )
            return
        self._all_images.pause()
        self._finder.pause()
        self._improver.stop()
        self._teacher.stop()
        self._asker.stop()
        self._is_under_way = True
        self._images.loading = name
        self._session.notify(Notice(f"Opening {name}\N{HORIZONTAL ELLIPSIS}"))

        def again() -> None:
            self.project(path, images=images, folders=folders)

        self._session.lasting.run(
            lambda: self._prepare(path, images, folders),
            lambda arrived: self._settle(arrived, again),
            lambda error: self._not_opened(error, again),
        )

    def _running(self) -> str:
        """What runs for the present project, in a sentence; empty where nothing does."""
        run, training = self._finder.model.run, self._improver.model.training
        all_images = self._all_images.model.status.busy
        if (run.busy or all_images) and training.busy:
            return "A search and a training are running."
        if all_images:
            return "The search of all images is still running."
        if run.busy:
            return f"The search of {'' if run.image is None else run.image.name} is still running."
        if training.busy:
            return "A training is running."
        if self._teacher.model.status.busy:
            return "An answerer is being taught."
        return "An answer is being written." if self._asker.model.status.busy else ""

    def _prepare(self, path: Path, images: Sequence[Path], folders: Sequence[Path]) -> Arrival:
        """Open it, in a background thread, and find its images."""
        check_is_there(path)
        finder = ImageFinder(folders, beside=path.parent)
        project = self._open_project(path)
        with self._lock:
            self._arriving = project
            is_late = self._closed  # the window is gone
        try:
            if is_late:
                raise InputError("The window was closed.")
            return arrival(project, finder, images=images, look_at_all=bool(folders))
        except BaseException:
            self._give_back()
            raise

    def _give_back(self) -> None:
        """Close the project that was opened and is not shown."""
        with self._lock:
            project, self._arriving = self._arriving, None
        if project is not None:
            project.close()

    def _settle(self, arrived: Arrival, again: Callable[[], None]) -> None:
        """Leave the present project once nothing of it is under way; on the main thread."""
        session = self._session
        if not session.has_project and session.background.is_idle:
            self._enter(arrived)
        elif session.is_at_rest:
            writer, project = session.leave()
            self._images.loading = shown_project(arrived.project.path)

            def close() -> None:
                writer.close(PATIENCE_S)
                if project is not None:
                    project.close()

            def not_closed(error: BaseException) -> None:
                self._enter(arrived)
                session.notify(in_words(error))

            session.lasting.run(close, lambda _: self._enter(arrived), not_closed)
        else:
            running, writer = session.background.running(), session.writer

            def come_to_rest() -> bool:
                ended = not wait(running, PATIENCE_S).not_done
                return ended and writer.drain(PATIENCE_S)

            session.lasting.run(
                come_to_rest,
                lambda rests: self._settle(arrived, again) if rests else self._stay(again),
                self._failed,
            )

    def _stay(self, again: Callable[[], None]) -> None:
        """Say why the present project is not left."""
        self._stop_opening()
        name = shown_project(self._session.project.path)
        pending = self._session.writer.pending
        words = f"{name} stays open: "
        if pending:
            words += f"{pending} changes are not saved yet. {self._review.save.problem}"
        else:
            words += "something is still running for it."
        self._session.notify(Notice(words, "error", "Try again", again))

    def _enter(self, arrived: Arrival) -> None:
        with self._lock:
            self._arriving = None
            if self._closed:
                return
        self._is_under_way = False
        self._opener.enter(arrived, self._locator.notice(arrived.looked))

    def _not_opened(self, error: BaseException, again: Callable[[], None]) -> None:
        self._failed(error)
        notice = in_words(error)
        self._session.notify(replace(notice, action_label="Try again", action=again))

    def _failed(self, error: BaseException) -> None:
        self._stop_opening()
        self._session.notify(in_words(error))

    def _stop_opening(self) -> None:
        self._is_under_way, self._images.loading = False, ""
        self._session.lasting.run(self._give_back)

    def _tell(self, words: str) -> None:
        self._session.notify(Notice(words))

    def close(self) -> None:
        """Close what is open and not shown; the window is closing."""
        with self._lock:
            self._closed = True
        self._give_back()
