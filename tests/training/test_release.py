from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from napari_nunext.core.errors import InputError
from napari_nunext.core.scores.calibration import Calibration, fit_calibration
from napari_nunext.core.scores.position_error import (
    AS_SPREAD,
    PositionCalibration,
    fit_positions,
)
from napari_nunext.models.checkpoints.description import (
    read_description,
    read_segmenter_description,
)
from napari_nunext.models.checkpoints.integrity import checkpoint_sha256
from napari_nunext.models.classical.adapters import ClassicalDetector, ClassicalSegmenter
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.sam.build import build_sam
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.synthetic import CATEGORIES
from nunext_training.cli import main
from nunext_training.data.importers.synthetic import DrawnTiles
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import select_split
from nunext_training.data.sources import read_source
from nunext_training.evaluation.evaluate import evaluate_detector, evaluate_segmenter
from nunext_training.evaluation.placement import Placement
from nunext_training.evaluation.reliability import Reliability
from nunext_training.release import release as release_module
from nunext_training.release.cards import FIGURES, model_card
from nunext_training.release.front_matter import eval_results, split_card
from nunext_training.trainers.centre_map import CentreMapHead

CARD = f"---\nlicense: bsd-3-clause\n---\n# A model\n\n{FIGURES}\n\n## Limits\n"


@pytest.fixture
def drawn_export(tmp_path):
    """An export of tiles with masks, the last of which validates."""
    folder = tmp_path / "drawn"
    tiles = DrawnTiles(5, size_px=64, mpp=0.5, seed=3)
    write_export(tiles, folder, categories=CATEGORIES, origin="synthetic")
    return folder


def val_images(folder):
    return select_split(read_source(folder).images, "val")


def test_a_detector_is_stored_in_half_the_bytes_with_the_figures_of_what_is_stored(
    tmp_path, category_checkpoint, export, tiles, capsys
):
    text, out = tmp_path / "card.md", tmp_path / "small"
    text.write_text(CARD, encoding="utf-8")
    command = ["release", "--checkpoint", str(category_checkpoint), "--data", str(export)]
    command += ["--out", str(out), "--weights", "bfloat16", "--card", str(text)]
    assert main(command) == 0
    before = load_file(category_checkpoint / "model.safetensors")
    after = load_file(out / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(t.dtype == torch.bfloat16 for t in after.values())
    assert all(torch.equal(t.to(torch.bfloat16), after[name]) for name, t in before.items())

    description = read_description(out)
    assert description.name == "small"
    assert description.codec == read_description(category_checkpoint).codec
    assert description.provenance["released_from_sha256"] == checkpoint_sha256(category_checkpoint)
    (figures,) = description.metrics
    options = {"radius_um": 3.0, "method": "gated", "data": {}}
    val = [tile for tile in tiles if tile.split == "val"]
    stored = evaluate_detector(NextPointDetector(out), val, **options).report
    floor = evaluate_detector(ClassicalDetector(), val, **options).report
    assert figures["f1"] == stored.overall.f1
    assert figures["f1_classical"] == floor.overall.f1
    assert figures["f1_by_category"] == {n: s.f1 for n, s in stored.by_category.items()}
    assert figures["split"] == "val"

    card = (out / "README.md").read_text(encoding="utf-8")
    front = ModelCard(card).data
    assert front.license == "bsd-3-clause"
    assert front.eval_results == eval_results(description)
    assert [r.metric_value for r in front.eval_results if r.metric_type == "recall"] == [
        stored.overall.recall
    ]
    assert FIGURES not in card
    assert card.rstrip().endswith("## Limits")
    row = next(line for line in card.splitlines() if line.startswith("| synthetic, val"))
    assert f"{stored.overall.f1:.4f}" in row
    assert f"{floor.overall.f1:.4f}" in row
    assert row in capsys.readouterr().out


def test_a_second_look_is_given_along_and_its_categories_are_measured(
    tmp_path, export, looking_twice, tiles
):
    out = tmp_path / "out"
    command = ["release", "--checkpoint", str(looking_twice), "--data", str(export)]
    assert main([*command, "--out", str(out)]) == 0
    described = read_description(out)
    assert described.second_look == read_description(looking_twice).second_look
    detector = NextPointDetector(out)
    assert detector.info.decoding["categories"] == "second look"
    val = [tile for tile in tiles if tile.split == "val"]
    measured = evaluate_detector(detector, val, radius_um=3.0, method="gated", data={})
    said = {name: score.f1 for name, score in measured.report.by_category.items()}
    assert described.metrics[0]["f1_by_category"] == said


def test_what_only_training_needs_stays_behind(tmp_path, checkpoint, export):
    trained = tmp_path / "trained"
    shutil.copytree(checkpoint, trained)
    (trained / CentreMapHead.file).parent.mkdir()
    (trained / CentreMapHead.file).write_bytes(b"head")
    (trained / "metrics.jsonl").write_text("{}\n", encoding="utf-8")
    (trained / "notes.txt").write_text("kept", encoding="utf-8")
    out = tmp_path / "out"
    command = ["release", "--checkpoint", str(trained), "--data", str(export), "--out", str(out)]
    assert main(command) == 0
    assert (out / "notes.txt").is_file()
    assert not (out / CentreMapHead.file).parent.exists()
    assert not (out / "metrics.jsonl").exists()
    assert not (out / "README.md").exists()  # no card was asked for


def test_a_segmenter_is_measured_from_true_centroids_beside_the_classical_one(
    tmp_path, drawn_export
):
    sam, out = tmp_path / "sam", tmp_path / "small-sam"
    build_sam(sam, window_px=64, preset="nano")
    command = ["release", "--checkpoint", str(sam), "--data", str(drawn_export)]
    assert main([*command, "--out", str(out), "--splits", "val", "test"]) == 0
    assert load_file(out / "model.safetensors").popitem()[1].dtype == torch.float16
    (figures,) = read_segmenter_description(out).metrics
    val = val_images(drawn_export)
    stored = evaluate_segmenter(SamSegmenter(out), val, data={}).instances
    floor = evaluate_segmenter(ClassicalSegmenter(), val, data={}).instances
    assert figures["pq"] == stored.pq
    assert figures["pq_classical"] == floor.pq
    assert "f1" not in figures  # the points were given


def test_masks_of_what_a_detector_finds_are_measured_where_a_segmenter_is_named(
    tmp_path, checkpoint, drawn_export
):
    sam, out = tmp_path / "sam", tmp_path / "out"
    build_sam(sam, window_px=64, preset="nano")
    command = ["release", "--checkpoint", str(checkpoint), "--data", str(drawn_export)]
    assert main([*command, "--out", str(out), "--segmenter", str(sam)]) == 0
    (figures,) = json.loads((out / "nunext.json").read_text(encoding="utf-8"))["metrics"]
    assert {"f1", "pq", "pq_classical"} <= figures.keys()


@pytest.mark.parametrize("text", ["no place for figures\n", f"{FIGURES}\n{FIGURES}\n"])
def test_a_card_says_once_where_its_figures_belong(tmp_path, checkpoint, export, text, capsys):
    with pytest.raises(InputError, match="figures"):
        model_card(text, ())
    file, out = tmp_path / "card.md", tmp_path / "out"
    file.write_text(text, encoding="utf-8")
    command = ["release", "--checkpoint", str(checkpoint), "--data", str(export)]
    assert main([*command, "--out", str(out), "--card", str(file)]) == 2
    assert "figures" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("front", ["---\n- a\n---\n", "---\n{\n---\n", "---\nopen: 1\n"])
def test_front_matter_that_is_no_table_is_refused(front):
    with pytest.raises(InputError, match="front matter of the model card cannot be read"):
        split_card(front)


def test_a_split_that_no_data_has_is_refused(tmp_path, checkpoint, train_only_export, capsys):
    out = tmp_path / "out"
    command = ["release", "--checkpoint", str(checkpoint), "--data", str(train_only_export)]
    assert main([*command, "--out", str(out)]) == 2
    assert "no images in their val split" in capsys.readouterr().err
    assert not out.exists()


def test_confidences_are_calibrated_by_the_validation_split_alone(
    tmp_path, category_checkpoint, monkeypatch, capsys
):
    """With what a model would have said, since one that learned nothing is never right."""
    drawn = [
        *DrawnTiles(1, size_px=64, mpp=0.5, seed=1, split="val"),
        *DrawnTiles(1, size_px=64, mpp=0.5, seed=2, split="test"),
    ]
    write_export(drawn, tmp_path / "drawn", categories=CATEGORIES, origin="synthetic")
    rng = np.random.default_rng(0)
    measured, placed = {}, {}

    def evaluated(detector, images, **options):
        found = evaluate_detector(detector, images, **options)
        if isinstance(detector, ClassicalDetector):
            return found
        assert detector.info.decoding.get("confidence") is None  # the parent's was left behind
        confidence = rng.uniform(0.1, 0.9, 20_000)
        share = Calibration(0.6, 1.2).of(confidence) if images[0].split == "val" else confidence
        said = Reliability(confidence, rng.random(20_000) < share)
        measured[images[0].split] = said
        # The parent's curve was left behind: standard deviations are said as they are.
        assert detector._checkpoint.description.position_calibration == AS_SPREAD
        sd_um = rng.uniform(1.0, 2.0, 20_000)
        off_um = np.hypot(*rng.normal(size=(2, 20_000))) * sd_um**2 / 2
        placed[images[0].split] = Placement(sd_um, off_um * (1 if images[0].split == "val" else 3))
        return replace(found, reliability=said, placement=placed[images[0].split])

    monkeypatch.setattr(release_module, "evaluate_detector", evaluated)
    parent = tmp_path / "parent"
    shutil.copytree(category_checkpoint, parent)
    described = replace(
        read_description(parent),
        calibration=Calibration(2.0, -3.0, 100),
        position_calibration=PositionCalibration(9.0, 3.0, 100),
    )
    (parent / "nunext.json").write_text(json.dumps(described.to_json()), encoding="utf-8")
    out = tmp_path / "out"
    command = ["release", "--checkpoint", str(parent), "--data", str(tmp_path / "drawn")]
    assert main([*command, "--out", str(out), "--splits", "val", "test"]) == 0
    described = read_description(out)
    curve = described.calibration
    val, test = measured["val"], measured["test"]
    assert curve == fit_calibration(val.confidence, val.is_right)
    figures = {m["split"]: m["reliability"] for m in described.metrics}
    for split, said in measured.items():
        served = Reliability(curve.of(said.confidence), said.is_right)
        assert figures[split] == served.to_json() | {"error_before": said.error}
    assert figures["val"]["expected_calibration_error"] < 0.02 < val.error
    where = described.position_calibration
    assert where == fit_positions(placed["val"].said_um ** 2, placed["val"].distance_um)
    assert (where.exponent, where.points) == (pytest.approx(2, abs=0.1), 20_000)
    for metrics in described.metrics:
        told = placed[metrics["split"]]
        served = Placement(where.of(told.said_um**2), told.distance_um)
        assert metrics["placement"] == served.to_json()
    assert "Position error: root mean square, um" in capsys.readouterr().out
    apart = {m["split"]: m["placement"]["position_calibration_error_um"] for m in described.metrics}
    assert apart["val"] < 0.05 < 1 < apart["test"]
    # The test split is told as it is, here worse than before.
    assert figures["test"]["expected_calibration_error"] > test.error


def test_where_the_validation_split_does_not_tell_confidences_stay_as_they_are(
    tmp_path, category_checkpoint, export, caplog
):
    out = tmp_path / "out"
    command = ["release", "--checkpoint", str(category_checkpoint), "--data", str(export)]
    assert main([*command, "--out", str(out)]) == 0
    assert read_description(out).calibration is None
    assert read_description(out).position_calibration is None
    assert "Points do not say how far off" in caplog.text
    assert "Confidences are left as they are" in caplog.text
