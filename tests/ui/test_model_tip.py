from __future__ import annotations

import pytest

from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.serving.protocol import CategoryInfo, ModelInfo
from napari_nunext.ui.widgets.model_tip import model_tip


def model(**values):
    return ModelInfo(
        **{"id": "m", "name": "M", "kind": "detector", "family": "conv_qwen"}
        | {"checkpoint_sha256": None, "mpp": 0.5}
        | values
    )


def test_a_tip_tells_size_categories_and_each_figure_with_its_data_and_floor():
    figures = {
        "data": [{"importer": "brca-m2c", "images": 10}],
        "split": "val",
        "radius_um": 3.0,
        "f1": 0.8712,
        "f1_classical": 0.8158,
    }
    categories = [CategoryInfo(name=n, color=(1, 2, 3)) for n in ("Lymphocyte", "Stromal")]
    tip = model_tip(
        model(parameters=3_581_056, categories=categories, metrics=[figures, {"pq": 0.7}])
    )
    assert tip.splitlines() == [
        "conv_qwen, 3.6 million weights, made for 0.5 um/px",
        "Finds Lymphocyte, Stromal",
        "F1 0.87 on brca-m2c, val, within 3 um (classical 0.82)",
    ]


def test_figures_of_any_checkpoint_and_of_the_classical_detector_are_told():
    assert "F1 0.50 on its own data" in model_tip(model(metrics=[{"f1": 0.5, "data": [{}]}]))
    assert model_tip(model()) == "conv_qwen, made for 0.5 um/px"
    (figures,) = ClassicalDetector().info.metrics
    assert "F1 0.82 on BRCA-M2C validation" in model_tip(model(metrics=[figures]))


def test_a_model_that_cannot_be_used_says_why():
    assert model_tip(model(problem="Its weights are missing.")) == "Its weights are missing."


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (900, "900 weights"),
        (458_000, "458 thousand"),
        (2_753_764, "2.8 million"),
        (3_100_000_000, "3.1 billion"),
    ],
)
def test_weights_are_counted_in_words(count, words):
    assert words in model_tip(model(parameters=count))
