"""A slide of 100,000 x 100,000 px in the real window: until it is shown, and when storage is slow.

First, from the wish to open it until all of it is drawn and nothing is left to read. A tile was
shown before: what napari does for its first image, whichever that is, takes a second or two. Then
places are visited that nobody has seen, each at 40x, while every tile takes 20 ms to arrive, as
from a network drive. What counts is how long the main thread did not listen, the median of the
places: there the view is coarse already, and becomes fine while one looks. See `ui_heartbeat` for
what painting is. Needs a display.
"""

from __future__ import annotations

import logging
import statistics
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks._giant import write_giant
from benchmarks._harness import Claim, report
from benchmarks.ui_heartbeat import (
    SOFTWARE_RENDERERS,
    Application,
    Heartbeat,
    gl_renderer,
    turn,
    write_tile,
)
from napari_nunext.images.slides.readers import SlideFile
from napari_nunext.ui.app import main as open_window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_nunext.ui.app import App
    from napari_nunext.ui.canvas.canvas import Canvas

SLOW_S = 0.02
JUMPS = 8
AT_40X = 1.0
"""Pixels of the screen a level-0 pixel, at 0.25 um/px."""


def is_settled(canvas: Canvas) -> bool:
    """Whether all that is in view is there."""
    return canvas.picture is not None and canvas.picture.is_settled


def show(app: App, path: Path) -> tuple[float, float]:
    """Seconds until a slide is there, as fine as it should be, and those of the processor."""
    canvas, images = app.dock.canvas, app.controller.images.model
    begin, cpu = time.perf_counter(), time.process_time()
    app.controller.open.paths([path])
    turn(lambda: images.open_field is not None and images.open_field.source.path == path)
    turn(lambda: is_settled(canvas))
    return time.perf_counter() - begin, time.process_time() - cpu


def slow_down() -> None:
    """Have every tile take its time."""
    read = SlideFile._read

    def slowly(self: SlideFile, level: int, column: int, row: int) -> NDArray[np.uint8]:
        time.sleep(SLOW_S)
        return read(self, level, column, row)

    SlideFile._read = slowly  # type: ignore[method-assign]


def main() -> None:
    """Measure both in one window."""
    logging.getLogger("napari").setLevel(logging.ERROR)
    application = Application([])
    with TemporaryDirectory() as folder:
        path = write_giant(Path(folder) / "giant.tif")
        app = open_window(project=Path(folder) / "review.nunext", block=False)
        turn(lambda: app.controller.find.model.server.phase == "ready")
        first_s, _ = show(app, write_tile(Path(folder)))
        shown_s, cpu_s = show(app, path)
        slow_down()
        heartbeat, canvas, blocks, waits_s = Heartbeat(application), app.dock.canvas, [], []
        field = app.controller.images.model.open_field
        assert field is not None
        canvas.sight.zoom_to(AT_40X)
        for number in range(JUMPS):
            x_px = field.box.x1 * (0.1 + 0.1 * number)
            y_px = field.box.y1 * (0.85 - 0.07 * number)
            begin = time.perf_counter()
            blocks.append(
                heartbeat.measure(
                    partial(canvas.sight.move_to, x_px, y_px),
                    lambda: is_settled(canvas),
                    settle_s=0.0,
                )
            )
            waits_s.append(time.perf_counter() - begin)
        renderer = gl_renderer(app)
        app.close()
    is_software = any(name in renderer for name in SOFTWARE_RENDERERS)
    waited_ms = statistics.median(
        b.without_painting_ms if is_software else b.wall_ms for b in blocks
    )
    report(
        "slides_window",
        [
            Claim("slides.window_shown_s", shown_s, goal=3.0, better="lower"),
            Claim("slides.slow_jump_ms", waited_ms, goal=100.0, better="lower"),
        ],
        details={
            "renderer": renderer,
            "first_tile_s": first_s,
            "shown_cpu_s": cpu_s,
            "jumps": [
                {"wall_ms": b.wall_ms, "without_painting_ms": b.without_painting_ms,
                 "cpu_ms": b.cpu_ms, "fine_after_s": wait}
                for b, wait in zip(blocks, waits_s, strict=True)
            ],
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
