"""A random walk over the real window: our gestures and napari's own tools, in any order.

After each action every layer of ours has to be there, in its place, and show the state; every 25
actions a copy of the project, opened anew, has to hold it. What differs, once, is a divergence. The
window is the real one, its server a scripted one, so that thousands of actions take minutes and a
seed gives the same walk again. Needs a display.
"""

from __future__ import annotations

import argparse
import gc
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import numpy as np
from PIL import Image
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from benchmarks._harness import Claim, report
from napari_nunext.ui.app import App
from napari_nunext.ui.app import main as open_window
from tests.review.fakes import FakeServer
from tests.ui.walking import Walker
from tests.ui.watching import Watch

if TYPE_CHECKING:
    from napari_nunext.review.finding.servers import ModelServer

STEPS = 2000
SEEDS = (1, 2, 3)
TILE_PX = 200
TIMEOUT_S = 60.0
TURNS = 2
"""Of the event loop with nothing left to do, after which the window is at rest."""


def turn_loop() -> None:
    """Turn once as a running event loop does: only that deletes the widgets of layers gone."""
    QApplication.processEvents()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def settle(app: App) -> None:
    """Let the event loop turn until nothing is read, searched, saved, drawn or put right."""
    controller, model = app.controller, app.controller.model
    find, images = controller.find.model, controller.images.model
    deadline, at_rest = time.monotonic() + TIMEOUT_S, 0
    while at_rest < TURNS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"The window did not come to rest; it says {find.run.phase}.")
        turn_loop()
        busy = (
            bool(images.loading)
            or find.run.busy
            or app.controller.ask.model.status.busy
            or model.save.phase == "saving"
        )
        at_rest = 0 if busy or app.dock.canvas.is_putting_right else at_rest + 1
        if busy:
            time.sleep(0.001)  # for the threads that it waits for
    app.dock.canvas.flush()


def walk(seed: int, steps: int, folder: Path) -> Walker:
    """Walk once over a window of its own with three images."""
    rng = np.random.default_rng(seed)
    paths = []
    for name in "abc":
        paths.append(folder / f"{name}.png")
        pixels = rng.integers(120, 255, (TILE_PX, TILE_PX, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    server = FakeServer()
    app = open_window(
        paths,
        project=folder / "p.nunext",
        mpp=0.5,
        block=False,
        server=cast("ModelServer", server),
    )
    deadline = time.monotonic() + TIMEOUT_S
    while app.controller.images.model.open_field is None or not app.controller.find.model.model_id:
        turn_loop()
        if time.monotonic() > deadline:
            raise TimeoutError("The window did not open its image.")
    viewer, controller, canvas = app.viewer, app.controller, app.dock.canvas
    gc.freeze()  # napari collects garbage at each layer that goes: what is there now is none
    with Watch() as watch:
        walker = Walker(viewer, controller, canvas, server, lambda: settle(app), rng, watch)
        walker.walk(steps)
        app.close()
        walker.divergences += [f"closing: {what}" for what in watch.taken()]
    return walker


def main() -> None:
    """Walk."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(SEEDS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # napari's own: its tools are asked for the impossible
    QApplication([])
    walked, seconds = {}, {}
    for seed in options.seeds:
        with TemporaryDirectory() as name:
            began = time.perf_counter()
            walked[seed] = walk(seed, options.steps, Path(name))
            seconds[seed] = time.perf_counter() - began
    divergences = [what for walker in walked.values() for what in walker.divergences]
    report(
        "random_walk",
        [Claim("seen.walk_divergences", len(divergences), goal=0, better="lower")],
        details={
            "steps": options.steps,
            "seconds": seconds,
            "divergences": divergences[:100],
            "taken": {seed: dict(walker.taken) for seed, walker in walked.items()},
        },
    )


if __name__ == "__main__":
    main()
