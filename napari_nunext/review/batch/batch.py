"""Many images, handed to model servers one after another, and their windows recorded as they come.

One thread opens the images in their order and makes them known to the project. Some threads a
server run the `Search` of the window for one image each; the project's one writer records what they
find. What a run has found is in the project whatever happens next: a server that goes away, a drive
that does, or the end of the process. An image that was begun goes on with the windows that are
left, at whichever server is free.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_nunext.core.errors import (
    ImageError,
    NunextError,
    RequestRejectedError,
    ServerError,
    ServerUnavailableError,
    StorageError,
    StoreError,
)
from napari_nunext.core.sentences import about
from napari_nunext.images import open_image
from napari_nunext.review.batch.drives import is_away
from napari_nunext.review.batch.line import Line
from napari_nunext.review.batch.taking import Taker
from napari_nunext.review.batch.tally import Tally
from napari_nunext.review.finding.naming import use_in_project
from napari_nunext.review.finding.search import Search, Wanted
from napari_nunext.review.shown.images import OpenField
from napari_nunext.serving.client.found import failed_words, left_out_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from napari_nunext.review.batch.asked import Asked
    from napari_nunext.review.batch.stations import Station
    from napari_nunext.review.batch.taking import BatchOptions, Job
    from napari_nunext.review.batch.tally import BatchProgress
    from napari_nunext.review.finding.search import SearchNews
    from napari_nunext.review.writer import JournalWriter
    from napari_nunext.store import Project, Run

logger = logging.getLogger(__name__)

DISK_PAUSE_S = 10.0
DRIVE_PAUSE_S = 1.0
TRIES = 3
"""So often an image is tried without a further window, at servers that are well."""
MOST_PENDING = 64
"""Writes that wait for the disk; more, and no more is taken from the servers."""
BUSY = (404, 409, 429, 502, 503, 504)
"""Refusals that may not come again: the image was dropped, or there is too much to do."""


@dataclass(slots=True)
class BatchOutcome:
    """How a batch ended."""

    failed: list[Path] = field(default_factory=list)
    """Images that were not searched, or only in parts."""
    stopped: bool = False
    """Whether somebody stopped it."""


class Batch:
    """Search images into a project.

    Parameters
    ----------
    project, writer
        Open for writing, and the one thread that writes to it.
    stations : sequence of Station
        All of which do what is asked in the same way.
    asked : Asked
    options : BatchOptions
    say : callable
        Told a line about whatever a person should know, from any thread.
    tell : callable
        Told how far it is, from any thread: after windows, at most some ten times a second for each
        image, and after images.
    """

    def __init__(
        self,
        project: Project,
        writer: JournalWriter,
        stations: Sequence[Station],
        asked: Asked,
        options: BatchOptions,
        *,
        say: Callable[[str], None],
        tell: Callable[[BatchProgress], None],
    ) -> None:
        self._project = project
        self._writer = writer
        self._stations = tuple(stations)
        self._asked = asked
        self._options = options
        self._taker = Taker(project, writer, asked, options, say)
        self._say = say
        self._tell = tell
        self._tally = Tally(0)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._line = Line(self._stations, options.bytes_in_flight, self._ended)
        self._seen: dict[str, str] = {}
        """By their ids, the names of the images that were taken."""
        self._searches: set[Search] = set()
        self._said = ""
        self._outcome = BatchOutcome()
        self._broke: BaseException | None = None

    @property
    def progress(self) -> BatchProgress:
        """How far it is."""
        return self._tally.progress

    def stop(self) -> None:
        """Stop at the next step, so that it can go on later. Safe from any thread."""
        self._stop.set()
        self._stop_searches()

    def search(self, paths: Sequence[Path]) -> BatchOutcome:
        """Search all that were not searched before; returns once everything found is recorded.

        Raises
        ------
        StoreError
            If the project cannot be written.
        ServerUnavailableError
            If all servers stayed away for too long.
        KeyboardInterrupt
            If a person stops it: what was found is recorded, and the rest can go on.
        """
        self._tally = Tally(len(paths))
        workers = [
            threading.Thread(target=self._work, args=(station,), name="nunext-batch")
            for station in self._stations
            for _ in range(self._options.at_once)
        ]
        for worker in workers:
            worker.start()
        try:
            self._open_all(paths)
            for worker in workers:
                worker.join()
        except BaseException:
            self.stop()
            raise
        finally:
            for worker in workers:
                worker.join()
        if self._broke is not None:
            raise self._broke
        self._outcome.stopped = self._stop.is_set()
        return self._outcome

    # Opening, in the caller's thread

    def _open_all(self, paths: Sequence[Path]) -> None:
        waiting = deque(paths)
        while not self._ended():
            if waiting:
                self._take(waiting.popleft())
            elif away := self._line.away():
                waiting += self._back(away)
            else:
                break
        self._line.close()

    def _back(self, away: dict[Path, float]) -> list[Path]:
        """Those that are there again; those that stayed away for too long are given up."""
        back = [path for path in away if not is_away(path)]
        given_up = [
            path
            for path, since in away.items()
            if path not in back and time.monotonic() - since > self._options.patience_s
        ]
        for path in given_up:
            self._fail(path, ImageError(f"{path.name} stayed away."))
        for path in (*back, *given_up):
            self._line.take_up(path)
        if not back:
            self._stop.wait(DRIVE_PAUSE_S)
        return back

    def _take(self, path: Path) -> None:
        """Open an image, and hand it out if there is something to search."""
        try:
            job = self._opened(path)
        except (NunextError, OSError) as error:
            if isinstance(error, StorageError):
                self._wait_for_disk(error)
                self._line.put_off(path)
            elif is_away(path):
                self._put_off(path)
            else:
                self._fail(path, error)
            return
        if job is not None:
            self._line.add(job)

    def _opened(self, path: Path) -> Job | None:
        """What is to be searched of an image; None where that was done."""
        image = open_image(path, mpp=self._options.mpp)
        self._line.make_room(image)
        job = first = None
        try:
            first = self._seen.get(image.id)
            if first is not None:
                self._say(f"{path.name} is the same image as {first}, and is searched once.")
            else:
                job = self._taker.take(path, image)
                self._seen[image.id] = path.name
        finally:
            if job is None:
                self._line.leave(image)
        if job is None:
            twice = first is not None
            self._tell(self._tally.end(path, known=not twice, repeated=twice, name=path.name))
        return job

    # Searching, in the servers' threads

    def _work(self, station: Station) -> None:
        while (job := self._line.next(station, self._wait_for)) is not None:
            ended = True
            try:
                ended = self._search(job, station)
            except StorageError as error:
                self._wait_for_disk(error)
                self._line.put_back(job)
                ended = False
            except StoreError as error:
                self._break(error)
            except (NunextError, OSError) as error:
                self._fail(job.path, error, job)
            except BaseException as error:
                logger.exception("a batch broke")
                self._break(error)
            finally:
                if ended:
                    self._line.leave(job.source)

    def _wait_for(self, station: Station) -> None:
        station.is_up = station.wait(self._say, self._stop, self._options.patience_s)
        station.is_given_up = not station.is_up
        if all(each.is_given_up for each in self._stations) and not self._stop.is_set():
            self._break(
                ServerUnavailableError(
                    f"The model server {station.name} stayed away. What was found is kept; "
                    "the same command goes on from there."
                )
            )

    def _search(self, job: Job, station: Station) -> bool:
        """Search an image; False where it was put back."""
        search = self._prepared(job, station)
        with self._lock:
            self._searches.add(search)
        try:
            if self._ended():
                return True
            search.work(station.server.client)
        except ServerError as error:
            return self._not_served(job, station, search, error)
        finally:
            with self._lock:
                self._searches.discard(search)
        if self._stop.is_set():
            return True
        self._writer.call(lambda: None)  # all that it found is recorded
        if words := failed_words(search.found):
            lost = len(search.found.windows_failed)
            self._fail(job.path, ImageError(words), job, windows_failed=lost)
        else:
            self._tell(self._tally.end(job, searched=True))
        return True

    def _prepared(self, job: Job, station: Station) -> Search:
        """A search of the image, or one that goes on with what there is of it."""
        project, entry = self._project, job.entry
        runs = self._writer.call(lambda: project.predictions(entry.sha256, no_nuclei=True))
        begun = self._asked.run_of(entry, runs)
        run: Run | None = None
        if begun is not None:
            runs = project.predictions(entry.sha256)
            run = next(each for each in runs if each.run_id == begun.run_id)
        wanted = Wanted(
            region=self._asked.region_of(entry),
            model_id=station.model_id,
            masks=self._asked.masks,
            tissue=self._asked.tissue,
            pen=self._asked.pen,
            only=self._asked.only,
            area=self._asked.area_of(entry),
            run=run,
            priority="batch",
            is_unwatched=True,
        )
        search = Search(
            project,
            self._writer,
            OpenField(entry, job.source),
            wanted,
            tell=lambda news: self._take_news(job, search, news),
        )
        return search

    def _take_news(self, job: Job, search: Search, news: SearchNews) -> None:
        if news.waiting:
            return
        if news.started is not None:
            run = news.started
            self._writer.submit(lambda: use_in_project(self._project, run))
            job.windows_done = news.windows_done
            self._tally.begin(job, job.entry.name, news.windows_done, news.windows)
            if news.windows_left_out and search.found.started is not None:
                self._say(f"{job.entry.name}: {left_out_words(search.found.started)}")
        self._tell(self._tally.follow(job, news.windows_done))
        while self._writer.pending > MOST_PENDING and not self._stop.wait(0.1):
            pass

    def _not_served(self, job: Job, station: Station, search: Search, error: ServerError) -> bool:
        """A server refused or failed: whether nothing more comes of the image."""
        if self._stop.is_set():
            return True
        if isinstance(error, RequestRejectedError) and error.status not in BUSY:
            raise error
        if is_away(job.path):
            self._tally.drop(job)
            self._put_off(job.path, job.entry.sha256)
            return True
        if not station.answers():
            station.is_up = False
        elif isinstance(error, RequestRejectedError) and error.retry_s is not None:
            self._stop.wait(error.retry_s)
        else:
            got_on = search.found.windows_done > job.windows_done
            job.tries = 0 if got_on else job.tries + 1
            if job.tries >= TRIES:
                raise error
        logger.warning("%s is tried again: %s", job.path.name, error)
        self._line.put_back(job)
        return False

    # Ends

    def _ended(self) -> bool:
        return self._stop.is_set() or self._broke is not None

    def _wait_for_disk(self, error: StorageError) -> None:
        """Say what the project's disk fails in, and wait a little."""
        if str(error) != self._said:
            self._said = str(error)
            self._say(self._said)
        self._stop.wait(DISK_PAUSE_S)

    def _put_off(self, path: Path, sha256: str = "") -> None:
        """Try an image again when its drive is there."""
        self._say(f"{path.name} is away, and is searched when it is there again.")
        with self._lock:
            self._seen.pop(sha256, None)
        self._line.put_off(path)

    def _fail(
        self, path: Path, error: Exception, job: Job | None = None, *, windows_failed: int = 0
    ) -> None:
        self._say(about(path.name, str(error)))
        with self._lock:
            self._outcome.failed.append(path)
        image = path if job is None else job
        self._tell(
            self._tally.end(image, failed=True, windows_failed=windows_failed, name=path.name)
        )

    def _break(self, error: BaseException) -> None:
        """Nothing can go on."""
        with self._lock:
            self._broke = self._broke or error
        self._stop_searches()

    def _stop_searches(self) -> None:
        with self._lock:
            searches = list(self._searches)
        self._line.wake()
        for search in searches:
            with suppress(ServerError):  # it ends by itself then
                search.stop(to_go_on=True)
