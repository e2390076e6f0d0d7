"""A search of some regions finds what a search of everything finds in them, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.area import Area
from napari_nunext.core.shapes.regions import rectangle
from napari_nunext.models.whole_image.search import detect_image
from napari_nunext.serving.protocol import DetectRequest, Masks, WindowDone
from tests.core.test_regions import star
from tests.serving.test_detection import Oracle, Squares, events_of, standing_xy

WIDTH, HEIGHT = 700, 520


def oracle(seed: int) -> Oracle:
    xy = np.random.default_rng(seed).uniform((0, 0), (WIDTH, HEIGHT), (300, 2))
    return Oracle(xy, WIDTH, HEIGHT)


def asked(area: Area) -> dict[str, object]:
    return area.to_json()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), searches=st.booleans(), near=st.booleans())
def test_what_lies_in_the_regions_is_found_and_outlined_and_nothing_else(seed, searches, near):
    shift = np.random.default_rng(seed).uniform(0, 300, 2)
    area = Area((star(seed, 9) + shift,) * searches, (star(seed + 1, 9) + shift,))
    at = (300.0, 200.0) if near else None
    everything = events_of(oracle(seed), Squares(), near=at)
    here = events_of(oracle(seed), Squares(), near=at, **asked(area))
    expected = standing_xy(everything)
    np.testing.assert_array_equal(standing_xy(here), expected[area.contains(expected)])
    assert sum(len(e.masks) for e in here if isinstance(e, Masks)) == len(standing_xy(here))
    began, done = here[0], [e for e in here if isinstance(e, WindowDone)]
    assert began.windows == len(done) < everything[0].windows or not searches
    assert began.windows + began.windows_beyond == everything[0].windows
    assert here[-1].finish == "complete"
    offline = detect_image(source := oracle(seed), source, mpp=0.5, area=area)
    np.testing.assert_array_equal(
        np.array(sorted(offline.points_xy.tolist())).reshape(-1, 2), standing_xy(here)
    )


def test_the_plan_knows_the_regions():
    areas = [Area(), Area((star(1),)), Area((star(2),)), Area((), (star(1),))]
    assert len({events_of(oracle(0), **asked(area))[0].plan for area in areas}) == len(areas)


def test_regions_and_glass_are_counted_apart():
    area = Area((rectangle(Box(0, 0, 100, 100)),))
    began = events_of(oracle(0), tissue=True, **asked(area))[0]
    assert began.windows_beyond > 0
    assert began.windows + began.windows_left_out + began.windows_beyond == (
        events_of(oracle(0))[0].windows
    )


@pytest.mark.parametrize(
    "within", [[], [[(0, 0), (1, 1)]], [[(0, 0), (1, 1), (float("nan"), 0)]], [[(0, 0)] * 5000]]
)
def test_what_are_no_polygons_is_refused(within):
    with pytest.raises(ValidationError, match="within"):
        DetectRequest(image="0" * 64, mpp=0.5, within=within)
