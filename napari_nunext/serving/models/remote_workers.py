"""Workers that are another model server: it is sent the pixels of windows, and nothing else.

For images that are too large to be sent whole: a server of our own reads them here, and has their
windows searched there.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_nunext.core.errors import InputError, RequestRejectedError, ServerUnavailableError
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.catalog import CatalogEntry
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.serving.client.patience import Patience
from napari_nunext.serving.models.elsewhere import Sent
from napari_nunext.serving.protocol import DetectRequest, Failed, Started, Usage
from napari_nunext.serving.windows_protocol import WindowEndOut, WindowPointsOut, WindowsRequest

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from napari_nunext.core.model_description import ModelDescription
    from napari_nunext.models.catalog import Catalog
    from napari_nunext.models.detector import Detector, WindowEvent
    from napari_nunext.models.sam.embeddings import Embeddings
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.client.client import Client
    from napari_nunext.serving.models.elsewhere import Finding, Task

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""Tasks under way: while some are searched, the next are sent."""
NOT_FOUND = 404


class RemoteCatalog:
    """The detectors of another server, and the segmenters of this machine.

    Parameters
    ----------
    client : Client
    here : Catalog
    """

    def __init__(self, client: Client, here: Catalog) -> None:
        self._client = client
        self._here = here

    @property
    def embeddings(self) -> Embeddings:
        """What segmenters remember."""
        return self._here.embeddings

    def entries(self) -> Sequence[CatalogEntry]:
        """What is there now; the other server is asked."""
        theirs = [
            CatalogEntry(
                model.id,
                "detector",
                None if model.window_px is None else _info(model),
                problem=model.problem,
                passing=model.passing,
            )
            for model in self._client.models()
            if model.kind == "detector"
        ]
        return [*theirs, *(each for each in self._here.entries() if each.kind == "segmenter")]

    @property
    def default_detector_id(self) -> str:
        """The other server's."""
        models = [model for model in self._client.models() if model.kind == "detector"]
        return next((model.id for model in models if model.default), models[0].id)

    @property
    def default_segmenter_id(self) -> str:
        """That of the catalogue here."""
        return self._here.default_segmenter_id

    @property
    def loaded(self) -> tuple[str, ...]:
        """Segmenters in memory."""
        return self._here.loaded

    def load_detector(self, id_: str | None = None) -> Detector:
        """None is loaded here: see `napari_nunext.serving.models.elsewhere.ElsewhereCatalog`."""
        raise InputError(f"The detector {id_!r} is another server's. Search with that.")

    def load_segmenter(self, id_: str | None = None) -> Segmenter:
        """That of the catalogue here."""
        return self._here.load_segmenter(id_)


@dataclass(eq=False, slots=True)
class _UnderWay:
    """A task under way."""

    future: Future[Finding]
    stop: threading.Event = field(default_factory=threading.Event)


class RemoteWorkers:
    """A server that searches windows for us; see `elsewhere.Workers`.

    Parameters
    ----------
    client : Client
    model_id : str

    Raises
    ------
    InputError
        If the server takes no windows.
    ServerError
        If it cannot be asked.
    """

    reads_files = False
    count = AT_ONCE

    def __init__(self, client: Client, model_id: str) -> None:
        self._client = client
        self._model_id = model_id
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="windows")
        self._under_way: set[_UnderWay] = set()
        self._is_told = False
        self.info = self._described()

    @property
    def has_room(self) -> bool:
        """Whether a further task would be sent now."""
        self._under_way = {sent for sent in self._under_way if not sent.future.done()}
        return len(self._under_way) < AT_ONCE

    def give(self, task: Task) -> Hashable:
        """Send a task's windows."""
        assert isinstance(task, Sent)
        stop = threading.Event()
        sent = _UnderWay(self._threads.submit(self._ask, task, stop), stop)
        self._under_way.add(sent)
        return sent

    def ended(self, tasks: Sequence[Hashable], wait_s: float) -> Sequence[Hashable]:
        """Those of some tasks that have ended; waits for anybody's first for so long."""
        mine = [task for task in tasks if isinstance(task, _UnderWay)]
        if not any(task.future.done() for task in mine):
            futures = [sent.future for sent in self._under_way]
            wait(futures, wait_s, FIRST_COMPLETED)
        return [task for task in mine if task.future.done()]

    def take(self, task: Hashable) -> Finding:
        """What came of a task that has ended; its error is raised."""
        assert isinstance(task, _UnderWay)
        return task.future.result()

    def drop(self, task: Hashable) -> None:
        """Hang up."""
        assert isinstance(task, _UnderWay)
        task.stop.set()
        task.future.cancel()

    def _ask(self, task: Sent, stop: threading.Event) -> Finding:
        """Have windows searched; in a thread of its own."""
        windows = task.windows
        patience = Patience(lambda words: None, stop)
        column = tile_of_rgb(np.concatenate(windows), "windows")
        request = WindowsRequest(
            image=self._client.put_image(column, patience=patience),
            mpp=self.info.mpp,
            model=self._model_id,
            priority="batch",
            among=list(task.among) or None,
        )
        found: list[WindowEvent] = []
        with closing(self._client.windows(request, patience=patience)) as events:
            for event in events:
                if stop.is_set():
                    break
                if isinstance(event, Failed):
                    raise ServerUnavailableError(event.message)
                found += self._chosen(_heard(event), task.among)
        if not stop.is_set() and sum(isinstance(each, WindowEnd) for each in found) < len(windows):
            raise ServerUnavailableError(
                f"The model server at {self._client.url} stopped before all windows were searched."
            )
        return tuple(found)

    def _chosen(self, events: Iterator[WindowEvent], among: Sequence[str]) -> Iterator[WindowEvent]:
        """What the server says, without categories that it was not to choose from.

        One of an earlier version chooses from all that it knows. What it would have said of such a
        nucleus nobody knows: it has no category then.
        """
        for event in events:
            strange = set[str]()
            if among and isinstance(event, WindowPoints):
                strange = {*event.categories} - {*among}
                named = tuple(name if name in among else UNCATEGORISED for name in event.categories)
                event = replace(event, categories=named)
            yield event
            if strange and not self._is_told:
                self._is_told = True
                logger.warning(
                    "The model server at %s is of an earlier version, which does not choose from "
                    "the categories of the image's stain alone: nuclei of others (%s) have no "
                    "category. Update it.",
                    *(self._client.url, ", ".join(sorted(strange))),
                )

    def _described(self) -> DetectorInfo:
        """What the detector is, by a search of nothing, and whether windows are taken."""
        model = next(m for m in self._client.models() if m.id == self._model_id)
        started: Started | None = None
        tokens = 0
        side = model.window_px or 64
        blank = tile_of_rgb(np.full((side, side, 3), 255, dtype=np.uint8), "blank")
        image, mpp = self._client.put_image(blank), model.mpp or 0.5
        for event in self._client.detect(DetectRequest(image=image, mpp=mpp, model=model.id)):
            if isinstance(event, Started):
                started = event
            elif isinstance(event, Usage) and started is not None:
                tokens = event.image_tokens // max(started.windows, 1)
            elif isinstance(event, Failed):
                raise ServerUnavailableError(event.message)
        assert started is not None
        info = _info(started.model, started, tokens)
        try:
            request = WindowsRequest(image=image, mpp=mpp, model=model.id)
            if side == info.window_px:
                list(self._client.windows(request))
        except RequestRejectedError as error:
            if error.status != NOT_FOUND:
                raise
            raise InputError(
                f"The model server at {self._client.url} is of an earlier version, which takes "
                "images of up to 178 million pixels and no windows of larger ones. Update it."
            ) from error
        return info


def _info(
    model: ModelDescription, started: Started | None = None, image_tokens: int = 0
) -> DetectorInfo:
    """What a detector of another server is; how it decodes, only a search says."""
    said = model.said()
    if started is not None:
        said |= {"halo_um": started.halo_um, "decoding": started.decoding}
    return DetectorInfo(**{"halo_um": 0.0} | said, image_tokens=image_tokens)


def _heard(event: object) -> Iterator[WindowEvent]:
    if isinstance(event, WindowPointsOut):
        points_xy = np.array(event.points, dtype=np.float64).reshape(-1, 2)
        errors_um = event.position_error_um
        yield WindowPoints(
            event.window,
            points_xy,
            tuple(event.categories),
            tuple(event.confidence),
            None if errors_um is None else tuple(errors_um),
        )
    elif isinstance(event, WindowEndOut):
        yield WindowEnd(event.window, event.finish, event.tokens)
