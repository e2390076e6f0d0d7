"""Detectors whose windows are searched by workers, in other processes or on other machines.

`ElsewhereCatalog` is a catalogue whose detectors hand windows out to `Workers`, some at a time, and
take what they find in whatever order it comes. All else is done here as with a detector of this
process: seams, outlines, and telling whoever asked. A worker reads windows from the image's file
where it has it; else it is sent their pixels.

What the workers are, `napari_nunext.serving.models.ray_workers` says; each has a `WindowSearcher`.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from napari_nunext.core.errors import DamagedRegionError, InputError, NunextError
from napari_nunext.images import open_image
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.detector import Caller, DetectsForOne, SharedDetector
from napari_nunext.models.whole_image.search import LazyWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.core.geometry import Box
    from napari_nunext.core.process.precision import Precision
    from napari_nunext.models.catalog import CatalogEntry
    from napari_nunext.models.detector import Detector, DetectorInfo, WindowEvent
    from napari_nunext.models.sam.embeddings import Embeddings
    from napari_nunext.models.segmenter import Segmenter
    from napari_nunext.serving.models.shelf import ModelCatalog

logger = logging.getLogger(__name__)

OPEN_IMAGES = 4
"""Images that a worker keeps open: those of which it has windows by turns."""
LOOK_S = 0.02
"""How often it is asked whether to stop while nothing comes."""
MOST_WINDOWS = 128
"""Windows that a worker is given together, at most: what is done again if it dies. ..."""
LEAST_WINDOWS = 8
"""... and at least, unless an image has fewer."""
SHARES = 4
"""An image is cut into so many tasks for each worker, so that all end at about the same time."""
TASK_BYTES = 16 * 2**20
"""Pixels of a task."""


@dataclass(frozen=True, eq=False, slots=True)
class InFile:
    """Windows of an image that lies at the same path for a worker."""

    path: str
    image_id: str
    boxes: tuple[Box, ...]
    """Level-0 px."""
    side_px: int
    among: tuple[str, ...] = ()
    """As `Caller.among`."""


@dataclass(frozen=True, eq=False, slots=True)
class Sent:
    """Windows whose pixels go along."""

    windows: tuple[NDArray[np.uint8], ...]
    among: tuple[str, ...] = ()
    """As `Caller.among`."""


Task: TypeAlias = InFile | Sent
"""Windows: where they are, or their pixels."""
Finding: TypeAlias = "tuple[WindowEvent, ...] | Literal['not here', 'damaged']"
"""What a detector says of the windows of a task; or that the worker has no such image, or cannot
read all of them."""


class WindowSearcher:
    """Searches windows, in a worker.

    Parameters
    ----------
    model_id : str
    paths : sequence of Path
        Where checkpoints are looked for.
    precision : {"auto", "float32", "bfloat16"}
    """

    def __init__(self, model_id: str, paths: Sequence[Path], precision: Precision) -> None:
        self._detector = Catalog(paths, precision=precision).load_detector(model_id)
        self._image = lru_cache(maxsize=OPEN_IMAGES)(open_image)

    def info(self) -> DetectorInfo:
        """What the detector is, as it is in this worker."""
        return self._detector.info

    def search(self, task: Task) -> Finding:
        """What the detector says of the windows; their numbers are places in the task."""
        if isinstance(task, InFile):
            try:
                image = self._image(task.path)
                if image.id != task.image_id:
                    return "not here"
                pixels = [image.read_window(box, task.side_px) for box in task.boxes]
            except DamagedRegionError:
                return "damaged"
            except (NunextError, OSError):
                self._image.cache_clear()  # it may be there again later
                return "not here"
        else:
            pixels = list(task.windows)
        detector = self._detector
        if not isinstance(detector, SharedDetector):
            return tuple(detector.detect(pixels, cancelled=lambda: False))
        caller = Caller(among=task.among)
        events = detector.detect_for(caller, pixels, cancelled=lambda: False)
        return tuple(event for event in events if event is not None)


class Workers(Protocol):
    """Some `WindowSearcher` of the same detector; used from one thread."""

    @property
    def info(self) -> DetectorInfo:
        """What they search with."""
        ...

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def reads_files(self) -> bool:
        """Whether they may have the files of this machine."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether one would get to a further task soon."""
        ...

    def give(self, task: Task) -> Hashable:
        """Have a task done; what it is known by from now on."""
        ...

    def ended(self, tasks: Sequence[Hashable], wait_s: float) -> Sequence[Hashable]:
        """Those of some tasks that have ended; waits for the first for so long."""
        ...

    def take(self, task: Hashable) -> Finding:
        """What came of a task that has ended.

        Raises
        ------
        ServerUnavailableError
            If workers died of it.
        """
        ...

    def drop(self, task: Hashable) -> None:
        """Nobody wants it any more."""
        ...


class ElsewhereDetector(DetectsForOne):
    """A `napari_nunext.models.detector.SharedDetector` whose windows are searched by workers.

    What it says of a window does not depend on which worker searched it, nor when.

    Parameters
    ----------
    workers : Workers
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    @property
    def info(self) -> DetectorInfo:
        """What this detector is; it is asked for everything, and others are left out here."""
        return replace(self._workers.info, named_prompts=())

    def detect_for(
        self,
        caller: Caller,
        windows: Sequence[NDArray[np.uint8]],
        *,
        cancelled: Callable[[], bool],
    ) -> Iterator[WindowEvent | None]:
        """Find the nuclei of each window beside other callers; see `SharedDetector.detect_for`.

        Raises
        ------
        ServerUnavailableError
            If workers die of windows, or stay away.
        """
        # Nothing else of the caller: the workers' room is shared out as tasks come.
        among = caller.among
        workers, is_in_file = self._workers, self._workers.reads_files and _has_file(windows)
        waiting = deque((numbers, is_in_file) for numbers in self._shares(len(windows)))
        under_way: dict[Hashable, tuple[range, bool]] = {}
        try:
            while not cancelled():
                while waiting and workers.has_room:
                    numbers, in_file = waiting.popleft()
                    in_file &= is_in_file
                    pixels = windows[numbers.start : numbers.stop]
                    task = self._task(pixels, among, in_file=in_file)
                    under_way[workers.give(task)] = numbers, in_file
                if not (under_way or waiting):
                    return
                for ended in workers.ended(list(under_way), LOOK_S):
                    numbers, in_file = under_way.pop(ended)
                    found = workers.take(ended)
                    if isinstance(found, tuple):
                        for event in found:
                            yield replace(event, window=numbers[event.window])
                        continue
                    # Reading it here tells which window is damaged, or what is wrong with the file.
                    waiting.appendleft((numbers, False))
                    if found == "not here" and is_in_file:
                        logger.warning("a worker has not the image at its path: pixels are sent")
                        is_in_file = False
                yield None
        finally:
            for task_id in under_way:
                workers.drop(task_id)

    def _shares(self, count: int) -> Iterator[range]:
        """Numbers of windows, cut into tasks."""
        side = self.info.window_px
        most = max(min(MOST_WINDOWS, TASK_BYTES // (3 * side * side)), 1)
        fair = -(-count // (SHARES * self._workers.count))
        size = min(max(fair, LEAST_WINDOWS), most)
        return (range(start, min(start + size, count)) for start in range(0, count, size))

    def _task(
        self, windows: Sequence[NDArray[np.uint8]], among: tuple[str, ...], *, in_file: bool
    ) -> Task:
        if in_file and isinstance(windows, LazyWindows):
            image, side_px = windows.image, self.info.window_px
            return InFile(
                str(image.path),  # type: ignore[attr-defined]  # an image with a file
                image.id,  # type: ignore[attr-defined]
                windows.boxes(),
                side_px,
                among,
            )
        return Sent(tuple(windows), among)


def _has_file(windows: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether others might read windows from a file; what was sent here has one no longer."""
    if not isinstance(windows, LazyWindows) or not hasattr(windows.image, "id"):
        return False
    path: Path | None = getattr(windows.image, "path", None)
    return path is not None and path.exists()


class ElsewhereCatalog:
    """A catalogue whose detectors' windows are searched by workers; outlines are drawn here.

    Parameters
    ----------
    catalog : ModelCatalog
        What there is, by the files of this machine.
    workers_of : callable
        Starts workers with a detector, by its id.
    """

    def __init__(self, catalog: ModelCatalog, workers_of: Callable[[str], Workers]) -> None:
        self._catalog = catalog
        self._workers_of = workers_of
        self._detectors: dict[str, ElsewhereDetector] = {}

    @property
    def embeddings(self) -> Embeddings:
        """What its segmenters remember."""
        return self._catalog.embeddings

    def entries(self) -> Sequence[CatalogEntry]:
        """What is there now."""
        return self._catalog.entries()

    @property
    def default_detector_id(self) -> str:
        """The detector where none is named."""
        return self._catalog.default_detector_id

    @property
    def default_segmenter_id(self) -> str:
        """The segmenter where none is named."""
        return self._catalog.default_segmenter_id

    @property
    def loaded(self) -> tuple[str, ...]:
        """Ids of the checkpoints that workers have, or this process."""
        return (*self._detectors, *self._catalog.loaded)

    def load_detector(self, id_: str | None = None) -> Detector:
        """The detector, once a worker has it in memory.

        Raises
        ------
        InputError
            If the workers have another one under this id.
        """
        id_ = self.default_detector_id if id_ is None else id_
        if id_ not in self._detectors:
            self._detectors[id_] = self._checked(ElsewhereDetector(self._workers_of(id_)), id_)
        return self._detectors[id_]

    def load_segmenter(self, id_: str | None = None) -> Segmenter:
        """The segmenter, in memory of this process."""
        return self._catalog.load_segmenter(id_)

    def _checked(self, detector: ElsewhereDetector, id_: str) -> ElsewhereDetector:
        known = next((e.info for e in self.entries() if e.id == id_ and e.kind == "detector"), None)
        if known is not None and known.checkpoint_sha256 != detector.info.checkpoint_sha256:
            raise InputError(
                f"The workers' checkpoint {id_!r} is another one than that of this machine. Put "
                "the same files at the same path on every machine."
            )
        return detector
