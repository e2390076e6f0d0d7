"""Film the window while points appear on tissue: ``make animation``.

Nothing is staged. The bundled model searches drawn tissue, which may be shown to anybody, in the
real window, and the window is photographed whenever it shows more nuclei than before. A search that
took longer than the film may is shown in that time, each picture in proportion; the wait for
outlines, during which no point comes, is not shown. What it took is printed when the film is made.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.ui import app as app_module
from napari_nunext.ui.samples import synthetic_path
from scripts.pictures import IMAGES, Photographer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nunext.ui.app import App

SIZE_PX = 1000, 640
"""Small, so that words can be read where a page shows it 900 px wide."""
BEFORE_S = 1.2
SEARCH_S = 6.0
"""At most."""
AFTER_S = 3.5
LEAST_S = 0.1
"""Between two pictures: a hundredth of a second more or less is not seen, and costs bytes."""
QUALITY = 55
MOST_BYTES = 1_500_000


@dataclass(frozen=True)
class Frame:
    """What the window looked like.

    Attributes
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
        All of the window.
    at_s : float
        When, in seconds of a clock that starts anywhere.
    nuclei : int
        How many nuclei the review had at that moment.
    """

    rgb: np.ndarray
    at_s: float
    nuclei: int


def durations_ms(at_s: Sequence[float]) -> list[int]:
    """How long each picture is shown.

    Parameters
    ----------
    at_s : sequence of float
        When each was taken: one before the search, one or more during it, one after it.

    Returns
    -------
    list of int
        The first and the last have times of their own; those between are as they were, or in
        proportion where they took longer than `SEARCH_S` together.
    """
    during = np.diff(at_s[1:])
    pace = min(1.0, SEARCH_S / max(float(during.sum()), 1e-9))
    shown = [max(20, round(1000 * pace * gap)) for gap in during.tolist()]
    return [round(1000 * BEFORE_S), *shown, round(1000 * AFTER_S)]


def encode(frames: Sequence[Frame], quality: int = QUALITY) -> bytes:
    """An animated WebP that goes on for ever."""
    first, *others = [Image.fromarray(frame.rgb) for frame in frames]
    file = io.BytesIO()
    first.save(
        file,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=durations_ms([frame.at_s for frame in frames]),
        loop=0,
        quality=quality,
        method=6,
        minimize_size=True,
    )
    return file.getvalue()


def film(app: App) -> list[Frame]:
    """Search the tissue that is open, and photograph what the window shows meanwhile.

    Returns
    -------
    list of Frame
        The window before the search, with each number of nuclei that was seen, and at its end.
    """
    photographer, controller = Photographer(app), app.controller

    def take() -> Frame:
        rgba = app.viewer.screenshot(canvas_only=False, flash=False)
        return Frame(np.ascontiguousarray(rgba[..., :3]), time.monotonic(), counted(app))

    frames = [take()]
    controller.find.search()
    photographer.wait(lambda: controller.find.model.run.busy)

    def over() -> bool:
        run = controller.find.model.run
        return not run.busy or 0 < run.windows == run.windows_done

    def more_or_over() -> bool:
        late_enough = time.monotonic() > frames[-1].at_s + LEAST_S
        return over() or (late_enough and counted(app) > frames[-1].nuclei)

    while not over():
        photographer.wait(more_or_over)
        frames.append(take())
    photographer.settle()
    return [*frames, take()]


def counted(app: App) -> int:
    """How many nuclei the window shows now."""
    state = app.controller.model.state
    return 0 if state is None else len(state.nuclei)


def main() -> None:
    """Make it."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        project = Path(home, "breast", "review.nunext")
        project.parent.mkdir()
        app = app_module.main(project=project, block=False, started=LocalServer())
        try:
            app.dock.window().resize(*SIZE_PX)
            photographer = Photographer(app)
            photographer.open(synthetic_path())
            photographer.settle()
            frames = film(app)
        finally:
            app.close()
    made = encode(frames)
    if len(made) > MOST_BYTES:
        raise SystemExit(
            f"The animation has {len(made):,} bytes; at most {MOST_BYTES:,} are meant."
        )
    (IMAGES / "finding.webp").write_bytes(made)
    seconds = frames[-1].at_s - frames[1].at_s
    sys.stdout.write(
        f"finding.webp: {len(frames)} pictures, {frames[-1].nuclei} nuclei in {seconds:.1f} s, "
        f"{len(made):,} bytes\n"
    )


if __name__ == "__main__":
    main()
