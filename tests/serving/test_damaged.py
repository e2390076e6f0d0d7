"""Parts of an image that cannot be decoded: the windows there fail, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_nunext.core.errors import DamagedRegionError
from napari_nunext.core.geometry import Box
from napari_nunext.models.detector import WindowEnd, WindowPoints
from napari_nunext.models.whole_image.search import detect_image
from napari_nunext.serving.client.found import Found, failed_words
from napari_nunext.serving.protocol import (
    Masks,
    Points,
    Resume,
    Sighted,
    Started,
    WindowDone,
    WindowFailed,
)
from tests.serving.test_detection import Oracle, Squares, events_of, standing_xy


class Torn(Oracle):
    """One whose pixels cannot be decoded in a part; a detector sees nuclei in white as well."""

    torn: Box | None = Box(100, 100, 110, 110)

    def read_window(self, box, out_px):
        if self.torn is not None and box.clipped_to(self.torn).width and box.y1 > self.torn.y0:
            raise DamagedRegionError("a tile is torn.", self.torn.as_tuple())
        return super().read_window(box, out_px)

    def detect(self, windows, *, cancelled):
        for index in range(len(windows)):
            pixels = windows[index]
            if pixels.min() == 255:
                yield WindowPoints(index, np.array([[5.0, 5.0]]), ("Nucleus",), (0.9,))
                yield WindowEnd(index, "end")
                continue
            for event in super().detect([pixels], cancelled=cancelled):
                yield replace(event, window=index)


@pytest.mark.parametrize("with_masks", [False, True])
def test_a_window_that_cannot_be_read_fails_alone_and_is_searched_when_it_can_be(rng, with_masks):
    truth = rng.uniform((0, 0), (230, 190), (160, 2))
    whole = Torn(truth, 230, 190)
    whole.torn = None
    undisturbed = events_of(whole, Squares() if with_masks else None)
    torn = Torn(truth, 230, 190)
    torn.torn = Box(100, 100, 110, 110)
    events = events_of(torn, Squares() if with_masks else None)
    failed = {event.window for event in events if isinstance(event, WindowFailed)}
    done = [event.window for event in events if isinstance(event, WindowDone)]
    assert 0 < len(failed) < len(done)
    assert not failed & set(done)
    assert events[-1].finish == "incomplete"
    assert {e.window for e in events if isinstance(e, Points)} <= set(done)
    seen = {p.index: p for e in events if isinstance(e, Points) for p in e.points}
    of = {p.index: e.window for e in events if isinstance(e, Points) for p in e.points}
    outlined = {m.index for e in events if isinstance(e, Masks) for m in e.masks}
    assert bool(outlined) == with_masks
    sighted = [
        Sighted(
            window=of[i],
            x=p.x,
            y=p.y,
            category=p.category,
            confidence=p.confidence,
            outlined=i in outlined,
        )
        for i, p in sorted(seen.items())
    ]
    torn.torn = None
    plan = next(event.plan for event in events if isinstance(event, Started))
    resume = Resume(plan=plan, done=done, sighted=sighted)
    again = events_of(torn, Squares() if with_masks else None, resume=resume)
    assert {e.window for e in again if isinstance(e, WindowDone)} == failed
    assert again[-1].finish == "complete"
    np.testing.assert_allclose(standing_xy(again), standing_xy(undisturbed))
    masks = len(outlined) + sum(len(e.masks) for e in again if isinstance(e, Masks))
    assert masks == (len(standing_xy(again)) if with_masks else 0)


def test_who_wants_a_whole_image_at_once_is_told_what_cannot_be_read():
    torn = Torn(np.empty((0, 2)), 230, 190)
    with pytest.raises(DamagedRegionError, match="torn"):
        detect_image(torn, torn, mpp=0.5)


def test_who_follows_the_stream_knows_which_windows_failed_and_why():
    found = Found()
    assert failed_words(found) == ""
    found.take(WindowFailed(window=7, box=(0, 0, 9, 9), message="A tile is torn."))
    found.take(WindowFailed(window=3, box=(0, 0, 9, 9), message="Another is."))
    assert found.windows_done == 0
    assert failed_words(found).startswith("2 windows could not be read")
    assert failed_words(found).endswith("A tile is torn.")
