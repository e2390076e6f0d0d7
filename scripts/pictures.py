"""Make the pictures of the documentation from the real window: ``make pictures``.

They show drawn tissue, which may be shown to anybody. An answer whose thought is points takes an
answerer that learnt it (``make bilateral``): ``ARGS="--answerer BASE,adapter=ADDITIONS"``; without
one its picture stays as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nunext.core.geometry import Box
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.ui import app as app_module
from napari_nunext.ui.dock import ASK
from napari_nunext.ui.samples import SYNTHETIC_MPP, synthetic_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nunext.ui.app import App

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE_PX = 1366, 768
PATIENCE_S = 600.0
WINDOW_UM = 64.0
"""Side of what the answerers of ``make bilateral`` were asked about."""
SETTLED_S = 1.5


@dataclass(frozen=True)
class Photographer:
    """A window, and what a person does in it."""

    app: App

    def wait(self, done: Callable[[], object]) -> None:
        """Let the window live until something holds."""
        from qtpy.QtWidgets import QApplication

        give_up = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > give_up:
                raise SystemExit("The window did not get so far; see its last notice.")
            QApplication.processEvents()
            time.sleep(0.02)

    def open(self, path: Path) -> None:
        """An image, and a model that is ready to search it."""
        controller = self.app.controller
        controller.open.paths([path])
        self.wait(lambda: controller.images.model.open_field)
        self.wait(lambda: controller.find.model.server.phase == "ready")

    def settle(self) -> None:
        """Let the window draw what it has."""
        settled = time.monotonic() + SETTLED_S
        self.wait(lambda: time.monotonic() > settled)

    def open_tissue(self) -> None:
        """Drawn tissue, with its nuclei found."""
        controller = self.app.controller
        self.open(synthetic_path())
        controller.find.search()
        self.wait(lambda: controller.find.model.run.busy)
        self.wait(lambda: not controller.find.model.run.busy)

    def ask(self, question: str, answerer: str, region: Box, options: str = "") -> None:
        """Type a question about a region, and wait for the answer."""
        controller, dock = self.app.controller, self.app.dock
        dock.show_tab(ASK)
        controller.view.set_region(region)
        controller.ask.choose_where("region")
        self.wait(lambda: answerer in {each.name for each in controller.ask.model.answerers})
        controller.ask.answerers.choose(answerer)
        form = dock.ask.form
        form.text.setPlainText(question)
        if bool(options) == form.options.isHidden():
            form._more.click()
        form.options.setPlainText(options)
        dock.ask.ask()
        self.wait(lambda: not controller.ask.model.status.busy)

    def look_at(self, region: Box) -> None:
        """Let a region fill half of the canvas."""
        canvas = self.app.dock.canvas
        canvas.sight.look_at((region.x0 + region.x1) / 2, (region.y0 + region.y1) / 2)

    def take(self, name: str) -> None:
        """A picture of the whole window."""
        self.settle()
        self.app.viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)
        sys.stdout.write(f"{name}\n")


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(prog="make pictures")
    parser.add_argument("--answerer", metavar="FOLDER[,adapter=FOLDER]")
    parser.add_argument("--options", default="tumour\nlymphocyte\nstromal")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_CONFIG"] = str(Path(home, "napari.yaml"))
        answerers = [f"points={args.answerer}"] if args.answerer else []
        server = LocalServer(answerers=answerers)
        project = Path(home, "breast", "review.nunext")
        project.parent.mkdir()
        app = app_module.main(project=project, block=False, started=server)
        try:
            app.dock.window().resize(*SIZE_PX)
            _take_all(Photographer(app), args.answerer is not None, args.options)
        finally:
            app.close()


def _take_all(photographer: Photographer, learnt: bool, options: str) -> None:
    photographer.open_tissue()
    side = WINDOW_UM / SYNTHETIC_MPP
    region = Box(300, 240, 300 + side, 240 + side)
    photographer.look_at(region)
    photographer.ask("How many lymphocytes are there?", "counts", region)
    photographer.take("ask.png")
    if learnt:
        photographer.ask("Which category dominates?", "points", region, options)
        photographer.take("thought.png")


if __name__ == "__main__":
    main()
