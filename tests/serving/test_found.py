from __future__ import annotations

import httpx
import numpy as np
import pytest

from napari_nunext.core.errors import ServerUnavailableError
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.serving.client.client import Client
from napari_nunext.serving.client.found import Found
from napari_nunext.serving.protocol import (
    DetectRequest,
    Done,
    Failed,
    Hidden,
    MaskOut,
    Masks,
    PointOut,
    Points,
    WindowDone,
)


def points(*indices):
    return Points(
        window=0,
        points=[
            PointOut(index=i, x=i, y=2.5, category="a" if i else "", confidence=0.5)
            for i in indices
        ],
    )


def test_a_stream_is_folded_into_the_nuclei_that_stand():
    found = Found()
    zero, one = found.take(points(0, 1)).shown
    (two,) = found.take(points(2)).shown
    assert found.take(Hidden(indices=[1])).hidden == (one.uid,)
    assert found.nuclei() == [zero, two]
    assert (zero.category, two.category) == ("Nucleus", "a")
    assert found.take(points(1)).back == (one.uid,)
    assert found.nuclei() == [zero, one, two]
    square = Mask.from_array(np.ones((2, 3), dtype=bool), 4, 5)
    assert found.take(Masks(masks=[MaskOut.of(2, square, 0.9)])).masks == {two.uid: square}
    assert [n.mask for n in found.nuclei()] == [None, None, square]
    vague = PointOut(index=7, x=1, y=2, category="a", confidence=0.5, position_error_um=0.75)
    (told,) = Found().take(Points(window=0, points=[vague])).shown
    assert (told.position_error_um, zero.position_error_um) == (0.75, None)
    ended = WindowDone(window=3, box=(0, 0, 9, 9), finish="limit", done=1, total=4)
    window = found.take(ended).window
    assert (window.number, window.finish, window.nuclei) == (3, "limit", ())
    assert (found.windows_done, found.windows_cut_off) == (1, 1)
    assert found.finish is None
    found.take(Done(points=3, finish="cancelled"))
    assert found.finish == "cancelled"


def test_a_run_that_broke_is_an_error():
    with pytest.raises(ServerUnavailableError, match="It broke"):
        Found().take(Failed(code="model_failed", message="It broke."))


def test_a_server_of_an_earlier_version_is_asked_for_nothing_that_it_does_not_know():
    asked = []

    def answer(request):
        asked.append(request.read())
        return httpx.Response(200, text='{"event":"done","points":0,"finish":"complete"}\n')

    with Client("http://server", transport=httpx.MockTransport(answer)) as client:
        list(client.detect(DetectRequest(image="0" * 64, mpp=0.5)))
        list(client.detect(DetectRequest(image="0" * 64, mpp=0.5, near=(3, 4))))
    assert b"near" not in asked[0]
    assert b'"near":[3.0,4.0]' in asked[1]
