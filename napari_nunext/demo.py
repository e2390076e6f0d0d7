"""The whole loop in one run: find, correct, accept, export, train, and find with the new model.

With a display, the window opens on tissue and is yours. Without one (`make demo` then brings a
virtual display), a script does what a person would, with the same controller, server and files as
in daily use, and leaves what it made in a folder. Its tile is drawn, so that it knows what a person
would see: where the model is wrong, and what is right.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nunext import __version__
from napari_nunext.core.errors import NunextError
from napari_nunext.core.formats.export_folder import read_export
from napari_nunext.core.process.asked import Training
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import DetectionScore
from napari_nunext.store.exports.formats import export_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_nunext.review.controller import ReviewController
    from napari_nunext.review.model import ReviewModel
    from napari_nunext.review.shown.find import FindModel
    from napari_nunext.review.shown.images import OpenField
    from napari_nunext.store import FieldState
    from napari_nunext.ui.app import App

TRAINING_STEPS = 100
RADIUS_UM = 3.0
"""How far from a nucleus a point of it may be."""


class DemoError(NunextError, RuntimeError):
    """A step of the demo did not do what it should."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 on success, 2 with one line of what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m napari_nunext.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="where results go")
    parser.add_argument(
        "--scripted",
        action="store_true",
        default="NAPARI_NUNEXT_VIRTUAL_DISPLAY" in os.environ,
        help="run the loop by script; the default where nobody is watching",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    out = options.out.resolve()
    try:
        _clear(out)
        # The demo's projects and models stay in its own folder, not among the user's.
        os.environ["NAPARI_NUNEXT_HOME"] = str(out / "home")
        if options.scripted:
            ScriptedLoop(out).run()
        else:
            _open_window(out)
    except (NunextError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0


def _clear(out: Path) -> None:
    """Empty the demo's folder, if a demo made it."""
    mark = out / "summary.json"
    if out.is_dir() and any(out.iterdir()) and not mark.is_file() and not (out / "home").is_dir():
        raise DemoError(f"{out} holds something that no demo made. Give an empty folder as --out.")
    shutil.rmtree(out, ignore_errors=True)
    (out / "home").mkdir(parents=True)


def _open_window(out: Path) -> None:
    import napari

    from napari_nunext.ui import app

    opened = app.main(project=out / "review.nunext", block=False)
    opened.dock.samples.open_all()
    napari.run()


class ScriptedLoop:
    """What a pathologist and a researcher do in an afternoon, in a minute or two.

    Parameters
    ----------
    out : Path
        Gets ``screenshot.png``, ``detections.geojson``, ``export/``, ``checkpoint/`` and
        ``summary.json``.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._started = time.monotonic()
        self._summary: dict[str, Any] = {"version": __version__}
        self._app: App

    def run(self) -> None:
        """Do it all; raises `DemoError` at the first step that fails."""
        from napari_nunext.ui import app
        from napari_nunext.ui.samples import synthetic_path

        self._app = app.main([synthetic_path()], project=self._out / "review.nunext", block=False)
        self._app.viewer.window.resize(1366, 768)
        try:
            self._open()
            self._summary["model"] = self._find_model.model_id
            self._summary["found"] = self._find()
            if not self._summary["found"]:
                raise DemoError(f"{self._find_model.model_id} found no nucleus on the sample.")
            corrected = self._correct()
            self._screenshot("screenshot.png")
            self._accept_and_export(corrected)
            self._train()
            self._find_again()
        finally:
            saved = self._app.close()
        if not saved:
            raise DemoError("The review was not saved in time.")
        self._write_summary()

    # Steps

    def _open(self) -> None:
        self._wait("the image to open", lambda c: c.images.model.open_field is not None, 60)
        answered = ("ready", "failed")
        self._wait("the model server", lambda c: c.find.model.server.phase in answered, 60)
        if self._find_model.server.phase == "failed":
            raise DemoError(f"The model server did not start: {self._find_model.server.words}.")
        entry = self._field.entry
        self._say(
            f"Opened {entry.name}: {entry.width_px} x {entry.height_px} px, "
            f"{entry.mpp:g} um/px ({entry.mpp_source})"
        )

    def _find(self) -> int:
        """Search the whole tile; returns how many places the chosen model pointed at."""
        model_id = self._find_model.model_id
        begun = time.monotonic()
        self._controller.find.search()
        self._wait("the search to start", lambda c: c.find.model.run.busy, 30)
        self._wait("the search to end", lambda c: not c.find.model.run.busy, 180)
        seconds = time.monotonic() - begun
        self._wait("the review to be saved", lambda c: c.model.save.phase == "saved", 30)
        run = self._controller.session.project.predictions(self._field.entry.sha256)[-1]
        if run.status != "complete":
            raise DemoError(f"The search with {model_id} is {run.status}; expected it complete.")
        found = len(run.nuclei) - len(run.hidden)
        outlined = sum(n.mask is not None for n in run.nuclei)
        self._say(f"{model_id} pointed at {found} places, {outlined} outlined, in {seconds:.1f} s")
        return found

    def _correct(self) -> dict[str, list[str]]:
        """Delete, move, relabel, add, undo and redo, until all is right. What was done, by uid."""
        controller, state = self._controller, self._state
        nuclei, true_xy, true_categories = list(state.nuclei), *_truth()
        found = np.array([(n.nucleus.x_px, n.nucleus.y_px) for n in state.nuclei.values()])
        matching = match_points(found, true_xy, radius_px=RADIUS_UM / self._field.entry.mpp)
        self._summary["f1_found"] = round(DetectionScore.of(matching).f1, 4)
        pairs = [
            (nuclei[i], j)
            for i, j in zip(matching.pred_index.tolist(), matching.true_index.tolist(), strict=True)
        ]
        false = np.setdiff1d(np.arange(len(nuclei)), matching.pred_index)
        missed = np.setdiff1d(np.arange(len(true_xy)), matching.true_index)
        for name in dict.fromkeys(true_categories):
            controller.categories.add(name)
        deleted = [nuclei[i] for i in false.tolist()]
        controller.correct.delete(deleted)
        relabelled = []
        for name in dict.fromkeys(true_categories):
            wrong = [
                uid
                for uid, j in pairs
                if true_categories[j] == name and state.nuclei[uid].nucleus.category != name
            ]
            controller.correct.relabel(wrong, name)
            relabelled += wrong
        moved, place = pairs[0]
        controller.correct.move({moved: _at(true_xy, place)})
        added = []
        for j in missed.tolist():
            controller.categories.choose(true_categories[j])
            added.append(controller.correct.add(*_at(true_xy, j)))
        controller.history.undo()
        if added and added[-1] in self._state.nuclei:
            raise DemoError("Undo did not take the last nucleus back.")
        controller.history.redo()
        done = {
            "relabelled": [str(uid) for uid in relabelled],
            "deleted": [str(uid) for uid in deleted],
            "moved": [str(moved)],
            "added": [str(uid) for uid in added],
        }
        self._summary["corrections"] = {kind: len(uids) for kind, uids in done.items()}
        self._say("Corrected: " + ", ".join(f"{len(u)} {k}" for k, u in done.items()))
        return done

    def _accept_and_export(self, corrected: dict[str, list[str]]) -> None:
        controller = self._controller
        controller.decide.accept()
        self._wait("the review to be saved", lambda c: c.model.save.phase == "saved", 30)
        geojson = self._out / "detections.geojson"
        controller.export.nuclei(geojson, export_format("geojson"))
        controller.export.training(self._out / "export")
        self._wait("the exports", lambda _: geojson.is_file(), 60)
        manifest = self._out / "export" / "manifest.json"
        self._wait("the training data", lambda _: manifest.is_file(), 60)
        self._check_export(corrected)

    def _check_export(self, corrected: dict[str, list[str]]) -> None:
        """The export holds exactly what is on the screen, corrections included."""
        export = read_export(self._out / "export", strict=True)
        exported = {n.uid: n for n in export.sft[0].nuclei}
        shown = {str(uid): n.nucleus for uid, n in self._state.nuclei.items()}
        if exported.keys() != shown.keys():
            raise DemoError(f"Exported {len(exported)} nuclei; expected the {len(shown)} shown.")
        for uid, nucleus in shown.items():
            if (exported[uid].x, exported[uid].y) != (nucleus.x_px, nucleus.y_px):
                raise DemoError(f"Nucleus {uid} was exported at another place than it is shown.")
            if exported[uid].category != nucleus.category:
                raise DemoError(f"Nucleus {uid} was exported as {exported[uid].category}.")
        if exported.keys() & set(corrected["deleted"]):
            raise DemoError("A deleted nucleus was exported.")
        missing = {u for kind in ("added", "moved") for u in corrected[kind]} - exported.keys()
        if missing:
            raise DemoError(f"{len(missing)} added or moved nuclei were not exported.")
        rollout = export.rft[0].rollout
        verdicts = [p.verdict for p in rollout.points] if rollout else []
        self._summary["export"] = {
            "nuclei": len(exported),
            "rollout_true_positives": verdicts.count("tp"),
            "rollout_false_positives": verdicts.count("fp"),
            "rollout_missed": rollout.missed if rollout else 0,
        }
        self._say(f"Exported {len(exported)} nuclei: exactly those on the screen")

    def _train(self) -> None:
        self._controller.learn.train(Training(steps=TRAINING_STEPS))
        ended = ("done", "failed", "stopped")  # it begins once the project was checked
        self._wait("training", lambda c: c.learn.model.training.phase in ended, 600)
        training = self._controller.learn.model.training
        if training.phase != "done" or training.checkpoint is None:
            raise DemoError(training.words)
        first, last = np.mean(training.losses[:5]), np.mean(training.losses[-5:])
        # The bundled model knows drawn tissue already: there is little to gain here.
        if not last < 1.05 * first:
            raise DemoError(f"Training raised the loss: {first:.3f}, then {last:.3f}.")
        shutil.copytree(training.checkpoint, self._out / "checkpoint")
        self._summary["training"] = {
            "steps": training.steps,
            "loss_first": round(float(first), 4),
            "loss_last": round(float(last), 4),
        }
        self._say(f"Trained {training.steps} steps: loss {first:.2f} to {last:.2f}")

    def _find_again(self) -> None:
        """The new checkpoint serves, and what people did outlives its search."""
        checkpoint = self._controller.learn.model.training.checkpoint
        assert checkpoint is not None
        before = {uid: n.nucleus for uid, n in self._state.nuclei.items() if n.touched}
        self._controller.learn.use()
        self._wait("the new model", lambda c: c.find.model.model_id == checkpoint.name, 60)
        found = self._find()
        after = {uid: n.nucleus for uid, n in self._state.nuclei.items()}
        lost = [uid for uid, nucleus in before.items() if after.get(uid) != nucleus]
        if lost:
            raise DemoError(f"The second search changed {len(lost)} nuclei that a person touched.")
        self._summary["found_again"] = {"places": found, "corrections_kept": len(before)}
        self._say(
            f"The new checkpoint serves, though {TRAINING_STEPS} steps on one tile teach little; "
            f"all {len(before)} corrected nuclei stayed"
        )

    # Means

    @property
    def _controller(self) -> ReviewController:
        return self._app.controller

    @property
    def _find_model(self) -> FindModel:
        return self._controller.find.model

    @property
    def _model(self) -> ReviewModel:
        return self._controller.model

    @property
    def _state(self) -> FieldState:
        assert self._model.state is not None
        return self._model.state

    @property
    def _field(self) -> OpenField:
        field = self._controller.images.model.open_field
        assert field is not None
        return field

    def _wait(self, what: str, done: Callable[[ReviewController], bool], timeout_s: float) -> None:
        """Let the window live until `done`."""
        deadline = time.monotonic() + timeout_s
        while not done(self._controller):
            if time.monotonic() > deadline:
                said = self._model.notice.words if self._model.notice else ""
                raise DemoError(f"Waited {timeout_s:.0f} s for {what}. {said}".rstrip())
            _turn()

    def _screenshot(self, name: str) -> None:
        settled = time.monotonic() + 1.0  # outlines of what was added come a little later
        while time.monotonic() < settled:
            _turn()
        self._wait("the review to be saved", lambda c: c.model.save.phase == "saved", 30)
        _turn()
        self._app.viewer.screenshot(str(self._out / name), canvas_only=False, flash=False)

    def _say(self, words: str) -> None:
        print(f"[{time.monotonic() - self._started:5.1f} s] {words}", flush=True)

    def _write_summary(self) -> None:
        self._summary["seconds"] = round(time.monotonic() - self._started, 1)
        path = self._out / "summary.json"
        path.write_text(json.dumps(self._summary, indent=2) + "\n", encoding="utf-8")
        self._say(f"Everything is in {self._out}")


def _turn() -> None:
    """One turn of the event loop, leaving the processor to the server and the training."""
    from qtpy.QtWidgets import QApplication

    QApplication.processEvents()
    time.sleep(0.02)


def _truth() -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Where the nuclei of the drawn tile are, level-0 px, shape (N, 2), and their categories."""
    from napari_nunext.ui.samples import draw_synthetic

    tile = draw_synthetic()
    return tile.points_xy, tuple(nucleus.category for nucleus in tile.nuclei)


def _at(points_xy: NDArray[np.float64], index: int) -> tuple[float, float]:
    x, y = points_xy[index].tolist()
    return x, y


if __name__ == "__main__":
    raise SystemExit(main())
