"""Images that are too large to be sent: read here, their windows searched by a server elsewhere."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_nunext import cli
from napari_nunext.commands.export import export_project
from napari_nunext.core.errors import InputError, RequestRejectedError, ServerUnavailableError
from napari_nunext.core.geometry import Box
from napari_nunext.core.nuclei import UNCATEGORISED
from napari_nunext.images import open_image
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.classical.adapters import ClassicalDetector
from napari_nunext.models.detector import WindowPoints
from napari_nunext.models.whole_image.search import detect_image, plan_image, search
from napari_nunext.serving import service
from napari_nunext.serving.client import relayed
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.client.local_server import TOKEN_VARIABLE
from napari_nunext.serving.client.relayed import RelayedClient
from napari_nunext.serving.models.elsewhere import ElsewhereCatalog, ElsewhereDetector
from napari_nunext.serving.models.remote_workers import RemoteCatalog, RemoteWorkers
from napari_nunext.serving.protocol import DetectRequest, Done, Failed, SegmentRequest, Started
from napari_nunext.serving.windows_protocol import WindowEndOut, WindowPointsOut, WindowsRequest
from napari_nunext.synthetic import synthesise
from tests.images.slides.test_tiff_slides import write_svs
from tests.serving.conftest import TOKEN, ChoosingDetector
from tests.waiting import wait_for

if TYPE_CHECKING:
    from pathlib import Path

REGION = (0, 0, 600, 500)


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    return synthesise(np.random.default_rng(7), height_px=600, width_px=760, mpp=0.5).rgb


@pytest.fixture
def slide(tmp_path: Path, tissue: np.ndarray) -> Path:
    folder = tmp_path / "slides"
    folder.mkdir()
    return write_svs(folder / "slide ä.svs", tissue, 0.5)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file stands for one of more pixels than are sent."""
    monkeypatch.setattr(relayed, "MOST_PIXELS", 100_000)


def workers(server: Any, model: str = "classical") -> RemoteWorkers:
    return RemoteWorkers(server.client, model)


def test_windows_that_are_sent_give_what_one_process_finds(server, tissue):
    image = tile_of_rgb(tissue, "tissue")
    alone = detect_image(image, ClassicalDetector(), mpp=0.5)
    detector = ElsewhereDetector(workers(server))
    told, known = detector.info, ClassicalDetector().info
    for name in ("name", "mpp", "window_px", "halo_um", "categories", "image_tokens"):
        assert getattr(told, name) == getattr(known, name), name
    assert json.dumps(told.decoding) == json.dumps(known.decoding)
    found = detect_image(image, detector, mpp=0.5)
    assert len(alone) > 50
    np.testing.assert_array_equal(found.points_xy, alone.points_xy)
    np.testing.assert_array_equal(found.confidence, alone.confidence)
    assert found.categories == alone.categories


def test_the_server_chooses_from_the_categories_of_the_images_stain(server, catalog, tissue):
    catalog.detectors["choosing"] = ChoosingDetector()
    detector = ElsewhereDetector(workers(server, "choosing"))
    found = detect_image(tile_of_rgb(tissue, "tissue"), detector, mpp=0.5)
    assert set(found.categories) == {"Round"}


def test_of_a_server_of_before_no_category_of_another_stain_is_taken(
    server, catalog, tissue, monkeypatch, caplog
):
    catalog.detectors["choosing"] = ChoosingDetector()
    monkeypatch.setattr(server.client, "_lacks", frozenset({"among"}))
    detector = ElsewhereDetector(workers(server, "choosing"))
    found = detect_image(tile_of_rgb(tissue, "tissue"), detector, mpp=0.5)
    assert set(found.categories) == {UNCATEGORISED}
    assert "nuclei of others (any) have no category. Update it." in caplog.text


class VagueDetector(ClassicalDetector):
    """Says of each point how far off it may be: twice its confidence, in um."""

    def detect(self, windows, *, cancelled):
        for event in super().detect(windows, cancelled=cancelled):
            if isinstance(event, WindowPoints):
                errors_um = tuple(2 * sure for sure in event.confidence)
                event = replace(event, position_error_um=errors_um)
            yield event


def test_how_far_off_points_may_be_travels_with_them(server, catalog, tissue):
    catalog.detectors["vague"] = VagueDetector()
    image = tile_of_rgb(tissue, "tissue")
    here = detect_image(image, VagueDetector(), mpp=0.5)
    elsewhere = detect_image(image, ElsewhereDetector(workers(server, "vague")), mpp=0.5)
    found = Found()
    asked = DetectRequest(image=server.client.put_image(image), mpp=0.5, model="vague")
    for event in server.client.detect(asked):
        found.take(event)
    expected = sorted((2 * here.confidence).tolist())
    assert len(set(expected)) > 5
    assert sorted(here.position_error_um.tolist()) == expected
    assert sorted(elsewhere.position_error_um.tolist()) == pytest.approx(expected)
    assert sorted(n.position_error_um for n in found.nuclei()) == pytest.approx(expected)


def test_a_category_is_known_whatever_its_case(server, catalog, tissue):
    catalog.detectors["choosing"] = ChoosingDetector()
    side = ClassicalDetector().info.window_px
    image = server.client.put_image(tile_of_rgb(tissue[:side, :side], "window"))
    request = WindowsRequest(image=image, mpp=0.5, model="choosing", among=["negative"])
    said = [e for e in server.client.windows(request) if isinstance(e, WindowPointsOut)]
    assert [event.categories for event in said] == [["Negative"]]


def test_a_category_that_the_server_does_not_know_is_named(server, catalog, tissue):
    catalog.detectors["choosing"] = ChoosingDetector()
    side = ClassicalDetector().info.window_px
    image = server.client.put_image(tile_of_rgb(tissue[:side, :side], "window"))
    request = WindowsRequest(image=image, mpp=0.5, model="choosing", among=["Square"])
    with pytest.raises(RequestRejectedError, match="no category 'Square'"):
        list(server.client.windows(request))


def test_what_is_no_column_of_windows_is_refused(server, rgb):
    image = server.client.put_image(tile_of_rgb(rgb, "tile"))
    request = WindowsRequest(image=image, mpp=0.5, model="classical")
    with pytest.raises(RequestRejectedError, match="128 x 96 px is no column of windows of 512 px"):
        list(server.client.windows(request))


def test_each_window_ends_once_and_the_last_event_counts(server, tissue):
    side = ClassicalDetector().info.window_px
    column = np.concatenate([tissue[:side, :side], tissue[-side:, -side:]])
    image = server.client.put_image(tile_of_rgb(column, "windows"))
    events = list(server.client.windows(WindowsRequest(image=image, mpp=0.5, model="classical")))
    ends = [event.window for event in events if isinstance(event, WindowEndOut)]
    points = sum(len(e.points) for e in events if isinstance(e, WindowPointsOut))
    assert sorted(ends) == [0, 1]
    assert isinstance(events[-1], Done)
    assert events[-1].points == points > 10
    assert events[-1].finish == "complete"


def test_a_server_that_knows_no_windows_is_named(start, monkeypatch):
    earlier = [kind for kind in service.KINDS if kind.name != "windows"]
    monkeypatch.setattr(service, "KINDS", earlier)
    server = start()
    with pytest.raises(InputError, match="earlier version, which takes images of up to 178"):
        workers(server)


def test_what_breaks_there_is_said_here(server, tissue):
    with pytest.raises(ServerUnavailableError):
        workers(server, "broken")


def test_a_search_that_is_stopped_stops_there(server, catalog, tissue):
    slow = catalog.detectors["slow"]
    slow.allowed.release(10_000)
    detector = ElsewhereDetector(workers(server, "slow"))
    while slow.allowed.acquire(blocking=False):
        pass
    slow.entered.clear()
    image = tile_of_rgb(tissue, "tissue")
    stop = threading.Event()
    windows = list(plan_image(image, detector.info, mpp=0.5))
    said = search(image, detector, windows, cancelled=stop.is_set)
    searched = threading.Thread(target=lambda: list(said))
    searched.start()
    wait_for(slow.entered.is_set)
    stop.set()
    searched.join()
    server.client.close()  # whoever still waits for an answer hangs up
    wait_for(slow.stopped.is_set)


def test_the_catalogue_is_the_other_servers(server, catalog):
    here = catalog.__class__()
    remote = ElsewhereCatalog(RemoteCatalog(server.client, here), lambda id_: workers(server, id_))
    detectors = {e.id: e for e in remote.entries() if e.kind == "detector"}
    assert set(detectors) == {"classical", "slow", "broken"}
    assert remote.default_detector_id == "classical"
    assert remote.load_detector().info.window_px == ClassicalDetector().info.window_px
    assert remote.load_segmenter("classical") is here.segmenters["classical"]
    assert remote.default_segmenter_id == "classical"
    with pytest.raises(InputError, match="another server's"):
        RemoteCatalog(server.client, here).load_detector("slow")


@pytest.mark.usefixtures("large")
def test_a_batch_of_a_large_slide_at_a_server_elsewhere_is_that_of_one_here(
    start, slide, tmp_path, monkeypatch
):
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    server = start()
    exported = []
    for name, given in (("there", ["--server", server.url]), ("here", [])):
        project = tmp_path / f"{name}.nunext"
        options = [*given, "--model", "classical", "--tissue", "--project", str(project)]
        assert cli.main(["detect", str(slide.parent), *options]) == 0
        out = tmp_path / name
        export_project(project, out, "geojson")
        exported.append([path.read_bytes() for path in out.iterdir()])
    assert exported[0] == exported[1]
    assert len(exported[0][0]) > 1000
    with pytest.raises(RequestRejectedError):  # the slide itself was never sent
        next(server.client.detect(DetectRequest(image=open_image(slide).id, mpp=0.5)))


@pytest.mark.usefixtures("large")
def test_a_client_sends_small_images_and_reads_large_ones_here(server, slide, rgb):
    with RelayedClient(server.url, TOKEN) as client:
        small = client.put_image(tile_of_rgb(rgb, "tile"))
        assert isinstance(list(client.detect(request(small)))[-1], Done)
        assert client._reader is None
        image = open_image(slide)
        large = client.put_image(image)
        events = list(client.detect(request(large)))
        assert isinstance(events[0], Started)
        assert not any(isinstance(event, Failed) for event in events)
        alone = detect_image(image, ClassicalDetector(), mpp=0.5, region=Box(*REGION))
        assert events[-1] == Done(points=len(alone), finish="complete")
        reply = client.segment(
            SegmentRequest(
                image=large,
                mpp=0.5,
                prompts=[{"points": [{"x": 100, "y": 100}]}],
                segmenter="classical",
            )
        )
        assert reply.segmenter == "classical"
        assert client.cancel("nobody") is False
        reader = client._reader
    assert not reader.alive


def request(image: str) -> DetectRequest:
    return DetectRequest(image=image, mpp=0.5, model="classical", region=REGION)
