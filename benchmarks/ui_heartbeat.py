"""How long the window's main thread is blocked while nuclei are found, corrected, saved, exported.

A timer asks to be called every few milliseconds on the main thread; the longest time by which it
comes late is how long a click could have waited.

Where the graphics are drawn by the processor, as on a virtual display, one frame of a napari window
with a plain image takes that long already. There the claim leaves out the time in which Qt paints,
which stands beside it; with a graphics card nothing is left out. The main thread's processor time
stands there too: on a busy machine a gap is longer for reasons that are not ours.

The window is the real one, the server a process of its own with the classical detector and its
outlines, the image 1000 x 1000 px of real tissue. Needs a display.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication
from skimage.data import immunohistochemistry
from vispy.gloo import gl  # type: ignore[import-untyped]

from benchmarks._harness import Claim, report
from napari_nunext.store.exports.formats import export_format
from napari_nunext.ui.app import App
from napari_nunext.ui.app import main as open_window
from napari_nunext.ui.napari_versions import canvas_widget_of

if TYPE_CHECKING:
    from collections.abc import Callable

SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "SwiftShader")
GL_RENDERER = 0x1F01
TILE_PX = 1000
BEAT_MS = 2
SETTLE_S = 1.0
TIMEOUT_S = 120.0
CORRECTIONS = 20
BETWEEN_CORRECTIONS_MS = 200
"""Five a second: faster than anyone corrects."""


class Application(QApplication):
    """Adds up the time in which windows are painted."""

    painting_s = 0.0

    def notify(self, receiver: QObject, event: QEvent) -> bool:
        """Deliver an event; its kind decides whether the time counts as painting."""
        paints = event.type() == QEvent.Type.UpdateRequest
        began = time.perf_counter()
        try:
            return super().notify(receiver, event)
        finally:
            if paints:
                self.painting_s += time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Block:
    """How long the main thread did not listen, ms."""

    wall_ms: float
    without_painting_ms: float
    cpu_ms: float


class Heartbeat:
    """Notes the gaps between two turns of the event loop."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._gaps: list[Block] = []
        self._restart()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(BEAT_MS)
        self._timer.timeout.connect(self._beat)

    def measure(
        self, act: Callable[[], object], until: Callable[[], bool], settle_s: float = SETTLE_S
    ) -> Block:
        """The worst of each figure, from `act` until something holds and the window has settled."""
        acted: list[object] = []
        self._gaps.clear()
        self._restart()
        self._timer.start()
        QTimer.singleShot(0, lambda: acted.append(act()))
        turn(lambda: bool(acted) and until())
        turn_for(settle_s)
        self._timer.stop()
        return Block(
            wall_ms=max(gap.wall_ms for gap in self._gaps),
            without_painting_ms=max(gap.without_painting_ms for gap in self._gaps),
            cpu_ms=max(gap.cpu_ms for gap in self._gaps),
        )

    def _restart(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()
        self._painting_s = self._application.painting_s

    def _beat(self) -> None:
        wall_ms = (time.perf_counter() - self._wall) * 1000 - BEAT_MS
        painting_ms = (self._application.painting_s - self._painting_s) * 1000
        cpu_ms = (time.thread_time() - self._cpu) * 1000
        self._gaps.append(Block(wall_ms, wall_ms - painting_ms, cpu_ms))
        self._restart()


def turn(until: Callable[[], bool]) -> None:
    """Let the event loop turn until something holds."""
    deadline = time.monotonic() + TIMEOUT_S
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError("The window did not get there in time.")
        QApplication.processEvents()
        time.sleep(0.0005)


def turn_for(seconds: float) -> None:
    """Let the event loop turn for a while."""
    end = time.monotonic() + seconds
    turn(lambda: time.monotonic() > end)


def write_tile(folder: Path) -> Path:
    """Real tissue of 1000 x 1000 px: the sample image, mirrored to size."""
    sample = immunohistochemistry()
    rest = TILE_PX - sample.shape[0]
    path = folder / "tile.png"
    Image.fromarray(np.pad(sample, ((0, rest), (0, rest), (0, 0)), mode="symmetric")).save(path)
    return path


def correct(app: App) -> None:
    """Add, move, relabel and delete nuclei, each a gesture of its own, a while apart."""
    controller, rng = app.controller, np.random.default_rng(1)
    state = controller.model.state
    assert state is not None
    uids = list(state.nuclei)

    def one(i: int) -> None:
        x, y = (float(v) for v in rng.uniform(10, TILE_PX - 10, 2))
        match i % 4:
            case 0:
                controller.correct.add(x, y)
            case 1:
                controller.correct.move({uids[i]: (x, y)})
            case 2:
                controller.correct.delete([uids[-i - 1]])
            case _:
                controller.history.undo()

    for i in range(CORRECTIONS):
        QTimer.singleShot(BETWEEN_CORRECTIONS_MS * i, lambda i=i: one(i))


def gl_renderer(app: App) -> str:
    """What draws the canvas, in its own words."""
    widget = canvas_widget_of(app.dock.window())
    assert isinstance(widget, QOpenGLWidget)
    widget.makeCurrent()
    return str(gl.glGetParameter(GL_RENDERER))


def measure_blocks(app: App, heart: Heartbeat, folder: Path) -> dict[str, Block]:
    """The longest blocks of each activity."""
    controller, model = app.controller, app.controller.model
    find = controller.find.model

    def is_saved() -> bool:
        return find.run.phase == "idle" and model.save.phase == "saved"

    def notice_names(path: Path) -> Callable[[], bool]:
        return lambda: model.notice is not None and path.name in model.notice.words

    geojson, export = folder / "out.geojson", folder / "export"
    return {
        "idle": heart.measure(lambda: None, lambda: True),
        "finding": heart.measure(controller.find.search, is_saved),
        "finding again": heart.measure(controller.find.search, is_saved),
        "correcting": heart.measure(
            lambda: correct(app), is_saved, CORRECTIONS * BETWEEN_CORRECTIONS_MS / 1000
        ),
        "accepting": heart.measure(controller.decide.accept, is_saved),
        "exporting GeoJSON": heart.measure(
            lambda: controller.export.nuclei(geojson, export_format("geojson")),
            notice_names(geojson),
        ),
        "exporting training data": heart.measure(
            lambda: controller.export.training(export), notice_names(export)
        ),
    }


def main() -> None:
    """Measure."""
    logging.disable(logging.INFO)
    application = Application([])
    napari.Viewer().close()  # imports and compiles what any napari window does
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = write_tile(folder)
        began = time.perf_counter()
        app = open_window([path], project=folder / "p.nunext", mpp=0.5, block=False)
        model = app.controller.model
        turn(lambda: app.controller.images.model.open_field is not None)
        usable_s = time.perf_counter() - began
        turn(lambda: bool(app.controller.find.model.model_id))
        app.controller.find.choose_model("classical")
        turn_for(SETTLE_S)
        renderer = gl_renderer(app)
        blocks = measure_blocks(app, Heartbeat(application), folder)
        found = 0 if model.state is None else len(model.state.nuclei)
        app.close()
    in_software = any(name in renderer for name in SOFTWARE_RENDERERS)
    counted = [b.without_painting_ms if in_software else b.wall_ms for b in blocks.values()]
    report(
        "ui_heartbeat",
        [
            Claim("loop.main_thread_block_ms", max(counted), 50, "lower"),
            Claim("loop.window_usable_s", usable_s, 3, "lower"),
        ],
        details={
            "renderer": renderer,
            "painting_left_out": in_software,
            "blocks": {what: asdict(block) for what, block in blocks.items()},
            "nuclei": found,
            "tile_px": TILE_PX,
        },
    )


if __name__ == "__main__":
    main()
