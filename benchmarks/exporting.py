"""Files of a million nuclei: how long they take to write and to read, and how much memory.

A project holds a slide of a million nuclei, without outlines, another one a tenth of them with
outlines of some 15 x 19 px. Each kind of file is written in a process of its own, which has opened
the project before: what counts is the processor's time, and the memory above what the open project
takes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks._harness import REPO_ROOT, Claim, peak_memory_gb, report
from benchmarks.storage import GROUP, SHA256, SIDE_PX, windows
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.nuclei_files import read_nuclei
from napari_nunext.store import ImageEntry, Project, RunFound, RunInfo, RunWindow, events
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import export_format, write_nuclei

WRITTEN = ("geojson", "csv", "parquet", "coco", "labels-tiff")
READ = ("geojson", "parquet", "labels-tiff")


def outlined(window: RunWindow) -> RunWindow:
    """A window of `benchmarks.storage` whose nuclei have outlines."""
    nuclei = window.nuclei
    corners = (nuclei.points_xy - (7, 9)).astype(np.int64).tolist()
    masks = [SHAPES[i % len(SHAPES)].moved(x, y) for i, (x, y) in enumerate(corners)]
    return replace(window, nuclei=replace(nuclei, masks=MaskColumn.of(masks)))


def ellipse(radius: float) -> Mask:
    """The outline of a nucleus."""
    rows, columns = np.mgrid[-9:10, -7:8]
    return Mask.from_array((rows / 9.5) ** 2 + (columns / 7.5) ** 2 < radius**2)


SHAPES = [ellipse(radius) for radius in np.linspace(0.7, 1.0, 20)]
OUTLINED = 10
"""Of so many windows one is in the project whose nuclei have outlines."""


def fill(path: Path, *, with_outlines: bool = False) -> None:
    """A project with a slide of a million nuclei, or of fewer with outlines."""
    whole = Box(0, 0, SIDE_PX, SIDE_PX)
    model = ModelDescription("Benchmark", "benchmark", kind="detector", id="benchmark")
    with Project.open(path, annotator="benchmark") as project:
        project.add_image(ImageEntry(SHA256, "s.tif", "s.tif", SIDE_PX, SIDE_PX, 0.5, "user"))
        run = project.start_run(SHA256, RunInfo(model, {}, 0.5, 1, whole))
        found = list(windows(run))
        if with_outlines:
            found = [outlined(window) for window in found[: len(found) // OUTLINED]]
        for start in range(0, len(found), GROUP):
            project.add_found(run, RunFound(found[start : start + GROUP]))
        project.append([events.use_run(SHA256, run, whole)])


def write(path: Path, name: str, out: Path) -> dict[str, float]:
    """Write a file of a project's nuclei: seconds, and the memory that this took."""
    format_ = export_format(name)
    with Project.open(path, annotator="benchmark", mode="r") as project:
        entry, categories = project.image(SHA256), project.categories()
        state = project.state(SHA256)
    held = resident_mb()
    forget_peak()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    write_nuclei(format_, out, [ImageNuclei(entry, state.nuclei.values())], categories)
    return {
        "cpu_s": time.process_time() - cpu_s,
        "wall_s": time.perf_counter() - wall_s,
        "above_mb": peak_memory_gb() * 1000 - held,
        "file_mb": out.stat().st_size / 1e6,
    }


def read(path: Path) -> dict[str, float]:
    """Read a file of nuclei: seconds, and the memory that this took, the nuclei among it."""
    held = resident_mb()
    forget_peak()
    cpu_s = time.process_time()
    (part,) = read_nuclei(path)
    cpu_s = time.process_time() - cpu_s
    return {
        "cpu_s": cpu_s,
        "above_mb": peak_memory_gb() * 1000 - held,
        "kept_mb": resident_mb() - held,
        "nuclei": len(part.nuclei),
    }


def resident_mb() -> float:
    """Memory that this process holds now, 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def forget_peak() -> None:
    """Let the peak of memory begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def alone(*arguments: str) -> dict[str, float]:
    """What this module prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.exporting", *arguments]
    done = subprocess.run(command, cwd=REPO_ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure each kind of file."""
    details: dict[str, object] = {}
    claims: list[Claim] = []
    with TemporaryDirectory() as folder:
        project = Path(folder, "slide.nunext")
        fill(project)
        for name in WRITTEN:
            out = Path(folder, f"slide{export_format(name).suffix}")
            details[f"write_{name}"] = figures = alone("write", str(project), name, str(out))
            print(f"write {name}: {figures}", flush=True)
            if name == "geojson":
                claims += [
                    Claim("slides.geojson_1m_s", figures["cpu_s"], goal=5.0, better="lower"),
                    Claim("slides.geojson_1m_mb", figures["above_mb"], goal=200.0, better="lower"),
                ]
            if name in READ:
                details[f"read_{name}"] = figures = alone("read", str(out))
                print(f"read {name}: {figures}", flush=True)
            out.unlink()
        drawn, out = Path(folder, "outlines.nunext"), Path(folder, "outlines.geojson")
        fill(drawn, with_outlines=True)
        details["write_outlines"] = figures = alone("write", str(drawn), "geojson", str(out))
        print(f"write a tenth with outlines: {figures}", flush=True)
        claims += [
            Claim(
                "slides.geojson_outlines_1m_s",
                OUTLINED * figures["cpu_s"],
                goal=60.0,
                better="lower",
            ),
            Claim("slides.geojson_outlines_mb", figures["above_mb"], goal=200.0, better="lower"),
        ]
    report("exporting", claims, details=details)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["write", project_, name_, out_]:
            print(json.dumps(write(Path(project_), name_, Path(out_))))
        case ["read", path_]:
            print(json.dumps(read(Path(path_))))
        case _:
            main()
