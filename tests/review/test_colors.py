from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from napari_nunext.core.nuclei import OKABE_ITO
from napari_nunext.review.colors import next_color

TELLS_APART = 12.0
"""In CIELAB; 2.3 is just noticeable side by side."""


def test_a_free_colour_of_the_list_comes_first() -> None:
    assert next_color([]) == OKABE_ITO[0]
    assert next_color([OKABE_ITO[0], OKABE_ITO[2]]) == OKABE_ITO[1]


def test_twenty_four_colours_can_be_told_apart() -> None:
    used: list[tuple[int, int, int]] = []
    for _ in range(24):
        used.append(next_color(used))
    assert len(set(used)) == 24
    lab = rgb2lab(np.array(used, dtype=float)[np.newaxis] / 255)[0]
    distance = np.linalg.norm(lab[:, np.newaxis] - lab, axis=2)
    assert distance[~np.eye(len(used), dtype=bool)].min() > TELLS_APART


@settings(max_examples=30)
@given(st.sets(st.tuples(*[st.integers(0, 255)] * 3), max_size=40))
def test_a_colour_in_use_is_never_repeated(used: set[tuple[int, int, int]]) -> None:
    assert next_color({*used, *OKABE_ITO}) not in {*used, *OKABE_ITO}
