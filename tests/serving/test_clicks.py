"""Clicks answered by a real segmenter, through a real server: what is looked at, and how often."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from napari_nunext.core.errors import RequestRejectedError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.catalog import Catalog
from napari_nunext.models.sam.build import build_sam
from napari_nunext.models.sam.embeddings import new_embeddings
from napari_nunext.models.sam.segmenter import SamSegmenter
from napari_nunext.models.segmenter import ScoredMask, SegmenterInfo
from napari_nunext.serving.protocol import (
    DetectRequest,
    MaskPrompt,
    Masks,
    Outline,
    PromptPoint,
    SegmentRequest,
)
from tests.waiting import PATIENCE_S, wait_for

EMBEDDING_BYTES = 32 * 4 * 4 * 4
"""Channels, grid, grid, bytes of a number."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam") / "sam"
    build_sam(folder, window_px=64, mpp=0.5)
    return folder


@pytest.fixture
def sam(catalog, folder):
    """A segmenter that counts the windows that it looks at."""
    catalog.embeddings = new_embeddings(4 * EMBEDDING_BYTES)
    sam = SamSegmenter(folder, device="cpu", embeddings=catalog.embeddings)
    sam.looks = 0

    def count(*_):
        sam.looks += 1

    sam._model.vision_encoder.register_forward_hook(count)
    catalog.segmenters["sam"] = sam
    return sam


@pytest.fixture
def click(server, sam, rgb):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))

    def click(*clicks):
        points = [PromptPoint(x=x, y=y, positive=on_it) for x, y, on_it in clicks]
        prompts = [MaskPrompt(points=points)]
        request = SegmentRequest(image=sha256, mpp=0.5, prompts=prompts, segmenter="sam")
        return server.client.segment(request)

    return click


def embeddings_bytes(server) -> float:
    text = server.client._http.get("/metrics").text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    return families["nunext_embeddings_bytes"].samples[0].value


def test_the_window_under_further_clicks_is_looked_at_once(server, sam, click):
    click((24, 24, True))
    assert sam.looks == 1
    for further in [(26, 24, True)], [(24, 24, True), (40, 24, False)], [(20, 28, True)]:
        click(*further)
    click((24, 24, True), (127, 95, False))  # beyond the window: on another nucleus
    assert sam.looks == 1
    assert embeddings_bytes(server) == EMBEDDING_BYTES


def test_what_a_run_has_drawn_is_remembered_for_clicks(server, sam, rgb, click):
    request = DetectRequest(
        image=server.client.put_image(tile_of_rgb(rgb, "tile")),
        mpp=0.5,
        masks=True,
        segmenter="sam",
    )
    masks = [m for e in server.client.detect(request) if isinstance(e, Masks) for m in e.masks]
    assert masks
    looks = sam.looks
    assert 1 < looks <= 4
    click((100, 70, True))
    assert sam.looks == looks


def test_memory_for_embeddings_is_bounded(server, sam, rgb):
    for shift in range(5):
        sha256 = server.client.put_image(tile_of_rgb(np.roll(rgb, shift, axis=0), "tile"))
        prompts = [MaskPrompt(points=[PromptPoint(x=24, y=24)])]
        server.client.segment(
            SegmentRequest(image=sha256, mpp=0.5, prompts=prompts, segmenter="sam")
        )
    assert sam.looks == 5
    assert embeddings_bytes(server) == 4 * EMBEDDING_BYTES


def test_clicks_too_far_apart_are_refused_in_words(click):
    with pytest.raises(RequestRejectedError, match="too far apart") as caught:
        click((5, 5, True), (120, 90, True))
    assert caught.value.status == 422


def test_a_catalogue_gives_its_segmenters_one_memory(folder, tmp_path, rng):
    build_sam(tmp_path / "other", window_px=64, seed=1)
    catalog = Catalog(
        [folder, tmp_path / "other"], device="cpu", embeddings_bytes=int(1.5 * EMBEDDING_BYTES)
    )
    window = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for id_ in ("sam", "other"):
        segmenter = catalog.load_segmenter(id_)
        segmenter._embedding(window)
    assert catalog.embeddings.size_bytes == EMBEDDING_BYTES


class Deaf:
    """Draws a mask when it is allowed to; looks up only between two."""

    def __init__(self, like):
        self.info = like.info
        self.allowed = threading.Semaphore(0)
        self.entered = threading.Event()
        self.stopped = threading.Event()
        self.steps = 0

    def segment(self, window, prompts, *, cancelled):
        for _ in prompts:
            if cancelled():
                self.stopped.set()
                return
            self.entered.set()
            assert self.allowed.acquire(timeout=PATIENCE_S)
            self.steps += 1
            yield ScoredMask(Mask.from_array(np.ones((2, 2), dtype=bool)), 1.0)


@pytest.fixture
def deaf(catalog):
    catalog.segmenters["deaf"] = Deaf(catalog.segmenters["classical"])
    return catalog.segmenters["deaf"]


def many_clicks(sha256):
    prompts = [{"points": [{"x": 20, "y": 20}]}] * 9
    return {"image": sha256, "mpp": 0.5, "prompts": prompts, "segmenter": "deaf"}


def test_hanging_up_on_a_segmentation_frees_the_model_within_one_step(server, deaf, rgb, caplog):
    caplog.set_level("INFO", logger="napari_nunext")
    body = json.dumps(many_clicks(server.client.put_image(tile_of_rgb(rgb, "tile"))))
    headers = {"Authorization": server.client._http.headers["Authorization"]}
    headers["Content-Type"] = "application/json"
    with closing(http.client.HTTPConnection(server.url.removeprefix("http://"))) as connection:
        connection.request("POST", "/v1/segment", body, headers)
        assert deaf.entered.wait(PATIENCE_S)
    wait_for(lambda: " 499 after" in caplog.text)  # the server has seen that nobody listens
    deaf.allowed.release(100)
    assert deaf.stopped.wait(PATIENCE_S)
    assert deaf.steps == 1  # the one that it was in the middle of


def test_a_segmentation_that_takes_too_long_is_ended_for_good(start, deaf, rgb):
    server = start(max_segment_s=0.3)
    with pytest.raises(RequestRejectedError, match=r"longer than 0\.3 s") as caught:
        server.client.segment(
            SegmentRequest.model_validate(
                many_clicks(server.client.put_image(tile_of_rgb(rgb, "tile")))
            )
        )
    assert caught.value.status == 503
    assert caught.value.retry_s is None, "the same again would take as long"
    deaf.allowed.release(100)
    assert deaf.stopped.wait(PATIENCE_S)
    assert deaf.steps == 1


def test_the_outline_that_a_click_corrects_is_told(server, catalog, rgb):
    told = []

    class Listening:
        info = SegmenterInfo("l", "fake", mpp=0.5, window_px=64, reads_outlines=True)

        def segment(self, window, prompts, *, cancelled):
            told.extend(prompts)
            return iter([ScoredMask(Mask.from_array(np.ones((4, 4), bool), 20, 20), 0.5)])

    catalog.segmenters["listening"] = Listening()
    outline = Mask.from_array(np.ones((5, 6), bool), 21, 20)
    prompt = MaskPrompt(points=[PromptPoint(x=24, y=24)], outline=Outline(**outline.to_json()))
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    request = SegmentRequest(image=sha256, mpp=0.5, prompts=[prompt], segmenter="listening")
    assert len(server.client.segment(request).masks) == 1
    assert [prompt.outline for prompt in told] == [outline]


@pytest.mark.parametrize(
    ("outline", "match"),
    [
        (Outline(offset=(0, 0), size=(10**6, 10**6), counts=[0, 10**12]), "at most 2048"),
        (Outline(offset=(0, 0), size=(4, 4), counts=[3, 1]), "add up|cover"),
        (Outline(offset=(0, 0), size=(-4, -4), counts=[0, 16]), "negative|size"),
    ],
)
def test_an_outline_that_is_none_is_refused_in_words(server, sam, rgb, outline, match):
    sha256 = server.client.put_image(tile_of_rgb(rgb, "tile"))
    prompt = MaskPrompt(points=[PromptPoint(x=24, y=24)], outline=outline)
    request = SegmentRequest(image=sha256, mpp=0.5, prompts=[prompt], segmenter="sam")
    with pytest.raises(RequestRejectedError, match=match) as caught:
        server.client.segment(request)
    assert caught.value.status == 422
