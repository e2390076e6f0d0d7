"""The film of the window: how long its pictures are shown, and that it is a film."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
from PIL import Image

from scripts.animation import (
    AFTER_S,
    BEFORE_S,
    MOST_BYTES,
    SEARCH_S,
    SIZE_PX,
    Frame,
    durations_ms,
    encode,
)
from scripts.pictures import IMAGES

FIRST, LAST = round(1000 * BEFORE_S), round(1000 * AFTER_S)


def test_pictures_of_a_quick_search_stay_for_as_long_as_they_did() -> None:
    assert durations_ms([0.0, 5.0, 5.4, 6.4]) == [FIRST, 400, 1000, LAST]


def test_pictures_of_a_long_search_share_the_time_in_proportion() -> None:
    first, *shown, last = durations_ms([0.0, 10.0, 20.0, 40.0])
    assert (first, last) == (FIRST, LAST)
    assert shown == [round(1000 * SEARCH_S / 3), round(2000 * SEARCH_S / 3)]


def test_pictures_at_the_same_moment_are_all_shown() -> None:
    assert min(durations_ms([0.0, 1.0, 1.0, 1.0])) > 0


def test_what_is_encoded_has_each_picture_for_its_time_and_begins_again() -> None:
    rng = np.random.default_rng(1)
    frames = [
        Frame(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8), at_s, nuclei)
        for at_s, nuclei in [(0.0, 0), (3.0, 4), (3.5, 9), (4.5, 12)]
    ]
    with Image.open(io.BytesIO(encode(frames))) as film:
        assert (film.size, film.n_frames, film.info["loop"]) == ((48, 32), 4, 0)
        shown = []
        for number in range(film.n_frames):
            film.seek(number)
            film.load()
            shown.append(film.info["duration"])
    assert shown == [FIRST, 500, 1000, LAST]


def test_the_film_of_the_readme_is_small_and_shows_more_and_more(repo_root) -> None:
    assert "docs/images/finding.webp" in (repo_root / "README.md").read_text("utf-8")
    path = IMAGES / "finding.webp"
    assert path.stat().st_size <= MOST_BYTES
    with Image.open(path) as film:
        assert film.size == SIZE_PX
        pictures = []
        for number in range(film.n_frames):
            film.seek(number)
            pictures.append(np.asarray(film.convert("RGB"), np.int16))
    assert len(pictures) >= 8
    changed = [np.abs(later - pictures[0]).max(axis=2) > 60 for later in pictures[1:]]
    shares = [float(each.mean()) for each in changed]
    assert shares[-1] > 0.02  # of the window is points that were not there
    grown = sum(later >= sooner for sooner, later in pairwise(shares))
    assert grown >= 0.8 * (len(shares) - 1)
