from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

import pytest

from napari_nunext import __version__
from napari_nunext.core.errors import RequestRejectedError, ServerUnavailableError
from napari_nunext.review.finding import checkup
from napari_nunext.review.finding.checkup import examine, trial_rgb
from napari_nunext.serving import protocol
from tests.review.fakes import FakeClient, done, model_info, started

if TYPE_CHECKING:
    from pathlib import Path

    from napari_nunext.review.controller import ReviewController
    from tests.review.fakes import FakeServer


@pytest.fixture
def client() -> FakeClient:
    made = FakeClient()
    made.script = [started(), done(4)]
    return made


def health(**changes: object) -> protocol.Health:
    fields = {"status": "ready", "version": __version__, "device": "cpu"}
    return protocol.Health(**(fields | changes))


def wrong(client: FakeClient, *, model_id: str = "small", folder: Path | None = None) -> str:
    """The one thing that is found to be wrong."""
    found = examine(lambda: client, model_id=model_id, folder=folder)
    assert found.phase == "done"
    assert not found.well
    (check,) = (check for check in found.checks if not check.passed)
    assert check.words.endswith(".")
    return check.words


def test_when_all_is_well_every_step_is_said_and_the_model_is_tried(client, tmp_path):
    found = examine(lambda: client, model_id="small", folder=tmp_path)
    assert found.well
    assert found.words == "All is well."
    said = " / ".join(check.words for check in found.checks)
    for part in ("answers", __version__, "cpu", "memory", "NuNext small is there", "small picture"):
        assert part in said
    (request,) = client.requests
    assert request.model == "small"
    assert found.health.loaded == ["small"]


def test_the_small_picture_has_nuclei_that_the_classical_detector_finds():
    from napari_nunext.models.classical.points import detect_nuclei

    points_xy, _ = detect_nuclei(trial_rgb(), mpp=checkup.TRIAL_MPP)
    assert len(points_xy) == 4


def test_a_server_that_does_not_run_is_said(client):
    client.down = True
    assert "Start it" in wrong(client)
    assert not client.requests


def test_one_that_cannot_be_started_says_why():
    def connect():
        raise ServerUnavailableError("The model server ended with code 1. No module named torch.")

    found = examine(connect, model_id="", folder=None)
    assert "No module named torch" in found.checks[0].words
    assert found.health is None


def test_a_wrong_token_is_said_and_nothing_behind_it_is_tried(client):
    client.health = lambda: health(device=None)
    client.models = None
    assert "token" in wrong(client)


def test_another_version_is_said(client):
    client.health = lambda: health(version="7.3.1")
    assert "7.3.1" in wrong(client)


@pytest.mark.parametrize("status", ["ready", "loading"])
def test_a_server_that_loads_is_well(client, status):
    client.health = lambda: health(status=status)
    assert examine(lambda: client, model_id="small", folder=None).well


def test_a_server_that_ends_is_said(client):
    client.health = lambda: health(status="draining")
    assert "about to stop" in wrong(client)


@pytest.mark.parametrize(
    "problem", ["The last work ended for want of memory.", "The server's disk has 3 MiB left."]
)
def test_what_the_server_finds_wrong_with_itself_is_passed_on(client, problem):
    client.health = lambda: health(problems=[problem])
    assert wrong(client) == problem


def test_a_missing_model_is_said_with_what_there_is(client):
    words = wrong(client, model_id="gone")
    assert "gone" in words
    assert "NuNext small, Classical" in words
    assert "SAM" not in words
    client.offered = []
    assert "default" in wrong(client, model_id="")


def test_a_broken_model_says_why(client):
    client.offered = [model_info(problem="small has no weights. Copy it again.")]
    assert wrong(client) == "small has no weights. Copy it again."


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ([protocol.Failed(code="out_of_memory", message="It needs more memory.")], "more memory"),
        ([started()], "broke off"),
        ([RequestRejectedError("Too much to do. Try again in 9 s.", 429)], "9 s"),
        ([ServerUnavailableError("It stopped in the middle.")], "in the middle"),
    ],
)
def test_a_model_that_does_not_answer_the_trial_is_said(client, script, said):
    client.script = script
    assert said in wrong(client)


def test_a_full_disk_is_said(client, tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda _: usage(5 * 2**20))
    assert "5 MiB" in wrong(client, folder=tmp_path)
    monkeypatch.undo()
    assert "cannot be read" in wrong(client, folder=tmp_path / "gone")


def test_the_window_is_told_in_the_end(controller: ReviewController, server: FakeServer) -> None:
    server.fake.script = [protocol.Failed(code="out_of_memory", message="It needs more memory.")]
    phases = []
    controller.find.model.events.checkup.connect(lambda news: phases.append(news.phase))
    controller.find.check()
    assert phases == ["running", "done"]
    assert controller.find.model.checkup.words == "1 thing to mend."
    assert controller.find.model.server.phase == "failed"
    server.fake.down = True
    controller.find.check()
    assert controller.find.model.server.words == "not running"
