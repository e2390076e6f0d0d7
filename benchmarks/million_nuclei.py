"""What it costs to move about in a field with 1,000,000 nuclei, and to correct one of them.

The window is the real one; every other nucleus has an outline. The view is moved by a twelfth of
the canvas, zoomed by a tenth, sent elsewhere, and taken from afar to near and back; near is where
a few thousand nuclei are in view.

Of a move of the view its dearest frame counts: the longest that the main thread is busy without
listening, in its processor time, less the same in a window with the same image and no nuclei. What
it costs until nothing is left to do, in several frames, stands beside it. Of a correction all of
that counts but painting, where the graphics are drawn by the processor, as in `large_fields`. Each
gesture is repeated, and the median counts.

Needs a display, and 3 GB of memory.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from skimage.data import immunohistochemistry

from benchmarks._harness import Claim, peak_memory_gb, report
from benchmarks.large_fields import CATEGORIES, QUIET_S, Application, Cost, cost_of, drag
from benchmarks.ui_heartbeat import SOFTWARE_RENDERERS, gl_renderer, turn
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.mask_column import MaskColumn
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.uids import uids_in_windows
from napari_nunext.images import open_image
from napari_nunext.store import ImageEntry, Project, RunInfo, events
from napari_nunext.store.entries import RunFound, RunWindow
from napari_nunext.ui.app import App
from napari_nunext.ui.app import main as open_window
from napari_nunext.ui.napari_versions import camera_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NUCLEI, SIDE_PX = 1_000_000, 12_000
MPP = 0.25
RADIUS_PX, WINDOW_PX, GROUP = 4, 256, 64
NEAR = 24.0
"""As many times nearer than where the whole field is seen: some 3,000 nuclei are in view."""
HALF_WAY = 6.0
GOAL_MS = 50.0
REPEATS = 7
SETTLE_S = 3.0
WHO = "benchmark"
MOVES = ("pan_out", "zoom_out", "pan_half_way", "pan_near", "zoom_near", "jump_near", "cross")


@dataclass(frozen=True, slots=True)
class Measured(Cost):
    """And of its dearest frame; 0 where that is not asked for."""

    frame_ms: float


@dataclass(frozen=True, slots=True)
class Gesture:
    """Something that is done at a zoom."""

    zoom: float
    act: Callable[[int], object]


def write_image(folder: Path) -> Path:
    """Tissue, again and again."""
    tissue = immunohistochemistry()
    repeats = SIDE_PX // tissue.shape[0] + 1
    path = folder / "field.png"
    rgb = np.tile(tissue, (repeats, repeats, 1))[:SIDE_PX, :SIDE_PX]
    Image.fromarray(rgb).save(path, compress_level=1)
    return path


def write_project(path: Path, image: Path, nuclei: int) -> None:
    """A project in which that many nuclei were found on an image."""
    whole = Box.of_image(SIDE_PX, SIDE_PX)
    sha256 = open_image(image, mpp=MPP).id
    model = ModelDescription("Benchmark", "benchmark", kind="detector", id="benchmark")
    with Project.open(path, annotator=WHO) as project:
        project.add_image(ImageEntry(sha256, str(image), image.name, SIDE_PX, SIDE_PX, MPP, "user"))
        if not nuclei:
            return
        run = project.start_run(sha256, RunInfo(model, {}, MPP, 1, whole))
        found = list(windows(run, nuclei))
        for start in range(0, len(found), GROUP):
            project.add_found(run, RunFound(found[start : start + GROUP]))
        project.finish_run(run, "complete")
        project.append(
            project.stamp([events.set_categories(CATEGORIES), events.use_run(sha256, run, whole)])
        )


def windows(run_id: str, nuclei: int) -> Iterator[RunWindow]:
    """Nuclei anywhere, window by window."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[-RADIUS_PX : RADIUS_PX + 1, -RADIUS_PX : RADIUS_PX + 1]
    disc = Mask.from_array(xx**2 + yy**2 <= RADIUS_PX**2)
    points_xy = rng.random((nuclei, 2)) * SIDE_PX
    across = -(-SIDE_PX // WINDOW_PX)
    window = (points_xy[:, 1] // WINDOW_PX * across + points_xy[:, 0] // WINDOW_PX).astype(int)
    for number in range(across**2):
        here = points_xy[window == number]
        masks = [
            disc.moved(int(x) - RADIUS_PX, int(y) - RADIUS_PX) if i % 2 else None
            for i, (x, y) in enumerate(here.tolist())
        ]
        yield RunWindow(
            number,
            Predictions(
                uids_in_windows(run_id, [number], [len(here)]),
                here,
                rng.integers(0, len(CATEGORIES), len(here)).astype(np.uint16),
                tuple(category.name for category in CATEGORIES),
                rng.uniform(0.2, 1.0, len(here)),
                MaskColumn.of(masks),
                rng.uniform(0.5, 1.5, len(here)),
            ),
        )


def settle(seconds: float = SETTLE_S) -> None:
    """Let the event loop turn for a while, asleep between the events."""
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1000), loop.quit)
    loop.exec()


class Beat:
    """The most processor time between two turns of the main thread's event loop."""

    def __init__(self) -> None:
        self.most_ms = 0.0
        self._last_s = time.thread_time()
        self._timer = QTimer()
        self._timer.timeout.connect(self._turn)

    def listen(self) -> None:
        """Begin anew."""
        self.most_ms, self._last_s = 0.0, time.thread_time()
        self._timer.start(0)

    def stop(self) -> float:
        """End, and return the most, ms."""
        self._turn()
        self._timer.stop()
        return self.most_ms

    def _turn(self) -> None:
        now_s = time.thread_time()
        self.most_ms = max(self.most_ms, (now_s - self._last_s) * 1000)
        self._last_s = now_s


def gestures(app: App, nuclei: int) -> dict[str, Gesture]:
    """What is measured; corrections only where there is something to correct."""
    viewer = app.viewer
    camera, controller = camera_of(viewer), app.controller
    app.dock.canvas.fit()
    whole = float(camera.zoom)
    middle_um = SIDE_PX * MPP / 2
    rng = np.random.default_rng(1)

    def move(by_px: float) -> None:
        y, x = camera.center[-2:]
        camera.center = (y, x + by_px / camera.zoom)

    def zoom(times: float, turn_: int) -> None:
        camera.zoom = camera.zoom * (1 / times if turn_ % 2 else times)

    def jump(_: int) -> None:
        camera.center = tuple(middle_um + rng.uniform(-0.3, 0.3, 2) * SIDE_PX * MPP)

    def pan(turn_: int) -> None:
        move(80 if turn_ % 2 else -80)

    made = {
        "pan_out": Gesture(whole, pan),
        "zoom_out": Gesture(whole, partial(zoom, 1.1)),
        "pan_half_way": Gesture(HALF_WAY * whole, pan),
        "pan_near": Gesture(NEAR * whole, pan),
        "zoom_near": Gesture(NEAR * whole, partial(zoom, 1.1)),
        "jump_near": Gesture(NEAR * whole, jump),
        "cross": Gesture(whole, partial(zoom, NEAR)),
    }
    if not nuclei:
        return made
    assert app.dock.canvas.nuclei is not None
    layer, drawn = app.dock.canvas.nuclei.layer, app.dock.canvas.nuclei.uids

    def relabel(turn_: int) -> None:
        controller.view.select([drawn()[100 + turn_]])
        controller.categories.choose(CATEGORIES[turn_ % 2].name)

    edits: dict[str, Callable[[int], object]] = {
        "add": lambda turn_: layer.add(layer.data[200 + turn_] + 2.0),
        "move": lambda turn_: drag(layer, 300 + turn_),
        "relabel": relabel,
        "delete": lambda turn_: controller.correct.delete([drawn()[400 + turn_]]),
    }
    for name, act in edits.items():
        made[name] = Gesture(NEAR * whole, act)
        made[f"undo_{name}"] = Gesture(NEAR * whole, lambda _: controller.history.undo())
    made["delete_out_of_sight"] = Gesture(
        whole, lambda turn_: controller.correct.delete(controller.model.table.uids_at([turn_]))
    )
    made["undo_out_of_sight"] = Gesture(whole, lambda _: controller.history.undo())
    return made


def measure(
    application: Application, folder: Path, image: Path, nuclei: int, repeats: int
) -> dict[str, Measured]:
    """The median cost of each gesture in a field of that many nuclei."""
    project = folder / f"{nuclei}.nunext"
    write_project(project, image, nuclei)
    app = open_window([image], project=project, mpp=MPP, block=False)
    model = app.controller.model
    turn(lambda: model.state is not None and len(model.state.nuclei) == nuclei)
    turn(lambda: app.controller.find.model.server.phase in ("ready", "failed"))
    settle()
    global renderer
    renderer = gl_renderer(app)
    camera = camera_of(app.viewer)
    beat = Beat()
    costs: dict[str, Measured] = {}
    each: dict[str, list[Measured]] = {}
    acts = gestures(app, nuclei)
    # The first round, which imports and compiles, is not counted.
    for turn_ in range(repeats + 1):
        for name, gesture in acts.items():
            middle = SIDE_PX * MPP / 2
            if not name.startswith("undo") and camera.zoom != gesture.zoom:
                camera.zoom, camera.center = gesture.zoom, (middle, middle)
                settle(0.6)
            is_move, frame_ms = name in MOVES, 0.0
            cost = cost_of(application, partial(gesture.act, 2 * turn_ if is_move else turn_))
            for more in (1, 2) if is_move else ():  # there and back; to listen costs time itself
                beat.listen()
                gesture.act(2 * turn_ + more)
                settle(QUIET_S)
                frame_ms = max(frame_ms, beat.stop())
            if turn_:
                each.setdefault(name, []).append(Measured(cost.all_ms, cost.painting_ms, frame_ms))
    print(f"{nuclei} nuclei: median ms in all, of these painting, dearest frame; most in all")
    for name, measured in each.items():
        all_ms, painting_ms, frame_ms = (
            statistics.median(getattr(cost, part) for cost in measured)
            for part in ("all_ms", "painting_ms", "frame_ms")
        )
        costs[name] = Measured(all_ms, painting_ms, frame_ms)
        most_ms = max(cost.all_ms for cost in measured)
        print(
            f"  {name:20} {all_ms:7.1f} {painting_ms:7.1f} {frame_ms:7.1f}; {most_ms:7.1f}",
            flush=True,
        )
    app.close()
    return costs


renderer = ""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nuclei", type=int, default=NUCLEI)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    application = Application([])
    with TemporaryDirectory() as name:
        folder = Path(name)
        image = write_image(folder)
        empty, full = (
            measure(application, folder, image, nuclei, options.repeats)
            for nuclei in (0, options.nuclei)
        )
    in_software = any(name in renderer for name in SOFTWARE_RENDERERS)
    moves = {name: full[name].frame_ms - empty[name].frame_ms for name in MOVES}
    corrections = {
        name: cost.without_painting_ms if in_software else cost.all_ms
        for name, cost in full.items()
        if name not in MOVES
    }
    size = f"{options.nuclei // 1000}k"
    report(
        "million_nuclei",
        [
            Claim(f"slides.{name}_{size}_ms", cost_ms, GOAL_MS, "lower")
            for name, cost_ms in (moves | corrections).items()
        ],
        details={
            "renderer": renderer,
            "painting_left_out_of_corrections": in_software,
            "repeats": options.repeats,
            "without_nuclei": {name: asdict(cost) for name, cost in empty.items()},
            "with_nuclei": {name: asdict(cost) for name, cost in full.items()},
            "peak_gb": peak_memory_gb(),
        },
    )


if __name__ == "__main__":
    main()
