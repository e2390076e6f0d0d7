"""What Python asks for, here and at a server."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import napari_nunext as nn
from napari_nunext.core.errors import (
    CheckpointError,
    InputError,
    NunextError,
    ServerUnavailableError,
    StoreError,
)
from napari_nunext.core.geometry import Box
from napari_nunext.images import open_image
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from tests.serving.conftest import TOKEN

MPP = 0.5


@pytest.fixture
def url(server, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    return server.url


def places(nuclei):
    return sorted(map(tuple, np.round(nuclei.points_xy, 6).tolist()))


def test_nothing_is_imported_before_it_is_asked_for():
    code = (
        "import sys, napari_nunext as nn; heavy = {'torch', 'numpy', 'napari', 'pydantic'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "assert {*nn.__all__} <= {*dir(nn)}; nn.detect; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'detects'"):
        nn.detects  # noqa: B018
    assert {name for names in nn.CALLS.values() for name in names} == {*nn.__all__}
    stub = Path(nn.__file__).with_suffix(".pyi").read_text("utf-8")
    assert set(re.findall(r" as (\w+)$", stub, re.MULTILINE)) == {*nn.__all__}
    assert all(callable(getattr(nn, name)) for name in nn.__all__)


@pytest.mark.parametrize("masks", [False, True])
def test_an_array_is_searched_as_the_server_searches_it(rgb, url, masks):
    model = nn.load_model("classical", segmenter="classical")
    here = nn.detect(rgb, MPP, model=model, masks=masks)
    there = nn.detect(rgb, MPP, model="classical", masks=masks, server=url)
    assert len(here) == 4
    assert places(here) == places(there)
    assert here.counts == there.counts
    assert {None not in n.masks for n in (here, there)} == {masks}
    assert np.array_equal(np.sort(here.area_um2), np.sort(there.area_um2), equal_nan=True)
    assert here.about["model"] == there.about["model"] == "Classical"


def test_a_region_alone_is_searched(rgb, url):
    box = (0, 0, 64, 96)
    for server in (None, url):
        told: list[tuple[int, int]] = []

        def tell(done: int, windows: int, told: list[tuple[int, int]] = told) -> None:
            told.append((done, windows))

        asked = {"model": "classical", "region": box, "server": server}
        found = nn.detect(rgb, MPP, progress=tell, **asked)
        assert told
        assert told == [(i + 1, len(told)) for i in range(len(told))]
        assert found.region == Box(*box)
        assert 0 < len(found) < 4
        assert (found.points_xy[:, 0] <= 64).all()
    for region, words in [((500, 0, 600, 9), "holds nothing"), ((1, 2), "expected"), ("a", "exp")]:
        with pytest.raises(InputError, match=words):
            nn.detect(rgb, MPP, model="classical", region=region)


@pytest.mark.parametrize("call", [nn.detect, nn.stain])
def test_the_examples_of_the_docstrings_hold(call):
    module = sys.modules[call.__module__]
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 3) == (0, True)


def test_models_are_loaded_once_and_said_by_name(rgb):
    model = nn.load_model("classical")
    assert nn.load_model("classical").detector.info == model.info
    assert places(nn.detect(rgb, MPP, model=model)) == places(
        nn.detect(rgb, MPP, model="classical")
    )
    assert {"classical", "nunext-small"} <= {*nn.list_models()}
    assert "um/px" in repr(model)
    with pytest.raises(InputError, match="There is no detector 'nunext-tall'"):
        nn.load_model("nunext-tall")


def test_a_folder_is_a_model(rgb, tmp_path, repo_root):
    folder = repo_root / "napari_nunext" / "weights" / "nunext-small"
    assert nn.load_model(folder).detector is nn.load_model(str(folder)).detector
    (tmp_path / "empty").mkdir()
    with pytest.raises((InputError, CheckpointError)):
        nn.load_model(tmp_path / "empty")


def test_masks_are_drawn_of_points(rgb, url):
    points = [(24.0, 24.0), (70.0, 30.0)]
    here = nn.segment(rgb, points, MPP, model="classical")
    there = nn.segment(rgb, points, MPP, model="classical", server=url)
    assert here.masks == there.masks
    assert here.area_um2 == pytest.approx([np.pi * 3.5**2] * 2, rel=0.2)
    assert here.points_xy.tolist() == [list(point) for point in points]
    found = nn.detect(rgb, MPP, model="classical")
    drawn = nn.segment(rgb, found, model="classical")
    assert [n.uid for n in drawn] == [n.uid for n in found]
    assert None not in drawn.masks
    with pytest.raises(InputError, match="lie beside"):
        nn.segment(rgb, [(500.0, 1.0)], MPP)


def test_many_points_are_sent_in_several_requests(rgb, url, monkeypatch):
    monkeypatch.setattr("napari_nunext.api.segmenting.MOST_PROMPTS", 2)
    points = [(24.0, 24.0), (70.0, 30.0), (100.0, 70.0), (40.0, 72.0), (2.0, 2.0)]
    there = nn.segment(rgb, points, MPP, model="classical", server=url)
    assert there.masks == nn.segment(rgb, points, MPP, model="classical").masks
    assert None not in there.masks[:4]


def test_questions_are_answered_from_nuclei(rgb):
    nuclei = nn.detect(rgb, MPP, model="classical")
    answer = nn.ask(rgb, "How many nuclei are there?", nuclei=nuclei)
    assert (str(answer), answer.answered) == ("4", True)
    assert sorted(map(tuple, answer.evidence_xy.tolist())) == sorted(
        map(tuple, nuclei.points_xy.tolist())
    )
    half = nn.ask(rgb, "How many nuclei are there?", nuclei=nuclei, region=(0, 0, 64, 96))
    assert half.text == str(len(nuclei.within(Box(0, 0, 64, 96))))
    assert not nn.ask(rgb, "What is the weather?", nuclei=nuclei).answered
    with pytest.raises(InputError, match="is a model of a server"):
        nn.ask(rgb, "How many?", MPP, answerer="qwen")


def test_an_answerer_of_a_server_is_asked(rgb, start, monkeypatch, tmp_path):
    from napari_nunext.core.answers.answerer import AnswererFolder
    from tests.answering import small_answerer

    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    folder = small_answerer(tmp_path / "small")
    url = start(answerers=(AnswererFolder("small", folder),)).url
    answer = nn.ask(rgb, "Which dominates?", MPP, answerer="small", budget=4, server=url)
    short = nn.ask(
        rgb, "Which dominates?", MPP, answerer="small", budget=4, max_tokens=1, server=url
    )
    assert short.about["max_tokens"] == 1
    with pytest.raises(NunextError, match="without allocate"):  # which this one cannot
        nn.ask(rgb, "Which dominates?", MPP, answerer="small", allocate=True, server=url)
    assert answer.answered
    assert answer.about["image_tokens"] <= 4
    with pytest.raises(InputError, match="no answerer 'large'; expected one of small"):
        nn.ask(rgb, "Which dominates?", MPP, answerer="large", server=url)


def test_what_is_asked_of_two_places_is_refused(rgb, url):
    model = nn.load_model("classical")
    with pytest.raises(InputError, match="Leave out one"):
        nn.detect(rgb, MPP, model=model, server=url)
    with pytest.raises(InputError, match="Leave out one"):
        nn.segment(rgb, [(1.0, 1.0)], MPP, model=model, server=url)
    with pytest.raises(ServerUnavailableError):
        nn.detect(rgb, MPP, server="http://127.0.0.1:9")


# Projects


@pytest.fixture
def project(rgb, tmp_path):
    """Two images, of which one has three nuclei: one rejected, one that a person placed."""
    from napari_nunext.store import ImageEntry, Project, RunInfo, events
    from tests.store.conftest import predicted, run_info

    path = tmp_path / "a.nunext"
    with Project.open(path, annotator="xy") as project:
        ids = []
        for name in ("one.png", "two.png"):
            Image.fromarray(rgb if name == "one.png" else rgb[::-1]).save(tmp_path / name)
            image = open_image(tmp_path / name)
            ids.append(image.id)
            box = image.box
            project.add_image(
                ImageEntry(
                    image.id, str(image.path), name, int(box.width), int(box.height), MPP, "user"
                )
            )
        found = [predicted(10.0, 20.0, "Tumour", 0.8), predicted(30.0, 40.0, "Stromal", 0.7)]
        info: RunInfo = run_info(Box(0, 0, 128, 96))
        run = project.start_run(ids[0], info)
        project.add_predictions(run, found)
        project.finish_run(run, "complete")
        project.append([events.use_run(ids[0], run, Box(0, 0, 128, 96))])
        project.append([events.reject(ids[0], found[0].uid)])
        project.append([events.add(ids[0], 50.0, 60.0, "Tumour")])
    return path


def test_what_was_reviewed_is_read_as_tables(project):
    with nn.open_project(project) as opened:
        assert list(opened.images()["image"]) == ["one.png", "two.png"]
        table = opened.nuclei()
        assert list(table["x_px"]) == [10.0, 30.0, 50.0]
        assert list(table["status"]) == ["rejected", "unreviewed", "unreviewed"]
        assert list(table["origin"]) == ["model", "model", "person"]
        assert set(table["image"]) == {"one.png"}
        assert len(opened.nuclei("two.png")) == 0
        kinds = list(opened.events()["kind"])
        assert [kind for kind in kinds if kind in ("reject", "add")] == ["reject", "add"]
        assert opened.events()["number"].is_monotonic_increasing
        assert len(opened.answers()) == 0
        standing = opened.reviewed("one.png")
        assert standing.points_xy.tolist() == [[30.0, 40.0], [50.0, 60.0]]
        with pytest.raises(InputError, match=r"has 2 images; name one of one\.png, two\.png"):
            opened.reviewed()
        with pytest.raises(InputError, match=r"no image 'three\.png'"):
            opened.nuclei("three.png")


def test_a_project_that_is_not_there_is_said(tmp_path):
    with pytest.raises(StoreError, match=r"none\.nunext"):
        nn.open_project(tmp_path / "none.nunext")
    assert not (tmp_path / "none.nunext").exists()


def test_pen_is_left_out_with_glass_and_never_alone(rgb):
    from tests.core.test_pen import stroke
    from tests.core.test_tissue import EOSIN, GREEN_PEN, disc, scanned, slide

    with pytest.raises(InputError, match="give tissue"):
        nn.detect(rgb, MPP, pen=True)
    colors = slide(600)
    colors[disc(150, 150, 60, 600)] = EOSIN
    stroke(colors, GREEN_PEN)
    searched = dict[bool, int]()
    for pen in (False, True):

        def tell(done, windows, pen=pen):
            searched[pen] = windows

        nn.detect(scanned(colors), 4.0, model="classical", tissue=True, pen=pen, progress=tell)
    assert 0 < searched[True] < searched[False]


@pytest.mark.parametrize("number", ["budget", "max_tokens"])
@pytest.mark.parametrize("tokens", [0, -1, 10**9])
def test_numbers_of_tokens_that_no_server_takes_are_refused(rgb, number, tokens):
    with pytest.raises(InputError, match="expected 1 to"):
        nn.ask(rgb, "Which dominates?", MPP, answerer="small", server="nowhere", **{number: tokens})
