"""Windows a second of a slide, from its file into a project, beside those of a tile in memory.

The same tissue of `CMU-1-Small-Region.svs` is searched by turns in one process, by one detector: as
a tile whose pixels are in memory, by a loop that keeps nothing; and as the slide itself, by the
batch: the file is opened anew, its tiles are decoded, windows are read from them, told as the
server tells them, and recorded in a new project. What counts is the processor's time. Needs the
slide, in the folder that `NAPARI_NUNEXT_DATA` names.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from benchmarks._harness import Claim, peak_memory_gb, published, report
from napari_nunext.core.geometry import Box
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images import open_image
from napari_nunext.images.slides import readers
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.catalog import Catalog
from napari_nunext.review.batch.asked import ask_for
from napari_nunext.review.batch.batch import Batch
from napari_nunext.review.batch.stations import Station
from napari_nunext.review.batch.taking import BatchOptions
from napari_nunext.review.writer import JournalWriter
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.models.describe import describe
from napari_nunext.serving.protocol import DetectRequest, WindowDone
from napari_nunext.store import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nunext.core.image.source import ImageSource
    from napari_nunext.models.detector import Detector
    from napari_nunext.review.finding.servers import ModelServer
    from napari_nunext.serving.protocol import DetectEvent, ModelInfo

REGION = Box(700, 900, 1400, 1600)
PAIRS = 5
CACHE_BYTES = 256 * 2**20


class Here:
    """A server and its client, in this process."""

    def __init__(self, detector: Detector, model: ModelInfo) -> None:
        self._detector, self._model = detector, model
        self._images: dict[str, ImageSource] = {}

    def client(self) -> Here:
        """Itself."""
        return self

    def health(self) -> None:
        """It is well."""

    def put_image(self, image: ImageSource, **_: Any) -> str:
        """Take an image."""
        self._images[image.id] = image
        return image.id

    def detect(self, request: DetectRequest, **_: Any) -> Iterator[DetectEvent]:
        """Search one."""
        image = self._images[request.image]
        for event in detect_events(image, request, self._detector, run="run", model=self._model):
            if event is not None:
                yield event


def tile_s(here: Here, tile: ImageSource, mpp: float) -> float:
    """Seconds of the processor a window, of pixels in memory, of which nothing is kept."""
    request = DetectRequest(image=here.put_image(tile), mpp=mpp)
    began = time.process_time()
    windows = sum(isinstance(event, WindowDone) for event in here.detect(request))
    return (time.process_time() - began) / windows


def slide_s(here: Here, model: ModelInfo, path: Path, project: Path) -> float:
    """Seconds of the processor a window, from a file into a project."""
    readers.TILES = BoundedCache(CACHE_BYTES, lambda tile: tile.nbytes)
    asked = ask_for(cast("Any", here), model, masks=False, tissue=False, region=REGION)
    began = time.process_time()
    with Project.open(project, annotator="benchmark") as opened:
        writer = JournalWriter(lambda status: None)
        station = Station(cast("ModelServer", here), model.id, "here")
        options = BatchOptions(at_once=1)
        silent = {"say": lambda _: None, "tell": lambda _: None}
        batch = Batch(opened, writer, [station], asked, options, **silent)
        outcome = batch.search([path])
        writer.close(60.0)
        if outcome.failed:
            raise RuntimeError(f"{path.name} was not searched.")
    return (time.process_time() - began) / batch.progress.windows


def main() -> None:
    """Measure, where the slide is."""
    folders = published("wsi")
    if folders is None:
        return
    path = folders[0] / "CMU-1-Small-Region.svs"
    torch.set_num_threads(1)
    catalog = Catalog()
    detector = catalog.load_detector()
    entry = next(e for e in catalog.entries() if e.id == catalog.default_detector_id)
    here, model = Here(detector, describe(entry, default=True)), describe(entry, default=True)
    slide = open_image(path)
    assert slide.scale.mpp is not None
    tile = tile_of_rgb(np.array(slide.read_region(REGION)), "tile")
    tile_s(here, tile, slide.scale.mpp)  # the detector's first windows take longer
    spent: dict[str, list[float]] = {"tile": [], "slide": []}
    with TemporaryDirectory() as folder:
        for number in range(PAIRS):
            spent["tile"].append(tile_s(here, tile, slide.scale.mpp))
            project = Path(folder, f"{number}.nunext")
            spent["slide"].append(slide_s(here, model, path, project))
            print(f"{number}: {spent['tile'][-1] / spent['slide'][-1]:.3f}", flush=True)
    ratios = [t / s for t, s in zip(spent["tile"], spent["slide"], strict=True)]
    report(
        "end_to_end",
        [
            Claim("slides.end_to_end", statistics.median(ratios), goal=0.9, better="higher"),
            Claim("slides.end_to_end_gb", peak_memory_gb(), goal=2.0, better="lower"),
        ],
        details={
            "ratios": ratios,
            **{f"{name}_ms": 1e3 * statistics.median(each) for name, each in spent.items()},
        },
    )


if __name__ == "__main__":
    main()
