"""What an answerer of a folder reads, and how large pictures are: said, or as it was taught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_nunext.core.answers.answerer import AnswererFolder
from napari_nunext.core.errors import CheckpointError
from napari_nunext.models.answerers.about import (
    ABOUT_FILE,
    reads_nuclei,
    taught_budget,
    taught_thought,
)
from napari_nunext.models.answerers.folder import FolderAnswerer, InMemory


@pytest.fixture
def folder(tmp_path):
    """Makes a folder that says this of its training; nothing at all for None."""

    def make(name, about=None):
        made = tmp_path / name
        made.mkdir()
        if about is not None:
            text = about if isinstance(about, str) else json.dumps(about)
            (made / ABOUT_FILE).write_text(text, "utf-8")
        return made

    return make


@pytest.mark.parametrize(
    ("about", "reads"),
    [
        (None, False),
        ({}, False),
        ({"thought": None}, False),
        ({"thought": "none", "budget": 256}, False),
        ({"thought": "prose"}, False),
        ({"thought": "points", "budget": 64}, True),
    ],
    ids=str,
)
def test_an_answerer_that_was_taught_on_points_reads_nuclei(folder, about, reads):
    place = AnswererFolder("a", folder("vlm", about))
    assert reads_nuclei(place) is reads
    answerer = FolderAnswerer(place, InMemory())
    assert answerer.address.reads_nuclei is reads


def test_the_adapter_says_it_before_its_folder_and_a_person_before_both(folder):
    taught, plain, silent = (
        folder("a", {"thought": "points"}),
        folder("b", {"thought": "none"}),
        folder("c"),
    )
    assert reads_nuclei(AnswererFolder("x", plain, adapter=taught))
    assert not reads_nuclei(AnswererFolder("x", taught, adapter=plain))
    assert reads_nuclei(AnswererFolder("x", taught, adapter=silent))
    assert not reads_nuclei(AnswererFolder("x", taught, reads_nuclei=False))
    assert reads_nuclei(AnswererFolder("x", plain, reads_nuclei=True))


@pytest.mark.parametrize(
    "about",
    [
        "{",
        "[]",
        "\x00",
        "{" * 100_000,
        {"thought": "loud"},
        {"thought": ["points"]},
        {"thought": 1},
    ],
    ids=lambda about: str(about)[:20],
)
def test_what_cannot_be_read_is_a_sentence_and_no_server_falls_over_it(folder, about):
    place = AnswererFolder("a", folder("vlm", about))
    with pytest.raises(CheckpointError, match=ABOUT_FILE):
        taught_thought(place.folder)
    answerer = FolderAnswerer(place, InMemory())
    with pytest.raises(CheckpointError, match=ABOUT_FILE):
        next(answerer.answer(None, "", "", None, cancelled=lambda: False))
    said = FolderAnswerer(AnswererFolder("a", place.folder, reads_nuclei=True), InMemory())
    assert said.address.reads_nuclei


def test_a_folder_in_its_place_is_a_sentence_too(folder):
    made = folder("vlm")
    (made / ABOUT_FILE).mkdir()
    with pytest.raises(CheckpointError, match="cannot be read"):
        taught_thought(made)


def test_pictures_are_as_large_as_those_that_it_was_taught_with(folder):
    small, large, silent = folder("a", {"budget": 64}), folder("b", {"budget": 256}), folder("c")
    assert taught_budget(AnswererFolder("x", silent)) is None
    assert taught_budget(AnswererFolder("x", large, adapter=small)) == 64
    assert taught_budget(AnswererFolder("x", small, adapter=silent)) == 64
    assert taught_budget(AnswererFolder("x", small, budget=9)) == 9
    assert FolderAnswerer(AnswererFolder("x", small), InMemory()).address.budget == 64


@pytest.mark.parametrize("said", [0, -1, 10**6, "many", 64.5, [64], True])
def test_a_budget_that_is_none_is_a_problem_and_no_crash(folder, said):
    place = AnswererFolder("x", folder("a", {"budget": said}))
    with pytest.raises(CheckpointError, match=r"expected 1 to 16384 image tokens"):
        taught_budget(place)
    with pytest.raises(CheckpointError, match="budget="):
        next(FolderAnswerer(place, InMemory()).answer(None, "", "", None, cancelled=lambda: False))


def test_a_folder_that_cannot_be_looked_at_says_nothing_of_its_training():
    place = AnswererFolder("x", Path("/" + 300 * "n"))
    assert taught_budget(place) is None
    assert taught_thought(place.folder) is None
    assert FolderAnswerer(place, InMemory()).address.budget is None
