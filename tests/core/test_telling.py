"""Which stain an image shows, on drawn and painted tissue, and what follows for categories."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import immunohistochemistry

from napari_nunext.core.stains.telling import (
    H_AND_E_MIN,
    H_DAB_MAX,
    PIXELS_MIN,
    categories_under,
    green_share,
    stain_in_decoding,
    stain_of,
    stain_words,
)
from napari_nunext.synthetic import synthesise

BOTH = ("Lymphocyte", "Positive", "Stromal", "Negative")


def drawn(seed: int) -> np.ndarray:
    return synthesise(np.random.default_rng(seed), height_px=256, width_px=256, mpp=1.0).rgb


@pytest.mark.parametrize("seed", range(4))
def test_drawn_tissue_is_h_and_e(seed):
    assert stain_of(green_share([drawn(seed)])) == "H&E"


@pytest.mark.parametrize("every", [1, 2, 4])
def test_a_real_section_with_dab_is_told_at_every_scale(every):
    assert stain_of(green_share([immunohistochemistry()[::every, ::every]])) == "H-DAB"


def test_several_pictures_are_one_image():
    stained = drawn(1)
    white = np.full_like(stained, 250)
    assert green_share([white, stained, white]) == green_share([stained])


def test_glass_says_nothing_and_neither_does_ink():
    assert green_share([np.full((64, 64, 3), 245, np.uint8)]) is None
    blue_pen = np.full((64, 64, 3), 250, np.uint8)
    blue_pen[10:50, 10:50] = (30, 60, 160)
    assert green_share([blue_pen]) is None
    specks = np.full((64, 64, 3), 250, np.uint8)
    specks.reshape(-1, 3)[: PIXELS_MIN - 1] = (150, 80, 140)
    assert green_share([specks]) is None
    specks.reshape(-1, 3)[PIXELS_MIN - 1] = (150, 80, 140)
    assert green_share([specks]) == 1.0


def test_between_the_two_it_is_in_doubt():
    assert stain_of(None) is None
    assert stain_of(H_AND_E_MIN) == "H&E"
    assert stain_of(H_DAB_MAX) == "H-DAB"
    assert stain_of((H_AND_E_MIN + H_DAB_MAX) / 2) is None


def test_categories_are_those_of_the_stain():
    assert categories_under("H&E", BOTH) == ("Lymphocyte", "Stromal")
    assert categories_under("H-DAB", BOTH) == ("Positive", "Negative")
    assert categories_under(None, BOTH) == ()


@pytest.mark.parametrize(
    "known", [("Lymphocyte", "Stromal"), ("Positive", "Negative"), ("Lymphocyte", "Positive"), ()]
)
@pytest.mark.parametrize("stain", ["H&E", "H-DAB"])
def test_a_model_of_one_stain_has_nothing_to_choose(stain, known):
    assert categories_under(stain, known) == ()


def test_what_was_chosen_is_said():
    decoding = stain_in_decoding("H-DAB", ("Positive", "Negative"))
    assert (
        stain_words(decoding)
        == "Taken for H-DAB by its colours, so categories are Positive, Negative."
    )
    assert stain_in_decoding("H&E", ()) == {}
    assert stain_words({}) == ""
