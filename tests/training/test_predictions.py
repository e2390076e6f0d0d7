from __future__ import annotations

import pytest

from napari_nunext.core.errors import RecordError
from nunext_training.predictions import prediction_files


def test_files_are_found_by_stems_that_keep_their_dots(tmp_path):
    for name in ("A_0.9824.geojson", "b.json", ".hidden.geojson", "notes.txt"):
        (tmp_path / name).write_text("[]")
    assert sorted(prediction_files(tmp_path)) == ["A_0.9824", "b"]


def test_two_files_of_one_stem_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(RecordError, match="holds no GeoJSON"):
        prediction_files(tmp_path)
    (tmp_path / "a.json").touch()
    (tmp_path / "a.geojson").touch()
    with pytest.raises(RecordError, match="keep one"):
        prediction_files(tmp_path)
