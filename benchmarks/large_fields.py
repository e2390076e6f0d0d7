"""What a correction costs in a field with 20,000 and with 100,000 nuclei.

Each gesture is made in the real window, on a project that was searched before; half of the nuclei
have an outline. Where a field has too many nuclei to draw them all, its middle is looked at. The
cost is the main thread's processor time from the gesture until nothing is left to do: what is put
off, drawn later or saved is counted, what other threads do is not. A gesture is repeated, and the
median counts.

Where the graphics are drawn by the processor, as on a virtual display, every frame costs more than
a correction: there the claim leaves out the time in which Qt paints, which stands beside it. With a
graphics card nothing is left out. Needs a display.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from PIL import Image
from qtpy.QtCore import QEvent, QEventLoop, QObject, QTimer
from qtpy.QtWidgets import QApplication
from skimage.data import immunohistochemistry

from benchmarks._harness import Claim, report
from benchmarks.ui_heartbeat import SOFTWARE_RENDERERS, gl_renderer, turn
from napari_nunext.core.geometry import Box
from napari_nunext.core.model_description import ModelDescription
from napari_nunext.core.nuclei import Nucleus, default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import open_image
from napari_nunext.review.correcting.holding import MOST_IN_FIELD
from napari_nunext.store import ImageEntry, Project, RunInfo, events
from napari_nunext.ui.app import App
from napari_nunext.ui.app import main as open_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Points

MPP = 0.5
AREA_PX = 400
"""Of a field for each nucleus: dense tissue, 10 x 10 um."""
RADIUS_PX = 6
CATEGORIES = default_categories(["Lymphocyte", "Tumour/epithelial", "Stromal"])
SIZES = {20_000: 50.0, 100_000: 150.0}
"""Nuclei in a field, and the most that a gesture may cost, ms."""
REPEATS = 5
QUIET_S = 0.8
"""Longer than anything in the window is put off."""
ANNOTATOR = "benchmark"


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of the main thread, ms."""

    all_ms: float
    painting_ms: float

    @property
    def without_painting_ms(self) -> float:
        """What is left where painting is not counted."""
        return self.all_ms - self.painting_ms


class Application(QApplication):
    """Adds up the processor time in which windows are painted."""

    painting_s = 0.0

    def notify(self, receiver: QObject, event: QEvent) -> bool:
        """Deliver an event; its kind decides whether the time counts as painting."""
        if event.type() != QEvent.Type.UpdateRequest:
            return super().notify(receiver, event)
        began = time.thread_time()
        try:
            return super().notify(receiver, event)
        finally:
            self.painting_s += time.thread_time() - began


def wait_until_quiet() -> None:
    """Let the event loop turn, asleep between the events, for as long as anything is put off."""
    loop = QEventLoop()
    QTimer.singleShot(int(QUIET_S * 1000), loop.quit)
    loop.exec()


def cost_of(application: Application, act: Callable[[], object]) -> Cost:
    """What `act` and all that follows from it cost the main thread."""
    painted_s, began = application.painting_s, time.thread_time()
    act()
    wait_until_quiet()
    spent_s = time.thread_time() - began
    return Cost(spent_s * 1000, (application.painting_s - painted_s) * 1000)


def write_field(folder: Path, nuclei: int, rng: np.random.Generator) -> tuple[Path, Path]:
    """An image and a project in which that many nuclei were found on it."""
    side_px = int(np.sqrt(nuclei * AREA_PX))
    tissue = immunohistochemistry()
    repeats = side_px // tissue.shape[0] + 1
    path = folder / "field.png"
    rgb = np.tile(tissue, (repeats, repeats, 1))[:side_px, :side_px]
    Image.fromarray(rgb).save(path, compress_level=1)
    project_path = folder / "field.nunext"
    sha256 = open_image(path, mpp=MPP).id
    whole = Box.of_image(side_px, side_px)
    info = RunInfo(
        model=ModelDescription("Benchmark", "benchmark", kind="detector", id="benchmark"),
        decoding={},
        mpp=MPP,
        codec_version=1,
        region=whole,
    )
    with Project.open(project_path, annotator=ANNOTATOR) as project:
        project.add_image(ImageEntry(sha256, str(path), path.name, side_px, side_px, MPP, "user"))
        run = project.start_run(sha256, info)
        project.add_predictions(run, made_up(nuclei, side_px, rng))
        project.finish_run(run, "complete")
        project.append(
            project.stamp([events.set_categories(CATEGORIES), events.use_run(sha256, run, whole)])
        )
    return path, project_path


def made_up(count: int, side_px: int, rng: np.random.Generator) -> list[Nucleus]:
    """Nuclei anywhere, of all categories, two thirds of them sure and every other one outlined."""
    yy, xx = np.mgrid[-RADIUS_PX : RADIUS_PX + 1, -RADIUS_PX : RADIUS_PX + 1]
    disc = Mask.from_array(xx**2 + yy**2 <= RADIUS_PX**2)
    places_xy = rng.uniform(RADIUS_PX, side_px - RADIUS_PX, (count, 2))
    return [
        Nucleus(
            uuid4(),
            x,
            y,
            CATEGORIES[i % len(CATEGORIES)].name,
            0.9 if i % 3 else 0.3,
            disc.moved(int(x) - RADIUS_PX, int(y) - RADIUS_PX) if i % 2 else None,
        )
        for i, (x, y) in enumerate(places_xy.tolist())
    ]


def drag(layer: Points, row: int) -> None:
    """What napari's select tool does while the mouse drags a point."""
    layer.selected_data = {row}
    value = {"value": layer.data, "data_indices": (row,), "vertex_indices": ((),)}
    layer.events.data(action="changing", **value)
    start = layer.data[[row]].mean(axis=0)
    layer._set_drag_start(layer.selected_data, start)
    layer._move(layer.selected_data, start + 1.5)
    layer._drag_start = None


def gestures(app: App) -> dict[str, Callable[[int], object]]:
    """What is measured, in the order of one round; each is called with the round's number.

    What can be undone is undone and redone after it. To redo an acceptance is to check it again.
    """
    controller, model = app.controller, app.controller.model
    assert app.dock.canvas.nuclei is not None
    layer = app.dock.canvas.nuclei.layer
    # Each round leaves fewer points: what is chosen has to be there in the last one too.
    rows = np.random.default_rng(2).permutation(len(layer.data) // 2).tolist()
    anywhere = np.random.default_rng(3).permutation(len(model.table) // 2)
    uids = model.table.uids_at(anywhere[: 1000 * (REPEATS + 1)])
    other, name = CATEGORIES[1].name, CATEGORIES[2].name

    def select(count: int, start: int = 0) -> Callable[[int], None]:
        def act(turn_: int) -> None:
            first = 1000 * turn_ + start
            controller.view.select(uids[first : first + count])

        return act

    def relabel(_: int) -> None:
        controller.categories.choose(other)

    def delete(_: int) -> None:
        controller.correct.delete(controller.view.model.selected)

    def draw_region(turn_: int) -> None:
        field = controller.images.model.open_field
        assert field is not None
        side_px = field.box.width / 3 + turn_
        controller.view.set_region(Box(0, 0, side_px, side_px))

    def point_of(turn_: int) -> tuple[float, float]:
        (reviewed,) = model.table.nuclei_at([rows[turn_ + 20]])
        nucleus = reviewed.nucleus
        controller.view.select([nucleus.uid])
        return nucleus.x_px, nucleus.y_px

    def begin_stroke(turn_: int) -> None:
        controller.hand.take("brush")
        controller.hand.press(*point_of(turn_), erases=False)

    def paint_on(turn_: int) -> None:
        x, y = point_of(turn_)
        controller.hand.move(x + 2 * RADIUS_PX, y)

    looks = {
        "hide_category": lambda _: controller.categories.show(other, False),
        "show_category": lambda _: controller.categories.show(other, True),
        "sure_above": lambda turn_: controller.view.set_sure_above(0.2 + 0.5 * (turn_ % 2)),
        "select_1000": select(1000),
        "select_one": select(1),
        "select_another": select(1, 1),
        "begin_stroke": begin_stroke,
        "paint_on": paint_on,
        "lay_brush_down": lambda _: controller.view.choose_tool("look"),
        "draw_region": draw_region,
        "drop_region": lambda _: controller.view.set_region(None),
    }
    edits = {
        "relabel_1000": relabel,
        "delete_1000": delete,
        "relabel_one": relabel,
        "add_one": lambda turn_: layer.add(layer.data[rows[turn_]] + 3.0),
        "move_one": lambda turn_: drag(layer, rows[turn_ + 10]),
        "delete_one": delete,
        "end_stroke": lambda _: controller.hand.lift(clicked=False),
        "flag": lambda _: controller.correct.flag(),
        "comment": lambda _: controller.correct.comment("Odd."),
        "accept": lambda _: controller.decide.accept(),
        "relabel_accepted": relabel,
        "accept_region": lambda _: controller.decide.accept(),
        "recolor_category": lambda turn_: controller.categories.recolor(other, (turn_, 2, 3)),
        "merge_category": lambda _: controller.categories.merge(other, CATEGORIES[0].name),
        "rename_category": lambda turn_: controller.categories.rename(
            name if turn_ == 0 else f"{name} {turn_}", f"{name} {turn_ + 1}"
        ),
    }
    order = [
        *("hide_category", "show_category", "sure_above"),
        *("select_1000", "relabel_1000", "delete_1000"),
        *("select_one", "relabel_one", "add_one", "move_one", "delete_one"),
        *("begin_stroke", "paint_on", "end_stroke", "lay_brush_down"),
        *("flag", "unflag", "comment", "accept", "select_another", "relabel_accepted"),
        *("draw_region", "accept_region", "drop_region", "reopen"),
        *("recolor_category", "merge_category", "unmerge_category", "rename_category"),
    ]
    again = {"unflag": edits["flag"], "reopen": lambda _: controller.decide.reopen()}
    again |= {"unmerge_category": lambda _: controller.history.undo()}
    acts: dict[str, Callable[[int], object]] = {}
    for what in order:
        acts[what] = (looks | edits | again)[what]
        if what in edits:
            acts[f"undo_{what}"] = lambda _: controller.history.undo()
            acts[f"redo_{what}"] = lambda _: controller.history.redo()
    return acts


def measure(
    application: Application, nuclei: int, names: list[str], repeats: int
) -> dict[str, Cost]:
    """The median cost of each gesture in a field of that many nuclei."""
    with TemporaryDirectory() as name:
        path, project = write_field(Path(name), nuclei, np.random.default_rng(1))
        app = open_window([path], project=project, mpp=MPP, block=False)
        model = app.controller.model
        turn(lambda: model.state is not None and len(model.state.nuclei) == nuclei)
        wait_until_quiet()
        turn(lambda: app.controller.find.model.server.phase in ("ready", "failed"))
        app.controller.view.show_outlines(True)
        field = app.controller.images.model.open_field
        assert field is not None
        if nuclei > MOST_IN_FIELD:  # near enough to correct them
            app.dock.canvas.sight.look_at(field.box.width / 2, field.box.height / 2)
        wait_until_quiet()
        global renderer
        renderer = gl_renderer(app)
        costs: dict[str, list[Cost]] = {}
        idle = cost_of(application, lambda: None)
        print(f"{nuclei} nuclei; idle {idle.all_ms:.1f} ms", flush=True)
        acts = gestures(app)
        for turn_ in range(repeats):
            for what, act in acts.items():
                if names and what not in names:
                    continue
                cost = cost_of(application, partial(act, turn_))
                costs.setdefault(what, []).append(cost)
                print(
                    f"  {what:18} {cost.without_painting_ms:8.1f} ms"
                    f"  and painting {cost.painting_ms:8.1f} ms",
                    flush=True,
                )
        app.close()
    return {
        what: Cost(
            statistics.median(c.all_ms for c in each),
            statistics.median(c.painting_ms for c in each),
        )
        for what, each in costs.items()
    }


renderer = ""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nuclei", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--only", nargs="*", default=[], help="gestures; all by default")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    application = Application([])
    costs = {n: measure(application, n, options.only, options.repeats) for n in options.nuclei}
    in_software = any(name in renderer for name in SOFTWARE_RENDERERS)
    claims = [
        Claim(
            f"seen.{what}_{nuclei // 1000}k_ms",
            cost.without_painting_ms if in_software else cost.all_ms,
            SIZES[nuclei],
            "lower",
        )
        for nuclei, each in costs.items()
        for what, cost in each.items()
    ]
    report(
        "large_fields",
        claims,
        details={
            "renderer": renderer,
            "painting_left_out": in_software,
            "repeats": options.repeats,
            "painting_ms": {
                nuclei: {what: cost.painting_ms for what, cost in each.items()}
                for nuclei, each in costs.items()
            },
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


if __name__ == "__main__":
    main()
