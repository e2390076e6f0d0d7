"""From `napari-nunext open tile.tif` to the first points on the screen, cold.

Each run starts a new process, with a home folder of its own, which does what the command does: it
opens the window on a tile of real tissue and starts the model server. Find is pressed as soon as it
can be. The clock runs from before the process exists until the canvas has drawn points. Files are
in the system's cache after the first run, which is therefore not counted.

A machine that does other work makes it longer: the processor time of the window and of the server
stands beside it, and the load. Needs a display.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks._harness import Claim, report

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_S = 8.0
RUNS = 5
TIMEOUT_S = 120.0
TILE_MPP = 0.5


def main() -> None:
    """Measure several starts, each in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--once", nargs=2, metavar=("TILE", "BEGAN"), help="one start, in here")
    options = parser.parse_args()
    if options.once:
        tile, began = options.once
        print(json.dumps(start(Path(tile), float(began))))
        return
    with TemporaryDirectory() as folder:
        tile = write_tile(Path(folder))
        start_anew(tile)
        runs = [start_anew(tile) for _ in range(RUNS)]
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    report(
        "cold_start",
        [Claim("seen.cold_start_s", median["points_s"], GOAL_S, "lower")],
        details={"median": median, "runs": runs},
    )
    for name, value in median.items():
        print(f"{name:<16} {value:.2f}")


def write_tile(folder: Path) -> Path:
    """Real tissue of 512 x 512 px that says its scale."""
    from PIL import Image
    from skimage.data import immunohistochemistry

    path = folder / "tile.tif"
    Image.fromarray(immunohistochemistry()).save(
        path, resolution=1e4 / TILE_MPP, resolution_unit=3, compression="tiff_lzw"
    )
    return path


def start_anew(tile: Path) -> dict[str, float]:
    """One start in a new process; when what was there, s, and what it cost."""
    with TemporaryDirectory() as home:
        (Path(home) / "config").mkdir()
        environment = os.environ | {
            "NAPARI_NUNEXT_HOME": home,
            "XDG_CONFIG_HOME": str(Path(home) / "config"),
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.cold_start", "--once", str(tile), str(began)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    tile.with_name("nunext-review.nunext").unlink(missing_ok=True)
    run: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return run


def start(tile: Path, began: float) -> dict[str, float]:
    """Open the window on a tile and press Find; seconds since `began`, on the system's clock."""

    def now() -> float:
        return time.monotonic() - began

    from napari_nunext.commands.open import open_images

    load = os.getloadavg()[0]
    app = open_images([tile], block=False)
    times: dict[str, Any] = {"window_s": now()}
    controller, find = app.controller, app.dock.review.finder
    model = controller.model
    images = controller.images.model
    turn_until(lambda: images.open_field is not None and controller.find.model.model_id)
    times["find_s"] = now()
    find.search()
    turn_until(lambda: model.state is not None and model.state.nuclei)
    times["points_s"] = now()
    times |= cpu_s()
    turn_until(lambda: not controller.find.model.run.busy)
    times["all_found_s"] = now()
    times["nuclei"] = len(model.state.nuclei) if model.state else 0
    app.close()
    times["load"] = load
    return times


def cpu_s() -> dict[str, float]:
    """Processor time so far, s, of the window's process and of all that it started."""
    spent = {}
    this = psutil.Process()
    for name, processes in (("window_cpu_s", [this]), ("server_cpu_s", this.children())):
        times = [process.cpu_times() for process in processes]
        spent[name] = sum(t.user + t.system for t in times)
    return spent


def turn_until(done: Callable[[], object]) -> None:
    """Let the window live until `done`, and once more, so that it is drawn."""
    from qtpy.QtWidgets import QApplication

    deadline = time.monotonic() + TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {TIMEOUT_S:g} s. Is the model there?")
        QApplication.processEvents()
        time.sleep(0.002)
    QApplication.processEvents()


if __name__ == "__main__":
    main()
