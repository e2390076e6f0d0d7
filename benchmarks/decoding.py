"""What the decoder makes of a tile, beside transformers' own `generate` and behind the server.

The tile is 1000 x 1000 px of drawn tissue at 0.5 um/px, the checkpoint the bundled one, or another
that is named: ``python -m benchmarks.decoding FOLDER``.

`generate` reads one window after the other, under the same grammar and in the same precision. The
server's time is that of its client, from the request to the last event; in process it is that of
the same search without one, on as many threads. The two take turns.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList

from benchmarks._harness import Claim, peak_memory_gb, report
from benchmarks.serving import MPP, first_points_s
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.decoder import end_by_majority, last_position
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.whole_image.search import detect_image, plan_image, search
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.protocol import DetectRequest
from napari_nunext.synthetic import synthesise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.core.codec import Codec
    from napari_nunext.core.image.source import WindowReader
    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

CHECKPOINT = BUNDLED_WEIGHTS / "nunext-small"
SIDE_PX = 1000
SEQUENTIAL_WINDOWS = 12
REPEATS = 5


class Grammar(LogitsProcessor):
    """The codec's grammar for `generate`, and its end."""

    def __init__(self, codec: Codec, prompt_length: int) -> None:
        self._codec = codec
        self._prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores with all that is not allowed at this position at minus infinity."""
        position = input_ids.shape[1] - self._prompt_length
        allowed = torch.from_numpy(self._codec.allowed_at(position))
        masked = torch.full_like(scores, -torch.inf)
        masked[:, allowed] = end_by_majority(scores[:, allowed], allowed == self._codec.end_id)
        return masked


def sequential_s(checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]) -> float:
    """Seconds in which `generate` reads windows one after the other."""
    description = checkpoint.description
    model: Any = checkpoint.model
    length = len(checkpoint.windows.prompt_ids)
    began = time.perf_counter()
    for window in windows:
        model.generate(
            **checkpoint.windows([window], checkpoint.device),
            do_sample=False,
            max_new_tokens=last_position(description.codec, description.max_points) + 1,
            logits_processor=LogitsProcessorList([Grammar(description.codec, length)]),
        )
    return time.perf_counter() - began


def first_point_s(image: WindowReader, detector: NextPointDetector) -> float:
    """Seconds to the first point of a tile, in process."""
    windows = plan_image(image, detector.info, mpp=MPP)
    began = time.perf_counter()
    for said in search(image, detector, windows, cancelled=lambda: False):
        if said is not None and isinstance(said[1], WindowPoints):
            return time.perf_counter() - began
    raise RuntimeError("The checkpoint found nothing; build it with another seed.")


def against_generate(
    image: WindowReader, checkpoint: LoadedCheckpoint, detector: NextPointDetector
) -> tuple[list[float], list[float]]:
    """Seconds of the tile, and of a window of `generate`, by turns."""
    windows = plan_image(image, detector.info, mpp=MPP)
    spread = range(0, len(windows), len(windows) // SEQUENTIAL_WINDOWS)
    some = [image.read_window(windows[i].box, windows[i].side_px) for i in spread]
    tiles, sequential = [], []
    for _ in range(REPEATS):
        began = time.perf_counter()
        detect_image(image, detector, mpp=MPP)
        tiles.append(time.perf_counter() - began)
        sequential.append(sequential_s(checkpoint, some) / len(some))
    return tiles, sequential


def server_over_process(
    rgb: NDArray[np.uint8], folder: Path, detector: NextPointDetector
) -> tuple[float, list[float]]:
    """Time through the server in that of the same search in process, and first points there."""
    image, ratios = tile_of_rgb(rgb, "tile"), []
    with LocalServer([folder], threads=torch.get_num_threads()) as server:
        client = server.client()
        sha256 = client.put_image(image)
        request = DetectRequest(image=sha256, mpp=MPP, model=folder.name)
        first = [
            first_points_s(client, tile_of_rgb(rgb, "tile"), folder.name)
            for _ in range(REPEATS + 1)
        ]
        for _ in range(REPEATS):
            began = time.perf_counter()
            detect_image(image, detector, mpp=MPP)
            between = time.perf_counter()
            for _event in client.detect(request):
                pass
            ratios.append((time.perf_counter() - between) / (between - began))
    return statistics.median(ratios), first[1:]


def measure(folder: Path) -> None:
    """Measure a checkpoint."""
    rng = np.random.default_rng(0)
    rgb = synthesise(rng, height_px=SIDE_PX, width_px=SIDE_PX, mpp=MPP).rgb
    image = tile_of_rgb(rgb, "tile")
    checkpoint = load_checkpoint(folder, to_decode=True)
    detector = NextPointDetector.from_loaded(checkpoint)
    first_point_s(image, detector)
    detect_image(image, detector, mpp=MPP)
    memory_gb = peak_memory_gb()
    first = [first_point_s(image, detector) for _ in range(REPEATS)]
    tiles, sequential = against_generate(image, checkpoint, detector)
    windows = len(plan_image(image, detector.info, mpp=MPP))
    speedup = statistics.median(
        windows * one / all_ for one, all_ in zip(sequential, tiles, strict=True)
    )
    overhead, first_served = server_over_process(rgb, folder, detector)
    report(
        "decoding",
        [
            Claim("decoding.times_generate", speedup, goal=6.0, better="higher"),
            Claim("decoding.tile_s", statistics.median(tiles), goal=4.0, better="lower"),
            Claim("decoding.first_point_s", statistics.median(first), goal=0.3, better="lower"),
            Claim(
                "decoding.first_points_served_s",
                statistics.median(first_served),
                goal=0.3,
                better="lower",
            ),
            Claim("decoding.server_over_process", overhead, goal=1.05, better="lower"),
            Claim("decoding.peak_gb", memory_gb, goal=1.5, better="lower"),
        ],
        details={
            "windows": windows,
            "decoding": detector.info.decoding,
            "generate_window_s": statistics.median(sequential),
            "threads": torch.get_num_threads(),
            "all_s": list(itertools.chain(tiles, first)),
        },
    )


def main() -> None:
    """Measure the checkpoint that is named, or the bundled one."""
    measure(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else CHECKPOINT)


if __name__ == "__main__":
    main()
