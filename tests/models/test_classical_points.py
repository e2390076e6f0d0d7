from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nunext.core.errors import CalibrationError, InputError
from napari_nunext.core.scores.matching import match_points
from napari_nunext.core.scores.metrics import DetectionCase, score_detections
from napari_nunext.core.stains.optical_density import STAINS_RGB
from napari_nunext.images import open_image
from napari_nunext.models.classical.points import ClassicalParams, detect_nuclei
from napari_nunext.models.classical.stain import haematoxylin_od

if TYPE_CHECKING:
    from pathlib import Path

HAEMATOXYLIN, EOSIN, DAB = STAINS_RGB


def stained(*layers: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """RGB of a section from (amount, stain) layers by Beer-Lambert."""
    density = sum(amount[..., None] * stain for amount, stain in layers)
    return np.rint(255 * 10.0 ** -np.asarray(density)).astype(np.uint8)


def discs(shape: tuple[int, int], points_xy: np.ndarray, radius_px: float) -> np.ndarray:
    """Soft-edged discs of height 1, shape (H, W)."""
    y, x = np.indices(shape) + 0.5
    amount = np.zeros(shape)
    for px, py in points_xy:
        amount = np.maximum(amount, np.clip(radius_px + 0.5 - np.hypot(x - px, y - py), 0, 1))
    return amount


def section(
    points_xy: np.ndarray, *, mpp: float, side_um: float = 100, radius_um: float = 4
) -> np.ndarray:
    side = round(side_um / mpp)
    nuclei = discs((side, side), points_xy, radius_um / mpp)
    return stained((0.6 * nuclei, HAEMATOXYLIN), (np.full((side, side), 0.25), EOSIN))


NUCLEI_UM = np.array([[20.3, 25.1], [60.7, 22.2], [40.0, 70.9], [80.2, 80.4], [56.0, 45.5]])


def test_unmixing_returns_the_haematoxylin_that_was_put_in() -> None:
    amount = np.linspace(0, 0.8, 20).reshape(4, 5)
    rgb = stained((amount, HAEMATOXYLIN), (amount[::-1] / 2, EOSIN), (amount / 4, DAB))
    np.testing.assert_allclose(haematoxylin_od(rgb), amount, atol=0.03)


def test_glass_has_no_haematoxylin() -> None:
    assert (haematoxylin_od(np.full((3, 3, 3), 255, np.uint8)) == 0).all()


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 0.6, 1.0])
def test_nuclei_are_found_to_a_fraction_of_a_um_at_any_scale(mpp: float) -> None:
    points_xy, confidence = detect_nuclei(section(NUCLEI_UM / mpp, mpp=mpp), mpp=mpp)
    matching = match_points(points_xy * mpp, NUCLEI_UM, radius_px=0.3)
    assert (matching.tp, matching.fp, matching.fn) == (5, 0, 0)
    assert ((confidence > 0.8) & (confidence < 1)).all()


@pytest.mark.parametrize("radius_um", [2.5, 4.0, 6.0])
def test_small_and_large_nuclei_are_found_once(radius_um: float) -> None:
    rgb = section(NUCLEI_UM / 0.5, mpp=0.5, radius_um=radius_um)
    points_xy, _ = detect_nuclei(rgb, mpp=0.5)
    assert match_points(points_xy, NUCLEI_UM / 0.5, radius_px=2).tp == len(points_xy) == 5


def test_brown_without_blue_is_no_nucleus() -> None:
    side = 200
    brown = discs((side, side), NUCLEI_UM[:2] * 2, 8)
    blue = discs((side, side), NUCLEI_UM[2:] * 2, 8)
    rgb = stained((0.6 * blue, HAEMATOXYLIN), (0.8 * brown, DAB))
    points_xy, _ = detect_nuclei(rgb, mpp=0.5)
    assert match_points(points_xy, NUCLEI_UM[2:] * 2, radius_px=1).tp == len(points_xy) == 3


def test_points_come_in_raster_order() -> None:
    points_xy, _ = detect_nuclei(section(NUCLEI_UM * 2, mpp=0.5), mpp=0.5)
    assert (np.diff(points_xy[:, 1]) >= 0).all()


def test_darker_nuclei_are_surer() -> None:
    side = 200
    strengths = np.array([0.15, 0.25, 0.35, 0.45, 0.55])
    blue = sum(
        s * discs((side, side), p[None] * 2, 8) for s, p in zip(strengths, NUCLEI_UM, strict=True)
    )
    params = ClassicalParams(most_gain=1.0)
    points_xy, confidence = detect_nuclei(stained((blue, HAEMATOXYLIN)), mpp=0.5, params=params)
    matching = match_points(points_xy, NUCLEI_UM * 2, radius_px=1)
    by_strength = confidence[matching.pred_index[np.argsort(matching.true_index)]]
    assert matching.tp == 5
    assert (np.diff(by_strength) > 0).all()


def test_pale_counterstain_is_amplified_but_glass_stays_empty(rng: np.random.Generator) -> None:
    side = 200
    pale = 0.2 * discs((side, side), NUCLEI_UM * 2, 8)
    points_xy, _ = detect_nuclei(stained((pale, HAEMATOXYLIN)), mpp=0.5)
    assert match_points(points_xy, NUCLEI_UM * 2, radius_px=1).tp == len(points_xy) == 5
    glass = rng.integers(238, 250, size=(side, side, 3), dtype=np.uint8)
    assert len(detect_nuclei(glass, mpp=0.5)[0]) == 0


@settings(max_examples=10)
@given(dx=st.integers(0, 40), dy=st.integers(0, 40))
def test_moving_the_view_moves_the_points(dx: int, dy: int) -> None:
    rgb = section(NUCLEI_UM * 2, mpp=0.5)
    view = rgb[dy : dy + 150, dx : dx + 150]
    border_px = ClassicalParams().reach_um / 0.5
    moved, _ = detect_nuclei(view, mpp=0.5)
    whole, _ = detect_nuclei(rgb, mpp=0.5)
    inner = ((whole - (dx, dy) > border_px) & (whole - (dx, dy) < 150 - border_px)).all(axis=1)
    shifted = whole[inner] - (dx, dy)
    assert match_points(moved, shifted, radius_px=0.05).fn == 0


@pytest.mark.parametrize("shape", [(0, 0, 3), (1, 1, 3), (0, 5, 3), (2, 300, 3)])
def test_tiny_and_empty_images_have_no_nuclei(shape: tuple[int, int, int]) -> None:
    points_xy, confidence = detect_nuclei(np.full(shape, 255, np.uint8), mpp=0.5)
    assert points_xy.shape == (0, 2)
    assert confidence.shape == (0,)


@pytest.mark.parametrize(
    "pixels", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)]
)
def test_other_than_rgb8_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(InputError, match="expected uint8 of shape"):
        detect_nuclei(pixels, mpp=0.5)


def test_scale_is_needed_to_be_plausible() -> None:
    with pytest.raises(CalibrationError):
        detect_nuclei(np.zeros((8, 8, 3), np.uint8), mpp=0.0)


def test_floor_holds_on_held_out_breast_tiles(data_root: Path) -> None:
    root = data_root / "brca_m2c"
    cases = []
    for name in (root / "val.txt").read_text(encoding="utf-8").split():
        rows = np.loadtxt(root / "labels" / f"{name}_gt_class_coords.txt", ndmin=2)
        points_xy, _ = detect_nuclei(open_image(root / "images" / f"{name}.png").rgb, mpp=0.5)
        cases.append(DetectionCase(points_xy, rows[:, 1::-1] + 0.5, 0.5))
    assert score_detections(cases).overall.f1 >= 0.80
