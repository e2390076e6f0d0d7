"""What it costs to keep and to read a million predictions: a slide, in windows of 25 nuclei.

Windows are recorded as a search does, in groups, each durable before the next; every seventh is
empty. Seconds are the processor's: how long the disk takes to confirm a commit is the disk's
affair, and stands beside them.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from benchmarks._harness import Claim, peak_memory_gb, report
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.uids import uids_in_windows
from napari_nunext.store import ImageEntry, Project, RunFound, RunInfo, RunWindow, events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

NUCLEI, IN_WINDOW, GROUP = 1_000_000, 25, 64
WINDOW_PX, ACROSS = 256, 200
NAMES = ("Tumour", "Stroma", "Lymphocyte", "Necrosis", "Normal")
SHA256 = "ab" * 32
SIDE_PX = WINDOW_PX * ACROSS * 2
RADIUS_PX = 8


def windows(run_id: str) -> Iterator[RunWindow]:
    """What a model says of window after window, until there are enough nuclei."""
    rng = np.random.default_rng(0)
    left = NUCLEI
    number = 0
    while left:
        n = min(left, 0 if number % 7 == 6 else IN_WINDOW)
        corner_xy = np.array([number % ACROSS, number // ACROSS]) * WINDOW_PX
        nuclei = Predictions(
            uids_in_windows(run_id, [number], [n]),
            corner_xy + rng.random((n, 2)) * WINDOW_PX,
            rng.integers(0, len(NAMES), n).astype(np.uint16),
            NAMES,
            rng.random(n),
            MaskColumn.without_any(n),
            rng.uniform(0.5, 1.5, n),
        )
        yield RunWindow(number, nuclei)
        left -= n
        number += 1


def size_mb(path: Path) -> float:
    """Of a project's files, 10^6 bytes."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")) / 1e6


def main() -> None:
    """Measure time, bytes and memory."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "slide.nunext")
        claims, details = measured(path)
    report("storage", claims, details=details)


def measured(path: Path) -> tuple[list[Claim], dict[str, object]]:
    """The figures of one project, and what stands beside them."""
    whole = Box(0, 0, SIDE_PX, SIDE_PX)
    model = ModelDescription("Benchmark", "benchmark", kind="detector", id="benchmark")
    with Project.open(path, annotator="benchmark") as project:
        project.add_image(ImageEntry(SHA256, "s.tif", "s.tif", SIDE_PX, SIDE_PX, 0.5, "user"))
        run = project.start_run(SHA256, RunInfo(model, {}, 0.5, 1, whole))
        found = list(windows(run))
        groups = [found[start : start + GROUP] for start in range(0, len(found), GROUP)]
        written = [timed(partial(project.add_found, run, RunFound(group)))[1:] for group in groups]
        project.append([events.use_run(SHA256, run, whole)])
    cpu_s, wall_s = (sum(column) for column in zip(*written, strict=True))
    points_mb = size_mb(path)
    (read,), read_s, _ = timed(lambda: looked_at(path, lambda p: p.predictions(SHA256)))
    assert read.nuclei.uids.shape == (NUCLEI, 16)
    state, open_s, _ = timed(lambda: looked_at(path, lambda p: p.state(SHA256)))
    assert len(state.nuclei) == NUCLEI
    tenth = len(written) // 10
    first_ms, last_ms = (
        statistics.median(cpu_s for cpu_s, _ in part) * 1000
        for part in (written[:tenth], written[-tenth:])
    )
    claims = [
        Claim("house.store_1m_write_s", cpu_s, goal=2.0, better="lower"),
        Claim("house.store_1m_mb", points_mb, goal=50.0, better="lower"),
        Claim("house.store_1m_read_s", read_s, goal=1.0, better="lower"),
        Claim("house.store_1m_open_s", open_s, goal=3.0, better="lower"),
        Claim("house.store_last_commit_to_first", last_ms / first_ms, goal=1.5, better="lower"),
    ]
    return claims, {
        "write_wall_s": wall_s,
        "commits": len(groups),
        "commit_ms": last_ms,
        "peak_gb": peak_memory_gb(),
    }


def timed(act: Callable[[], T]) -> tuple[T, float, float]:
    """What it gives, and the seconds of the processor and of the clock that it took."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    given = act()
    return given, time.process_time() - cpu_s, time.perf_counter() - wall_s


def looked_at(path: Path, look: Callable[[Project], T]) -> T:
    """What a project that is opened for it shows."""
    with Project.open(path, annotator="benchmark", mode="r") as project:
        return look(project)


if __name__ == "__main__":
    main()
