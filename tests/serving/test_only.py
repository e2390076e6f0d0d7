"""What the server says of a search for some categories alone."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from napari_nunext.core.errors import InputError
from napari_nunext.core.nuclei import default_categories
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.detector import DetectorInfo, DetectsForOne, WindowEnd, WindowPoints
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.vllm.detector import VllmDetector
from napari_nunext.serving.jobs.detection_events import detect_events
from napari_nunext.serving.models.elsewhere import ElsewhereDetector
from napari_nunext.serving.protocol import DetectRequest, ModelInfo, Points, Started

KNOWN = ("Lymphocyte", "Stromal")
SHA = "ab" * 32
INFO = DetectorInfo(
    *("Fake", "fake"),
    categories=default_categories(KNOWN),
    mpp=0.5,
    window_px=64,
    halo_um=4.0,
    named_prompts=KNOWN[:1],
)


class Fake(DetectsForOne):
    """Says one nucleus of each category in every window, whatever it is asked for."""

    def __init__(self) -> None:
        self.info = INFO
        self.asked: list[tuple[str, ...]] = []

    def detect_for(self, caller, windows, *, cancelled):
        self.asked.append(caller.asked)
        for i in range(len(windows)):
            yield WindowPoints(i, np.array([(20.0, 20.0), (40.0, 40.0)]), KNOWN, (0.9, 0.8))
            yield WindowEnd(i, "end")


def events(detector, **asked):
    image = tile_of_rgb(np.zeros((64, 64, 3), np.uint8), "tile")
    request = DetectRequest(image=SHA, mpp=0.5, **asked)
    model = ModelInfo(id="fake", checkpoint_sha256=None, name="Fake", family="x", kind="detector")
    return list(detect_events(image, request, detector, run="r", model=model, clock=lambda: 0.0))


def found(stream):
    return [p.category for e in stream if isinstance(e, Points) for p in e.points]


@pytest.mark.parametrize(
    ("only", "asked", "by"),
    [
        (["lymphocyte"], ("Lymphocyte",), "prompt"),
        (["Stromal"], (), "leaving out"),
    ],
)
def test_a_model_is_asked_where_it_has_learned_it_and_nothing_else_is_found(only, asked, by):
    detector = Fake()
    stream = events(detector, only=only)
    assert detector.asked == [asked]
    (started,) = [e for e in stream if isinstance(e, Started)]
    name = only[0].capitalize()
    assert started.decoding == {"only": [name], "only_by": by}
    assert started.model.named_prompts == KNOWN[:1]
    assert found(stream) == [name]


@pytest.mark.parametrize("only", [None, [], list(KNOWN)])
def test_a_search_for_everything_is_as_it_was(only):
    detector = Fake()
    stream, before = events(detector, only=only), events(Fake())
    assert stream == before
    assert detector.asked == [()]
    assert found(stream) == list(KNOWN)


def test_searches_for_different_things_are_no_plan_to_go_on_with():
    plans = {events(Fake(), only=only)[0].plan for only in (None, ["Stromal"], ["Lymphocyte"])}
    assert len(plans) == 3


def test_a_category_that_the_model_does_not_know_is_refused():
    with pytest.raises(InputError, match="no category 'Eosinophil'; the model knows Lymphocyte"):
        events(Fake(), only=["Eosinophil"])
    with pytest.raises(ValidationError):
        DetectRequest(image=SHA, mpp=0.5, only="Stromal")


def test_workers_elsewhere_are_asked_for_everything():
    class Workers:
        info = INFO

    assert ElsewhereDetector(Workers()).info.named_prompts == ()


@pytest.mark.parametrize("kind", [NextPointDetector, VllmDetector, ElsewhereDetector])
def test_whoever_serves_several_serves_one_in_the_same_way(kind):
    assert kind.detect is DetectsForOne.detect


def test_a_single_caller_hears_of_windows_and_of_no_steps():
    class Steps(DetectsForOne):
        def detect_for(self, caller, windows, *, cancelled):
            assert caller.asked == ()
            for i in range(len(windows)):
                yield None
                yield WindowEnd(i, "end")
            yield None

    assert list(Steps().detect([0, 0], cancelled=lambda: False)) == [
        WindowEnd(0, "end"),
        WindowEnd(1, "end"),
    ]
