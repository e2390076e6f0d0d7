"""The table of nuclei, and what it is turned into."""

from __future__ import annotations

import json
import sys
import warnings
from uuid import uuid4

import numpy as np
import pytest
from shapely.geometry import shape

from napari_nunext.api.nuclei import Nuclei
from napari_nunext.core.errors import InputError, MissingPackageError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import Nucleus, default_categories
from napari_nunext.core.predictions import Predictions
from napari_nunext.core.shapes.masks import Mask


def square(x_px: int, y_px: int, side_px: int) -> Mask:
    return Mask.from_array(np.ones((side_px, side_px), dtype=bool), x_px, y_px)


@pytest.fixture
def nuclei() -> Nuclei:
    """Three of two categories on 0.1 x 0.05 mm, one of them drawn."""
    found = [
        Nucleus(uuid4(), 10.0, 20.0, "Tumour", 0.9, square(8, 18, 4)),
        Nucleus(uuid4(), 150.0, 30.0, "Stromal", 0.4, position_error_um=0.75),
        Nucleus(uuid4(), 50.0, 60.0, "Tumour", None),
    ]
    return Nuclei(
        Predictions.of(found),
        default_categories(["Tumour", "Stromal", "Lymphocyte"]),
        0.5,
        Box(0, 0, 200, 100),
        {"model": "nunext-small"},
    )


def test_its_columns_are_in_px_and_um(nuclei):
    assert len(nuclei) == 3
    assert nuclei.points_um.tolist() == [[5.0, 10.0], [75.0, 15.0], [25.0, 30.0]]
    assert nuclei.categories == ("Tumour", "Stromal", "Tumour")
    assert nuclei.confidence[:2].tolist() == [0.9, 0.4]
    assert np.isnan(nuclei.confidence[2])
    np.testing.assert_equal(nuclei.position_error_um, [np.nan, 0.75, np.nan])
    assert nuclei.area_um2[0] == 16 * 0.25
    assert np.isnan(nuclei.area_um2[1:]).all()
    assert nuclei.area_mm2 == pytest.approx(0.1 * 0.05)
    assert nuclei.per_mm2 == pytest.approx(600)
    assert nuclei.counts == {"Tumour": 2, "Stromal": 1, "Lymphocyte": 0}
    assert repr(nuclei) == "<3 nuclei: 2 Tumour, 1 Stromal; 0.5 um/px, 600 per mm2>"


def test_some_of_them(nuclei):
    assert nuclei.only("Tumour").categories == ("Tumour", "Tumour")
    assert len(nuclei.surer_than(0.5)) == 2  # who says nothing stays
    part = nuclei.within(Box(0, 0, 100, 500))
    assert (len(part), part.region.as_tuple()) == (2, (0, 0, 100, 100))
    assert part.per_mm2 == pytest.approx(800)
    assert len(nuclei) == 3
    with pytest.raises(InputError, match="expected some of Tumour, Stromal, Lymphocyte"):
        nuclei.only("Tumor")


def test_a_table_of_pandas(nuclei):
    table = nuclei.to_pandas()
    assert list(table["x_um"]) == [5.0, 75.0, 25.0]
    assert list(table["category"].cat.categories) == ["Tumour", "Stromal", "Lymphocyte"]
    assert table["category"].value_counts()["Tumour"] == 2
    assert list(table["uid"]) == [str(nucleus.uid) for nucleus in nuclei]
    assert len(nuclei.only("Lymphocyte").to_pandas()) == 0


def test_geojson_as_the_window_exports_it(nuclei, tmp_path):
    told = nuclei.to_geojson(tmp_path / "a.geojson")
    kinds = [shape(feature["geometry"]).geom_type for feature in told["features"]]
    assert kinds == ["Polygon", "Point", "Point"]
    assert shape(told["features"][0]["geometry"]).area == 15.5  # corners are cut
    assert json.loads((tmp_path / "a.geojson").read_text()) == told


def test_a_label_image_of_what_was_searched(nuclei):
    labels = nuclei.within(Box(4, 10, 100, 100)).to_labels()
    assert labels.shape == (90, 96)
    assert (labels == 1).sum() == 16
    assert labels[18 - 10, 8 - 4] == 1
    assert set(np.unique(labels)) == {0, 1}


def test_anndata_for_squidpy(nuclei, monkeypatch):
    class AnnData:
        def __init__(self, **parts):
            self.uns = {}
            self.__dict__.update(parts)

    monkeypatch.setitem(sys.modules, "anndata", type(sys)("anndata"))
    sys.modules["anndata"].AnnData = AnnData
    made = nuclei.to_anndata()
    assert made.X.shape == (3, 0)
    assert made.obsm["spatial"].tolist() == nuclei.points_um.tolist()
    assert list(made.obs["category"]) == ["Tumour", "Stromal", "Tumour"]
    assert made.uns["category_colors"][0] == "#e69f00"
    assert made.uns["nuclei"] == {"mpp": 0.5, "unit": "um", "model": "nunext-small"}


@pytest.mark.parametrize(
    ("package", "ask"),
    [
        ("pandas", Nuclei.to_pandas),
        ("anndata", Nuclei.to_anndata),
        ("spatialdata", Nuclei.to_spatialdata),
        ("matplotlib", Nuclei.plot),
    ],
)
def test_what_is_not_installed_is_said(nuclei, monkeypatch, package, ask):
    for name in (package, f"{package}.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        ask(nuclei)


def test_a_plot_has_the_nuclei_where_they_lie(nuclei):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, ax = pyplot.subplots()
    assert nuclei.plot(np.zeros((100, 200, 3)), ax=ax) is ax
    drawn = {dots.get_label(): dots.get_offsets().tolist() for dots in ax.collections}
    assert drawn == {
        "Tumour (2)": [[10, 20], [50, 60]],
        "Stromal (1)": [[150, 30]],
    }
    assert ax.get_ylim() == (100, 0)
    pyplot.close(figure)


def test_spatialdata_keeps_the_points_in_um_through_zarr(nuclei, tmp_path):
    pytest.importorskip("spatialdata")
    with warnings.catch_warnings(action="ignore"):  # of its own packages
        import spatialdata

        nuclei.to_spatialdata().write(tmp_path / "nuclei.zarr")
        read = spatialdata.read_zarr(tmp_path / "nuclei.zarr").points["nuclei"].compute()
    np.testing.assert_allclose(read[["x", "y"]].to_numpy(), nuclei.points_um)
    assert list(read["category"]) == list(nuclei.categories)
    assert [str(uid) for uid in read["uid"]] == list(nuclei.to_pandas()["uid"])
