"""``napari-nunext agreement``: what readers' judgements add up to, in words and in figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from napari_nunext import cli
from napari_nunext.core.answers.opinions import Rating
from napari_nunext.store import Project, events
from tests.store.answering import AskingLab

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = 21


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two readers who rate the same answers, and one of whom compares two answerers, blind."""
    path = tmp_path / "p.nunext"
    with Project.open(path, annotator="jd") as opened:
        lab = AskingLab(opened)
        sha = lab.add_image()
        for i in range(ANSWERS):
            said = ("yes", "no")[i % 2]
            mine = lab.ask(sha, f"<think>a</think><answer>{said}</answer>", name="qwen")
            other = lab.ask(sha, f"<think>b</think><answer>{said}</answer>", name="gemma")
            lab.rate(sha, mine, 4 if i % 3 else 2)
            lab.prefer(sha, mine, other, "left" if i % 4 else "right")
        rated = [answer for answer in opened.answers() if answer.by.name == "qwen"]
    with Project.open(path, annotator="mk") as opened:
        opened.append(
            [
                events.rate_answer(sha, answer.answer_id, Rating(4 if i % 3 else 1))
                for i, answer in enumerate(rated)
            ]
        )
    return path


def test_it_says_whether_readers_agree_and_whom_they_prefer(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["agreement", str(project)]) == 0
    ratings, choices, ranking = capsys.readouterr().out.splitlines()
    assert f"2 readers agree well in their ratings of {ANSWERS} answers" in ratings
    assert choices.startswith("Not enough yet: 14 of the 20 answers")
    assert f"In {ANSWERS} blind votes by 1 reader" in ranking
    assert ranking.index("qwen") < ranking.index("gemma")


def test_the_figures_come_as_json_with_their_intervals(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["agreement", str(project), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    low, high = told["ratings"]["interval"]
    assert low <= told["ratings"]["alpha"] <= high
    assert (told["ratings"]["answers"], told["ratings"]["readers"]) == (ANSWERS, 2)
    assert "not_enough" in told["choices"]
    first, second = told["ranking"]["answerers"]
    assert (first["name"], second["name"]) == ("qwen", "gemma")
    assert first["share"] + second["share"] == pytest.approx(1)
    assert first["interval"][0] <= first["share"] <= first["interval"][1]


def test_where_nobody_judged_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.nunext"
    Project.open(path, annotator="jd").close()
    assert cli.main(["agreement", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["choices"] is None
    assert "0 of the 20" in told["ratings"]["not_enough"]
    assert "0 of the 20" in told["ranking"]["not_enough"]


def test_a_project_that_is_not_there_is_a_sentence_and_stays_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.nunext"
    assert cli.main(["agreement", str(path)]) == 2
    assert "There is no project" in capsys.readouterr().err
    assert not path.exists()
