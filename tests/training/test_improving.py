"""The app's Improve with the real trainer, on a model that is small enough."""

from __future__ import annotations

import contextlib
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.process.asked import Training
from napari_nunext.core.scores.metrics import DetectionReport
from napari_nunext.models.checkpoints.description import read_description
from napari_nunext.review.learning import training
from napari_nunext.review.learning.training import Trainer
from napari_nunext.serving.protocol import CategoryInfo
from nunext_training.cli import main
from tests.review.fakes import FakeServer, model_info, review_on
from tests.training.conftest import CATEGORIES, draw_tile

PLACES_XY = [(x, y) for y in (12.0, 32.0, 52.0) for x in (12.0, 32.0, 52.0)]


class TrainerInThisProcess(Trainer):
    """Gives the very arguments to the very commands, without starting Python for each."""

    def _run(self, arguments, hear):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
            assert main(list(arguments)) == 0
        lines = [json.loads(line) for line in said.getvalue().splitlines() if line[0] == "{"]
        for line in lines:
            hear(line)
        return lines[-1] if lines else {}


@pytest.fixture
def reviewed(tmp_path, category_checkpoint):
    """A review of one field of each of two patients, and a model of ours that found nothing yet."""
    shutil.copytree(category_checkpoint, tmp_path / "models" / "small")
    server = FakeServer()
    colours = [CategoryInfo(name=name, color=(9, 9, i)) for i, name in enumerate(CATEGORIES)]
    server.fake.offered = [model_info(categories=colours)]
    controller = review_on(tmp_path, server, make_trainer=TrainerInThisProcess)
    controller.find.connect()
    paths = [tmp_path / "TCGA-A1-A0SK.png", tmp_path / "TCGA-A7-A0DA.png"]
    for i, path in enumerate(paths):
        Image.fromarray(draw_tile(PLACES_XY[i:])).save(path)
    controller.open.paths(paths)
    for name in CATEGORIES:
        controller.categories.add(name)
    for i in range(len(paths)):
        for j, (x, y) in enumerate(PLACES_XY[i:]):
            controller.categories.choose(CATEGORIES[j % 2])
            controller.correct.add(x, y)
        controller.decide.accept()
    yield controller
    controller.close()


@pytest.fixture(autouse=True)
def one_drawn_tile(monkeypatch):
    """What the old model knew is tested in a moment."""
    monkeypatch.setattr(training, "DRAWN_TILES", "1")


def figures(checkpoint, export, out) -> DetectionReport:
    """As ``nunext-train evaluate`` gives them."""
    data = ["--data", str(export), "--split", "val", "--out", str(out)]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["evaluate", "--checkpoint", str(checkpoint), *data]) == 0
    return DetectionReport.from_json(json.loads(out.read_text()))


def test_before_and_after_are_the_figures_that_evaluate_gives(reviewed, tmp_path):
    reviewed.learn.train(Training(steps=2))
    status = reviewed.learn.model.training
    assert (status.phase, status.words) == ("done", "The new model is ready")
    export = tmp_path / "export"
    reviewed.export.training(export)
    comparison = status.comparison
    assert comparison.problem == ""
    assert comparison.before == figures(tmp_path / "models" / "small", export, tmp_path / "b.json")
    assert comparison.after == figures(status.checkpoint, export, tmp_path / "a.json")
    assert comparison.before.images == status.lesson.kept_fields == 1
    assert comparison.lines[0].nuclei == status.lesson.kept_nuclei
    assert status.lesson.nuclei + status.lesson.kept_nuclei == 2 * len(PLACES_XY) - 1
    assert {line.name for line in comparison.lines[1:]} == set(CATEGORIES)
    (line,) = comparison.earlier.lines  # drawn tissue has none of this model's categories
    assert line.nuclei > 10


def test_the_new_model_has_its_name_and_chose_nothing_by_what_was_kept_aside(reviewed):
    reviewed.learn.train(Training(steps=1))
    status = reviewed.learn.model.training
    made = read_description(status.checkpoint)
    assert made.name == status.name
    assert made.name.startswith("NuNext small + 1 field, ")
    assert made.provenance["kept"] == "last"
    assert made.metrics == ()
    assert np.isfinite(status.losses).all()
