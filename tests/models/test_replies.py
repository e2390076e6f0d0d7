from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import CheckpointError
from napari_nunext.core.scores.calibration import Calibration
from napari_nunext.core.scores.position_error import AS_SPREAD, PositionCalibration
from napari_nunext.models.checkpoints.description import CheckpointDescription
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.replies import (
    SPREAD_RADIUS_UM,
    ReplyReader,
    expected_bins,
    spread_bins2,
    spread_radius_bins,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

CODEC = Codec(bins=16, window_px=32, coordinate_start_id=100, separator_id=5, end_id=3)
DESCRIPTION = CheckpointDescription(
    name="N", family="conv_qwen", codec=CODEC, mpp=0.5, halo_um=2.0, kind="detector", max_points=9
)


def test_the_expected_bin_is_the_mean_of_the_bins_around_the_chosen_one() -> None:
    allowed = torch.from_numpy(CODEC.allowed_at(0))
    scores = torch.randn(20, len(allowed), generator=torch.Generator().manual_seed(0))
    probabilities = scores.softmax(dim=1)
    chosen = allowed[torch.randint(1, 17, (20,), generator=torch.Generator().manual_seed(1))]
    got = expected_bins(probabilities, allowed, chosen, CODEC, 2)
    for row, token in enumerate(chosen.tolist()):
        near = [b for b in range(16) if abs(b - (token - 100)) <= 2]
        mass = [float(probabilities[row, allowed.tolist().index(100 + b)]) for b in near]
        assert float(got[row]) == pytest.approx(np.average(near, weights=mass), abs=1e-5)


def test_the_spread_is_the_variance_of_the_bins_around_the_chosen_one() -> None:
    allowed = torch.from_numpy(CODEC.allowed_at(0))
    scores = torch.randn(20, len(allowed), generator=torch.Generator().manual_seed(0))
    probabilities = scores.softmax(dim=1)
    chosen = allowed[torch.randint(1, 17, (20,), generator=torch.Generator().manual_seed(1))]
    got = spread_bins2(probabilities, allowed, chosen, CODEC, 2)
    for row, token in enumerate(chosen.tolist()):
        near = [b for b in range(16) if abs(b - (token - 100)) <= 2]
        mass = [float(probabilities[row, allowed.tolist().index(100 + b)]) for b in near]
        mean = np.average(near, weights=mass)
        variance = np.average((np.array(near) - mean) ** 2, weights=mass)
        assert float(got[row]) == pytest.approx(variance, abs=1e-4)


def test_spreads_of_x_and_y_become_a_distance_where_the_checkpoint_knows_how() -> None:
    curve = PositionCalibration(2.0, -0.5)
    told = [(104, 2.0), (107, 3.0), (5, None), (102, None), (103, 3.0), (5, None), (3, None)]

    def errors_um(calibration: PositionCalibration | None) -> list[tuple[float, ...] | None]:
        reader = ReplyReader(0, replace(DESCRIPTION, position_calibration=calibration))
        heard = []
        for position, (token, spread) in enumerate(told):
            heard += reader.take(position, token, 0.9, is_last=False, spread_bins2=spread)
        return [e.position_error_um for e in heard if isinstance(e, WindowPoints)]

    # A bin is 2 px of 0.5 um. The second point's x was not told: an engine of before tells none.
    assert errors_um(curve) == [(pytest.approx(curve(5.0)),), None]
    assert errors_um(None) == [None, None]


def test_a_detector_says_how_far_off_points_may_be_as_its_checkpoint_was_fitted(
    checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]
) -> None:
    curve = PositionCalibration(2.4, -1.5, 500)

    def points(calibration: PositionCalibration | None) -> list[WindowPoints]:
        described = replace(checkpoint.description, position_calibration=calibration)
        detector = NextPointDetector.from_loaded(replace(checkpoint, description=described))
        found = detector.detect(windows[:2], cancelled=lambda: False)
        return [e for e in found if isinstance(e, WindowPoints)]

    silent, raw, served = points(None), points(AS_SPREAD), points(curve)
    assert len(silent) == len(raw) == len(served) > 0
    description = checkpoint.description
    bin_um = description.codec.bin_px * description.mpp
    widest_um = np.sqrt(2) * spread_radius_bins(description.codec, description.mpp) * bin_um
    assert widest_um <= np.sqrt(2) * max(SPREAD_RADIUS_UM + bin_um / 2, bin_um)
    for nothing, before, after in zip(silent, raw, served, strict=True):
        assert nothing.position_error_um is None
        np.testing.assert_array_equal(before.points_xy, after.points_xy)
        assert before.confidence == after.confidence == nothing.confidence
        (sd_um,) = before.position_error_um or ()
        assert 0 < sd_um <= widest_um
        assert after.position_error_um == pytest.approx([curve(sd_um**2)])
    assert len({event.position_error_um for event in served}) > 1


def test_a_point_stands_at_its_expected_bins_and_repeats_are_told_by_the_chosen_ones() -> None:
    reader = ReplyReader(0, DESCRIPTION)
    heard = []
    for position, (token, expected) in enumerate(
        [(104, 4.25), (107, 6.5), (5, None), (104, 3.75), (107, 7.0), (3, None)]
    ):
        heard += reader.take(position, token, 0.9, is_last=False, expected_bin=expected)
    points = [e.points_xy.tolist() for e in heard if isinstance(e, WindowPoints)]
    assert points == [[[(4.25 + 0.5) * 2, (6.5 + 0.5) * 2]]]


def test_a_detector_may_place_points_between_bins(
    checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]
) -> None:
    def points(between_bins: bool) -> NDArray[np.float64]:
        detector = NextPointDetector.from_loaded(checkpoint, between_bins=between_bins)
        assert detector.info.decoding["position"] == ("expected" if between_bins else "bin")
        found = detector.detect(windows[:2], cancelled=lambda: False)
        return np.concatenate([e.points_xy for e in found if isinstance(e, WindowPoints)])

    middle, between = points(False), points(True)
    assert middle.shape == between.shape
    assert not np.array_equal(middle, between)
    codec = checkpoint.description.codec
    np.testing.assert_array_equal(codec.to_points(codec.to_bins(middle)), middle)
    assert np.abs(middle - between).max() <= 3 * codec.bin_px


def test_a_calibrated_checkpoint_finds_the_same_and_says_how_often_it_is_right(
    checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]
) -> None:
    curve = Calibration(0.7, 1.1, 500)

    def points(calibration: Calibration | None) -> list[WindowPoints]:
        described = replace(checkpoint.description, calibration=calibration)
        detector = NextPointDetector.from_loaded(replace(checkpoint, description=described))
        said = "calibrated" if calibration is not None else None
        assert detector.info.decoding.get("confidence") == said
        found = detector.detect(windows[:2], cancelled=lambda: False)
        return [e for e in found if isinstance(e, WindowPoints)]

    raw, served = points(None), points(curve)
    assert len(raw) == len(served) > 0
    for before, after in zip(raw, served, strict=True):
        np.testing.assert_array_equal(before.points_xy, after.points_xy)
        assert after.confidence == pytest.approx([curve(value) for value in before.confidence])


def test_a_description_keeps_its_calibration(checkpoint: LoadedCheckpoint) -> None:
    described = replace(checkpoint.description, calibration=Calibration(0.7, 1.1, 500))
    written = json.loads(json.dumps(described.to_json()))
    assert CheckpointDescription.from_json(written) == described
    del written["calibration"]  # as checkpoints of before are
    assert CheckpointDescription.from_json(written).calibration is None
    assert "position_calibration" not in written
    measured = replace(described, position_calibration=PositionCalibration(2.4, -1.5, 500))
    assert CheckpointDescription.from_json(json.loads(json.dumps(measured.to_json()))) == measured
    with pytest.raises(CheckpointError):
        CheckpointDescription.from_json(written | {"calibration": {"slope": -1, "shift": 0}})
