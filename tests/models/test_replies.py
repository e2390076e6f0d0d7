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
from napari_nunext.models.checkpoints.description import CheckpointDescription
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.replies import ReplyReader, expected_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint

CODEC = Codec(bins=16, window_px=32, coordinate_start_id=100, separator_id=5, end_id=3)


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


def test_a_point_stands_at_its_expected_bins_and_repeats_are_told_by_the_chosen_ones() -> None:
    reader = ReplyReader(0, CODEC)
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
    with pytest.raises(CheckpointError):
        CheckpointDescription.from_json(written | {"calibration": {"slope": -1, "shift": 0}})
