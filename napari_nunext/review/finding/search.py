"""One search for nuclei: the server's stream becomes recorded predictions and news for the window.

Runs in a background thread. Points are handed on at most some ten times a second, in batches, so
that drawing them costs the main thread little; each batch goes to the journal before it is shown.
A stream that breaks keeps what came before: the run is then marked as interrupted.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.review.finding.pace import Pace
from napari_nunext.serving import protocol
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.client.patience import Patience
from napari_nunext.store import Run, RunInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.nuclei import Nucleus
    from napari_nunext.core.shapes.masks import Mask
    from napari_nunext.review.model import OpenField
    from napari_nunext.review.writer import JournalWriter
    from napari_nunext.serving.client.client import Client
    from napari_nunext.store import Project
    from napari_nunext.store.entries import RunStatus

BATCH_S = 0.1
"""Shortest pause between two batches of points."""


@dataclass(frozen=True, slots=True, eq=False)
class SearchNews:
    """What happened since the last news."""

    started: Run | None = None
    """The run, in the first news alone."""
    nuclei: tuple[Nucleus, ...] = ()
    hidden: tuple[UUID, ...] = ()
    """Nuclei that a surer sighting replaced."""
    masks: dict[UUID, Mask] = field(default_factory=dict)
    windows_done: int = 0
    windows: int = 0
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
    region : Box
        What of it to search, level-0 px.
    model_id : str
        The detector.
    masks : bool
        Whether outlines are wanted too.
    near_xy : (float, float), optional
        What lies nearest to this place is searched first, level-0 px.
    tell : callable
        Told every `SearchNews`, from the background thread, in order.
    """

    def __init__(
        self,
        project: Project,
        writer: JournalWriter,
        open_field: OpenField,
        region: Box,
        *,
        model_id: str,
        masks: bool,
        near_xy: tuple[float, float] | None = None,
        tell: Callable[[SearchNews], None],
    ) -> None:
        self._project = project
        self._writer = writer
        self._field = open_field
        self._region = region
        self._masks_wanted = masks
        self._near_xy = near_xy
        self._model_id = model_id
        self._tell = tell
        self._client: Client | None = None
        self._stopped = threading.Event()
        self._patience = Patience(lambda words: tell(SearchNews(waiting=words)), self._stopped)
        self.token = str(uuid4())
        self.run_id = ""
        self._found = Found()
        self._pace = Pace(self._found)
        self._nuclei: list[Nucleus] = []
        self._hidden: list[UUID] = []
        self._masks: dict[UUID, Mask] = {}
        self._told = 0.0

    @property
    def image_sha256(self) -> str:
        """The image that is searched."""
        return self._field.entry.sha256

    def stop(self) -> None:
        """Stop at the next step; what was found stays. Safe from any thread."""
        self._stopped.set()
        if self._client is not None:
            self._client.cancel(self.token)

    def work(self, connect: Callable[[], Client]) -> RunStatus:
        """Search until the end, and return how it ended: ``"complete"`` or ``"cancelled"``.

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
                return "cancelled"
            raise

    def _search(self, client: Client) -> RunStatus:
        self._client = client
        entry = self._field.entry
        self._say("Sending the image")
        client.put_image(self._field.source, patience=self._patience)
        if self._stopped.is_set():
            return "cancelled"
        request = protocol.DetectRequest(
            image=entry.sha256,
            mpp=entry.mpp,
            model=self._model_id or None,
            region=self._region.as_tuple(),
            near=self._near_xy,
            masks=self._masks_wanted,
            run=self.token,
        )
        status: RunStatus = "interrupted"
        self._say("Getting the model ready")
        try:
            for event in client.detect(request, patience=self._patience):
                self._take(event)
            status = self._found.finish or status
        finally:
            self._conclude(status)
        return status

    def _say(self, waits_for: str) -> None:
        """Tell what the search waits for, until it begins."""
        self._tell(SearchNews(waiting=f"{waits_for}\N{HORIZONTAL ELLIPSIS}"))

    def _take(self, event: protocol.DetectEvent) -> None:
        outlines_before = self._pace.outlines
        change = self._found.take(event)
        self._pace.take(event)
        self._nuclei += change.shown
        self._hidden += change.hidden
        self._masks |= change.masks
        if isinstance(event, protocol.Started):
            self._start(event)
        elif (
            # That it goes on with outlines is said at once: the first may take its time.
            (self._pace.outlines and not outlines_before)
            or time.monotonic() - self._told >= BATCH_S
        ):
            self._pass_on()

    def _start(self, event: protocol.Started) -> None:
        entry, model, segmenter = self._field.entry, event.model, event.segmenter
        info = RunInfo(
            model=model.brief(),
            decoding=event.decoding,
            mpp=entry.mpp,
            codec_version=event.codec_version,
            region=self._region,
            segmenter=None if segmenter is None else segmenter.brief(),
            extra={
                "merge_radius_um": event.merge_radius_um,
                "halo_um": event.halo_um,
                "windows": event.windows,
            },
        )
        self.run_id = self._writer.call(lambda: self._project.start_run(entry.sha256, info))
        run = Run(
            run_id=self.run_id,
            image_sha256=entry.sha256,
            info=info,
            status="running",
            annotator=self._project.annotator,
            started_utc=datetime.now(UTC),
        )
        self._tell(SearchNews(started=run, windows=event.windows))

    def _pass_on(self) -> None:
        """Record and tell what has gathered."""
        self._told = time.monotonic()
        nuclei, hidden, masks = tuple(self._nuclei), tuple(self._hidden), self._masks
        self._nuclei, self._hidden, self._masks = [], [], {}
        run_id, project = self.run_id, self._project
        if nuclei:
            self._writer.submit(lambda: project.add_predictions(run_id, nuclei))
        if hidden:
            self._writer.submit(lambda: project.hide_predictions(run_id, hidden))
        if masks:
            self._writer.submit(lambda: project.set_masks(run_id, masks))
        self._tell(
            SearchNews(
                nuclei=nuclei,
                hidden=hidden,
                masks=masks,
                windows_done=self._found.windows_done,
                windows=self._found.windows,
                outlines_done=self._found.outlined,
                outlines=self._pace.outlines,
                progress=self._pace.progress,
                seconds_left=self._pace.seconds_left(),
            )
        )

    def _conclude(self, status: RunStatus) -> None:
        if not self.run_id:
            return
        self._pass_on()
        run_id, project = self.run_id, self._project
        self._writer.submit(lambda: project.finish_run(run_id, status))
