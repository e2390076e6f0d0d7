from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from nunext_training.data.crops import Crop
from nunext_training.data.prompts import BESIDE_PX, MIN_SEEN_PX, PromptedWindows, correcting_click
from nunext_training.data.windows import Example


def example(labels):
    labels = np.asarray(labels, dtype=np.int32)
    side = len(labels)
    rgb = np.zeros((side, side, 3), dtype=np.uint8)
    return Example(
        rgb, np.empty((0, 2)), None, "a", Crop(Box(0, 0, side, side), side), labels=labels
    )


@pytest.fixture
def labels():
    """A square, a bar, and hardly anything of a third."""
    image = np.zeros((16, 16), dtype=np.int32)
    image[2:7, 2:7], image[10:12, 4:14], image[: MIN_SEEN_PX - 1, 15] = 4, 9, 2
    return image


def test_every_nucleus_is_asked_for_before_any_is_asked_for_again(labels):
    prompted = PromptedWindows([example(labels)], prompts=5, jitter=1.0, seed=0)[0]
    assert set(prompted.chosen[:2]) == {4, 9}
    np.testing.assert_array_equal(prompted.chosen[2:4], prompted.chosen[:2])
    assert prompted.chosen[4] == prompted.chosen[0]


def test_a_slice_at_the_edge_is_asked_for_by_what_is_seen_of_it(labels):
    labels[:MIN_SEEN_PX, 15] = 2
    prompted = PromptedWindows([example(labels)], prompts=3, jitter=0.0, seed=0)[0]
    by_label = dict(zip(prompted.chosen.tolist(), prompted.points_xy[:, 0].tolist(), strict=True))
    assert by_label[2] == [15.5, MIN_SEEN_PX / 2]


def test_a_point_without_jitter_is_the_centroid(labels):
    prompted = PromptedWindows([example(labels)], prompts=2, jitter=0.0, seed=0)[0]
    by_label = dict(zip(prompted.chosen.tolist(), prompted.points_xy[:, 0].tolist(), strict=True))
    assert by_label == {4: [4.5, 4.5], 9: [9.0, 11.0]}


def test_points_with_jitter_lie_on_their_nucleus_and_go_up_to_its_edge(labels):
    windows = PromptedWindows([example(labels)], prompts=400, jitter=1.0, seed=0)
    prompted = windows[0]
    x, y = np.floor(prompted.points_xy[:, 0].T).astype(int)
    np.testing.assert_array_equal(labels[y, x], prompted.chosen)
    of_bar = prompted.points_xy[prompted.chosen == 9, 0]
    assert of_bar[:, 0].min() < 5.5
    assert of_bar[:, 0].max() > 12.5
    half = PromptedWindows([example(labels)], prompts=400, jitter=0.5, seed=0)[0]
    assert np.abs(half.points_xy[half.chosen == 9, 0, 0] - 9.0).max() <= 0.5 * 4.5


def test_the_same_seed_and_index_give_the_same_prompts(labels):
    def prompts(seed, index):
        windows = PromptedWindows([example(labels)] * 2, prompts=4, jitter=1.0, seed=seed)
        return windows[index].points_xy.tolist()

    assert prompts(0, 1) == prompts(0, 1)
    assert prompts(0, 1) != prompts(0, 0)
    assert prompts(0, 1) != prompts(1, 1)


def test_every_other_batch_has_further_clicks_on_the_nucleus_and_beside_it(labels):
    windows = PromptedWindows(
        [example(labels)] * 400, prompts=2, jitter=0.0, seed=0, clicks=3, batch=4
    )
    batches = [[windows[4 * b + i] for i in range(4)] for b in range(100)]
    counts = [prompted.points_xy.shape[1] for (prompted, *_) in batches]
    for batch, count in zip(batches, counts, strict=True):
        assert {prompted.points_xy.shape for prompted in batch} == {(2, count, 2)}
    assert set(counts) == {1, 2, 3, 4}
    assert 0.35 < np.mean(np.array(counts) == 1) < 0.65
    on_it = beside = 0
    for prompted in (p for batch in batches for p in batch):
        x, y = np.moveaxis(np.floor(prompted.points_xy).astype(int), 2, 0)
        np.testing.assert_array_equal(
            labels[y, x] == prompted.chosen[:, None], prompted.positive, strict=True
        )
        assert prompted.positive[:, 0].all()
        on_it += int(prompted.positive[:, 1:].sum())
        beside += int((~prompted.positive).sum())
    assert 0.4 < on_it / (on_it + beside) < 0.6


def test_a_click_beside_a_nucleus_is_near_it(labels):
    windows = PromptedWindows([example(labels)] * 40, prompts=2, jitter=0.0, seed=0, clicks=2)
    beside = [
        point
        for prompted in (windows[i] for i in range(40))
        for point, on_it in zip(prompted.points_xy[0], prompted.positive[0], strict=True)
        if prompted.chosen[0] == 9 and not on_it
    ]
    x, y = np.array(beside).T
    assert np.maximum(4 - x, x - 14).max() <= BESIDE_PX
    assert np.maximum(10 - y, y - 12).max() <= BESIDE_PX


def test_a_window_without_nuclei_asks_for_none():
    prompted = PromptedWindows([example(np.zeros((8, 8)))], prompts=2, jitter=1.0, seed=0)[0]
    assert prompted.chosen.tolist() == [0, 0]
    assert ((prompted.points_xy > 0) & (prompted.points_xy < 8)).all()


def test_a_window_without_labels_is_refused(labels):
    bare = replace(example(labels), labels=None)
    with pytest.raises(ValueError, match="paint_masks"):
        PromptedWindows([bare], prompts=2, jitter=1.0, seed=0)[0]


# Clicks that correct what was drawn


def test_a_click_goes_to_the_deeper_half_of_the_largest_error_near_a_place():
    drawn, true = np.zeros((30, 30), bool), np.zeros((30, 30), bool)
    true[4:13, 4:25] = True
    drawn[4:13, 4:8] = True  # 17 x 9 px are missing
    drawn[20:24, 2:6] = True  # and a smaller piece is too much
    for near in ((26.0, 8.0), (0.0, 29.0), (15.0, 8.5)):
        (x, y), on_it = correcting_click(drawn, true, np.array(near))
        assert on_it
        assert true[int(y), int(x)]
        assert not drawn[int(y), int(x)]
        from_edge = min(x - 8, 25 - x, y - 4, 13 - y)
        assert from_edge >= 2
    drawn[20:29, 2:26] = True
    (x, y), on_it = correcting_click(drawn, true, np.array((15.0, 8.5)))
    assert not on_it
    assert 20 < y < 29


def test_what_is_drawn_right_is_not_clicked_on():
    right = np.ones((5, 5), bool)
    assert correcting_click(right, right, np.array((2.0, 2.0))) is None
