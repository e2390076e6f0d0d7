"""All images of the list, searched one after another while a person works on any of them.

A batch in the window: its searches are those of the window, so an image that is searched can be
opened and corrected meanwhile. Nothing but what there is to do is kept in memory; what was done the
project knows, so that the same wish goes on with the rest in another session.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from napari_nunext.core.errors import (
    RequestRejectedError,
    ServerError,
    ServerUnavailableError,
    StoreError,
)
from napari_nunext.core.sentences import about
from napari_nunext.core.shapes.area import Area
from napari_nunext.review.background import in_words
from napari_nunext.review.batch.all_job import AllJob, How, to_search
from napari_nunext.review.batch.asked import ask_for
from napari_nunext.review.batch.batch import BUSY, TRIES
from napari_nunext.review.batch.stations import Station
from napari_nunext.review.batch.survey import Survey, scale_words, survey
from napari_nunext.review.batch.taking import BatchOptions
from napari_nunext.review.batch.tally import Tally
from napari_nunext.review.model import Notice
from napari_nunext.review.shown.all_images import AllImagesStatus
from napari_nunext.serving.client.found import failed_words
from napari_nunext.store.kinds.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_nunext.review.fields import FieldReader, LoadedField
    from napari_nunext.review.finding.finding import Finder
    from napari_nunext.review.finding.search import Search
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.review.session import Session
    from napari_nunext.review.shown.all_images import AllImagesModel, Phase
    from napari_nunext.review.shown.find import RunStatus
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.serving.protocol import ModelInfo
    from napari_nunext.store.entries import RunStatus as RunStatusName

AWAY_WORDS = "The model server does not answer. Waiting for it."


class AllImages:
    """The part of the review that searches all images of the list.

    Parameters
    ----------
    session : Session
    model : AllImagesModel
        What the panels show of it.
    finder : Finder
        Searches each.
    view : ViewModel
        Knows whether outlines are wanted.
    server : ModelServer
    reader : callable
        Gives what reads images of the open project.
    """

    def __init__(
        self,
        session: Session,
        model: AllImagesModel,
        finder: Finder,
        view: ViewModel,
        server: ModelServer,
        reader: Callable[[], FieldReader],
    ) -> None:
        self._session = session
        self.model = model
        self._finder = finder
        self._view = view
        self._images = session.images
        self._server = server
        self._reader = reader
        self._job: AllJob | None = None
        self._waits_for_run = False
        """Whether another search has to end first."""
        finder.model.events.run.connect(self._follow)
        session.images.events.open_field.connect(self._look_at)
        session.left.connect(self._forget)

    def _forget(self) -> None:
        self._job, self._waits_for_run = None, False

    # What a person asks for

    def search(self) -> None:
        """Search all images that were neither accepted nor searched so before, the open one first.

        Asks once for all before images are searched whose scale nobody said, or looks like a slip.
        """
        chosen = self._finder.model.chosen
        if chosen is not None:
            find = self._finder.model
            how = How(self._view.outlines, find.tissue, find.leaves_pen, find.asked)
            self._begin(chosen, how, set())

    def go_on(self) -> None:
        """Go on after a pause, as it was asked for."""
        job = self._job
        if job is not None and self.model.status.phase == "paused":
            self._begin(job.model, job.how, job.confirmed)

    def pause(self) -> None:
        """Stop so that it can go on later, in another session too."""
        self._end(to_go_on=True)

    def stop(self) -> None:
        """Stop for good; what was found stays."""
        if self.model.status.phase == "paused":
            self._job = None
            self.model.status = AllImagesStatus()
        else:
            self._end(to_go_on=False)

    def _end(self, *, to_go_on: bool) -> None:
        job = self._job
        if job is None or not self.model.status.busy or job.stop.is_set():
            return
        job.to_go_on = to_go_on
        job.stop.set()
        phase: Phase = "pausing" if to_go_on else "stopping"
        self.model.status = replace(self.model.status, phase=phase, waiting="")
        if job.under_way is not None:
            (self._finder.pause if to_go_on else self._finder.stop)()
        elif self._waits_for_run:
            self._next(job)

    # Before the first

    def _begin(self, model: ModelInfo, how: How, confirmed: set[Path]) -> None:
        if self.model.status.busy or self._finder.model.run.busy:
            return
        queue, session = self._images.queue, self._session
        if not queue.items or not session.has_project:
            return
        paths = to_search(queue)
        job = self._job = AllJob(
            *(model, how, self._reader(), deque(paths), Tally(len(paths)), confirmed),
            accepted=len(queue.items) - len(paths),
        )
        known = {
            path: known.field.entry
            for path in paths
            if (known := session.known_field(path)) is not None
        }
        self.model.status = AllImagesStatus(
            "looking", len(paths), waiting="Waiting for the model server\N{HORIZONTAL ELLIPSIS}"
        )

        def look() -> Survey:
            job.asked = ask_for(self._server.client(), job.model, region=None, **how._asdict())
            return survey(paths, known, job.reader, job.asked, model, job.stop, looked_at)

        def looked_at(count: int) -> None:
            words = f"Looking through the images: {count + 1} of {len(paths)}"
            session.background.on_main(lambda: self._say(job, "looking", words))

        session.background.run(
            look, partial(self._take_survey, job), lambda error: self._break(job, error)
        )

    def _take_survey(self, job: AllJob, seen: Survey) -> None:
        if job is not self._job:
            return
        job.seen = seen
        words, details = seen.question(job.confirmed)
        if not words or job.stop.is_set():
            self._next(job)
            return
        self._job = None
        self.model.status = AllImagesStatus()
        confirmed = job.confirmed | seen.assumed.keys() | seen.doubtful.keys()

        def all_the_same() -> None:
            self._begin(job.model, job.how, confirmed)

        self._session.notify(
            Notice(words, "warning", "Search all the same", all_the_same, details=details)
        )

    # One after another

    def _next(self, job: AllJob) -> None:
        """Go on with the first image that is left; on the main thread."""
        if job is not self._job:
            return
        self._waits_for_run = False
        job.pass_done(self._images.queue)
        if job.stop.is_set():
            self._rest(job)
        elif not job.paths:
            self._finish(job)
        elif self._finder.model.run.busy:
            self._waits_for_run = True
            self._say(job, "waiting", "Another search ends first.")
        else:
            self._show(job, "running")
            path = job.paths[0]
            known = self._session.known_field(path)
            if known is not None:
                self._search(job, path, known)
                return
            self._session.background.run(
                partial(job.reader.load, path),
                lambda loaded: self._take_field(job, path, loaded),
                lambda error: self._not_read(job, path, error),
            )

    def _take_field(self, job: AllJob, path: Path, loaded: LoadedField) -> None:
        if job is not self._job:
            return
        if self._session.known_field(path) is None:
            self._session.keep_field(path, loaded)
            job.own.add(path)
        if job.stop.is_set() or self._finder.model.run.busy:
            self._next(job)
        else:
            self._search(job, path, self._session.known_field(path) or loaded)

    def _not_read(self, job: AllJob, path: Path, error: BaseException) -> None:
        if isinstance(error, StoreError):
            self._break(job, error)
            return
        words = in_words(error).words
        self._session.mark_unreadable(path, words)
        self._fail(job, path, words)

    def _search(self, job: AllJob, path: Path, known: LoadedField) -> None:
        opened, entry = known.field, known.field.entry
        assert job.asked is not None
        doubt = "".join(scale_words(entry, job.model))
        if doubt and path not in job.confirmed:
            self._fail(job, path, doubt)
            return
        state = self._session.state_of(entry.sha256)
        area = Area.of(regions_of(state).values(), search_here=False)
        asked = replace(job.asked, area_of=lambda _: area)
        run = asked.run_of(entry, [state.runs[base.run_id] for base in state.bases])
        if run is not None and run.status == "complete":
            job.leave(path, known=True)
            self._go_past(job)
            return
        near_xy = self._view.view_xy if self._session.is_open(entry.sha256) else None
        wanted = job.wanted(opened.box, area, near_xy, run)
        job.under_way, job.is_begun = path, False
        self._finder.search_in_turn(opened, wanted, partial(self._ended, job, path))

    def _ended(
        self,
        job: AllJob,
        path: Path,
        search: Search,
        status: RunStatusName,
        error: BaseException | None,
    ) -> None:
        job.under_way = None
        if job is not self._job:
            return
        if isinstance(error, StoreError):
            self._break(job, error)
        elif isinstance(error, ServerError) and not job.stop.is_set():
            self._not_served(job, path, search, error)
        elif error is not None and not isinstance(error, ServerError):
            self._fail(job, path, in_words(error).words)
        elif status != "complete":
            if not job.stop.is_set():  # by whatever stops searches
                job.to_go_on = status == "interrupted"
                job.stop.set()
            self._next(job)
        elif words := failed_words(search.found):
            self._fail(job, path, words, windows_failed=len(search.found.windows_failed))
        else:
            job.leave(path, searched=True)
            self._go_past(job)

    def _not_served(self, job: AllJob, path: Path, search: Search, error: ServerError) -> None:
        """Wait for a server that is away, and try again; leave an image that it cannot search."""
        words, done = in_words(error).words, search.found.windows_done
        if isinstance(error, RequestRejectedError) and error.status not in BUSY:
            self._fail(job, path, words)
            return
        job.tries = 0 if done > job.windows_done else job.tries + 1
        retry_s = error.retry_s if isinstance(error, RequestRejectedError) else None
        self._say(job, "waiting", AWAY_WORDS)

        def waited(found: Literal["there", "back", "away"]) -> None:
            if job is not self._job:
                return
            if job.stop.is_set():
                self._next(job)
            elif found == "away":
                self._break(job, ServerUnavailableError(f"The model server stayed away. {words}"))
            elif found == "there" and retry_s is None and job.tries >= TRIES:
                self._fail(job, path, words)
            else:
                self._next(job)

        station = Station(self._server, job.model.id, "")
        self._session.background.run(
            partial(station.come_back, job.stop, retry_s or 0.0, BatchOptions().patience_s),
            waited,
            lambda broke: self._break(job, broke),
        )

    def _fail(self, job: AllJob, path: Path, words: str, *, windows_failed: int = 0) -> None:
        """Name an image that cannot be searched, and leave it."""
        said = about(path.name, words)
        job.failed[path] = said
        self._session.notify(Notice(said, "warning"))
        job.leave(path, failed=True, windows_failed=windows_failed)
        self._go_past(job)

    def _go_past(self, job: AllJob) -> None:
        self._let_go(job)
        self._next(job)

    def _let_go(self, job: AllJob) -> None:
        """Free the memory of images that nobody looks at, unless one is just being opened."""
        if not self._images.loading:
            for path in job.own:
                self._session.forget_field(path)
            job.own.clear()

    def _look_at(self, opened: OpenField | None) -> None:
        """An image that a person has opened stays."""
        job = self._job
        if job is None or opened is None:
            return
        for path in list(job.own):
            known = self._session.known_field(path)
            if known is not None and known.field.entry.sha256 == opened.entry.sha256:
                job.own.discard(path)

    # How far it is

    def _follow(self, run: RunStatus) -> None:
        """Count the windows of the search that is under way."""
        job = self._job
        if job is None:
            return
        if self._waits_for_run and not run.busy:
            self._waits_for_run = False
            self._session.background.on_main(lambda: self._next(job))
        if job.follow(run) and not job.stop.is_set():
            self._show(job, "running")

    def _show(self, job: AllJob, phase: Phase, waiting: str = "") -> None:
        self.model.status = job.status(phase, waiting)

    def _say(self, job: AllJob, phase: Phase, words: str) -> None:
        if job is self._job and not job.stop.is_set():
            self._show(job, phase, words)

    # Ends

    def _rest(self, job: AllJob) -> None:
        self._let_go(job)
        if job.to_go_on:
            self._show(job, "paused")
            return
        self._job = None
        self.model.status = AllImagesStatus()
        self._session.notify(Notice("Stopped. What was found so far stays."))

    def _finish(self, job: AllJob) -> None:
        self._let_go(job)
        self._job = None
        self.model.status = AllImagesStatus()
        self._session.notify(job.outcome())

    def _break(self, job: AllJob, error: BaseException) -> None:
        """Nothing can go on: say why; the same wish goes on from here."""
        if job is not self._job:
            return
        self._let_go(job)
        if job.stop.is_set():
            self._rest(job)
            return
        self._job = None
        self.model.status = AllImagesStatus()
        notice = in_words(error)
        if isinstance(error, ServerError):
            notice = replace(notice, action_label="Restart", action=self._finder.restart)
        self._session.notify(notice)
