"""Slides: reading regions of an SVS beside OpenSlide, and opening one of 100,000 x 100,000 px.

Regions of 512 px at random places of level 0 are read by our own tile reader and by OpenSlide, in
turn, both without a cache: the slide at hand is so small that they would measure that. What counts
is processor time until the pixels are RGB in an array. Needs `CMU-1-Small-Region.svs`, in the
folder that `NAPARI_NUNEXT_DATA` names, for the first; the other writes its own file.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import openslide

from benchmarks._giant import write_giant
from benchmarks._harness import Claim, peak_memory_gb, published, report
from napari_nunext.core.geometry import Box
from napari_nunext.core.process.bounded import BoundedCache
from napari_nunext.images import open_image
from napari_nunext.images.slides import readers
from napari_nunext.images.slides.slide import slide_of
from napari_nunext.images.slides.tiff import TiffReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REGION_PX = 512
ROUNDS = 15
REGIONS = 20
"""Of a round."""
OPENINGS = 7


def cpu_s(function: Callable[[], object]) -> float:
    """Processor time of a call, all threads."""
    begin = time.process_time()
    function()
    return time.process_time() - begin


def tile_reading(path: Path) -> tuple[Claim, dict[str, object]]:
    """How many times less a region takes than with OpenSlide."""
    readers.TILES = BoundedCache(0, lambda tile: tile.nbytes)
    ours = slide_of(path, lambda: TiffReader(path))
    theirs = openslide.OpenSlide(path)
    theirs.set_cache(openslide.OpenSlideCache(0))

    def by_us(x: int, y: int) -> NDArray[np.uint8]:
        return ours.read_region(Box(x, y, x + REGION_PX, y + REGION_PX))

    def by_openslide(x: int, y: int) -> NDArray[np.uint8]:
        return np.asarray(theirs.read_region((x, y), 0, (REGION_PX, REGION_PX)).convert("RGB"))

    rng = np.random.default_rng(0)
    most = (int(ours.box.width) - REGION_PX, int(ours.box.height) - REGION_PX)
    spent: dict[str, list[float]] = {"ours": [], "openslide": []}
    for number in range(ROUNDS + 1):
        places = [(int(rng.integers(most[0])), int(rng.integers(most[1]))) for _ in range(REGIONS)]
        for name, read in (("ours", by_us), ("openslide", by_openslide)):
            begin = time.process_time()
            for x, y in places:
                read(x, y)
            if number:  # the first warms up
                spent[name].append((time.process_time() - begin) / REGIONS)
        x, y = places[0]
        if not np.array_equal(by_us(x, y), by_openslide(x, y)):
            raise AssertionError(f"The two readers differ at {x}, {y}.")
    medians = {name: statistics.median(values) for name, values in spent.items()}
    claim = Claim(
        "slides.tile_reading", medians["openslide"] / medians["ours"], goal=2.0, better="higher"
    )
    return claim, {f"{name}_ms": 1e3 * value for name, value in medians.items()}


def opening(folder: Path) -> Claim:
    """How long it takes until a slide is open, known by its id, and shown as a whole."""
    path = write_giant(folder / "giant.tif")

    def opened() -> None:
        slide = open_image(path)
        if slide.scale.mpp != 0.25 or len(slide.levels) != 9:
            raise AssertionError(f"{slide.scale}, {slide.levels}")
        if not slide.id.startswith("slide1-"):
            raise AssertionError(slide.id)
        slide.read_window(slide.box, REGION_PX)

    opened()
    seconds = statistics.median(cpu_s(opened) for _ in range(OPENINGS))
    return Claim("slides.open_100k_s", seconds, goal=1.0, better="lower")


def main() -> None:
    """Measure both."""
    claims: list[Claim] = []
    details: dict[str, object] = {}
    with TemporaryDirectory() as folder:
        claims.append(opening(Path(folder)))
    folders = published("wsi")
    if folders is not None:
        claim, details = tile_reading(folders[0] / "CMU-1-Small-Region.svs")
        claims.append(claim)
    claims.append(Claim("slides.peak_gb", peak_memory_gb(), goal=1.0, better="lower"))
    report("slides", claims, details=details)


if __name__ == "__main__":
    main()
