from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats.geojson import read_geojson
from napari_nunext.core.nuclei import Nucleus
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.store.exports.geojson import write_geojson


def test_masks_that_were_written_as_polygons_are_read_back(tmp_path):
    y, x = np.mgrid[:20, :24]
    disc = Mask.from_array((x - 12) ** 2 + (y - 9) ** 2 <= 36, 3, 40)
    ring = disc.to_array().copy()
    ring[4:8, 4:8] = False
    parts = np.zeros((5, 9), dtype=bool)
    parts[1:4, 1:3] = parts[1:4, 5:8] = True
    masks = [disc, Mask.from_array(ring, 60, 5), Mask.from_array(parts, 0, 0), None]
    nuclei = [Nucleus(uuid4(), 10.0, 10.0, "Tumour", mask=mask) for mask in masks]
    path = tmp_path / "a.geojson"
    write_geojson(path, nuclei, masks=True)
    assert [n.mask for n in read_geojson(path, masks=True)] == masks
    assert [n.mask for n in read_geojson(path)] == [None] * 4


def test_a_polygon_that_is_no_nucleus_is_named_by_its_number(tmp_path):
    path = tmp_path / "tissue.geojson"
    path.write_text(
        '{"type": "Feature", "geometry": {"type": "Polygon", '
        '"coordinates": [[[0, 0], [9000, 0], [9000, 9000]]]}, "properties": {}}'
    )
    assert len(read_geojson(path)) == 1
    with pytest.raises(RecordError, match=r"feature 1 is malformed.*9000 x 9000 px"):
        read_geojson(path, masks=True)
