from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_nunext.core.errors import RecordError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.models.detector import DetectorInfo, WindowEnd, WindowPoints
from nunext_training.evaluation.evaluate import evaluate_detector, evaluate_predictions
from nunext_training.evaluation.predictions import prediction_files

OPTIONS = {"radius_um": 3.0, "method": "gated", "data": {"split": "val"}}


class Scripted:
    """Says the same of every window."""

    def __init__(self, points_xy, categories, names, finish="end"):
        self._points = np.array(points_xy, dtype=np.float64).reshape(-1, 2)
        self._categories = tuple(categories)
        self._finish = finish
        self.info = DetectorInfo(
            name="scripted",
            family="test",
            categories=default_categories(names),
            mpp=0.5,
            window_px=64,
            halo_um=4.0,
            checkpoint_sha256="0" * 64,
        )

    def detect(self, windows, *, cancelled):
        for i in range(len(windows)):
            confidence = (0.9,) * len(self._points)
            yield WindowPoints(i, self._points, self._categories, confidence)
            yield WindowEnd(i, self._finish)


@pytest.fixture
def two_images(tmp_path, labelled_tile):
    """Three true nuclei and one; 3 um are 6 px."""
    return (
        labelled_tile(
            tmp_path, "a", [(10, 10), (30, 10), (50, 50)], categories=["Round", "Pale", "Pale"]
        ),
        labelled_tile(tmp_path, "b_0.98", [(10, 10)]),
    )


def test_what_is_said_of_places_stands_beside_how_far_off_they_are(two_images):
    """On a: 4 px off (2 um), missed, right in place; on b (0.98 um/px) the first is right."""

    class Vague(Scripted):
        def detect(self, windows, *, cancelled):
            for event in super().detect(windows, cancelled=cancelled):
                if isinstance(event, WindowPoints):
                    event = replace(event, position_error_um=(1.5, 0.25, 0.5))
                yield event

    spoken = [[(14, 10), (30, 17), (50, 50)], ["Round", "Pale", "Round"], ["Round", "Pale"]]
    found = evaluate_detector(Vague(*spoken), two_images, **OPTIONS)
    placement = found.placement
    assert placement.said_um.tolist() == [1.5, 0.5, 1.5]  # of those that match alone
    off_um = placement.distance_um.tolist()
    assert off_um[:2] == pytest.approx([2.0, 0.0])
    assert found.to_json()["placement"] == placement.to_json()
    assert placement.words in found.table()
    assert placement.to_json()["said_um"] == pytest.approx(np.sqrt((1.5**2 * 2 + 0.25) / 3))
    assert placement.to_json()["real_um"] == pytest.approx(np.sqrt(np.mean(np.square(off_um))))
    silent = evaluate_detector(Scripted(*spoken), two_images, **OPTIONS)
    assert silent.placement is silent.to_json()["placement"] is None
    assert "Position" not in silent.table()


def test_figures_equal_a_count_by_hand(two_images):
    # On a: (14, 10) finds (10, 10) at 4 px, (30, 17) misses (30, 10) at 7 px, and (50, 50) is right
    # in place but called Round. On b: the first is right, the other two are false.
    detector = Scripted(
        [(14, 10), (30, 17), (50, 50)], ["Round", "Pale", "Round"], ["Round", "Pale"]
    )
    report = evaluate_detector(detector, two_images, **OPTIONS).report
    assert (report.overall.tp, report.overall.fp, report.overall.fn) == (3, 3, 1)
    assert report.overall.precision == 0.5
    assert report.overall.recall == 0.75
    assert report.overall.f1 == pytest.approx(0.6)
    round_, pale = report.by_category["Round"], report.by_category["Pale"]
    assert (round_.tp, round_.fp, round_.fn) == (2, 2, 0)
    assert (pale.tp, pale.fp, pale.fn) == (0, 2, 2)


def test_categories_are_the_same_in_capitals(tmp_path, labelled_tile):
    tile = labelled_tile(tmp_path, "a", [(10, 10), (30, 10)], categories=["ROUND", "pale"])
    detector = Scripted([(10, 10), (30, 10)], ["Round", "Pale"], ["Round", "Pale"])
    report = evaluate_detector(detector, [tile], **OPTIONS).report
    assert {name: score.f1 for name, score in report.by_category.items()} == {"Round": 1, "Pale": 1}


def test_names_that_differ_in_capitals_are_one_and_that_is_said(tmp_path, labelled_tile):
    tile = labelled_tile(tmp_path, "a", [(10, 10), (30, 10)], categories=["ROUND", "Pale"])
    detector = Scripted([(10, 10), (30, 10)], ["Round", "Pale"], ["Round", "Pale"])
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "a.geojson").write_text(geojson([(10, 10)], "round"))
    of_model = evaluate_detector(detector, [tile], **OPTIONS)
    of_files = evaluate_predictions(prediction_files(folder), [tile], **OPTIONS)
    assert of_model.notes == (
        "Categories whose names differ in capitals alone are one: 'ROUND' counts as 'Round'.",
    )
    assert of_files.report.by_category["ROUND"].tp == 1
    assert "'round' counts as 'ROUND'" in of_files.table()


def test_a_report_says_what_was_measured_on_what_and_how(two_images):
    evaluation = evaluate_detector(
        Scripted([(10, 10)], ["Nucleus"], ["Nucleus"], finish="limit"), two_images, **OPTIONS
    )
    data = json.loads(json.dumps(evaluation.to_json()))
    assert data["matching"] == "gated"
    assert data["radius_um"] == 3.0
    assert data["subject"]["checkpoint_sha256"] == "0" * 64
    assert data["data"] == {"split": "val"}
    assert data["by_category"] == {}  # it knows none
    printed = evaluation.table()
    assert "2 images; gated matching within 3 um" in printed
    assert "Split: val." in printed
    assert f"Model: scripted (SHA-256 {'0' * 16})" in printed
    f1 = {name: part.overall.f1 for name, part in evaluation.report.by_matching.items()}
    assert f"F1 of all nuclei: {f1['gated']:.4f} gated, {f1['hungarian']:.4f} hungarian" in printed
    assert data["other_matching"]["matching"] == "hungarian"
    assert set(data["intervals"]["by_matching"]) == {"gated", "hungarian"}
    assert "2 windows held more nuclei" in evaluation.table()


def test_the_papers_matching_is_named_as_such(two_images):
    evaluation = evaluate_detector(
        Scripted([(10, 10)], ["Nucleus"], ["Nucleus"]),
        two_images,
        **OPTIONS | {"method": "hungarian"},
    )
    assert "hungarian matching" in evaluation.table()


def geojson(points, name=None):
    properties = {} if name is None else {"classification": {"name": name, "color": [0, 0, 0]}}
    return json.dumps(
        {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {"type": "Point", "coordinates": list(p)},
                    "properties": properties,
                }
                for p in points
            ],
        }
    )


def test_predictions_are_matched_to_images_by_stem(tmp_path, two_images):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "a.geojson").write_text(geojson([(10, 10), (31, 10)], "Pale"))
    (folder / "b_0.98.geojson").write_text(geojson([]))
    report = evaluate_predictions(prediction_files(folder), two_images, **OPTIONS).report
    assert (report.overall.tp, report.overall.fp, report.overall.fn) == (2, 0, 2)
    assert (report.by_category["Pale"].tp, report.by_category["Pale"].fp) == (1, 1)
    assert report.by_category["Round"].fn == 2


def test_an_image_without_predictions_counts_as_empty_and_is_named(tmp_path, two_images):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "b_0.98.geojson").write_text(geojson([(10, 10)]))
    evaluation = evaluate_predictions(prediction_files(folder), two_images, **OPTIONS)
    assert (evaluation.report.overall.tp, evaluation.report.overall.fn) == (1, 3)
    assert "1 images have no predictions and count as empty: a." in evaluation.table()


def test_predictions_for_other_images_are_refused(tmp_path, two_images):
    folder = tmp_path / "predictions"
    folder.mkdir()
    (folder / "elsewhere.geojson").write_text(geojson([]))
    with pytest.raises(RecordError, match=r"expected for example a\.geojson"):
        evaluate_predictions(prediction_files(folder), two_images, **OPTIONS)


def test_an_image_that_cannot_be_read_is_named(tmp_path, two_images):
    Image.new("RGB", (4, 4)).save(two_images[0].path)
    two_images[0].path.write_bytes(two_images[0].path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.png"):
        evaluate_detector(Scripted([], [], ["Nucleus"]), two_images, **OPTIONS)
