"""``napari-nunext ask``: questions on the command line, one and many."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest
from PIL import Image

from napari_nunext import cli
from napari_nunext.commands import ask as command
from napari_nunext.commands.ask import Asked, read_list
from napari_nunext.core.answers.answerer import AnswererAddress
from napari_nunext.core.errors import InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images import open_image
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from napari_nunext.store import ImageEntry, Project, events
from tests.answering import MODEL, chat_server
from tests.serving.conftest import TOKEN


@pytest.fixture
def tile(tmp_path, rng):
    path = tmp_path / "tile.png"
    Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def project(tmp_path, tile):
    """Three lymphocytes on the left, one stromal nucleus on the right, one deleted."""
    path = tmp_path / "review.nunext"
    image = open_image(tile)
    with Project.open(path, annotator="ana") as project:
        project.set_categories(default_categories(["Lymphocyte", "Stromal"]))
        project.add_image(
            ImageEntry(image.id, str(tile), "tile.png", 128, 96, mpp=0.5, mpp_source="user")
        )
        rows = [(10, 10, "Lymphocyte"), (12, 60, "Lymphocyte"), (20, 30, "Lymphocyte")]
        rows += [(100, 50, "Stromal"), (110, 80, "Stromal")]
        added = [events.add(image.id, float(x), float(y), category) for x, y, category in rows]
        project.append(added)
        project.append([events.delete(image.id, added[-1].uid)])
    return path


@pytest.fixture
def run(capsys):
    def run(*arguments):
        try:
            code = cli.main(["ask", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return run


def test_the_nuclei_of_a_project_answer(run, tile, project):
    code, (said,), _ = run(
        tile, "--project", project, "--question", "Which category dominates?",
        "--options", "stromal", "lymphocyte",
    )  # fmt: skip
    assert code == 0
    assert (said["answer"], said["choice"], said["answered"]) == ("lymphocyte", 1, True)
    assert [(each["x"], each["y"]) for each in said["evidence"]] == [(10, 10), (12, 60), (20, 30)]
    assert len({UUID(each["uid"]) for each in said["evidence"]}) == 3
    assert (said["image"], said["answerer"], said["region"]) == ("tile.png", "counts", None)


def test_deleted_nuclei_and_those_beside_the_region_do_not_count(run, tile, project):
    code, (said,), _ = run(
        tile, "--project", project, "--question", "How many nuclei are there?",
        "--region", 64, 0, 128, 96,
    )  # fmt: skip
    assert (code, said["answer"], said["region"]) == (0, "1", [64.0, 0.0, 128.0, 96.0])


def test_a_list_is_answered_line_by_line(run, tile, project, tmp_path):
    questions = tmp_path / "questions.jsonl"
    rows = [
        {"question": "How many lymphocytes are there?"},
        {"question": "How many lymphocytes are there?", "region": [0, 0, 64, 40]},
        {"question": "How many nuclei are there?", "region": [900, 0, 990, 40]},
        {"task": "lesions", "question": "lymphocytes", "organ": "breast"},
        {"question": "What is the grade?"},
    ]
    questions.write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    code, said, complaints = run(tile, "--project", project, "--list", questions)
    assert code == 2
    assert "Question 3: The region holds nothing of tile.png" in complaints
    assert [each["answer"] for each in said[:3]] == ["3", "2", "none"]
    assert [each["answered"] for each in said] == [True, True, True, False]


def test_without_a_project_nuclei_are_found_first(run, tile, monkeypatch, start, catalog):
    server = start()

    class Started:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def client(self):
            return server.client

    monkeypatch.setattr(command, "LocalServer", Started)
    code, (said,), _ = run(tile, "--mpp", "0.5", "--question", "How many nuclei are there?")
    assert code == 0
    assert said["answered"]
    assert int(said["answer"]) == len(said["evidence"])


def test_an_answerer_that_reads_nuclei_is_told_those_of_the_project(
    run, tile, project, monkeypatch, start, catalog
):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with chat_server() as fake:
        server = start(answerers=(AnswererAddress("vlm", fake.url, MODEL, reads_nuclei=True),))
        code, (said,), _ = run(
            tile, "--project", project, "--answerer", "vlm", "--server", server.url,
            "--question", "Which nuclei dominate?", "--region", 0, 0, 64, 96,
        )  # fmt: skip
    assert code == 0
    assert said["made_by"]["answerer"]["reads_nuclei"]
    told, question = said["made_by"]["prompt"].split("\n")
    assert told.count("Lymphocyte;") == 3
    assert "Stromal" not in told
    assert question == "Which nuclei dominate?"


def test_a_model_answers_through_the_server(run, tile, monkeypatch, start, catalog):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    with chat_server() as fake:
        server = start(answerers=(AnswererAddress("vlm", fake.url, MODEL),))
        code, (said,), _ = run(
            tile, "--mpp", "0.5", "--answerer", "vlm", "--server", server.url,
            "--question", "Which nuclei dominate?", "--options", "tumour", "lymphocyte",
            "--budget", "6",
        )  # fmt: skip
        assert code == 0
        assert (said["answer"], said["choice"], said["failure"]) == ("lymphocyte", 1, None)
        assert said["made_by"]["image_tokens"] <= 6
        assert said["made_by"]["max_tokens"] == 1024
        asked = ("--answerer", "vlm", "--server", server.url, "--question", "Which?")
        code, (said,), _ = run(tile, "--mpp", "0.5", *asked, "--max-tokens", "64")
        assert (said["made_by"]["max_tokens"], fake.asked[-1]["max_tokens"]) == (64, 64)
        code, said, complaints = run(tile, "--mpp", "0.5", *asked, "--max-tokens", "9000")
        assert (code, said) == (2, [])
        assert "expected 1 to 8192" in complaints
        fake.status = 401
        code, said, complaints = run(
            tile,
            "--mpp",
            "0.5",
            "--answerer",
            "vlm",
            "--server",
            server.url,
            "--question",
            "Which?",
        )
        assert (code, said) == (2, [])
        assert "NAPARI_NUNEXT_KEY_VLM" in complaints


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give a question"),
        (("--question", " "), "give a question"),
        (("--question", "x", "--region", "1", "2", "3"), "4 arguments"),
        (("--question", "x", "--region", "9", "0", "1", "1"), "inside out"),
        (("--question", "x", "--mpp", "0.5", "--answerer", "a", "--budget", "99999"), "1 to 16384"),
        (("--question", "x", "--mpp", "0.5", "--answerer", "a", "--server", "x"), "not a server"),
        (("--task", "subtype", "--options", "one"), "two categories"),
    ],
)
def test_what_cannot_be_asked_is_said(run, tile, project, arguments, words):
    code, said, complaints = run(tile, "--project", project, *arguments)
    assert (code, said) == (2, [])
    assert words in complaints


def test_an_image_that_is_not_in_the_project_is_said(run, tmp_path, project):
    other = tmp_path / "other.png"
    Image.new("RGB", (20, 20)).save(other)
    code, _, complaints = run(other, "--project", project, "--question", "How many nuclei?")
    assert code == 2
    assert "holds no image with the pixels of other.png" in complaints


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 1 is no JSON"),
        ("[1]", "line 1: A question is malformed"),
        ('{"question": "x", "colour": 1}', "line 1: 'colour' is no part"),
        ('{"question": "x", "region": [1, 2]}', "line 1: A box has 4 numbers"),
        ('{"question": "x", "region": ["a", 2, 3, 4]}', "line 1: A question is malformed"),
        ('{"task": "poem", "question": "x"}', "line 1: .*poem"),
        ("", "holds no question"),
    ],
)
def test_a_list_says_which_line_is_wrong(tmp_path, line, words):
    path = tmp_path / "list.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_list(path)


def test_a_question_is_read_whole():
    asked = Asked.from_json(
        {"task": "lesions", "question": "tumour", "organ": "colon", "region": [0, 0, 5, 5]}
    )
    assert (asked.question.text, asked.question.organ) == ("tumour", "colon")
    assert asked.region == Box(0, 0, 5, 5)
