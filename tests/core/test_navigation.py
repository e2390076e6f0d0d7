from __future__ import annotations

import pytest

from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.image.navigation import magnification_in_words, place_of, steps_of

IMAGE = Box.of_image(20_000, 10_000)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("12345 6789", (12345, 6789)),
        (" 12345.5,6789 ", (12345.5, 6789)),
        ("x 12 y 34", (12, 34)),
        ("X=12; Y=34", (12, 34)),
        ("x12,y34", (12, 34)),
        ("12px 34px", (12, 34)),
        ("2.5, 1 mm", (10_000, 4000)),
        ("2,5; 1 mm", (10_000, 4000)),
        ("2500 um, 1000 um", (10_000, 4000)),
        ("2500 \N{MICRO SIGN}m; 1 mm", (10_000, 4000)),
        ("0 0", (0, 0)),
    ],
)
def test_a_place_is_read_as_people_type_it(words: str, place: tuple[float, float]) -> None:
    assert place_of(words, IMAGE, 0.25) == pytest.approx(place)


@pytest.mark.parametrize("words", ["12", "", "1 2 3", "here", "3 4 inch", "1 2 (3)", "a1 2"])
def test_what_is_no_place_says_how_to_type_one(words: str) -> None:
    with pytest.raises(InputError, match="Type x and y in pixels"):
        place_of(words, IMAGE, 0.25)


def test_a_place_outside_of_the_image_says_how_large_it_is() -> None:
    with pytest.raises(InputError, match=r"20000 x 10000 px \(5000 x 2500 um\)"):
        place_of("6, 1 mm", IMAGE, 0.25)
    with pytest.raises(InputError, match=r"20000 x 10000 px\.$"):
        place_of("-1 5", IMAGE, None)


def test_without_a_scale_a_place_is_in_pixels() -> None:
    assert place_of("7 9", IMAGE, None) == (7, 9)
    with pytest.raises(InputError, match="not known"):
        place_of("7 9 um", IMAGE, None)


def test_a_magnification_is_what_scanners_call_so() -> None:
    at_40x, at_20x = (
        {step.words: step.screen_px_per_px for step in steps_of(mpp)} for mpp in (0.25, 0.5)
    )
    assert at_40x == {"5x": 0.125, "10x": 0.25, "20x": 0.5, "40x": 1.0}
    assert at_20x["20x"] == 1.0
    assert [step.words for step in steps_of(None)] == ["1:4", "1:2", "1:1"]
    for mpp in (0.25, 0.5, None):
        for step in steps_of(mpp):
            assert magnification_in_words(step.screen_px_per_px, mpp) == step.words
    assert magnification_in_words(3.0, None) == "3:1"
    assert magnification_in_words(0.031, 0.25) == "1.2x"
