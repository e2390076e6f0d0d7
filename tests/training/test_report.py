from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.nuclei import Nucleus, default_categories
from napari_nunext.core.scores.instances import match_instances
from napari_nunext.core.scores.metrics import DetectionReport, DetectionScore
from napari_nunext.core.shapes.masks import Mask, label_image
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from napari_nunext.store.exports.geojson import write_geojson
from nunext_training.cli import main
from nunext_training.data.importers.writing import write_export
from nunext_training.evaluation.evaluate import (
    evaluate_detector,
    evaluate_predictions,
    evaluate_segmenter,
)
from nunext_training.evaluation.predictions import prediction_files
from nunext_training.evaluation.tables import Table, ablation_table, tables
from nunext_training.method.modules import MODULES
from nunext_training.reports.evaluation import write_report

OPTIONS = {"radius_um": 3.0, "method": "gated", "data": {"split": "val"}}
SIDE = 64


def disc(x, y, radius):
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return Mask.from_array(np.hypot(columns - x, rows - y) <= radius)


class Points:
    """Finds given points in every window of 64 px."""

    def __init__(self, points_xy, categories=("Nucleus",)):
        self._points = np.asarray(points_xy, dtype=np.float64).reshape(-1, 2)
        self._categories = tuple(categories)
        self.info = DetectorInfo(
            name="points <of mine>",
            family="test",
            categories=default_categories(sorted(set(categories))),
            mpp=0.5,
            window_px=SIDE,
            halo_um=4.0,
            provenance={"recipe": {"loss": {"supervision": "soft"}}},
        )

    def detect(self, windows, *, cancelled):
        for i in range(len(windows)):
            n = len(self._points)
            yield WindowPoints(i, self._points, (self._categories * n)[:n], (0.9,) * n)
            yield WindowEnd(i, "end")


class Discs:
    """Draws a disc of 4 px at each click."""

    info = SegmenterInfo("discs", "test", mpp=0.5, window_px=SIDE)

    def segment(self, window, prompts, *, cancelled=lambda: False):
        for prompt in prompts:
            yield ScoredMask(disc(*prompt.points_xy[0], 4.0), 0.9)


@pytest.fixture
def images(tmp_path, labelled_tile):
    """Two tiles with discs of 4 px, one without nuclei, of two tissues."""

    def tile(name, points, tissue, categories=()):
        image = labelled_tile(tmp_path, name, points, categories=categories, radius_px=4)
        masks = tuple(disc(x, y, 4) for x, y in points)
        return replace(image, masks=masks, tissue=tissue)

    return (
        tile("TCGA-AA-0001", [(10, 10), (30, 12), (50, 50)], "Colon", ["Round", "Pale", "Pale"]),
        tile("TCGA-AA-0002", [(20, 20)], "Breast", ["Round"]),
        tile("TCGA-AA-0003", [], "Breast"),
    )


def test_perfect_points_and_masks_score_one_everywhere(images):
    image = images[0]
    evaluation = evaluate_detector(
        Points(image.points_xy, ["Round", "Pale", "Pale"]), [image], **OPTIONS, segmenter=Discs()
    )
    report = evaluation.instances
    assert (report.aji, report.dq, report.sq, report.pq) == (1, 1, 1, 1)
    assert (report.bpq, report.mpq) == (1, 1)
    assert report.pq_by_category == {"Pale": 1, "Round": 1}
    assert evaluation.outcomes[0].pq == 1
    assert "AJI 1.0000" in evaluation.table()


def test_instances_are_those_of_the_masks_that_were_drawn(images):
    points = [(11, 10), (31, 14), (40, 40)]
    evaluation = evaluate_detector(Points(points), images, **OPTIONS, segmenter=Discs())
    pred = label_image([disc(x, y, 4) for x, y in points], SIDE, SIDE)
    expected = [
        match_instances(pred, label_image(list(i.masks), SIDE, SIDE)).pq for i in images[:2]
    ]
    assert [o.pq for o in evaluation.outcomes] == [*expected, None]
    assert evaluation.instances.pq == pytest.approx(np.mean(expected))
    assert evaluation.instances.mpq is None  # the detector knows no categories
    assert evaluation.instances.by_tissue["Breast"].images == 1
    assert "1 images without nuclei are left out" in evaluation.table()


def test_what_the_segmenter_does_at_true_centroids_stands_beside_what_both_do(images):
    points = [(11, 10), (31, 14), (40, 40)]
    evaluation = evaluate_detector(Points(points), images, **OPTIONS, segmenter=Discs())
    alone = evaluate_segmenter(Discs(), images, data={}).instances
    assert evaluation.instances_at_centroids.pq == alone.pq == 1
    assert f"PQ {evaluation.instances.pq:.4f} end to end, 1.0000 with masks at true" in (
        evaluation.table()
    )
    assert evaluation.to_json()["instances_at_true_centroids"]["pq"] == 1
    (table,) = [t for t in tables(evaluation, method="m", data_set="d") if t.number == 3]
    assert [row[-1] for row in table.rows] == [evaluation.instances.pq, 1]


def test_without_masks_on_either_side_there_are_no_instance_figures(images):
    assert evaluate_detector(Points([(10, 10)]), images, **OPTIONS).instances is None
    bare = [replace(image, masks=()) for image in images[:2]]
    evaluation = evaluate_detector(Points([(10, 10)]), bare, **OPTIONS, segmenter=Discs())
    assert evaluation.instances is None
    assert evaluation.to_json()["instances"] is None
    assert "2 images lack true masks" in evaluation.table()


def test_a_detector_that_finds_nothing_scores_zero_rather_than_nothing(images):
    report = evaluate_detector(Points([]), images[:2], **OPTIONS, segmenter=Discs()).instances
    assert (report.aji, report.pq) == (0, 0)


def test_polygons_and_label_images_are_scored_alike(images, tmp_path):
    image, other, _ = images
    polygons, painted = tmp_path / "polygons", tmp_path / "painted"
    polygons.mkdir()
    painted.mkdir()
    masks = [disc(11, 10, 4), disc(30, 12, 3)]
    nuclei = [Nucleus(image_uid(i), *m.centroid_xy, "Round", mask=m) for i, m in enumerate(masks)]
    write_geojson(polygons / f"{image.name}.geojson", nuclei, masks=True)
    write_geojson(polygons / f"{other.name}.geojson", [], masks=True)
    labels = label_image(masks, SIDE, SIDE).astype(np.uint16)
    Image.fromarray(labels).save(painted / f"{image.name}.png")
    reports = [
        evaluate_predictions(prediction_files(folder), [image, other], **OPTIONS)
        for folder in (polygons, painted)
    ]
    expected = match_instances(labels, label_image(list(image.masks), SIDE, SIDE)).pq / 2
    assert [r.instances.pq for r in reports] == pytest.approx([expected] * 2)
    assert [r.report.overall.tp for r in reports] == [2, 2]
    assert reports[0].instances.pq_by_category["Round"] > 0
    assert reports[1].instances.pq_by_category == {}
    assert reports[1].without_predictions == (other.name,)


def image_uid(number):
    from uuid import UUID

    return UUID(int=number + 1)


def test_the_tables_have_the_papers_layout(images):
    evaluation = evaluate_detector(
        Points(images[0].points_xy, ["Round", "Pale", "Pale"]),
        images,
        **OPTIONS,
        segmenter=Discs(),
    )
    by_number = {t.number: t for t in tables(evaluation, method="mine", data_set="tiles")}
    assert by_number[1].header == ("Tissue", "mine bPQ", "mine mPQ")
    assert [row[0] for row in by_number[1].rows] == ["Breast", "Colon", "Average"]
    assert by_number[1].rows[-1][1] == pytest.approx(
        (by_number[1].rows[0][1] + by_number[1].rows[1][1]) / 2
    )
    assert by_number[2].header == ("Method", "Pale F1", "Pale PQ", "Round F1", "Round PQ")
    assert by_number[3].header == ("Method", "tiles AJI", "tiles DQ", "tiles SQ", "tiles PQ")
    assert by_number[3].rows[0][1:] == (
        evaluation.instances.aji,
        evaluation.instances.dq,
        evaluation.instances.sq,
        evaluation.instances.pq,
    )
    assert by_number[5].header == ("Run", *MODULES, "F1, gated", "F1, hungarian")
    assert by_number[5].rows[0][:3] == ("1", "yes", "yes")
    f1 = [part.overall.f1 for part in evaluation.report.by_matching.values()]
    assert list(by_number[5].rows[0][-2:]) == f1


def test_a_table_in_markdown_keeps_its_columns():
    text = Table(1, "T", ("a|b", "c"), (("x", 0.5), ("y", None))).to_markdown()
    assert text == "### T\n\n| a\\|b | c |\n| --- | ---: |\n| x | 0.5000 |\n| y | - |\n"
    report = DetectionReport(DetectionScore(tp=8, fp=2, fn=2), {}, 1, 3.0, "gated")
    rows = ablation_table([(("NSFT",), report), (("NSFT", "SASS"), report)]).rows
    assert [row.count("yes") for row in rows] == [1, 2]


def test_the_report_needs_nothing_but_itself_and_names_nobody(images, tmp_path):
    evaluation = evaluate_detector(
        Points([(11, 10), (31, 14), (40, 40)]), images, **OPTIONS, segmenter=Discs()
    )
    out = tmp_path / "out"
    write_report(evaluation, out, method="points <of mine>", data_set="tiles & more")
    assert sorted(p.name for p in out.iterdir()) == ["report.html", "report.json", "report.md"]
    everything = "".join(p.read_text() for p in out.iterdir())
    assert "TCGA" not in everything
    assert str(tmp_path) not in everything
    html = (out / "report.html").read_text()
    assert "points &lt;of mine&gt; on tiles &amp; more" in html
    assert "<of mine>" not in html
    assert not re.search(r'(?:href|src)="(?!data:)|https?://|@import|url\(', html)
    assert html.count('class="tile"') == 3
    assert html.count('class="plot"') == 3
    data = json.loads((out / "report.json").read_text())
    assert [image["f1"] for image in data["per_image"]] == pytest.approx(
        [2 * 2 / (3 + 3), 0.0, 0.0]
    )
    assert data["per_image"][0]["image"] == images[0].open().id[:16]
    assert data["instances"]["pq"] == evaluation.instances.pq
    assert "| Breast |" in (out / "report.md").read_text()


def test_the_marks_on_a_tile_are_as_many_as_the_counts(images, tmp_path):
    evaluation = evaluate_detector(Points([(11, 10), (40, 40)]), images[:1], **OPTIONS)
    write_report(evaluation, tmp_path / "out", method="m", data_set="d")
    html = (tmp_path / "out" / "report.html").read_text()
    tile = re.search(r'<svg class="tile".*?</svg>', html, flags=re.DOTALL)[0]
    found, invented, missed = (
        tile.count(f'stroke="{color}"') for color in ("#009e73", "#d55e00", "#0072b2")
    )
    assert (found, invented, missed) == (1, 1, 2)


@pytest.fixture
def train_export(images, tmp_path):
    """An export without validation or test images."""
    folder = tmp_path / "export"
    categories = default_categories(["Round", "Pale"])
    write_export(images, folder, categories=categories, origin="synthetic")
    return folder


def evaluated(export, *options):
    return main([str(a) for a in ("evaluate", "--model", "classical", "--data", export, *options)])


def test_the_command_writes_the_report(train_export, tmp_path, capsys):
    out = tmp_path / "report"
    options = ("--split", "train", "--segmenter", "classical", "--out", out)
    assert evaluated(train_export, *options) == 0
    printed = capsys.readouterr().out
    assert "precision" in printed
    assert "Instances (2 images, 2 tissues): AJI" in printed
    assert "masks end to end" in printed
    data = json.loads((out / "report.json").read_text())
    assert data["subject"]["segmenter"]["name"]
    assert data["data"]["importer"] == "synthetic"
    assert data["instances"]["pq"] > 0.3  # dark discs on pink
    low, high = data["intervals"]["instances"]["pq"]
    assert low <= data["instances"]["pq"] <= high
    assert "on synthetic</h1>" in (out / "report.html").read_text()


def test_every_form_of_the_report_says_split_matching_model_and_intervals(
    images, train_export, tmp_path, capsys
):
    out = tmp_path / "report"
    assert evaluated(train_export, "--split", "all", "--out", out) == 0
    printed = capsys.readouterr().out
    f1 = json.loads((out / "report.json").read_text())["other_matching"]["overall"]["f1"]
    for text in (printed, (out / "report.md").read_text(), (out / "report.html").read_text()):
        assert "Split: all. Training images are among them" in text
        assert "gated matching within 3 um" in text
        assert f"{f1:.4f} hungarian (NuNext, Eq. 13)" in text
        assert "Model: " in text
        assert "2000 drawings of the images" in text


def test_what_a_model_may_have_learned_from_is_scored_where_it_is_asked_for_alone(
    images, train_export, tmp_path, capsys
):
    assert evaluated(train_export) == 2
    assert "--split train" in capsys.readouterr().err
    split = [replace(images[0], split="test"), images[1]]
    categories = default_categories(["Round", "Pale"])
    write_export(split, tmp_path / "test", categories=categories, origin="synthetic")
    assert evaluated(tmp_path / "test") == 0
    printed = capsys.readouterr().out
    assert "1 images; gated" in printed
    assert "Split: test." in printed


def test_two_evaluations_write_the_same_bytes(train_export, tmp_path):
    for name in ("one", "two"):
        options = ("--split", "all", "--segmenter", "classical", "--out", tmp_path / name)
        assert evaluated(train_export, *options) == 0
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_segmenter_that_is_none_is_one_line(images, tmp_path, capsys):
    write_export(
        images, tmp_path / "e", categories=default_categories(["Round", "Pale"]), origin="x"
    )
    options = ("--model", "classical", "--data", tmp_path / "e", "--segmenter", tmp_path / "none")
    options += ("--split", "train")
    assert main([str(a) for a in ("evaluate", *options)]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "nunext-train: " in err
