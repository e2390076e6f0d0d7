from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.models.next_point.decoder import decode_batch
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.next_point.replies import CONFIDENCE_RADIUS_UM

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint
    from napari_nunext.models.detector import WindowEvent

Windows = "list[NDArray[np.uint8]]"


def events(detector: NextPointDetector, windows: Windows) -> list[WindowEvent]:
    return list(detector.detect(windows, cancelled=lambda: False))


def of_window(found: list[WindowEvent], window: int) -> list[Any]:
    """Points, categories, confidence and end of a window, comparable."""
    return [
        (e.points_xy.tolist(), e.categories, e.confidence) if isinstance(e, WindowPoints) else e
        for e in found
        if e.window == window
    ]


def expected_of_window(checkpoint: LoadedCheckpoint, window: NDArray[np.uint8]) -> list[Any]:
    """The same by the book: parse the tokens, then multiply the probabilities one by one."""
    description = checkpoint.description
    codec = description.codec
    steps = list(
        decode_batch(
            checkpoint.model,
            checkpoint.windows([window]),
            codec,
            max_points=description.max_points,
        )
    )
    reply = [int(s.token_ids[0]) for s in steps]
    radius = max(1, round(CONFIDENCE_RADIUS_UM / (codec.bin_px * description.mpp)))

    def probability(position: int, token: int) -> float:
        ids = steps[position].allowed_ids.tolist()
        return float(steps[position].probabilities[0, ids.index(token)]) if token in ids else 0.0

    def mass(position: int) -> float:
        bin_ = reply[position] - codec.coordinate_start_id
        near = range(max(0, bin_ - radius), min(codec.bins, bin_ + radius + 1))
        return sum(probability(position, codec.coordinate_start_id + b) for b in near)

    parsed = codec.parse(reply)
    seen, result = set(), []
    for bins, category, (start, stop) in zip(
        parsed.bins_xy.tolist(), parsed.category_indices.tolist(), parsed.spans, strict=True
    ):
        if codec.has_categories and stop - start < 3:
            continue
        confidence = mass(start) * mass(start + 1)
        if start > 0 and not codec.has_categories:
            confidence *= 1 - probability(start - 1, codec.end_id)
        name = "Nucleus" if category < 0 else codec.category_names[category]
        if tuple(bins) not in seen:
            seen.add(tuple(bins))
            points = ((np.array([bins]) + 0.5) * codec.window_px / codec.bins).tolist()
            result.append((points, (name,), pytest.approx((confidence,), abs=2e-4)))
    finish = "end" if parsed.failure is None else "limit"
    return [*result, WindowEnd(0, finish, len(reply))]


def test_points_categories_and_confidence_are_those_of_the_tokens(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    found = events(NextPointDetector.from_loaded(checkpoint, windows_at_once=4), windows)
    for i, window in enumerate(windows):
        got = of_window(found, i)
        expected = expected_of_window(checkpoint, window)
        assert dataclasses.replace(got[-1], window=0) == expected[-1]
        assert got[:-1] == expected[:-1]


def test_no_point_is_outside_its_window_said_twice_or_surer_than_sure(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    found = events(NextPointDetector.from_loaded(checkpoint), windows)
    names = {c.name for c in NextPointDetector.from_loaded(checkpoint).info.categories}
    for i in range(len(windows)):
        points = [e for e in found if isinstance(e, WindowPoints) and e.window == i]
        xy = [tuple(p) for e in points for p in e.points_xy.tolist()]
        assert len(set(xy)) == len(xy) <= checkpoint.description.max_points
        assert all(0 < v < checkpoint.description.window_px for p in xy for v in p)
        assert all(0 <= c <= 1 for e in points for c in e.confidence)
        assert all(e.points_xy.dtype == np.float64 for e in points)
        assert {c for e in points for c in e.categories} <= names
        assert sum(isinstance(e, WindowEnd) and e.window == i for e in found) == 1


def test_points_arrive_before_their_window_is_finished(
    checkpoint: LoadedCheckpoint, windows: Windows
) -> None:
    computed = 0
    counting = checkpoint.model.base_model.register_forward_hook(lambda *_: _count())

    def _count() -> None:
        nonlocal computed
        computed += 1

    detector = NextPointDetector.from_loaded(checkpoint)
    try:
        passes = [(e, computed) for e in detector.detect(windows, cancelled=lambda: False)]
    finally:
        counting.remove()
    first = next(n for e, n in passes if isinstance(e, WindowPoints))
    # Prompt, x, y, and the category: what the first point needs, and nothing more.
    assert first <= (3 if checkpoint.description.codec.has_categories else 2)
    assert passes[-1][1] > first


def test_nothing_is_yielded_once_cancelled(checkpoint: LoadedCheckpoint, windows: Windows) -> None:
    cancelled = False
    stream = NextPointDetector.from_loaded(checkpoint, windows_at_once=2).detect(
        windows, cancelled=lambda: cancelled
    )
    next(stream)
    cancelled = True
    # What the same step said of other windows may still come; the next step does not.
    assert len(list(stream)) <= 2


def test_a_detector_from_a_folder_says_what_a_run_must_remember(
    built: Path, windows: Windows
) -> None:
    detector = NextPointDetector(built, device="cpu")
    info = detector.info
    assert (info.window_px, info.mpp, info.family) == (32, 0.5, "qwen2_5_vl")
    assert [c.name for c in info.categories] == ["Nucleus"]
    assert len(info.checkpoint_sha256 or "") == 64
    assert info.decoding["strategy"] == "greedy"
    assert info.image_tokens == 16
    ends = [e for e in events(detector, windows) if isinstance(e, WindowEnd)]
    assert sorted(e.window for e in ends) == list(range(len(windows)))


def test_a_window_of_another_size_is_refused_rather_than_resized(built: Path) -> None:
    detector = NextPointDetector(built, device="cpu")
    with pytest.raises(InputError, match=r"expected uint8 \(32, 32, 3\)"):
        events(detector, [np.zeros((64, 64, 3), np.uint8)])


def test_no_windows_give_no_events(built: Path) -> None:
    assert events(NextPointDetector(built, device="cpu"), []) == []


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no nunext\.json"):
        NextPointDetector(tmp_path)
