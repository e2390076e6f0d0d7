from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

import napari_nunext.ui
from napari_nunext import __version__, cli
from napari_nunext.commands.detect import output_files
from napari_nunext.commands.resuming import LIST_NAME, DoneBefore, Wanted
from napari_nunext.core.answers.opinions import Rating
from napari_nunext.core.answers.prompts import Question
from napari_nunext.core.errors import InputError, RequestRejectedError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import default_categories
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images import open_image
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.local_server import LocalServer
from napari_nunext.serving.settings import LIMITS
from napari_nunext.store import ImageEntry, Project, events
from napari_nunext.store.answers import COUNTS, Answer, Asked, Said
from nunext_training.cli import main as train
from nunext_training.data.importers.writing import write_export
from nunext_training.data.labelled import LabelledImage
from tests.waiting import PATIENCE_S

DETECT = ("detect", "--model", "classical")
"""Finds discs, and soon: what a trained model makes of them is not for these tests to say."""

DISCS_XY = [(24, 24), (70, 30), (100, 70), (40, 72)]


def discs(width: int = 128, height: int = 96) -> np.ndarray:
    """Purple discs of radius 7 on pink."""
    image = np.full((height, width, 3), (235, 200, 220), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    for x, y in DISCS_XY:
        image[np.hypot(columns - x, rows - y) < 7] = (90, 50, 140)
    noise = np.random.default_rng(0).integers(-6, 7, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def tile(tmp_path) -> Path:
    path = tmp_path / "A ö_0.9824.png"
    Image.fromarray(discs()).save(path)
    return path


@pytest.fixture
def run(capsys):
    """Run a command: exit code, output, and the lines of complaint."""

    def run(*arguments: object) -> tuple[int, str, list[str]]:
        try:
            code = cli.main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return run


@pytest.fixture(scope="module")
def server_of_all():
    """One model server for the tests that are about something else: each takes seconds to start."""
    with LocalServer() as server:
        yield server


@pytest.fixture
def served(monkeypatch, server_of_all):
    """Let `detect` use that server."""
    monkeypatch.setattr(
        "napari_nunext.commands.detect.LocalServer",
        lambda _, **__: nullcontext(server_of_all),
    )


def complaint(result: tuple[int, str, list[str]]) -> str:
    """The one line that a command fails with."""
    code, _, lines = result
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("napari-nunext: ")
    return lines[0]


def points_of(path: Path) -> np.ndarray:
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    return np.array([f["geometry"]["coordinates"] for f in features])


def test_version(run):
    assert run("--version")[:2] == (0, f"napari-nunext {__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unheard-of"],
        ["detect", "a.png"],
        ["detect", "a.png", "--out", "o", "--mpp", "many"],
        ["export", "p", "--out", "o", "--format", "docx"],
    ],
)
def test_wrong_arguments_get_one_line(run, arguments):
    assert "--help" in complaint(run(*arguments))


def test_a_name_of_two_lines_is_told_in_one(run):
    said = complaint(run("check", "a\nb"))
    assert said == "napari-nunext: There is no project a b. Check the name."


# detect


@pytest.mark.usefixtures("served")
def test_detect_writes_what_qupath_reads_under_the_images_stem(run, tile, tmp_path):
    out = tmp_path / "out"
    code, _, lines = run(*DETECT, tile, "--mpp", "0.5", "--out", out)
    assert code == 0
    assert lines == ["[1/1] A ö_0.9824.png: window 1 of 1, 4 nuclei"]
    assert [p.name for p in out.glob("[!.]*")] == ["A ö_0.9824.geojson"]
    features = json.loads((out / "A ö_0.9824.geojson").read_text(encoding="utf-8"))["features"]
    assert all(f["properties"]["objectType"] == "detection" for f in features)
    assert all(f["properties"]["classification"]["name"] == "Nucleus" for f in features)
    found = points_of(out / "A ö_0.9824.geojson")
    assert len(found) == len(DISCS_XY)
    for disc in DISCS_XY:
        assert np.hypot(*(found - disc).T).min() < 1


@pytest.mark.usefixtures("served")
def test_detect_uses_the_scale_of_the_file_and_says_when_it_is_overruled(run, tmp_path):
    path = tmp_path / "scaled.tif"
    large = Image.fromarray(discs()).resize((256, 192))
    large.save(path, resolution=1e4 / 0.25, resolution_unit=3, compression="tiff_lzw")
    assert open_image(path).mpp == pytest.approx(0.25)
    code, _, lines = run(*DETECT, path, "--out", tmp_path / "out")
    assert code == 0
    found = points_of(tmp_path / "out" / "scaled.geojson")
    for disc in DISCS_XY:
        assert np.hypot(*(found - np.array(disc) * 2).T).min() < 2
    code, _, lines = run(*DETECT, path, "--out", tmp_path / "out", "--mpp", "0.26")
    assert code == 0
    assert "says 0.25 um/px, but --mpp 0.26" in lines[0]


@pytest.mark.usefixtures("served")
def test_detect_with_masks_writes_outlines(run, tile, tmp_path):
    code, _, _ = run(*DETECT, tile, "--mpp", "0.5", "--out", tmp_path, "--masks")
    assert code == 0
    features = json.loads((tmp_path / "A ö_0.9824.geojson").read_text("utf-8"))["features"]
    assert [f["geometry"]["type"] for f in features] == ["Polygon"] * 4


@pytest.mark.parametrize("masks", [False, True])
def test_what_detect_wrote_is_evaluated(run, tile, tmp_path, capsys, masks):
    image = open_image(tile, mpp=0.5)
    points_xy = np.array(DISCS_XY, dtype=np.float64)
    disc = np.hypot(*(np.mgrid[:15, :15] + 0.5 - 7.5)) < 7
    outlines = tuple(Mask.from_array(disc, int(x) - 7, int(y) - 7) for x, y in points_xy - 0.5)
    names = ("Nucleus",) * len(points_xy)
    labelled = LabelledImage(
        *(tile.stem, tile, 0.5, "user", points_xy, names, "test", "nobody"), masks=outlines
    )
    export, found = tmp_path / "export", tmp_path / "found"
    write_export([labelled], export, categories=default_categories(["Nucleus"]), origin="x")
    (image,) = (export / "images").iterdir()
    options = ("--mpp", "0.5", "--out", found, *(["--masks"] if masks else []))
    assert run(*DETECT, image, *options)[0] == 0
    report = tmp_path / "report.json"
    arguments = ("evaluate", "--predictions", found, "--data", export, "--out", report)
    assert train([str(a) for a in arguments]) == 0
    capsys.readouterr()
    figures = json.loads(report.read_text())
    assert figures["overall"]["f1"] == 1
    assert (figures["instances"] is not None) == masks
    assert not masks or figures["instances"]["pq"] > 0.7


def test_detect_lets_people_go_first_and_says_what_it_waits_for(run, tile, tmp_path, monkeypatch):
    asked = []

    class BusyAtFirst(Client):
        def _stream(self, path, request, events):
            asked.append(request)
            if len(asked) == 1:
                raise RequestRejectedError("Too much to do. Try again.", 429, 0.0)
            return super()._stream(path, request, events)

    monkeypatch.setattr("napari_nunext.serving.client.client.Client", BusyAtFirst)
    code, _, lines = run(*DETECT, tile, "--mpp", "0.5", "--out", tmp_path)
    assert code == 0
    assert [request.priority for request in asked] == ["batch", "batch"]
    assert any("Too much to do. Asking again in 1 s" in line for line in lines)


@pytest.mark.usefixtures("served")
def test_detect_names_a_bad_image_and_searches_the_others(run, tile, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(tile.read_bytes()[:2000])
    empty = tmp_path / "empty.png"
    empty.touch()
    code, _, lines = run(*DETECT, bad, empty, tile, "--mpp", "0.5", "--out", tmp_path / "out")
    assert code == 2
    complaints = [line for line in lines if line.startswith("napari-nunext: ")]
    assert "bad.png" in complaints[0]
    assert "empty.png" in complaints[1]
    assert complaints[2] == "napari-nunext: Not searched: bad.png, empty.png."
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["A ö_0.9824.geojson"]


@pytest.mark.usefixtures("served")
def test_detect_opens_every_image_once(run, tile, tmp_path, monkeypatch):
    opened = []

    def noted(path, **more):
        opened.append(path)
        return open_image(path, **more)

    for module in ("scales.open_image", "detect.open_image"):
        monkeypatch.setattr(f"napari_nunext.commands.{module}", noted, raising=False)
    shutil.copy(tile, tmp_path / "b.png")
    files = [tile, tmp_path / "b.png"]
    assert run(*DETECT, *files, "--mpp", "0.5", "--out", tmp_path / "out")[0] == 0
    assert opened == files


def test_detect_without_a_scale_says_what_to_give(run, tile, tmp_path):
    assert "--mpp 0.5" in complaint(run("detect", tile, "--out", tmp_path / "out"))
    shutil.copy(tile, tmp_path / "b.png")
    said = complaint(run("detect", tile, tmp_path / "b.png", "--out", tmp_path / "out"))
    assert "None of the 2 images" in said


@pytest.mark.usefixtures("served")
def test_detect_asks_before_it_searches_at_a_scale_that_looks_wrong(
    run, tile, tmp_path, monkeypatch
):
    arguments = (*DETECT, tile, "--mpp", "5", "--out", tmp_path / "out")
    said = complaint(run(*arguments))
    assert "too small to be told from noise" in said
    assert "--yes" in said
    assert not list((tmp_path / "out").glob("*.geojson"))
    asked = []
    monkeypatch.setattr(cli, "_ask", lambda question: asked.append(question) or False)
    assert complaint(run(*arguments)) == said
    assert asked[0].endswith("Search all the same?")
    monkeypatch.setattr(cli, "_ask", lambda question: True)
    assert run(*arguments)[0] == 0
    (tmp_path / "out" / "A ö_0.9824.geojson").unlink()
    monkeypatch.setattr(cli, "_ask", lambda question: pytest.fail("asked"))
    assert run(*arguments, "--yes")[0] == 0
    assert list((tmp_path / "out").glob("*.geojson"))


@pytest.mark.usefixtures("served")
def test_detect_asks_once_for_a_folder(run, tile, tmp_path):
    Image.fromarray(discs()[::-1]).save(tile.with_name("b.png"))
    said = complaint(run(*DETECT, tile.parent, "--mpp", "5", "--out", tmp_path / "out"))
    assert said.count("lymphocyte") == 1
    assert "1 other image" in said


@pytest.mark.parametrize("mpp", ["0", "-1", "nan", "1000"])
def test_detect_with_an_absurd_scale_says_so(run, tile, tmp_path, mpp):
    assert "um/px" in complaint(run("detect", tile, "--mpp", mpp, "--out", tmp_path / "out"))


def test_two_images_of_one_stem_are_refused_before_any_work(run, tile, tmp_path):
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(tile, other / tile.name)
    out = tmp_path / "out"
    said = complaint(run("detect", tile, other, "--mpp", "0.5", "--out", out))
    assert "A ö_0.9824.geojson" in said
    assert not out.exists()


def test_stems_that_differ_only_in_case_clash_as_many_file_systems_have_it():
    with pytest.raises(InputError, match="both be written"):
        output_files([Path("a/X.png"), Path("b/x.tif")], Path("out"))


def test_a_missing_image_and_an_empty_folder_are_said(run, tmp_path):
    said = complaint(run("detect", tmp_path / "no.png", "--mpp", "0.5", "--out", tmp_path / "o"))
    assert "does not exist" in said
    said = complaint(run("detect", tmp_path, "--mpp", "0.5", "--out", tmp_path / "o"))
    assert "No image" in said


def test_a_model_that_is_not_there_is_said(run, tile, tmp_path):
    arguments = ("detect", tile, "--mpp", "0.5", "--out", tmp_path / "out")
    assert "Name one of classical" in complaint(run(*arguments, "--model", "nobody"))
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "nunext.json" in complaint(run(*arguments, "--model", folder))
    (folder / "nunext.json").write_text('{"schema_version": 999}')
    assert "999" in complaint(run(*arguments, "--model", folder))


def test_an_output_folder_that_cannot_be_made_is_said(run, tile, tmp_path):
    (tmp_path / "file").touch()
    said = complaint(run(*DETECT, tile, "--mpp", "0.5", "--out", tmp_path / "file" / "out"))
    assert "Traceback" not in said


def test_a_full_disk_is_said(run, tile, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out.geojson")

    monkeypatch.setattr("napari_nunext.commands.detect.write_geojson", full)
    result = run(*DETECT, tile, "--mpp", "0.5", "--out", tmp_path / "out")
    assert result[0] == 2
    assert result[2][-1].startswith("napari-nunext: ")
    assert "No space left" in result[2][-1]


# models, serve


def test_models_lists_what_works_and_what_does_not(run, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    code, out, _ = run("models", "--models", tmp_path)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("classical\tdetector\t")
    assert "0.5 um/px" in lines[0]
    assert any(line.startswith("broken\t") and "cannot be used" in line for line in lines)


def test_serve_does_not_listen_to_others_without_a_token(run, tmp_path):
    assert "--token-file" in complaint(run("serve", "--host", "0.0.0.0", "--port", "0"))
    token = tmp_path / "token"
    token.write_text("short\n")
    assert "5 characters" in complaint(run("serve", "--token-file", token))
    assert "token2" in complaint(run("serve", "--token-file", tmp_path / "token2"))


def test_serve_says_what_is_wrong_with_what_vllm_is_to_serve(run, tmp_path):
    assert "Name it with --vllm" in complaint(run("serve", "--vllm-url", "http://127.0.0.1:8000"))
    assert "no nunext.json" in complaint(run("serve", "--vllm", tmp_path))
    wrong = complaint(run("serve", "--vllm", tmp_path, "--vllm-lora", "sharper"))
    assert "NAME=DIR" in wrong


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("strangers", "expected strangers=a whole number"),
        ("strangers=many", "expected strangers=a whole number"),
        ("strangers=2.5", "expected strangers=a whole number"),
        ("max_idle_s=soon", "expected max_idle_s=a number"),
        ("max_idle_s=nan", "expected a number above 0"),
        ("max_idle_s=inf", "expected a number above 0"),
        ("connections=0", "expected a number above 0"),
        ("port=3", "max_head_s"),
        ("token=abc", "names no limit"),
    ],
)
def test_serve_refuses_what_is_no_limit(run, limit, words):
    assert words in complaint(run("serve", "--port", "0", "--limit", limit))


def test_serve_takes_any_limit_by_its_name(monkeypatch, run):
    served = []
    monkeypatch.setattr(
        "napari_nunext.commands.serve._serve", lambda settings, *_: served.append(settings) or 0
    )
    limits = {name: kind(7) for name, kind in LIMITS.items()}
    given = [f"--limit={name}={value}" for name, value in limits.items()]
    assert run("serve", *given)[0] == 0
    assert {name: getattr(served[0], name) for name in LIMITS} == limits


def test_serve_says_that_a_port_is_taken(run):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in complaint(run("serve", "--port", port))


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_serve_prints_address_and_token_and_ends_with_ctrl_c():
    command = [sys.executable, "-m", "napari_nunext.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        url = process.stdout.readline().decode().split()[2]
        token = process.stdout.readline().decode().split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
            assert http.get(f"{url}/v1/models").status_code == 401
            assert http.get(f"{url}/v1/models", headers=headers).status_code == 200
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        assert b"Traceback" not in log
        assert token.encode() not in log


# export


@pytest.fixture
def project(tile, tmp_path) -> Path:
    """A project with one accepted field of two nuclei."""
    path = tmp_path / "review.nunext"
    image = open_image(tile)
    with Project.open(path, annotator="ann") as project:
        project.add_image(
            ImageEntry(
                image.id, str(tile), image.name, image.width_px, image.height_px, 0.5, "user"
            )
        )
        added = [events.add(image.id, float(x), float(y), "Nucleus") for x, y in DISCS_XY[:2]]
        whole = Box.of_image(image.width_px, image.height_px)
        project.append([*added, events.complete_region(image.id, whole)])
    return path


def test_export_writes_training_data(run, project, tmp_path):
    code, out, _ = run("export", project, "--out", tmp_path / "export")
    assert code == 0
    assert "sft 1" in out
    (record,) = (tmp_path / "export" / "sft.jsonl").read_text("utf-8").splitlines()
    assert len(json.loads(record)["nuclei"]) == 2


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("geojson", "A ö_0.9824.geojson"),
        ("csv", "A ö_0.9824.csv"),
        ("coco", "instances.json"),
        ("coco-results", "results.json"),
    ],
)
def test_export_writes_the_other_formats(run, project, tmp_path, format_, name):
    out = tmp_path / "out"
    code, said, _ = run("export", project, "--out", out, "--format", format_)
    assert code == 0
    assert [p.name for p in out.iterdir()] == [name]
    text = (out / name).read_text("utf-8")
    if format_ == "csv":
        assert len(text.splitlines()) == 3
    elif format_ == "coco-results":
        assert json.loads(text) == []
        assert "2 nuclei without an outline are left out" in said
    else:
        assert len(json.loads(text)["features" if format_ == "geojson" else "annotations"]) == 2


def test_export_draws_a_picture_of_each_image_that_is_found(run, project, tmp_path):
    out = tmp_path / "out"
    code, said, _ = run("export", project, "--out", out, "--format", "snapshot")
    assert code == 0
    assert "1 picture" in said
    (picture,) = out.iterdir()
    assert picture.name == "A ö_0.9824.snapshot.png"
    with Image.open(picture) as drawn:
        assert max(drawn.size) <= 2048
    code, _, err = run("export", project, "--out", out, "--format", "snapshot", "--flavour", "trl")
    assert code == 2
    assert "--flavour is a form of training data" in err[0]


@pytest.mark.parametrize("flavour", ["trl", "ms-swift", "llama-factory"])
def test_export_writes_training_data_as_another_trainer_reads_it(run, project, tmp_path, flavour):
    out = tmp_path / "export"
    assert run("export", project, "--out", out, "--flavour", flavour)[0] == 0
    assert any(p.name.startswith("sft-train") for p in (out / flavour).iterdir())
    said = complaint(run("export", project, "--out", out, "--flavour", flavour, "--format", "csv"))
    assert "--flavour" in said


@pytest.fixture
def judged(project) -> Path:
    """The project with an answer whose comment seems to name somebody."""
    with Project.open(project, annotator="ann") as opened:
        (image,) = opened.images()
        question = Question("question", "How many nuclei")
        answer = Answer(
            answer_id=str(uuid4()),
            image_sha256=image.sha256,
            asked=Asked(question=question, region=image.box, mpp=0.5),
            by=COUNTS,
            said=Said(answer="2"),
        )
        opened.add_answer(answer)
        rating = Rating(5, (), "as Mrs Doe's, 1234567")
        opened.append([events.rate_answer(image.sha256, answer.answer_id, rating)])
    return project


def test_export_asks_before_words_leave_that_seem_to_name_somebody(run, judged, tmp_path):
    export = ("export", judged, "--out", tmp_path / "export")
    said = complaint(run(*export))
    assert "1 text holds what looks like" in said
    assert "--answers all" in said
    assert "Doe" not in said
    assert not (tmp_path / "export").exists()
    code, out, err = run(*export, "--answers", "all", "--flavour", "trl")
    assert (code, "answers_sft 1" in out) == (0, True)
    assert "name nobody" in err[0]
    assert (tmp_path / "export" / "trl" / "answers_sft-train.jsonl").exists()
    code, out, err = run(*export, "--answers", "none")
    assert (code, "answers" in out.replace(str(tmp_path), ""), err) == (0, False, [])
    assert "--answers" in complaint(run(*export, "--answers", "all", "--format", "csv"))


def test_an_export_is_taken_back_with_its_answers(run, judged, tmp_path):
    out, copy = tmp_path / "export", tmp_path / "copy.nunext"
    run("export", judged, "--out", out, "--answers", "all")
    code, said, _ = run("import", copy, out, "--dry-run")
    assert code == 2  # there is no project yet
    code, said, _ = run("import", copy, out)
    assert (code, said) == (0, "export: 1 image with 2 nuclei and 1 answer.\n")
    assert "1 answer" in run("check", copy)[1]
    _, said, _ = run("import", copy, out, "--dry-run")
    assert said == "export: 1 image with 2 nuclei and 1 answer. Nothing was written (--dry-run).\n"
    assert "were here already" in run("import", copy, out)[1]
    (out / "sft.jsonl").write_text("")
    code, _, said = run("import", copy, out)
    assert code == 2
    assert "sft.jsonl was changed" in said[0]
    with closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE answer SET said = 'x'")
    code, said, _ = run("check", copy)
    assert code == 1
    assert "damaged" in said


@pytest.mark.parametrize("format_", ["training", "coco"])
def test_export_says_which_categories_differ_in_capitals_alone(run, project, tmp_path, format_):
    with Project.open(project, annotator="ann") as opened:
        (entry,) = opened.images()
        first, second = opened.state(entry.sha256).nuclei
        opened.append(
            [
                events.relabel(entry.sha256, first, "tumor"),
                events.relabel(entry.sha256, second, "Tumor"),
            ]
        )
        whole = Box.of_image(entry.width_px, entry.height_px)
        opened.append([events.complete_region(entry.sha256, whole)])
    code, _, lines = run("export", project, "--out", tmp_path / "out", "--format", format_)
    assert code == 0
    assert any("'Tumor' and 'tumor' differ in capitals alone" in line for line in lines)


def overwrite(tile: Path) -> None:
    """Put another image of the same size in its place."""
    Image.fromarray(discs()[:, ::-1].copy()).save(tile)


def test_export_never_puts_labels_on_other_pixels(run, project, tile, tmp_path):
    overwrite(tile)
    said = complaint(run("export", project, "--out", tmp_path / "export"))
    assert tile.name in said
    assert "not the image that was reviewed" in said
    assert not (tmp_path / "export").exists()


def test_two_images_that_were_swapped_by_name_are_refused(run, project, tile, tmp_path):
    other = tmp_path / "B.png"
    overwrite(other)
    image = open_image(other)
    with Project.open(project, annotator="ann") as opened:
        opened.add_image(
            ImageEntry(
                image.id, str(other), other.name, image.width_px, image.height_px, 0.5, "user"
            )
        )
        whole = Box.of_image(image.width_px, image.height_px)
        opened.append([events.complete_region(image.id, whole)])
    assert run("export", project, "--out", tmp_path / "export")[0] == 0
    aside = tmp_path / "aside.png"
    tile.rename(aside)
    other.rename(tile)
    aside.rename(other)
    said = complaint(run("export", project, "--out", tmp_path / "swapped"))
    assert str(tile) in said
    assert not (tmp_path / "swapped").exists()


LABELS = {
    "geojson": lambda out: sorted(path.stem for path in out.glob("*.geojson")),
    "csv": lambda out: sorted(path.stem for path in out.glob("*.csv")),
    "coco": lambda out: sorted(
        Path(image["file_name"]).stem
        for image in json.loads((out / "instances.json").read_text("utf-8"))["images"]
    ),
}
"""Which images each format without pixels holds labels of."""


def add_image(project: Path, path: Path) -> None:
    """Another image, of other pixels than all before, in the project."""
    with Project.open(project, annotator="ann") as opened:
        Image.fromarray(discs()[:, :, ::-1].copy()).save(path)
        image = open_image(path)
        opened.add_image(
            ImageEntry(image.id, str(path), path.name, image.width_px, image.height_px, 0.5, "user")
        )


@pytest.mark.parametrize("format_", LABELS)
def test_labels_of_an_image_whose_file_holds_other_pixels_are_left_out(
    run, project, tile, tmp_path, format_
):
    add_image(project, tmp_path / "good.png")
    overwrite(tile)
    export = ("export", project, "--format", format_)
    code, out, lines = run(*export, "--out", tmp_path / "out")
    assert code == 1
    assert tile.name in "".join(lines)
    assert "not the image that was reviewed" in "".join(lines)
    assert "nuclei of 1 images; 1 left out" in out
    assert LABELS[format_](tmp_path / "out") == ["good"]
    overwrite(tmp_path / "good.png")
    assert "Nothing was written" in complaint(run(*export, "--out", tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("format_", LABELS)
def test_labels_go_by_the_name_that_the_image_has_now(run, project, tile, tmp_path, format_):
    add_image(project, tmp_path / "gone.png")
    (tmp_path / "gone.png").unlink()
    moved = tmp_path / "elsewhere" / "renamed.png"
    moved.parent.mkdir()
    tile.rename(moved)
    export = ("export", project, "--format", format_, "--out", tmp_path / "out")
    code, out, _ = run(*export, "--images", moved.parent)
    assert code == 0
    assert "nuclei of 2 images, 1 of them not found" in out
    assert LABELS[format_](tmp_path / "out") == ["gone", "renamed"]


@pytest.mark.parametrize("name", ["A ö_0.9824.png", "renamed.png"])
def test_export_finds_images_that_were_moved(run, project, tile, tmp_path, name):
    moved = tmp_path / "elsewhere" / "deeper" / name
    moved.parent.mkdir(parents=True)
    tile.rename(moved)
    said = complaint(run("export", project, "--out", tmp_path / "export"))
    assert "not found" in said
    assert "--images" in said
    folder = tmp_path / "elsewhere"
    assert run("export", project, "--out", tmp_path / "export", "--images", folder)[0] == 0


# check and backup


def change(project: Path) -> None:
    """Change what was written, outside the application."""
    with closing(sqlite3.connect(project)) as connection, connection:
        connection.execute("UPDATE event SET annotator = 'xy' WHERE seq = 1")


def test_check_says_that_all_is_well(run, project):
    code, out, lines = run("check", project)
    assert (code, lines) == (0, [])
    assert "3 changes" in out
    assert "1 images" in out


def test_check_names_what_was_changed_and_what_is_not_the_reviewed_image(run, project, tile):
    overwrite(tile)
    change(project)
    code, out, _ = run("check", project)
    assert code == 1
    journal, image = out.splitlines()
    assert "does not verify at event 1" in journal
    assert str(tile) in image


def test_check_finds_images_that_were_moved(run, project, tile, tmp_path):
    moved = tmp_path / "elsewhere" / "renamed.png"
    moved.parent.mkdir()
    tile.rename(moved)
    assert run("check", project)[0] == 1
    assert run("check", project, "--images", moved.parent)[0] == 0
    complaint(run("check", tmp_path / "none.nunext"))


def test_check_says_that_a_file_is_damaged(run, project):
    whole = project.read_bytes()
    project.write_bytes(whole[: len(whole) // 2])
    code, out, _ = run("check", project)
    assert code == 1
    assert "damaged" in out or "cannot be read" in out


@pytest.mark.parametrize("format_", ["training", "geojson", "csv", "coco"])
def test_a_broken_project_is_exported_only_when_that_is_asked_for(run, project, tmp_path, format_):
    change(project)
    export = ("export", project, "--out", tmp_path / "export", "--format", format_)
    assert "--even-if-broken" in complaint(run(*export))
    assert not (tmp_path / "export").exists()
    assert run(*export, "--even-if-broken")[0] == 0


def test_backup_copies_a_project_that_is_open(run, project, tmp_path):
    target = tmp_path / "backup.nunext"
    with Project.open(project, annotator="ann") as opened:
        opened.append([events.flag_field(opened.images()[0].sha256)])
        code, out, _ = run("backup", project, target)
    assert code == 0
    assert "4 changes, 1 images" in out
    assert run("check", target)[0] == 0
    assert "exists already" in complaint(run("backup", project, target))


def test_export_of_what_is_no_project_is_refused(run, tile, tmp_path):
    missing = tmp_path / "none.nunext"
    assert "none.nunext" in complaint(run("export", missing, "--out", tmp_path / "out"))
    assert not missing.exists()
    assert tile.name in complaint(run("export", tile, "--out", tmp_path / "out"))


# open


def test_open_without_napari_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    # The package comes back with its modules: else later tests find the one that is made here.
    monkeypatch.setattr(napari_nunext, "ui", napari_nunext.ui)
    for name in [n for n in sys.modules if n.startswith("napari_nunext.ui")]:
        monkeypatch.delitem(sys.modules, name)
    assert "pip install 'napari-nunext[all]'" in complaint(run("open", "a.png"))


@pytest.mark.usefixtures("served")
def test_detect_keeps_what_it_has_and_what_a_person_changed(run, tile, tmp_path):
    other, out = tmp_path / "other.png", tmp_path / "out"
    Image.fromarray(discs()[:, ::-1].copy()).save(other)
    command = (*DETECT, "--mpp", 0.5, "--out", out)
    assert run(*command, tile, other)[0] == 0
    found, mine = out / "A ö_0.9824.geojson", out / "other.geojson"
    before = found.read_bytes()
    mine.write_text("mine", encoding="utf-8")
    third = tmp_path / "third.png"
    Image.fromarray(discs()[::-1].copy()).save(third)
    code, _, said = run(*command, tile, other, third)
    assert code == 0
    assert "napari-nunext: other.geojson was changed since it was written, and is kept." in said
    assert [line for line in said if "searched before" in line] == [
        "napari-nunext: 2 images had been searched before with this model and these settings, and "
        "kept as they are. Remove a file to have it written anew."
    ]
    assert found.read_bytes() == before
    assert mine.read_text(encoding="utf-8") == "mine"
    assert len(points_of(out / "third.geojson")) == len(DISCS_XY)


def test_only_the_same_search_of_the_same_pixels_was_done_before(tmp_path):
    wanted = Wanted("a" * 64, "nunext-small", "b" * 64, 0.5, masks=False)
    target = tmp_path / "tile.geojson"
    target.write_text("{}", encoding="utf-8")
    DoneBefore(tmp_path).add(target, wanted, {"dtype": "float32"})
    written = json.loads((tmp_path / LIST_NAME).read_text(encoding="utf-8"))
    assert written["decoding"] == {"dtype": "float32"}
    with (tmp_path / LIST_NAME).open("a", encoding="utf-8") as file:
        file.write('{"file": "cut o')
    before = DoneBefore(tmp_path)
    assert before.standing(target, wanted) == "done"
    for changed in (
        {"image_sha256": "c" * 64},
        {"model": "mine"},
        {"checkpoint_sha256": None},
        {"mpp": 0.25},
        {"masks": True},
        {"precision": "bfloat16"},
        {"tissue": True},
        {"only": ("Stromal",)},
    ):
        assert before.standing(target, replace(wanted, **changed)) == "to search"
    target.write_text("{ }", encoding="utf-8")
    assert before.standing(target, wanted) == "changed since"
    target.unlink()
    assert before.standing(target, wanted) == "to search"


def test_a_list_from_before_arithmetic_could_be_chosen_still_counts(tmp_path):
    wanted = Wanted("a" * 64, "nunext-small", "b" * 64, 0.5, masks=False)
    target = tmp_path / "tile.geojson"
    target.write_text("{}", encoding="utf-8")
    DoneBefore(tmp_path).add(target, wanted, {})
    row = json.loads((tmp_path / LIST_NAME).read_text(encoding="utf-8"))
    del row["search"]["precision"], row["search"]["tissue"], row["decoding"]
    (tmp_path / LIST_NAME).write_text(json.dumps(row) + "\n", encoding="utf-8")
    before = DoneBefore(tmp_path)
    assert before.standing(target, wanted) == "done"
    assert before.standing(target, replace(wanted, precision="float32")) == "to search"


@pytest.mark.usefixtures("served")
def test_detect_leaves_out_glass_where_it_is_told_to_and_says_so(run, tmp_path):
    slide = tmp_path / "slide.png"
    rgb = np.full((700, 900, 3), (243, 243, 241), dtype=np.uint8)
    rgb[40:136, 30:158] = discs()
    Image.fromarray(rgb).save(slide)
    written = {}
    for options in ((), ("--tissue",)):
        out = tmp_path / "-".join(("out", *options))
        code, _, lines = run(*DETECT, slide, "--mpp", "0.5", "--out", out, *options)
        assert code == 0
        said = [line for line in lines if "glass left out" in line]
        features = json.loads((out / "slide.geojson").read_text(encoding="utf-8"))["features"]
        noted = {f["properties"]["metadata"].get("left out") for f in features}
        written[options] = sorted(f["geometry"]["coordinates"] for f in features)
        if options:
            (words,) = said
            assert noted == {words.removeprefix("napari-nunext: slide.png: ")}
        else:
            assert not said
            assert noted == {None}
    assert written[("--tissue",)] == written[()]
    assert len(written[()]) >= len(DISCS_XY)


@pytest.mark.usefixtures("served")
def test_detect_says_where_it_sees_no_tissue_at_all(run, tmp_path):
    slide, out = tmp_path / "glass.png", tmp_path / "out"
    Image.fromarray(np.full((90, 90, 3), (243, 243, 241), dtype=np.uint8)).save(slide)
    code, _, lines = run(*DETECT, slide, "--mpp", "0.5", "--out", out, "--tissue")
    assert code == 0
    assert "napari-nunext: glass.png: no tissue was seen, so nothing is searched" in lines
    assert json.loads((out / "glass.geojson").read_text(encoding="utf-8"))["features"] == []


@pytest.mark.slow
def test_detect_computes_in_the_arithmetic_that_is_asked_for_and_says_so(run, tile, tmp_path):
    out = tmp_path / "out"
    for precision in ("float32", "bfloat16"):
        command = ["detect", tile, "--mpp", "0.5", "--dtype", precision, "--out", out]
        code, _, said = run(*command)
        assert code == 0
        assert not any("searched before" in line for line in said)
        searched = (out / LIST_NAME).read_text(encoding="utf-8").splitlines()[-1]
        assert json.loads(searched)["decoding"]["dtype"] == precision
        (written,) = out.glob("[!.]*.geojson")
        features = json.loads(written.read_text(encoding="utf-8"))["features"]
        said_so = {f["properties"]["metadata"]["arithmetic"] for f in features}
        assert said_so <= {precision}


STOPPING = """
import os, signal, sys
from napari_nunext import cli
from napari_nunext.commands import detect

written, write = [], detect._write

def write_and_stop(*what):
    write(*what)
    written.append(what)
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGINT)

detect._write = write_and_stop
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_detect_that_is_stopped_says_what_there_is_and_goes_on_from_there(run, tmp_path):
    folder, out = tmp_path / "tiles", tmp_path / "out"
    folder.mkdir()
    for number in range(8):
        large = np.tile(discs(), (8 + number, 8, 1))
        Image.fromarray(large).save(folder / f"{number}.png")
    command = [*DETECT, "--mpp", "0.5", "--out", str(out), str(folder)]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPING, *command], capture_output=True, text=True, check=False
    )
    assert stopped.returncode == cli.INTERRUPTED
    assert "Traceback" not in stopped.stderr
    written = sorted(out.glob("*.geojson"))
    assert len(written) == 2
    assert f"of 8 are in {out}; the same command goes on from there." in stopped.stderr
    assert all(json.loads(path.read_text(encoding="utf-8"))["features"] for path in written)
    code, _, lines = run(*command)
    assert code == 0
    assert any("had been searched before" in line for line in lines)
    assert len(list(out.glob("*.geojson"))) == 8


# open


def test_what_cannot_be_opened_together_is_refused_before_there_is_a_window(run, project, tile):
    assert "no project" in complaint(run("open", tile.with_name("none.nunext")))
    assert "opened alone" in complaint(run("open", project, tile))
    assert "not a folder" in complaint(run("open", project, "--images", tile))
    assert "name the project" in complaint(run("open", tile, "--images", tile.parent))


def test_every_command_of_the_table_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_nunext import cli

    for name, (words, _, _) in cli.COMMANDS.items():
        with pytest.raises(SystemExit) as ended:
            cli.main(["--help"])
        assert ended.value.code == 0
        assert words in " ".join(capsys.readouterr().out.split())
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        assert f"napari-nunext {name} [-h]" in capsys.readouterr().out
