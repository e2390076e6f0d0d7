from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.geometry import Box
from nunext_training.datasets.crops import Crop
from nunext_training.datasets.prompts import MIN_SEEN_PX, PromptedWindows
from nunext_training.datasets.windows import Example


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
    by_label = dict(zip(prompted.chosen.tolist(), prompted.points_xy.tolist(), strict=True))
    assert by_label[2] == [15.5, MIN_SEEN_PX / 2]


def test_a_point_without_jitter_is_the_centroid(labels):
    prompted = PromptedWindows([example(labels)], prompts=2, jitter=0.0, seed=0)[0]
    by_label = dict(zip(prompted.chosen.tolist(), prompted.points_xy.tolist(), strict=True))
    assert by_label == {4: [4.5, 4.5], 9: [9.0, 11.0]}


def test_points_with_jitter_lie_on_their_nucleus_and_go_up_to_its_edge(labels):
    windows = PromptedWindows([example(labels)], prompts=400, jitter=1.0, seed=0)
    prompted = windows[0]
    x, y = np.floor(prompted.points_xy.T).astype(int)
    np.testing.assert_array_equal(labels[y, x], prompted.chosen)
    of_bar = prompted.points_xy[prompted.chosen == 9]
    assert of_bar[:, 0].min() < 5.5
    assert of_bar[:, 0].max() > 12.5
    half = PromptedWindows([example(labels)], prompts=400, jitter=0.5, seed=0)[0]
    assert np.abs(half.points_xy[half.chosen == 9][:, 0] - 9.0).max() <= 0.5 * 4.5


def test_the_same_seed_and_index_give_the_same_prompts(labels):
    def prompts(seed, index):
        windows = PromptedWindows([example(labels)] * 2, prompts=4, jitter=1.0, seed=seed)
        return windows[index].points_xy.tolist()

    assert prompts(0, 1) == prompts(0, 1)
    assert prompts(0, 1) != prompts(0, 0)
    assert prompts(0, 1) != prompts(1, 1)


def test_a_window_without_nuclei_asks_for_none():
    prompted = PromptedWindows([example(np.zeros((8, 8)))], prompts=2, jitter=1.0, seed=0)[0]
    assert prompted.chosen.tolist() == [0, 0]
    assert ((prompted.points_xy > 0) & (prompted.points_xy < 8)).all()


def test_a_window_without_labels_is_refused(labels):
    bare = replace(example(labels), labels=None)
    with pytest.raises(ValueError, match="paint_masks"):
        PromptedWindows([bare], prompts=2, jitter=1.0, seed=0)[0]
