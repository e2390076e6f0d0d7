from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.tiling import Window
from napari_nunext.models.segmenter import Prompt, ScoredMask, SegmenterInfo
from napari_nunext.models.whole_image.masks import draw_masks, point_prompts, to_level0, to_window


def disc(x: float, y: float, radius: float, width: int, height: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    return np.hypot(columns - x, rows - y) <= radius


def centroid_xy(mask: Mask) -> np.ndarray:
    rows, columns = np.nonzero(mask.to_array())
    return np.array([columns.mean() + mask.x0_px + 0.5, rows.mean() + mask.y0_px + 0.5])


class DiscSegmenter:
    """A disc of 4 um around whatever is clicked on, and nothing beyond the window."""

    def __init__(self, mpp: float = 0.5, window_px: int = 64):
        self.info = SegmenterInfo("Discs", "fake", mpp=mpp, window_px=window_px)
        self.windows_seen = 0

    def segment(self, window, prompts, *, cancelled=lambda: False):
        self.windows_seen += 1
        side = window.shape[0]
        for prompt in prompts:
            if cancelled():
                return
            if prompt.box is not None:
                middle = (prompt.box.x0 + prompt.box.x1) / 2, (prompt.box.y0 + prompt.box.y1) / 2
            else:
                middle = prompt.points_xy[0]
            assert Box(0, 0, side, side).contains(np.array([middle])).all()
            mask = Mask.from_array(disc(*middle, 4.0 / self.info.mpp, side, side))
            yield ScoredMask(mask, 1.2)


class Glass:
    """An image of nothing, which counts how often it is read."""

    def __init__(self, width_px: int, height_px: int):
        self.box = Box.of_image(width_px, height_px)

    def read_window(self, box, out_px):
        return np.zeros((out_px, out_px, 3), dtype=np.uint8)


@given(
    scale=st.sampled_from([0.5, 0.74, 1.0, 1.37, 2.0]),
    x=st.floats(20, 44),
    y=st.floats(20, 44),
    begin=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_a_resampled_disc_keeps_its_place_and_its_area(scale, x, y, begin):
    side = 64 * scale
    box = Box(*begin, begin[0] + side, begin[1] + side)
    window = Window(0, box, box, 64)
    drawn = Mask.from_array(disc(x, y, 9, 64, 64))
    mask = to_level0(drawn, window, Box(0, 0, 400, 400))
    expected = np.array(begin) + centroid_xy(drawn) * scale
    # Where a disc is symmetric about pixels, ties on the rim all go one way.
    assert np.hypot(*(centroid_xy(mask) - expected)) < 0.3 * max(scale, 1)
    # Only the rim may be decided differently, by a third of a pixel at most.
    assert mask.area_px == pytest.approx(drawn.area_px * scale**2, abs=2 * np.pi * 9 * scale / 3)


def test_at_equal_scale_a_mask_is_copied_exactly(rng):
    drawn = Mask.from_array(rng.random((20, 30)) > 0.5, x0_px=5, y0_px=7)
    window = Window(0, Box(40, 50, 104, 114), Box(40, 50, 104, 114), 64)
    assert to_level0(drawn, window, Box(0, 0, 400, 400)) == drawn.moved(40, 50)


def test_a_mask_is_cut_off_at_the_edge_of_the_image():
    window = Window(0, Box(0, 0, 64, 64), Box(0, 0, 64, 64), 64)
    mask = to_level0(Mask.from_array(disc(40, 30, 9, 64, 64)), window, Box(0, 0, 40, 50))
    assert mask.x0_px + mask.width_px == 40
    assert mask.area_px > 0


def test_a_mask_without_pixels_stays_one():
    window = Window(0, Box(0, 0, 32, 32), Box(0, 0, 32, 32), 64)
    nothing = Mask.from_array(np.zeros((3, 3), dtype=bool))
    assert to_level0(nothing, window, Box(0, 0, 40, 50)).area_px == 0


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.73])
def test_every_prompt_gets_the_mask_around_it_whichever_window_draws_it(rng, mpp):
    points = rng.uniform(0, (230, 170), (80, 2))
    drawn = [
        mask
        for batch in draw_masks(Glass(230, 170), point_prompts(points), DiscSegmenter(), mpp=mpp)
        for mask in batch
    ]
    assert sorted(m.index for m in drawn) == list(range(80))
    for mask in drawn:
        assert mask.score == 1.0
        x, y = points[mask.index]
        expected = disc(x, y, 4.0 / mpp, 230, 170)
        got = np.zeros((170, 230), dtype=bool)
        m = mask.mask
        got[m.y0_px : m.y0_px + m.height_px, m.x0_px : m.x0_px + m.width_px] = m.to_array()
        overlap = (expected & got).sum() / (expected | got).sum()
        assert overlap > 0.75


class Remembering(Glass):
    """Glass that remembers which windows were read."""

    def __init__(self, width_px: int, height_px: int):
        super().__init__(width_px, height_px)
        self.read = []

    def read_window(self, box, out_px):
        self.read.append(box)
        return super().read_window(box, out_px)


def test_a_second_click_nearby_asks_about_the_same_window():
    image = Remembering(500, 500)
    for x in (100.0, 103.0):
        prompts = [Prompt(np.array([[x, 100.0]]), (True,))]
        list(draw_masks(image, prompts, DiscSegmenter(), mpp=0.5))
    assert image.read[0] == image.read[1]


def test_further_clicks_never_change_the_window(rng):
    """On a slide, for every first click: the second may lie across the edge of a core."""
    for x, y in rng.uniform(50, 450, (40, 2)):
        image = Remembering(500, 500)
        for further, on_it in [
            ((0, 0), True),
            ((15, 0), True),
            ((0, -15), True),
            ((40, 40), False),
        ]:
            points = np.array([(x, y), (x + further[0], y + further[1])])
            list(draw_masks(image, [Prompt(points, (True, on_it))], DiscSegmenter(), mpp=0.5))
        assert len(set(image.read)) == 1


def test_a_click_on_another_nucleus_beyond_the_window_says_nothing():
    asked = []

    class Listening(DiscSegmenter):
        def segment(self, window, prompts, *, cancelled=lambda: False):
            asked.extend(prompts)
            return super().segment(window, prompts, cancelled=cancelled)

    points = np.array([[250.0, 250.0], [260.0, 250.0], [400.0, 250.0]])
    prompt = Prompt(points, (True, False, False))
    ((drawn,),) = draw_masks(Glass(500, 500), [prompt], Listening(), mpp=0.5)
    assert asked[0].positive == (True, False)
    np.testing.assert_allclose(np.diff(asked[0].points_xy, axis=0), [[10, 0]])
    np.testing.assert_allclose(centroid_xy(drawn.mask), (250, 250), atol=0.5)


def test_clicks_on_one_nucleus_that_no_window_shows_are_refused_in_words():
    prompt = Prompt(np.array([[250.0, 250.0], [400.0, 250.0]]), (True, True))
    with pytest.raises(InputError, match=r"which sees 32 um at once\. Click closer together"):
        list(draw_masks(Glass(500, 500), [prompt], DiscSegmenter(), mpp=0.5))


def test_windows_are_drawn_once_each_whatever_the_order_of_prompts(rng):
    image = Remembering(400, 300)
    points = rng.uniform(0, (400, 300), (200, 2))
    drawn = list(draw_masks(image, point_prompts(points), DiscSegmenter(), mpp=0.5))
    assert sorted(m.index for batch in drawn for m in batch) == list(range(200))
    assert len(set(image.read)) == len(image.read) == len(drawn)


@given(
    scale=st.sampled_from([0.37, 0.5, 1.3, 2.0]),
    seed=st.integers(0, 99),
    begin=st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
)
def test_a_mask_is_resampled_as_scipy_interpolates(scale, seed, begin):
    side = 24 * scale
    box = Box(*begin, begin[0] + side, begin[1] + side)
    mask = Mask.from_array(np.random.default_rng(seed).random((9, 13)) > 0.4, 5, 8)
    got = np.zeros((60, 60), dtype=bool)
    m = to_level0(mask, Window(0, box, box, 24), Box(0, 0, 60, 60))
    got[m.y0_px : m.y0_px + m.height_px, m.x0_px : m.x0_px + m.width_px] = m.to_array()
    window = np.zeros((24, 24), dtype=np.float32)
    window[mask.y0_px : mask.y0_px + mask.height_px, mask.x0_px : mask.x0_px + mask.width_px] = (
        mask.to_array()
    )
    rows, columns = ((np.arange(60) + 0.5 - start) / scale - 0.5 for start in begin[::-1])
    at = np.meshgrid(rows, columns, indexing="ij")
    expected = map_coordinates(window, at, order=1, mode="grid-constant")
    sure = np.abs(expected - 0.5) > 1e-4  # else rounding decides
    np.testing.assert_array_equal(got[sure], expected[sure] > 0.5)


def test_a_box_is_drawn_by_the_window_that_holds_its_middle():
    prompt = Prompt(np.empty((0, 2)), (), Box(200, 100, 216, 116))
    ((drawn,),) = draw_masks(Glass(500, 500), [prompt], DiscSegmenter(), mpp=0.5)
    np.testing.assert_allclose(centroid_xy(drawn.mask), (208, 108), atol=0.5)


def test_cancelling_stops_before_the_next_window(rng):
    segmenter = DiscSegmenter()
    points = rng.uniform(0, 400, (50, 2))
    batches = draw_masks(
        Glass(400, 400),
        point_prompts(points),
        segmenter,
        mpp=0.5,
        cancelled=lambda: segmenter.windows_seen >= 3,
    )
    assert len(list(batches)) <= 3
    assert segmenter.windows_seen == 3


@given(
    scale=st.sampled_from([0.5, 0.74, 1.0, 1.37, 2.0]),
    x=st.floats(24, 40),
    y=st.floats(24, 40),
    begin=st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_an_outline_lies_in_the_window_where_it_lies_in_the_image(scale, x, y, begin):
    """As `to_level0` brings it back."""
    side = 64 * scale
    box = Box(*begin, begin[0] + side, begin[1] + side)
    window = Window(0, box, box, 64)
    outline = Mask.from_array(disc(x, y, 9, 64, 64))
    again = to_window(to_level0(outline, window, Box(0, 0, 400, 400)), window)
    assert np.hypot(*(centroid_xy(again) - centroid_xy(outline))) < 0.5 * max(scale, 1)
    assert again.area_px == pytest.approx(outline.area_px, rel=0.15)


def test_an_outline_is_cut_off_at_the_edge_of_the_window_and_may_lie_beside_it():
    window = Window(0, Box(10, 10, 74, 74), Box(10, 10, 74, 74), 64)
    half = to_window(Mask.from_array(np.ones((8, 8), bool), 6, 20), window)
    assert (half.x0_px, half.y0_px, half.area_px) == (0, 10, 4 * 8)
    for x0 in (-40, 200):
        assert to_window(Mask.from_array(np.ones((8, 8), bool), x0, 20), window).area_px == 0


def test_a_segmenter_is_told_the_outline_in_pixels_of_its_window():
    told = []

    class Listening(DiscSegmenter):
        def segment(self, window, prompts, *, cancelled=lambda: False):
            told.extend(prompt.outline for prompt in prompts)
            return super().segment(window, prompts, cancelled=cancelled)

    outline = Mask.from_array(np.ones((12, 12), bool), 40, 40)
    prompts = [Prompt(np.array([[46.0, 46.0]]), (True,), outline=outline)]
    list(draw_masks(Glass(300, 300), prompts, Listening(mpp=0.5), mpp=0.25))
    assert told == [Mask.from_array(np.ones((6, 6), bool), 20, 20)]
