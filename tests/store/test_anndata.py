"""Nuclei as AnnData: read by h5py as the format says, and by anndata where it is installed."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import CalibrationError, StoreError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store import ReviewedNucleus
from napari_nunext.store.exports import rows as rows_module
from napari_nunext.store.exports.files import ImageNuclei
from napari_nunext.store.exports.formats import export_format, write_nuclei
from napari_nunext.store.exports.spatial.anndata import write_anndata
from tests.store.conftest import entry, predicted


@pytest.fixture
def review(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK", 2)
    outlined = replace(predicted(10.25, 20.5), mask=Mask.from_array(np.ones((4, 5), bool), 8, 18))
    by_person = replace(predicted(1, 2, "Stroma é"), confidence=None)
    return [
        outlined,
        ReviewedNucleus(predicted(3, 4), "run", touched=True, status="rejected"),
        ReviewedNucleus(by_person, touched=True, status="accepted", annotator="jd", flagged=True),
        replace(predicted(7, 8, "Tumour", 0.125), position_error_um=0.75),
    ]


def uids(review):
    return [str((n.nucleus if isinstance(n, ReviewedNucleus) else n).uid) for n in review]


def test_observations_are_the_nuclei_that_stand(tmp_path, review):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5ad"
    words = write_nuclei(export_format("anndata"), path, [ImageNuclei(entry(), review)], ())
    assert words == "1 nucleus that people rejected left out"
    one, _, three, four = uids(review)
    with h5py.File(path) as file:
        obs = file["obs"]
        assert obs["_index"].asstr()[:].tolist() == [one, three, four]
        names = obs["category/categories"].asstr()[:]
        assert names[obs["category/codes"][:]].tolist() == ["Nucleus", "Stroma é", "Tumour"]
        assert obs["annotator/codes"][:].tolist() == [-1, 0, -1]
        np.testing.assert_equal(obs["confidence"][:], [0.5, np.nan, 0.125])
        np.testing.assert_equal(obs["area_um2"][:], [5, np.nan, np.nan])
        np.testing.assert_equal(obs["position_error_um"][:], [np.nan, np.nan, 0.75])
        assert file["obsm/spatial"][:].tolist() == [[10.25, 20.5], [1, 2], [7, 8]]
        assert file["obsm/spatial_um"][:].tolist() == [[5.125, 10.25], [0.5, 1], [3.5, 4]]
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]
    with pytest.raises(CalibrationError):
        write_anndata(path, review, mpp=0)


@pytest.mark.filterwarnings("ignore:The 'mode.chained_assignment':DeprecationWarning")  # its own
@pytest.mark.parametrize("some", [True, False])
def test_anndata_reads_it(tmp_path, review, some):
    anndata = pytest.importorskip("anndata")
    pytest.importorskip("h5py")
    write_anndata(tmp_path / "a.h5ad", review if some else [], mpp=0.5, image="a é.svs")
    data = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert data.shape == (3 if some else 0, 0)
    assert (data.uns["mpp"], data.uns["image"]) == (0.5, "a é.svs")
    if some:
        one, _, three, four = uids(review)
        assert list(data.obs_names) == [one, three, four]
        assert list(data.obs["category"]) == ["Nucleus", "Stroma é", "Tumour"]
        assert list(data.obs["status"]) == ["unreviewed", "accepted", "unreviewed"]
        assert data.obs["annotator"].isna().tolist() == [True, False, True]
        assert data.obs["flagged"].tolist() == [False, True, False]
        assert data.obsm["spatial"].tolist() == [[10.25, 20.5], [1, 2], [7, 8]]
        tumour = data[data.obs["category"] == "Tumour"]
        assert tumour.obsm["spatial_um"].tolist() == [[3.5, 4]]


def test_without_h5py_a_person_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    wanted = r"To write a\.h5ad, h5py has to be installed: pip install 'napari-nunext\[spatial\]'"
    with pytest.raises(StoreError, match=wanted):
        write_anndata(tmp_path / "a.h5ad", [predicted(1, 2)], mpp=0.5)
    assert not list(tmp_path.iterdir())
