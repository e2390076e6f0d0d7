"""Nuclei as Parquet: what CSV says, with types; and back."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import CalibrationError, RecordError, StoreError
from napari_nunext.core.formats.csv_table import COLUMNS, read_csv_by_image
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.nuclei_files import read_nuclei
from napari_nunext.store import ReviewedNucleus
from napari_nunext.store.exports import rows as rows_module
from napari_nunext.store.exports.csv import write_csv
from napari_nunext.store.exports.spatial.parquet import write_parquet
from tests.store.conftest import predicted

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def review(monkeypatch):
    monkeypatch.setattr(rows_module, "CHUNK", 2)
    outlined = replace(predicted(10.25, 20.5), mask=Mask.from_array(np.ones((4, 5), bool), 8, 18))
    by_person = replace(predicted(1, 2, "Stroma é"), confidence=None)
    return [
        outlined,
        ReviewedNucleus(by_person, touched=True, status="accepted", annotator="jd"),
        ReviewedNucleus(predicted(3, 4), "run", touched=True, status="rejected", flagged=True),
        replace(predicted(7, 8, "Tumour", 0.125), position_error_um=0.75),
        predicted(9, 9, "Nucleus", 0.75),
    ]


def test_a_table_has_the_columns_of_csv_with_types(tmp_path, review):
    write_parquet(tmp_path / "a.parquet", review, mpp=0.5, image="a é.svs")
    table = pq.read_table(tmp_path / "a.parquet")
    assert tuple(table.column_names) == COLUMNS
    assert json.loads(table.schema.metadata[b"napari-nunext"]) == {"mpp": 0.5, "image": "a é.svs"}
    frame = table.to_pandas()
    assert frame["x_um"].tolist() == [5.125, 0.5, 1.5, 3.5, 4.5]
    assert list(frame["category"]) == ["Nucleus", "Stroma é", "Nucleus", "Tumour", "Nucleus"]
    assert isinstance(frame["category"].dtype, pd.CategoricalDtype)
    assert frame["flagged"].tolist() == [False, False, True, False, False]
    np.testing.assert_equal(
        frame["position_error_um"].to_numpy(), [np.nan, np.nan, np.nan, 0.75, np.nan]
    )
    assert frame["area_um2"].tolist()[0] == 5
    assert frame["area_um2"].isna().tolist() == [False, True, True, True, True]
    assert frame["confidence"].isna().tolist() == [False, True, False, False, False]
    with pytest.raises(CalibrationError):
        write_parquet(tmp_path / "a.parquet", review, mpp=0)


def test_a_table_comes_back_as_one_of_csv_does(tmp_path, review):
    write_parquet(tmp_path / "a.parquet", review, mpp=0.5, image="a.svs")
    write_csv(tmp_path / "a.csv", review, mpp=0.5, image="a.svs")
    (part,) = read_nuclei(tmp_path / "a.parquet")
    assert (part.image, part.said) == ("a.svs", True)
    assert list(part.nuclei) == read_csv_by_image(tmp_path / "a.csv")["a.svs"]


def test_a_table_of_another_tool_needs_x_and_y_alone(tmp_path):
    pq.write_table(pa.table({"x": [1, 2], "y": [3.5, 4.0], "n": [0, 1]}), tmp_path / "t.parquet")
    (part,) = read_nuclei(tmp_path / "t.parquet")
    assert [(n.nucleus.x_px, n.nucleus.y_px) for n in part.nuclei] == [(1, 3.5), (2, 4)]
    pq.write_table(pa.table({"x": [1, 2], "y": [3.5, None]}), tmp_path / "t.parquet")
    with pytest.raises(RecordError, match=r"t\.parquet row 2 has no point"):
        read_nuclei(tmp_path / "t.parquet")
    pq.write_table(pa.table({"row": [1]}), tmp_path / "t.parquet")
    with pytest.raises(RecordError, match=r"t\.parquet is no table of nuclei"):
        read_nuclei(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RecordError, match=r"t\.parquet cannot be read as Parquet"):
        read_nuclei(tmp_path / "t.parquet")


def test_an_empty_table_is_of_no_nuclei(tmp_path):
    write_parquet(tmp_path / "a.parquet", [], mpp=0.5)
    (part,) = read_nuclei(tmp_path / "a.parquet")
    assert (part.nuclei, part.image) == ((), "a")


def test_without_pyarrow_a_person_is_told_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    wanted = r"To {} a\.parquet, pyarrow.* has to be installed: pip install 'napari-nunext\[spatial"
    with pytest.raises(StoreError, match=wanted.format("write")):
        write_parquet(tmp_path / "a.parquet", [predicted(1, 2)], mpp=0.5)
    assert not list(tmp_path.iterdir())
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(RecordError, match=wanted.format("read")):
        read_nuclei(tmp_path / "a.parquet")
