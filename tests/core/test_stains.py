"""Densities of stains that are known exactly, and figures that others published."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.core.shapes.regions import rectangle, region
from napari_nunext.core.stains.counting import CutOffs, is_left_out, that_count
from napari_nunext.core.stains.measuring import (
    BLOCK_PX,
    dab_od_of,
    disc,
    discs_at,
    footprints,
    means_in,
)
from napari_nunext.core.stains.optical_density import H_DAB, OD_OF_LEVEL, dab_od
from napari_nunext.core.stains.positivity import (
    h_score,
    labelling_index,
    suggested_cut_off,
)

HAEMATOXYLIN, DAB, RESIDUAL = H_DAB
ROUNDING_OD = 0.01
"""By which half a level moves an amount, at densities that these tests use."""


def stained(amounts, stain=DAB, base: float = 10.0):
    """Pixels (H, W, 3) of a stain of an optical density of `amounts` (H, W)."""
    density = np.asarray(amounts)[..., np.newaxis] * stain
    return np.rint(255 * base**-density).astype(np.uint8)


class Pixels:
    """An image that counts what is read of it."""

    def __init__(self, rgb) -> None:
        self.rgb = rgb
        self.box = Box.of_image(rgb.shape[1], rgb.shape[0])
        self.read: list[Box] = []

    def read_region(self, box: Box, level: int = 0):
        assert level == 0
        self.read.append(box)
        x0, y0, x1, y1 = map(int, box.as_tuple())
        return self.rgb[y0:y1, x0:x1]


def test_a_level_has_its_optical_density_base_10():
    np.testing.assert_allclose(OD_OF_LEVEL[[255, 128, 26]], [0, 0.2993, 0.9916], atol=1e-4)
    assert OD_OF_LEVEL[0] == OD_OF_LEVEL[1] == pytest.approx(np.log10(255))


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.2, 0.5, 1.0])
def test_dab_is_found_and_nothing_else_is(amount):
    assert dab_od(stained([[amount]]))[0, 0] == pytest.approx(amount, abs=ROUNDING_OD)
    assert dab_od(stained([[amount]], HAEMATOXYLIN))[0, 0] == pytest.approx(0, abs=ROUNDING_OD)


def test_dab_over_haematoxylin_is_told_apart():
    density = 0.4 * HAEMATOXYLIN + 0.3 * DAB
    rgb = np.rint(255 * 10**-density).astype(np.uint8)[np.newaxis, np.newaxis]
    assert dab_od(rgb)[0, 0] == pytest.approx(0.3, abs=ROUNDING_OD)


def test_by_natural_logarithms_an_amount_is_2_3_times_as_large():
    natural = dab_od(stained([[0.2 * np.log(10)]], base=np.e))
    assert natural[0, 0] == pytest.approx(0.2, abs=ROUNDING_OD)


def test_the_vectors_are_those_of_qupath():
    np.testing.assert_allclose(HAEMATOXYLIN, [0.65111, 0.70119, 0.29049], atol=1e-5)
    np.testing.assert_allclose(DAB, [0.26917, 0.56824, 0.77759], atol=1e-5)
    assert np.linalg.norm(RESIDUAL) == pytest.approx(1)
    np.testing.assert_allclose(np.stack([HAEMATOXYLIN, DAB]) @ RESIDUAL, 0, atol=1e-12)


def test_it_is_what_scikit_image_separates():
    from skimage.color import separate_stains
    from skimage.data import immunohistochemistry

    rgb = immunohistochemistry()
    theirs = separate_stains(rgb, np.linalg.inv(H_DAB))[..., 1] * -np.log10(1e-6)
    ours = np.maximum(dab_od(rgb), 0)
    # theirs ends at 0 and takes levels from 1e-6 on
    usual = (rgb > 0).all(axis=2)
    np.testing.assert_allclose(ours[usual], theirs[usual], atol=1e-6)


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 3), np.uint8), np.zeros((3, 3, 4), np.uint8), np.zeros((3, 3, 3))]
)
def test_what_is_no_rgb_is_refused(wrong):
    with pytest.raises(InputError, match="expected uint8 of shape"):
        dab_od(wrong)


def test_a_disc_has_the_pixels_within_its_radius():
    assert disc(1.0, 0.5).sum() == 13  # of 25, those within 2 px
    assert disc(2.0, 0.25).sum() == 197
    assert disc(0.1, 0.5).sum() == 1
    with pytest.raises(InputError, match="radius of 0 um"):
        disc(0, 0.5)


def test_a_mask_prevails_over_the_disc_and_an_empty_one_does_not():
    mask = Mask.from_array(np.ones((2, 3), bool), 7, 5)
    empty = Mask.from_array(np.zeros((2, 3), bool), 7, 5)
    drawn, *discs = footprints(np.full((3, 2), 20.5), [mask, None, empty], mpp=0.5, radius_um=1)
    assert (drawn.x0_px, drawn.y0_px, drawn.unpacked().shape) == (7, 5, (2, 3))
    assert [(each.x0_px, each.y0_px, int(each.unpacked().sum())) for each in discs] == [
        (18, 18, 13),
        (18, 18, 13),
    ]


def test_a_mean_leaves_out_what_lies_beyond_the_window():
    values = np.arange(12.0).reshape(3, 4)
    at = np.array([[0.5, 0.5], [3.9, 2.9], [40.0, 1.0], [-3.0, -3.0]])
    found = means_in(values, discs_at(at, 1.0, 1.0))
    np.testing.assert_allclose(found[:2], [(0 + 1 + 4) / 3, (11 + 10 + 7) / 3])
    assert np.isnan(found[2:]).all()
    moved = means_in(values, discs_at(at + 100, 1.0, 1.0), 100, 100)
    np.testing.assert_array_equal(moved, found)
    assert means_in(values, []).shape == (0,)


@pytest.mark.parametrize("block_px", [7, 16, 64, 1024])
def test_blocks_change_nothing(block_px):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    points_xy = rng.uniform([0, 0], [70, 50], (40, 2))
    masks = [None] * 30 + [
        Mask.from_array(rng.random((9, 30)) < 0.6, x, y)
        for x, y in rng.integers(-8, 60, (10, 2)).tolist()
    ]
    whole = means_in(dab_od(rgb), list(footprints(points_xy, masks, mpp=0.5)))
    image = Pixels(rgb)
    found = dab_od_of(image, points_xy, masks, mpp=0.5, block_px=block_px)
    np.testing.assert_allclose(found, whole, rtol=1e-12)
    assert max(box.width for box in image.read) <= block_px
    assert len(set(image.read)) == len(image.read)  # each once


def test_a_nucleus_on_the_corner_of_four_blocks_has_its_share_of_each():
    amounts = np.zeros((1100, 1200))
    amounts[:BLOCK_PX, :BLOCK_PX] = 0.8  # a quarter of the square that is looked at
    mask = Mask.from_array(np.ones((40, 40), bool), BLOCK_PX - 20, BLOCK_PX - 20)
    image = Pixels(stained(amounts))
    at = np.array([[BLOCK_PX, BLOCK_PX]], dtype=float)
    assert dab_od_of(image, at, [mask], mpp=0.25) == pytest.approx([0.2], abs=ROUNDING_OD)
    assert [(box.width, box.height) for box in image.read] == [
        (BLOCK_PX, BLOCK_PX),
        (BLOCK_PX, 76),
        (176, BLOCK_PX),
        (176, 76),
    ]


def test_only_where_nuclei_are_is_read():
    image = Pixels(stained(np.full((300, 300), 0.3)))
    found = dab_od_of(image, np.array([[250.0, 20.0]]), [None], mpp=0.5, block_px=100)
    assert image.read == [Box(200, 0, 300, 100)]
    assert found == pytest.approx([0.3], abs=ROUNDING_OD)


def test_a_nucleus_beyond_the_image_has_no_density_and_none_none():
    image = Pixels(stained(np.full((30, 30), 0.3)))
    found = dab_od_of(image, np.array([[90.0, 20.0], [20.0, -40.0]]), [None, None], mpp=0.5)
    assert np.isnan(found).all()
    assert dab_od_of(image, np.empty((0, 2)), [], mpp=0.5).shape == (0,)
    assert labelling_index(found).nuclei == 0


def test_a_mask_has_the_mean_of_its_own_pixels():
    amounts = np.zeros((40, 40))
    amounts[10:20, 10:20] = 0.5
    amounts[10:20, 15:20] = 0.7
    mask = Mask.from_array(amounts > 0)
    found = dab_od_of(Pixels(stained(amounts)), np.array([[15.0, 15.0]]), [mask], mpp=0.25)
    assert found == pytest.approx([0.6], abs=ROUNDING_OD)


@pytest.mark.parametrize(
    ("positive", "nuclei", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_of_a_share_is_as_published(positive, nuclei, low, high):
    index = labelling_index(np.array([0.3] * positive + [0.1] * (nuclei - positive)))
    assert (index.positive, index.nuclei) == (positive, nuclei)
    assert index.interval is not None
    assert (index.interval.low, index.interval.high) == pytest.approx((low, high), abs=6e-5)


def test_the_cut_off_itself_is_positive_and_the_unmeasured_do_not_count():
    index = labelling_index(np.array([0.2, 0.1999, 0.5, np.nan]))
    assert (index.positive, index.nuclei, index.share) == (2, 3, pytest.approx(2 / 3))
    assert str(index) == "66.7% positive (20.8% to 93.9%), 2 of 3 from 0.2 OD"
    assert index.to_json()["interval"] == pytest.approx([0.2077, 0.9385], abs=1e-4)


def test_of_no_nuclei_there_is_no_figure():
    index, score = labelling_index(np.empty(0)), h_score(np.empty(0))
    assert index.share is index.interval is score.score is score.interval is None
    assert str(index) == str(score) == "no nucleus was measured"
    with pytest.raises(InputError, match="No nucleus was measured"):
        suggested_cut_off(np.array([np.nan]))


def test_an_h_score_weighs_by_strength():
    score = h_score(np.repeat([0.1, 0.2, 0.45, 0.6], [40, 30, 20, 10]))
    assert score.grades == (40, 30, 20, 10)
    assert score.score == pytest.approx(30 + 2 * 20 + 3 * 10)
    assert h_score(np.full(5, 0.9)).score == 300
    assert h_score(np.zeros(5)).score == 0
    assert str(h_score(np.zeros(1))) == "H-score 0: 1 negative, 0 weak, 0 moderate, 0 strong"


def test_its_interval_is_that_of_a_mean():
    od = np.repeat([0.1, 0.3, 0.5, 0.7], [400, 300, 200, 100])
    score = h_score(od)
    grades = np.repeat(range(4), [400, 300, 200, 100])
    half = 1.96 * 100 * grades.std() / np.sqrt(len(grades))
    assert score.interval is not None
    assert score.score - score.interval.low == pytest.approx(half, rel=0.1)
    assert score.interval.high - score.score == pytest.approx(half, rel=0.1)
    assert h_score(od).interval == score.interval


def test_other_drawings_of_the_nuclei_themselves_say_the_same():
    """Counts that are drawn are what drawing nucleus after nucleus gives."""
    od = np.repeat([0.1, 0.3, 0.5, 0.7], [12, 5, 9, 4])
    rng = np.random.default_rng(5)
    drawn = [h_score(rng.choice(od, len(od))).score for _ in range(4000)]
    interval = h_score(od).interval
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=4)


@pytest.mark.parametrize(
    "wrong", [(0.2, 0.4), (0.4, 0.2, 0.6), (0.2, 0.2, 0.6), (0.2, 0.4, np.nan), ()]
)
def test_cut_offs_that_do_not_rise_are_refused(wrong):
    with pytest.raises(InputError, match="expected three that rise"):
        h_score(np.zeros(3), wrong)


def test_a_cut_off_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="expected an optical density"):
        labelling_index(np.zeros(3), np.nan)


def test_a_cut_off_is_suggested_between_two_kinds():
    rng = np.random.default_rng(1)
    kinds = [np.exp(rng.normal(np.log(mean), 0.4, n)) for mean, n in ((0.15, 300), (0.9, 100))]
    assert 0.3 < suggested_cut_off(np.concatenate([*kinds, [np.nan]])) < 0.5
    assert suggested_cut_off(np.full(10, 0.05)) == pytest.approx(0.2)
    apart = np.repeat([0.05, 0.9], [30, 10])
    assert labelling_index(apart, suggested_cut_off(apart)).positive == 10


@pytest.mark.parametrize("seed", range(30))
def test_a_suggestion_is_otsus_as_scikit_image_has_it(seed):
    from skimage.filters import threshold_otsu

    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 500, 2)
    od = np.concatenate([rng.lognormal(rng.normal(-1.5, 0.5), 0.7, n) for n in sizes])
    theirs = np.exp(threshold_otsu(np.log(np.maximum(od, 0.2))))
    assert suggested_cut_off(od) == pytest.approx(theirs, rel=1e-12)


def test_a_nucleus_in_a_region_that_is_left_out_counts_nowhere():
    points, od = np.array([[5.0, 5.0], [15.0, 5.0], [25.0, 5.0]]), np.array([0.1, 0.5, 0.9])
    regions = [
        region(kind, kind, rectangle(box), uid=uuid4())
        for kind, box in (
            ("leave_out", Box(10, 0, 20, 10)),
            ("interest", Box(0, 0, 30, 10)),
            ("search", Box(0, 0, 8, 10)),
        )
    ]
    assert is_left_out(points, regions).tolist() == [False, True, False]
    counted = that_count(od, points, regions)
    np.testing.assert_array_equal(counted, [0.1, np.nan, 0.9])
    assert labelling_index(counted[regions[1].contains(points)]).nuclei == 2
    assert od[1] == 0.5, "what was measured stays"
    assert not is_left_out(points, regions[1:]).any()


def test_cut_offs_are_kept_and_those_that_are_none_refused():
    kept = CutOffs(0.35, (0.1, 0.5, 0.7))
    assert CutOffs.from_json(kept.to_json()) == kept
    assert CutOffs() == CutOffs(0.2, (0.2, 0.4, 0.6))
    for wrong in ({"positive": float("nan")}, {"grades": (0.4, 0.2, 0.6)}, {"grades": (1, 2)}):
        with pytest.raises(InputError):
            CutOffs(**wrong)
