"""What napari saves by us: layers of anybody as nuclei. Needs no window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Labels, Points

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.geojson import read_geojson
from napari_nunext.ui.reading import write_labels, write_points

if TYPE_CHECKING:
    from pathlib import Path


def test_points_are_saved_at_their_places_with_category_and_confidence(tmp_path: Path) -> None:
    features = {"Class": ["Tumour", "Stroma"], "confidence": [0.25, 7.0]}
    features["position_error_um"] = [0.75, float("nan")]
    layer = Points([[9.5, 19.5], [0, 1]], features=features)
    path = str(tmp_path / "a.geojson")
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_points(path, data, attributes) == [path]
    one, two = read_geojson(tmp_path / "a.geojson")
    assert (one.x_px, one.y_px, one.category, one.confidence) == (20, 10, "Tumour", 0.25)
    assert (two.x_px, two.y_px, two.category, two.confidence) == (1.5, 0.5, "Stroma", None)
    assert (one.position_error_um, two.position_error_um) == (0.75, None)


def test_no_points_are_saved_as_none_and_points_of_a_stack_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "a.geojson")
    data, attributes, _ = Points(np.empty((0, 2))).as_layer_data_tuple()
    write_points(path, data, attributes)
    assert read_geojson(tmp_path / "a.geojson") == []
    data, attributes, _ = Points([[1, 2, 3]]).as_layer_data_tuple()
    with pytest.raises(RecordError, match="3 coordinates; expected 2"):
        write_points(path, data, attributes)


def test_labels_are_saved_as_outlines(tmp_path: Path) -> None:
    labels = np.zeros((40, 50), np.uint16)
    labels[10:20, 30:34] = 3
    labels[0, 0] = 9
    path = str(tmp_path / "a.geojson")
    data, attributes, _ = Labels(labels).as_layer_data_tuple()
    assert write_labels(path, data, attributes) == [path]
    one, two = read_geojson(tmp_path / "a.geojson", masks=True)
    assert one.mask is not None
    assert two.mask is not None
    assert (one.x_px, one.y_px, one.mask.area_px) == (32, 15, 40)
    assert (two.x_px, two.y_px, two.mask.area_px) == (0.5, 0.5, 1)
