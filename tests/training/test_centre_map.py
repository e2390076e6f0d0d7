from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.core.codec import Codec
from napari_nunext.core.errors import CheckpointError
from nunext_training.trainers.centre_map import (
    NEAR,
    NEAR_WEIGHT,
    CentreMapHead,
    centre_map,
    centre_map_loss,
)

if TYPE_CHECKING:
    from pathlib import Path

WINDOW_PX = 16
CODEC = Codec(
    bins=8, window_px=WINDOW_PX, coordinate_start_id=10, separator_id=1, end_id=2, latent_ids=(3,)
)
WITH_CATEGORIES = Codec(
    bins=8,
    window_px=WINDOW_PX,
    coordinate_start_id=10,
    separator_id=1,
    end_id=2,
    category_ids=(4, 5),
    category_names=("Lymphocyte", "Tumour"),
)


def by_hand(points_xy: np.ndarray, sigma_px: float) -> np.ndarray:
    """The map, pixel by pixel, of points in window pixels."""
    expected = np.zeros((WINDOW_PX, WINDOW_PX))
    for row in range(WINDOW_PX):
        for column in range(WINDOW_PX):
            for x, y in points_xy:
                squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                value = math.exp(-squared / (2 * sigma_px**2))
                expected[row, column] = max(expected[row, column], value)
    return expected


@pytest.mark.parametrize("codec", [CODEC, WITH_CATEGORIES], ids=["commas", "categories"])
def test_the_map_has_a_gaussian_around_every_point_of_a_padded_reply(codec: Codec) -> None:
    rng = np.random.default_rng(0)
    windows = [rng.uniform(0, WINDOW_PX, (n, 2)) for n in (0, 1, 5)]
    replies = [
        torch.tensor(codec.encode(p, [0] * len(p) if codec.has_categories else None))
        for p in windows
    ]
    padded = torch.nn.utils.rnn.pad_sequence(replies, batch_first=True, padding_value=-100)
    drawn = centre_map(padded, codec, sigma_px=1.5)
    for points_xy, target in zip(windows, drawn, strict=True):
        quantised = codec.to_points(codec.to_bins(points_xy))
        np.testing.assert_allclose(target, by_hand(quantised, 1.5), atol=1e-6)


def test_the_loss_is_weighted_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, generator=generator)
    targets = torch.rand(2, 3, 3, generator=generator)
    total = 0.0
    for z, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        loss = -(t * math.log(p) + (1 - t) * math.log(1 - p))
        total += loss * (NEAR_WEIGHT if t > NEAR else 1)
    assert centre_map_loss(logits, targets).item() == pytest.approx(total / 18, rel=1e-5)


def test_the_head_draws_each_token_into_its_own_square_of_pixels() -> None:
    head = CentreMapHead(width=1, token_px=2)
    with torch.no_grad():
        head.pixels.weight[:] = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
        head.pixels.bias.zero_()
    tokens = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0], [8.0]])
    drawn = head(tokens, batch=2)
    assert drawn[0].tolist() == [
        [1, 10, 2, 20],
        [100, 1000, 200, 2000],
        [3, 30, 4, 40],
        [300, 3000, 400, 4000],
    ]
    assert drawn[1, 0, 0] == 5


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    CentreMapHead(width=4, token_px=2).save(tmp_path)
    other = CentreMapHead(width=8, token_px=2)
    with pytest.raises(CheckpointError, match="does not fit this model"):
        other.load_if_there(tmp_path)
    other.load_if_there(tmp_path / "elsewhere")  # nothing there: it stays as it is
