"""One search for nuclei: the server's stream becomes recorded predictions and news for the window.

Runs in a background thread. What is found is handed on at most some ten times a second, in batches,
so that drawing it costs the main thread little. Windows are recorded as soon as they are done; a
search that was broken off, by a person, by the server or by a crash, goes on with the others.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4, uuid5

import numpy as np

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.core.naming import only_of
from napari_nunext.core.shapes.area import EVERYTHING, Area
from napari_nunext.core.uids import UidIndex, uid_in_window, windows_of
from napari_nunext.review.finding.earlier import earlier_of, held_of, plan_in_extra
from napari_nunext.review.finding.pace import Pace
from napari_nunext.review.finding.recording import Recording
from napari_nunext.serving import protocol
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.client.patience import Patience
from napari_nunext.store import Run, RunInfo
from napari_nunext.store.state.folding import area_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.review.shown.view import ViewModel
    from napari_nunext.review.writer import JournalWriter
    from napari_nunext.serving.client.client import Client
    from napari_nunext.store import Project
    from napari_nunext.store.entries import RunStatus

_PLAN_NAMESPACE = UUID("4c0b9a52-7d1e-5b3f-8a46-2f9d0c6e1b87")
"""So that a search is called alike wherever it is made."""
BATCH_S = 0.1
"""Shortest pause between two batches of points."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to search, and with what."""

    region: Box
    """Level-0 px."""
    model_id: str
    """The detector; the server's default if empty."""
    masks: bool
    """Whether outlines are wanted too."""
    tissue: bool = False
    """Whether windows of bare glass are left out."""
    pen: bool = False
    """Whether marks of a pen count as glass."""
    only: tuple[str, ...] = ()
    """Categories that are searched for alone; everything where there are none."""
    area: Area = EVERYTHING
    """What of the region is searched."""
    segmenter_id: str | None = None
    near_xy: tuple[float, float] | None = None
    """What lies nearest to this place is searched first, level-0 px."""
    run: Run | None = None
    """A run that was broken off, to go on with it if that can be."""
    priority: Literal["interactive", "batch"] = "interactive"
    """``"batch"`` lets those go first who wait for an answer."""
    is_unwatched: bool = False
    """Whether nobody looks on. The run has an id then, and its nuclei uids, that follow from what
    is searched and how, and nothing is kept of half a window: the same search gives the same
    export, in whatever project, and wherever it was broken off."""

    @classmethod
    def chosen(cls, find: FindModel, view: ViewModel, region: Box, area: Area) -> Wanted:
        """What a person has chosen in the window, of a region."""
        return cls(
            region=region,
            model_id=find.model_id,
            masks=view.outlines,
            tissue=find.tissue,
            pen=find.leaves_pen,
            only=find.asked,
            area=area,
            near_xy=view.view_xy,
        )

    @classmethod
    def again(cls, run: Run, near_xy: tuple[float, float] | None) -> Wanted:
        """The same that a run was asked for."""
        model, segmenter = run.info.model, run.info.segmenter
        return cls(
            region=run.info.region,
            model_id=model.id,
            masks=segmenter is not None,
            tissue=bool(run.info.extra.get("windows_left_out")),
            pen=bool(run.info.extra.get("pen")),
            only=only_of(run.info.decoding),
            area=area_of(run),
            segmenter_id=None if segmenter is None else segmenter.id,
            near_xy=near_xy,
            run=run,
        )


@dataclass(frozen=True, slots=True, eq=False)
class SearchNews:
    """What happened since the last news."""

    started: Run | None = None
    """The run, in the first news alone."""
    resumed: bool = False
    """Whether it goes on with one that is in use already."""
    nuclei: tuple[Nucleus, ...] = ()
    hidden: tuple[UUID, ...] = ()
    """Nuclei that a surer sighting replaced."""
    back: tuple[UUID, ...] = ()
    """Nuclei that were hidden and stand again."""
    masks: dict[UUID, Mask] = field(default_factory=dict)
    found: int = 0
    """How many nuclei stand."""
    windows_done: int = 0
    windows: int = 0
    windows_left_out: int = 0
    """Windows of bare glass, which are not searched."""
    outlines_done: int = 0
    outlines: int = 0
    """How many nuclei are being outlined; 0 before their turn."""
    progress: float | None = None
    """How far windows and outlines are together, 0..1; None while nobody knows."""
    seconds_left: float | None = None
    waiting: str = ""
    """A sentence, and nothing else, while the server has no time for the search yet."""


class Search:
    """Find the nuclei of a region, and tell about it while it goes on.

    Parameters
    ----------
    project, writer
        Where the predictions are recorded, and the thread that records them.
    open_field : OpenField
        The image.
    wanted : Wanted
    tell : callable
        Told every `SearchNews`, from the background thread, in order.
    """

    def __init__(
        self,
        project: Project,
        writer: JournalWriter,
        open_field: OpenField,
        wanted: Wanted,
        *,
        tell: Callable[[SearchNews], None],
    ) -> None:
        self._project = project
        self._writer = writer
        self._field = open_field
        self.wanted = wanted
        self._tell = tell
        self._client: Client | None = None
        self._stopped = threading.Event()
        self._ends_as: RunStatus = "cancelled"
        self._patience = Patience(lambda words: tell(SearchNews(waiting=words)), self._stopped)
        self.token = str(uuid4())
        self.run_id = ""
        self.found = Found(lambda window, place: uid_in_window(self.run_id, window, place))
        self._pace = Pace(self.found)
        self._recording = Recording("")
        self._nuclei: list[Nucleus] = []
        self._stands: dict[UUID, bool] = {}
        self._masks: dict[UUID, Mask] = {}
        self._told = 0.0

    @property
    def image_sha256(self) -> str:
        """The image that is searched."""
        return self._field.entry.sha256

    def stop(self, *, to_go_on: bool = False) -> None:
        """Stop at the next step; what was found stays. Safe from any thread.

        Parameters
        ----------
        to_go_on : bool
            Whether it may go on later.
        """
        self._ends_as = "interrupted" if to_go_on else "cancelled"
        self._stopped.set()
        if self._client is not None:
            self._client.cancel(self.token)

    def work(self, connect: Callable[[], Client]) -> RunStatus:
        """Search until the end, and return how it ended.

        Returns
        -------
        str
            ``"complete"``, or, if it was stopped, ``"cancelled"`` or ``"interrupted"``.

        Raises
        ------
        ServerUnavailableError, RequestRejectedError
            If the server refuses or fails; what was found before is recorded.
        StoreError
            If the run cannot be recorded.
        """
        try:
            self._say("Waiting for the model server")
            return self._search(connect())
        except RequestRejectedError:
            if self._stopped.is_set() and not self.run_id:  # while it waited for its turn
                return self._ends_as
            raise

    def _search(self, client: Client) -> RunStatus:
        self._client = client
        self._say("Sending the image")
        client.put_image(self._field.source, patience=self._patience)
        if self._stopped.is_set():
            return self._ends_as
        request = self._request()
        status: RunStatus = "interrupted"
        self._say("Getting the model ready")
        try:
            for event in client.detect(request, patience=self._patience):
                self._take(event)
            if self.found.finish == "complete":
                status = "complete"
            elif self._stopped.is_set():
                status = self._ends_as
        finally:
            self._conclude(status)
        return status

    def _request(self) -> protocol.DetectRequest:
        wanted, run = self.wanted, self.wanted.run
        if run is not None:
            run_id = run.run_id
            done = self._writer.call(lambda: self._project.windows_done(run_id))
            self.found.earlier = earlier_of(run, self._field.box, done)
        return protocol.DetectRequest(
            image=self._field.entry.sha256,
            mpp=self._field.entry.mpp,
            model=wanted.model_id or None,
            region=wanted.region.as_tuple(),
            near=wanted.near_xy,
            resume=None if self.found.earlier is None else self.found.earlier.asked(),
            tissue=wanted.tissue or None,
            pen=wanted.pen or None,
            only=list(wanted.only) or None,
            **wanted.area.to_json(),
            masks=wanted.masks,
            segmenter=wanted.segmenter_id,
            priority=wanted.priority,
            run=self.token,
        )

    def _say(self, waits_for: str) -> None:
        """Tell what the search waits for, until it begins."""
        self._tell(SearchNews(waiting=f"{waits_for}\N{HORIZONTAL ELLIPSIS}"))

    def _take(self, event: protocol.DetectEvent) -> None:
        outlines_before = self._pace.outlines
        change = self.found.take(event)
        self._pace.take(event)
        if isinstance(event, protocol.Started):
            self._start(event)
            return
        self._recording.take(change)
        self._nuclei += change.shown
        self._stands |= dict.fromkeys(change.hidden, False) | dict.fromkeys(change.back, True)
        self._masks |= change.masks
        if (
            # That it goes on with outlines is said at once: the first may take its time.
            (self._pace.outlines and not outlines_before)
            or time.monotonic() - self._told >= BATCH_S
        ):
            self._pass_on()

    def _start(self, event: protocol.Started) -> None:
        earlier = self.found.earlier
        if event.resumed and self.wanted.run is not None and earlier is not None:
            run = self._go_on(self.wanted.run, list(earlier.windows))
        else:
            run = self._begin(event)
        self.run_id = run.run_id
        self._tell(replace(self._news(), started=run, resumed=event.resumed))

    def _begin(self, event: protocol.Started) -> Run:
        entry, segmenter = self._field.entry, event.segmenter
        info = RunInfo(
            model=event.model.brief(),
            decoding=event.decoding,
            mpp=entry.mpp,
            codec_version=event.codec_version,
            region=self.wanted.region,
            segmenter=None if segmenter is None else segmenter.brief(),
            extra=plan_in_extra(
                event, tissue=self.wanted.tissue, pen=self.wanted.pen, area=self.wanted.area
            ),
        )
        run_id = self._writer.call(lambda: self._start_run(info, event.plan))
        self._recording = Recording(run_id)
        return Run(
            run_id=run_id,
            image_sha256=entry.sha256,
            info=info,
            status="running",
            annotator=self._project.annotator,
            started_utc=datetime.now(UTC),
        )

    def _start_run(self, info: RunInfo, plan: str) -> str:
        project, sha256 = self._project, self._field.entry.sha256
        if not (self.wanted.is_unwatched and plan):
            return project.start_run(sha256, info)
        taken = {run.run_id for run in project.predictions(sha256, no_nuclei=True)}
        names = (str(uuid5(_PLAN_NAMESPACE, f"{plan} {n}")) for n in range(len(taken) + 1))
        run_id = next(name for name in names if name not in taken)
        return project.start_run(sha256, info, run_id=run_id)

    def _go_on(self, run: Run, done: list[int]) -> Run:
        """The run as it is without what its unfinished windows had found; what is named stays."""
        named = self._writer.call(lambda: self._project.go_on_with_run(run.run_id))
        self._recording = Recording(run.run_id, done)
        is_done = np.isin(windows_of(run.run_id, run.nuclei.uids), done)
        is_held = UidIndex(named).rows_of(run.nuclei.uids) >= 0
        self.found.hold(held_of(run, ~is_done, is_held))
        return replace(
            run, status="running", nuclei=run.nuclei.at(np.flatnonzero(is_done | is_held))
        )

    def _news(self) -> SearchNews:
        """How far it is."""
        return SearchNews(
            found=self.found.count,
            windows_done=self.found.windows_done,
            windows=self.found.windows,
            windows_left_out=self.found.started.windows_left_out if self.found.started else 0,
            outlines_done=self.found.outlined,
            outlines=self._pace.outlines,
            progress=self._pace.progress,
            seconds_left=self._pace.seconds_left(),
        )

    def _pass_on(self) -> None:
        """Record and tell what has gathered."""
        self._told = time.monotonic()
        run_id, project = self.run_id, self._project
        if (due := self._recording.due()) is not None:
            self._writer.submit(lambda: project.add_found(run_id, due))
        news = replace(
            self._news(),
            nuclei=tuple(self._nuclei),
            hidden=tuple(uid for uid, stands in self._stands.items() if not stands),
            back=tuple(uid for uid, stands in self._stands.items() if stands),
            masks=self._masks,
        )
        self._nuclei, self._stands, self._masks = [], {}, {}
        self._tell(news)

    def _conclude(self, status: RunStatus) -> None:
        if not self.run_id:
            return
        self._pass_on()
        run_id, project, left = self.run_id, self._project, self.found.unfinished()
        if left and not self.wanted.is_unwatched:
            self._writer.submit(lambda: project.keep_unfinished(run_id, left))
        self._writer.submit(lambda: project.finish_run(run_id, status))
