"""Clicks for outlines, as the window's client meets them: the first in a window, and those after.

The segmenter is the small SAM with random weights: what weights say does not change what a click
costs, but for how ragged a mask is. Images are real tissue; the large one is 6000 x 6000 px at
0.25 um/px, where the segmenter's windows have to be resampled and are found among hundreds.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks._harness import Claim, report
from benchmarks.serving import tile
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.sam.build import build_sam
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import MaskPrompt, PromptPoint, SegmentRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nunext.serving.client.client import Client

PLACES = 12
"""Nuclei that are clicked on, each in a window of its own."""
SPACING_PX = 80
NUCLEI = 1000
"""Of one request for many masks at once."""


class Clicker:
    """Somebody who clicks on an image that the server has."""

    def __init__(self, client: Client, rgb: NDArray[np.uint8], mpp: float, segmenter: str) -> None:
        self._client = client
        self._sha256 = client.put_image(tile_of_rgb(rgb, "clicked"))
        self._mpp = mpp
        self._segmenter = segmenter

    def seconds(self, *nuclei: Sequence[tuple[float, float, bool]]) -> float:
        """How long the masks take for these clicks (x, y, on it) on each nucleus."""
        prompts = [
            MaskPrompt(points=[PromptPoint(x=x, y=y, positive=on_it) for x, y, on_it in clicks])
            for clicks in nuclei
        ]
        request = SegmentRequest(
            image=self._sha256, mpp=self._mpp, prompts=prompts, segmenter=self._segmenter
        )
        began = time.perf_counter()
        self._client.segment(request)
        return time.perf_counter() - began

    def first_and_further(self, origin: float, spacing_px: float) -> tuple[float, float]:
        """Medians of a first click, and of one beside the nucleus that corrects it."""
        first, further = [], []
        for i in range(PLACES):
            x, y = origin + i * spacing_px, origin + i * spacing_px
            first.append(self.seconds([(x, y, True)]))
            further.append(self.seconds([(x, y, True), (x + 6, y + 2, False)]))
        return statistics.median(first), statistics.median(further)


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as folder:
        build_sam(Path(folder, "sam"), window_px=128, mpp=0.5, preset="small")
        with LocalServer([Path(folder, "sam")]) as server:
            client = server.client()
            rgb = tile()
            field = Clicker(client, rgb, 0.5, "sam")
            cold_s = field.seconds([(20.0, 980.0, True)])
            first_s, further_s = field.first_and_further(40.0, SPACING_PX)
            points = np.random.default_rng(0).uniform(0, len(rgb), (NUCLEI, 2)).tolist()
            many_s = field.seconds(*([(x, y, True)] for x, y in points))
            slide = Clicker(client, np.tile(rgb, (6, 6, 1)), 0.25, "sam")
            slide_first_s, slide_further_s = slide.first_and_further(1040.0, 2 * SPACING_PX)
    report(
        "clicks",
        [
            Claim("clicks.further_s", further_s, goal=0.05, better="lower"),
            Claim("clicks.further_on_slide_s", slide_further_s, goal=0.05, better="lower"),
            Claim("clicks.first_s", first_s, goal=0.2, better="lower"),
            Claim("clicks.masks_per_s", NUCLEI / many_s, goal=80.0, better="higher"),
        ],
        details={"cold_s": cold_s, "first_on_slide_s": slide_first_s},
    )


if __name__ == "__main__":
    main()
