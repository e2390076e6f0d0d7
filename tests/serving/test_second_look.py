"""A second look reaches who asks a server as it reaches who asks in process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.checkpoints.build import build_checkpoint
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.checkpoints.second_look import LookLayer, SecondLook
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.whole_image.search import detect_image
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.protocol import DetectRequest, ModelInfo, Started
from tests.sizes import SMALL

SIZE = replace(SMALL, patch_px=8, merge=1)
NAMES = ("Round", "Pale")


@pytest.fixture
def detectors(tmp_path, rng):
    """A detector that looks once, and the same looking twice."""
    folder = tmp_path / "small"
    build_checkpoint(
        folder, family="conv_qwen", size=SIZE, window_px=32, max_points=6, categories=NAMES
    )
    once = load_checkpoint(folder, device="cpu")
    width = once.model.get_input_embeddings().weight.shape[1]
    layer = LookLayer(rng.normal(0, 1, (2, 2 * width)).astype(np.float32), np.zeros(2, np.float32))
    described = replace(once.description, second_look=SecondLook(NAMES, "0" * 64, 100))
    twice = replace(once, description=described, look_layer=layer)
    return NextPointDetector.from_loaded(once), NextPointDetector.from_loaded(twice)


def test_a_stream_has_the_categories_of_the_second_look(detectors, rng):
    once, twice = detectors
    image = tile_of_rgb(rng.integers(0, 256, (96, 96, 3), dtype=np.uint8), "tile")
    request = DetectRequest(image="0" * 64, mpp=0.5)
    model = ModelInfo(
        id="small", name="Small", kind="detector", family="conv_qwen", checkpoint_sha256=None
    )
    found, events = Found(), list(detect_events(image, request, twice, run="r", model=model))
    for event in events:
        found.take(event)
    (started,) = (event for event in events if isinstance(event, Started))
    assert started.decoding["categories"] == "second look"
    offline, first = (detect_image(image, each, mpp=0.5) for each in (twice, once))
    told = sorted((n.x_px, n.y_px, n.category) for n in found.nuclei())
    assert told == sorted(
        (x, y, c) for (x, y), c in zip(offline.points_xy.tolist(), offline.categories, strict=True)
    )
    assert len(first) == len(offline) > 0
    assert first.categories != offline.categories
