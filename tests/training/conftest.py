"""Synthetic tissue, exports of it, and a checkpoint that is small enough to train in a test."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.checkpoints.atomic_head import AtomicHead
from napari_nunext.models.checkpoints.atomic_points import AtomicPoints
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import finish_checkpoint, load_checkpoint
from napari_nunext.models.checkpoints.second_look import LookLayer, SecondLook
from napari_nunext.store import Project
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import LabelledImage
from nunext_training.recipes.recipe import parse_recipe
from tests.answering import small_answerer
from tests.sizes import SMALL
from tests.store.answering import LESIONS, AskingLab
from tests.store.conftest import ticking

if TYPE_CHECKING:
    from pathlib import Path

    from nunext_training.recipes.recipe import Recipe

torch.set_num_threads(1)  # these models are too small to share out

WINDOW_PX = 32
SIZE = SMALL
CATEGORIES = ("Round", "Pale")


def draw_tile(points_xy, width=64, height=64, radius_px=3.0, colors=None):
    """Dark discs on pink, antialiased, so that the centroid of darkness is the point."""
    fine = 4
    y, x = (np.mgrid[: height * fine, : width * fine] + 0.5) / fine
    rgb = np.broadcast_to(np.array([235.0, 200.0, 220.0]), (height * fine, width * fine, 3)).copy()
    for i, (px, py) in enumerate(points_xy):
        color = (90.0, 50.0, 130.0) if colors is None else colors[i]
        rgb[(x - px) ** 2 + (y - py) ** 2 <= radius_px**2] = color
    return np.rint(rgb.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))).astype(np.uint8)


def _labelled_tile(folder: Path, name, points_xy, *, split="train", categories=None, **drawing):
    points_xy = np.asarray(points_xy, dtype=np.float64).reshape(-1, 2)
    path = folder / f"{name}.png"
    Image.fromarray(draw_tile(points_xy, **drawing)).save(path)
    names = tuple(categories or ["Round"] * len(points_xy))
    return LabelledImage(name, path, 0.5, "user", points_xy, names, split, f"patient-{name}")


@pytest.fixture(scope="session")
def labelled_tile():
    """``labelled_tile(folder, name, points_xy, ...)``: a tile on disk, with its nuclei."""
    return _labelled_tile


@pytest.fixture
def tiles(tmp_path):
    """Two tiles to train on and one to validate with."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    rng = np.random.default_rng(5)

    def scatter(n):
        grid = [(x, y) for y in range(8, 64, 12) for x in range(8, 64, 12)]
        chosen = rng.choice(len(grid), n, replace=False)
        return [np.add(grid[i], rng.uniform(-2, 2, 2)) for i in chosen]

    return (
        _labelled_tile(folder, "a", scatter(9)),
        _labelled_tile(folder, "b", scatter(7), categories=["Round"] * 4 + ["Pale"] * 3),
        _labelled_tile(folder, "c", scatter(8), split="val"),
    )


@pytest.fixture
def export(tmp_path, tiles):
    """An export of the tiles."""
    folder = tmp_path / "export"
    write_export(tiles, folder, categories=default_categories(CATEGORIES), origin="synthetic")
    return folder


@pytest.fixture
def train_only_export(tmp_path, tiles):
    """An export without a validation split."""
    folder = tmp_path / "train-only"
    images = [replace(tile, split="train") for tile in tiles[:2]]
    write_export(images, folder, categories=default_categories(CATEGORIES), origin="synthetic")
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A small checkpoint without categories. Do not write to it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "points"
    build_checkpoint(folder, size=SIZE, window_px=WINDOW_PX)
    return folder


@pytest.fixture(scope="session")
def category_checkpoint(tmp_path_factory):
    """A small checkpoint with categories and latent tokens. Do not write to it."""
    folder = tmp_path_factory.mktemp("checkpoints") / "categories"
    build_checkpoint(folder, size=SIZE, window_px=WINDOW_PX, latents=2, categories=CATEGORIES)
    return folder


@pytest.fixture
def looking_twice(category_checkpoint, tmp_path):
    """A copy of `category_checkpoint` with a second look and a head for atomic points."""
    folder = tmp_path / "looking-twice"
    shutil.copytree(category_checkpoint, folder)
    loaded = load_checkpoint(folder, device="cpu")
    AtomicHead.beginning(loaded.model, loaded.description.codec).save(folder)
    rng = np.random.default_rng(3)
    width = loaded.model.get_input_embeddings().weight.shape[1]
    weight = rng.normal(size=(len(CATEGORIES), 2 * width)).astype(np.float32)
    layer = LookLayer(weight, np.zeros(len(CATEGORIES), dtype=np.float32))
    described = replace(
        loaded.description,
        second_look=SecondLook(CATEGORIES, layer.save(folder), 100),
        atomic=AtomicPoints(used=True, tolerance_um=1.5),
    )
    finish_checkpoint(folder, described)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    """A few quick steps."""
    return parse_recipe(
        """
        [windows]
        scale_range = [1.0, 1.0]
        turn = false
        stain_strength = 0.0
        [optimiser]
        steps = 6
        batch_size = 2
        lr = 1e-3
        warmup_steps = 1
        [validation]
        every_steps = 3
        images = 1
        """,
        "quick",
    )


class Recorder:
    """A `Progress` that remembers."""

    def __init__(self) -> None:
        self.events = []

    def start(self, **values):
        self.events.append(("start", values))

    def step(self, **values):
        self.events.append(("step", values))

    def doing(self, *, what):
        self.events.append(("doing", what))

    def validation(self, **values):
        self.events.append(("validation", values))

    def tested(self, results):
        self.events.append(("tested", results))

    def done(self, **values):
        self.events.append(("done", values))

    def of(self, name):
        return [values for event, values in self.events if event == name]


@pytest.fixture
def recorder():
    return Recorder()


YES = "<think>pale</think> <answer>yes</answer>"
NO = "<think>dark</think> <answer>no</answer>"
FOUND = "<think>one</think> <answer>[[2, 3, 14, 20]]</answer>"


@pytest.fixture(scope="session")
def answers_export(tmp_path_factory):
    """Answers about six images of six patients, rated, corrected and compared."""
    folder = tmp_path_factory.mktemp("answers")
    with Project.open(folder / "p.nunext", annotator="jd", clock=ticking()) as project:
        lab = AskingLab(project)
        for seed in range(6):
            sha = lab.add_image(seed, patient=f"p{seed}")
            good, bad = lab.ask(sha, YES), lab.ask(sha, NO)
            lab.rate(sha, good, 5)
            lab.rate(sha, bad, 1)
            lab.prefer(sha, good, bad, "left")
            lab.correct(sha, lab.ask(sha, FOUND, LESIONS), boxes=[Box(20, 30, 50, 55)])
        lab.export(folder / "export")
    return folder / "export"


@pytest.fixture(scope="session")
def answerer_folder(tmp_path_factory):
    """A small one. Do not write to it."""
    return small_answerer(tmp_path_factory.mktemp("answerer") / "vlm")
