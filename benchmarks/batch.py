"""A batch beside the server that it asks: what recording costs, and how much memory a slide takes.

The same windows are asked of one server: by a bare client that throws away what it is told, and by
the batch that keeps it, turn by turn. Both have two images side by side, as the batch has. What
counts is the processor's time, of the server and of who asks together: the clock tells what else a
machine does. Of a slide of 100,000 x 100,000 px a region is searched.
"""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks._giant import write_giant
from benchmarks._harness import Claim, peak_memory_gb, report
from benchmarks.serving import MPP, tile
from napari_nunext.commands.batch import ProjectOptions, detect_into_project
from napari_nunext.core.geometry import Box
from napari_nunext.images import open_image
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE, LocalServer
from napari_nunext.serving.protocol import DetectRequest, WindowDone

if TYPE_CHECKING:
    from napari_nunext.review.batch.tally import BatchProgress

MODEL = "nunext-small"
IMAGES = 3
SIDE_PX = 256
AT_ONCE = 2
PAIRS = 3
REGION = Box(40_000, 40_000, 48_000, 48_000)


class Cost:
    """Time of the processor, of a server and of this process, since a search has begun."""

    def __init__(self, server: LocalServer) -> None:
        self._status = Path(f"/proc/{server.pid}/stat")
        self._began: tuple[float, float] | None = None

    def begin(self) -> None:
        """It has begun; again is nothing."""
        self._began = self._began or self._now()

    def each(self, windows: int) -> tuple[float, float]:
        """Seconds of the processor, and of the clock, for each window."""
        assert self._began is not None
        spent, passed = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return spent / windows, passed / windows

    def _now(self) -> tuple[float, float]:
        user, system = self._status.read_text().rpartition(")")[2].split()[11:13]
        served_s = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return served_s + time.process_time(), time.perf_counter()


def bare(server: LocalServer, paths: list[Path], model: str) -> tuple[float, float]:
    """What a window costs a client that keeps nothing, from when its first image has begun."""
    client, cost, windows = server.client(), Cost(server), 0
    waiting, lock = list(paths), threading.Lock()

    def work() -> None:
        nonlocal windows
        while True:
            with lock:
                if not waiting:
                    return
                path = waiting.pop()
            request = DetectRequest(
                image=client.put_image(open_image(path)), mpp=MPP, model=model, priority="batch"
            )
            for event in client.detect(request):
                with lock:
                    cost.begin()
                    windows += isinstance(event, WindowDone)

    threads = [threading.Thread(target=work) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return cost.each(windows)


def batch(server: LocalServer, paths: list[Path], model: str, project: Path) -> tuple[float, float]:
    """What a window costs a batch, from when its first image has begun until all is recorded."""
    cost, windows = Cost(server), 0

    def tell(progress: BatchProgress) -> None:
        nonlocal windows
        cost.begin()
        windows = max(windows, progress.windows)

    options = ProjectOptions(project=project, model=model, mpp=MPP, servers=(server.url,))
    failed = detect_into_project(paths, options, say=lambda line: None, tell=tell)
    if failed:
        raise RuntimeError(f"{failed} were not searched.")
    return cost.each(windows)


def children_gb() -> float:
    """Most memory that a process which this one started has held, in GB."""
    found = [0.0]
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            text = status.read_text()
            if re.search(rf"^PPid:\s+{os.getpid()}$", text, flags=re.MULTILINE):
                found += [int(kb) * 1024 / 1e9 for kb in re.findall(r"VmHWM:\s+(\d+) kB", text)]
    return max(found)


def main() -> None:
    """Measure."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        rgb = tile()
        paths = []
        for number in range(IMAGES):
            path = folder / f"{number}.png"
            Image.fromarray(np.roll(rgb, 37 * number, axis=1)[:SIDE_PX, :SIDE_PX]).save(path)
            paths.append(path)
        shares, by_clock = [], []
        with LocalServer(threads=1) as server:
            os.environ[TOKEN_VARIABLE] = server.token
            bare(server, paths[:1], MODEL)  # loads the model
            for number in range(PAIRS):
                alone = bare(server, paths, MODEL)
                kept = batch(server, paths, MODEL, folder / f"{number}.nunext")
                cpu, clock = (a / k for a, k in zip(alone, kept, strict=True))
                print(f"a window alone / in a batch: {cpu:.3f} (clock {clock:.2f})", flush=True)
                shares.append(cpu)
                by_clock.append(clock)
        slide = folder / "slide.tif"
        write_giant(slide)
        before_gb = peak_memory_gb()
        server_gb = 0.0

        def watch(progress: BatchProgress) -> None:
            nonlocal server_gb
            server_gb = max(server_gb, children_gb())

        began = time.perf_counter()
        options = ProjectOptions(
            project=folder / "slide.nunext", model="classical", region=REGION.as_tuple()
        )
        detect_into_project([slide], options, say=print, tell=watch)
        slide_s = time.perf_counter() - began
    report(
        "batch",
        [
            Claim("slides.batch_overhead", float(np.median(shares)), goal=0.95, better="higher"),
            Claim("slides.batch_memory_gb", peak_memory_gb() - before_gb, goal=0.3, better="lower"),
            Claim("slides.batch_server_memory_gb", server_gb, goal=1.0, better="lower"),
        ],
        details={"shares": shares, "shares_by_clock": by_clock, "slide_s": slide_s},
    )


if __name__ == "__main__":
    main()
