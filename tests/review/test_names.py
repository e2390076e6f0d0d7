from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nunext.review.names import ELLIPSIS, shown_names

PARTS = st.sampled_from(
    ["TCGA", "A7", "A0D9", "A0DA", "01Z", "x", "1", "12", "-", "_", ".", " ", ELLIPSIS, "…a", "é"]
)
FILE_NAMES = st.lists(PARTS, min_size=1, max_size=9).map("".join).filter(lambda n: n.strip("."))
PATHS = st.builds(
    lambda folders, name: PurePosixPath("/", *folders, name),
    st.lists(st.sampled_from(["a", "b", "slides"]), max_size=3),
    FILE_NAMES,
)
QUEUES = st.lists(PATHS, unique=True, max_size=8).map(tuple)


@given(QUEUES, st.integers(0, 30))
def test_distinct_images_are_shown_distinctly(paths: tuple[PurePosixPath, ...], room: int) -> None:
    shown = shown_names(paths, room)
    assert len(set(shown)) == len(paths) == len(shown)


@given(QUEUES, st.integers(0, 30))
def test_every_word_of_its_own_is_shown(paths: tuple[PurePosixPath, ...], room: int) -> None:
    def words(text: str) -> set[str]:
        return set(re.split(r"[\W_]+", text))

    common = set.intersection(*(words(p.name) for p in paths)) if paths else set()
    for path, shown in zip(paths, shown_names(paths, room), strict=True):
        assert words(path.name) - common <= words(shown.split("/")[-1])


@given(QUEUES, st.integers(0, 30))
def test_signs_alone_are_nobody_s_name(paths: tuple[PurePosixPath, ...], room: int) -> None:
    for path, shown in zip(paths, shown_names(paths, room), strict=True):
        has_word = re.search(r"[^\W_]", path.name) is not None
        assert not has_word or re.search(r"[^\W_]", shown)


@given(QUEUES)
def test_names_that_fit_are_left_alone(paths: tuple[PurePosixPath, ...]) -> None:
    for path, shown in zip(paths, shown_names(paths, 1000), strict=True):
        assert shown.endswith(path.name)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (
            ("TCGA-A7-A0D9-01Z-00-DX1_001.png", "TCGA-A7-A0DA-01Z-00-DX1_001.png"),
            ("TCGA-A7-A0D9…", "TCGA-A7-A0DA…"),
        ),
        (
            ("TCGA-A7-A0D9-01Z-00-DX1_x100.png", "TCGA-A7-A0DA-01Z-00-DX1_x200.png"),
            ("TCGA-A7-A0D9…x100.png", "TCGA-A7-A0DA…x200.png"),
        ),
        (("TCGA", "TCGA "), ("TCGA", "TCGA ")),
        (
            ("study of 2024 left.png", "study of 2024 upper right.png"),
            ("…left.png", "…upper right.png"),
        ),
    ],
)
def test_what_the_names_have_in_common_is_left_out(
    names: tuple[str, ...], shown: tuple[str, ...]
) -> None:
    assert shown_names(tuple(map(PurePosixPath, names)), 21) == shown


def test_one_name_in_two_folders_is_told_apart_by_the_folder() -> None:
    paths = tuple(map(PurePosixPath, ("/s/a/t.png", "/s/b/t.png", "/s/b/u.png")))
    assert shown_names(paths, 30) == ("a/t.png", "b/t.png", "u.png")


def test_a_name_alone_is_shown_whole() -> None:
    name = "one long name that nothing else is to be told apart from.png"
    assert shown_names((PurePosixPath(name),), 10) == (name,)
