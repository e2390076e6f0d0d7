from __future__ import annotations

import hashlib

import numpy as np
import pytest

from napari_nunext.core.errors import ImageError
from napari_nunext.core.identity import file_sha256, is_image_id, pixels_sha256


def test_the_hash_is_of_size_and_pixels():
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    expected = hashlib.sha256(
        b"rgb8" + (3).to_bytes(4, "little") + (2).to_bytes(4, "little") + bytes(range(18))
    )
    assert pixels_sha256(rgb) == expected.hexdigest()


def test_shape_matters_and_memory_layout_does_not():
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    assert pixels_sha256(np.asfortranarray(rgb)) == pixels_sha256(rgb)
    assert pixels_sha256(rgb.reshape(3, 2, 3)) != pixels_sha256(rgb)


def test_pixels_of_another_kind_are_refused():
    with pytest.raises(ImageError, match="float64"):
        pixels_sha256(np.zeros((2, 2, 3)))


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"nuclei")
    assert file_sha256(path) == hashlib.sha256(b"nuclei").hexdigest()


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0123456789abcdef" * 4, True),
        ("ab1-" + "0" * 60, True),
        ("0123456789ABCDEF" * 4, False),
        ("0" * 63, False),
        ("1b-" + "0" * 61, False),
        ("ab1-" + "0" * 61, False),
        ("ab1-" * 16, False),
        ("../" + "0" * 61, False),
        ("0" * 63 + "\n", False),
    ],
)
def test_an_id_is_a_hash_that_may_have_a_tag(text, is_one):
    assert is_image_id(text) == is_one
