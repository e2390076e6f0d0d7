"""The checkpoints that come with the package: whole, small, described, and better than nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from napari_nunext.core.scores.position_error import root_mean_square
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.places import BUNDLED_WEIGHTS
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.labelled import select_split
from nunext_training.data.sources import read_source
from nunext_training.evaluation.evaluate import evaluate_detector, evaluate_segmenter

DETECTOR, SEGMENTER = "nunext-small", "nunext-sam-small"
LARGEST_BYTES = 30_000_000
MATCHING = {"radius_um": 3.0, "method": "gated", "data": {}}
FOLDERS = [BUNDLED_WEIGHTS / name for name in (DETECTOR, SEGMENTER)]


@pytest.fixture(scope="module")
def catalog():
    return Catalog()


@pytest.fixture(scope="module")
def drawn():
    """Drawn tissue that no training saw: its seed is not one of `scripts/weights.sh`."""
    return [DrawnTiles(1, size_px=192, mpp=0.5, seed=987)[0]]


def test_they_are_small_and_nothing_in_them_is_pickled():
    files = [path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST_BYTES
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md", ".txt"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_weights_are_stored_in_two_bytes(folder):
    with safe_open(folder / "model.safetensors", framework="pt") as weights:
        kinds = {weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118
    assert kinds <= {"BF16", "F16"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_shows_the_figures_of_the_description(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    description = json.loads((folder / "nunext.json").read_text(encoding="utf-8"))
    assert description["metrics"]
    for figures in description["metrics"]:
        for name in ("f1", "f1_classical", "f1_mean_of_categories", "pq", "pq_classical"):
            if figures.get(name) is not None:
                assert f" {figures[name]:.4f} " in card, name
    for heading in ("## Figures", "## Data", "## Training", "## Limits"):
        assert heading in card
    for licence in ("BSD-3-Clause", "CC0"):
        assert licence in card


def test_nobody_is_named_in_them():
    for folder in FOLDERS:
        for name in ("nunext.json", "README.md", "config.json"):
            text = (folder / name).read_text(encoding="utf-8")
            assert "TCGA" not in text
            assert "/tmp" not in text
            assert "/home" not in text


def test_they_are_what_is_served_where_nothing_is_named(catalog):
    assert catalog.default_detector_id == DETECTOR
    assert catalog.default_segmenter_id == SEGMENTER
    assert [c.name for c in catalog.load_detector().info.categories] == [
        "Lymphocyte",
        "Tumour or epithelial",
        "Stromal",
        "Positive",
        "Negative",
    ]


def test_the_detector_finds_and_sorts_the_nuclei_of_drawn_tissue(catalog, drawn):
    report = evaluate_detector(catalog.load_detector(), drawn, **MATCHING).report
    assert report.overall.f1 > 0.8
    assert report.mean_category_f1 > 0.5


def test_the_detector_says_how_far_off_its_points_may_be_by_the_numbers_of_its_release(
    catalog, drawn
):
    placement = evaluate_detector(catalog.load_detector(), drawn, **MATCHING).placement
    assert len(placement.said_um) > 30
    assert ((placement.said_um > 0.4) & (placement.said_um < 3)).all()
    assert np.ptp(placement.said_um) > 0.2


def test_of_real_tissue_the_vaguest_third_lies_further_off_than_the_clearest(catalog, data_root):
    images = select_split(read_source(data_root / "brca_m2c").images, "val")[:2]
    placement = evaluate_detector(catalog.load_detector(), images, **MATCHING).placement
    clear, _, vague = np.array_split(np.argsort(placement.said_um), 3)
    off_um = [root_mean_square(placement.distance_um[rows]) for rows in (clear, vague)]
    assert off_um[1] > 1.2 * off_um[0]


def test_the_segmenter_draws_the_nuclei_of_drawn_tissue(catalog, drawn):
    assert evaluate_segmenter(catalog.load_segmenter(), drawn, data={}).instances.pq > 0.45


def test_real_tissue_that_chose_the_weights_is_found_better_than_by_the_floor(catalog, data_root):
    images = select_split(read_source(data_root / "brca_m2c").images, "val")[:2]
    ours, floor = (
        evaluate_detector(detector, images, **MATCHING).report.overall.f1
        for detector in (catalog.load_detector(), ClassicalDetector())
    )
    assert ours > floor
