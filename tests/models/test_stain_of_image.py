"""One set of categories for all of an image, by the stain that it shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import immunohistochemistry

from napari_nunext.core.errors import DamagedRegionError
from napari_nunext.core.geometry import Box
from napari_nunext.images.tile import tile_of_rgb
from napari_nunext.models.detector import Caller, WindowPoints
from napari_nunext.models.next_point.decoder import DecodeStep, choosing_among
from napari_nunext.models.next_point.detector import NextPointDetector
from napari_nunext.models.whole_image import stain as stain_module
from napari_nunext.models.whole_image.search import among_of, detect_image
from napari_nunext.models.whole_image.stain import GRID, GRID_PX, PLACE_PX, seen_stain
from napari_nunext.places import BUNDLED_WEIGHTS
from napari_nunext.serving.protocol import ModelInfo
from napari_nunext.synthetic import synthesise

DAB = {"Positive", "Negative"}


@pytest.fixture(scope="module")
def bundled():
    return NextPointDetector(BUNDLED_WEIGHTS / "nunext-small", device="cpu")


@pytest.fixture(scope="module")
def drawn():
    return synthesise(np.random.default_rng(3), height_px=192, width_px=192, mpp=0.5).rgb


def test_an_image_has_categories_of_one_stain(bundled, drawn):
    for rgb, stain, expected in (
        (immunohistochemistry()[:192, :192], "H-DAB", DAB),
        (drawn, "H&E", {"Lymphocyte", "Tumour or epithelial", "Stromal"}),
    ):
        found = detect_image(tile_of_rgb(rgb, "tile"), bundled, mpp=0.5)
        assert len(found) > 2
        assert set(found.categories) <= expected
        assert found.decoding["stain"] == stain
        assert set(found.decoding["among"]) == expected


def test_places_do_not_depend_on_the_categories_that_are_left(bundled, drawn):
    """Both ways the detector looks for all nuclei; a reply goes on from another category."""
    image = tile_of_rgb(drawn, "tile")
    counts = []
    for among in ((), ("Positive", "Negative"), ("Stromal",)):
        caller = Caller(among=among)
        windows = [image.read_window(Box(64, 64, 128, 128), 64)]
        said = list(bundled.detect_for(caller, windows, cancelled=lambda: False))
        points = [event for event in said if isinstance(event, WindowPoints)]
        named = Counter(name for event in points for name in event.categories)
        assert not among or set(named) <= set(among)
        counts.append(sum(named.values()))
    assert min(counts) > 0
    assert max(counts) <= 1.5 * min(counts)


def test_callers_with_other_stains_are_decoded_together(bundled, drawn):
    """One batch, and each reply has the categories of its own caller."""
    window = tile_of_rgb(drawn, "tile").read_window(Box(64, 64, 128, 128), 64)
    callers = [Caller(among=("Positive", "Negative")), Caller(among=("Stromal",)), Caller()]
    streams = {
        at: bundled.detect_for(caller, [window], cancelled=lambda: False)
        for at, caller in enumerate(callers)
    }
    heard: list[set[str]] = [set(), set(), set()]
    while streams:
        for at, stream in list(streams.items()):
            event = next(stream, "over")
            if event == "over":
                del streams[at]
            elif isinstance(event, WindowPoints):
                heard[at] |= set(event.categories)
    assert heard[0]
    assert heard[0] <= DAB
    assert heard[1] == {"Stromal"}
    assert heard[2]
    assert not heard[2] & DAB


def test_a_category_that_is_asked_for_is_searched_whatever_the_stain(bundled):
    info = bundled.info
    assert among_of(info, "H-DAB") == ("Positive", "Negative")
    assert among_of(info, "H-DAB", ("Positive",)) == ("Positive", "Negative")
    assert among_of(info, "H-DAB", ("Lymphocyte",)) == ()


def test_what_people_taught_on_a_stain_counts_for_more_than_names(bundled):
    """Else who teaches it lymphocytes on brown sections would never get one."""
    taught = replace(bundled.info, taught_on_dab=("Lymphocyte",))
    assert among_of(taught, "H-DAB") == ("Lymphocyte", "Positive", "Negative")
    assert among_of(taught, "H&E") == ("Lymphocyte", "Tumour or epithelial", "Stromal")
    assert ModelInfo(**taught.said() | {"id": "x"}).taught_on_dab == ("Lymphocyte",)


def test_only_forbidden_categories_lose_their_scores(bundled):
    codec = bundled._checkpoint.description.codec
    allowed = torch.tensor(sorted(codec.category_ids))
    scores = torch.arange(2 * len(allowed), dtype=torch.float32).reshape(2, -1)
    rows = torch.arange(2)
    step = DecodeStep(rows, rows + 2, allowed[scores.argmax(-1)], allowed, scores, scores)
    kept = ("Lymphocyte", "Stromal")
    chosen = choosing_among(step, codec, [kept, ()])
    names = dict(zip(codec.category_ids, codec.category_names, strict=True))
    finite = {names[i] for i in allowed[chosen.scores[0].isfinite()].tolist()}
    assert finite == set(kept)
    assert names[int(chosen.token_ids[0])] in kept
    assert torch.equal(chosen.scores[1], scores[1])
    assert chosen.token_ids[1] == step.token_ids[1]


class Slide:
    """A large white image with a piece of tissue far from its middle, and a note in black ink."""

    def __init__(self, rgb, levels=(1.0, 64.0)):
        self.box = Box(0, 0, 40_000, 30_000)
        height, width = rgb.shape[:2]
        self.there = Box(30_000, 20_000, 30_000 + width, 20_000 + height)
        self.rgb = rgb
        self.levels = levels
        self.read = []

    def read_window(self, box, out_px):
        self.read.append((box, out_px))
        steps = (np.arange(out_px) + 0.5) * box.width / out_px
        x, y = np.meshgrid((box.x0 + steps).astype(int), (box.y0 + steps).astype(int))
        seen = np.full((out_px, out_px, 3), 255, np.uint8)
        seen[(x >= 2_000) & (x < 5_000) & (y >= 2_000) & (y < 5_000)] = 20
        held = self.there.contains(np.stack([x.ravel(), y.ravel()], 1)).reshape(x.shape)
        left, top = int(self.there.x0), int(self.there.y0)
        seen[held] = self.rgb[y[held] - top, x[held] - left]
        return seen


def test_of_a_slide_only_some_places_are_read(bundled):
    slide = Slide(np.tile(immunohistochemistry(), (6, 6, 1)))
    assert seen_stain(slide, bundled.info, mpp=0.5) == "H-DAB"
    assert sum(out_px**2 for _, out_px in slide.read) < 2e6
    assert {out_px for _, out_px in slide.read[1:]} == {PLACE_PX}
    assert any(box.clipped_to(slide.there).width for box, _ in slide.read[1:])


def test_a_large_image_without_a_coarse_level_is_not_read_whole(bundled):
    image = Slide(np.tile(immunohistochemistry(), (30, 40, 1)), levels=(1.0,))
    assert seen_stain(image, bundled.info, mpp=0.5) == "H-DAB"
    assert {out_px for _, out_px in image.read} == {GRID_PX}
    assert sum(box.width * box.height for box, _ in image.read) < 2e6
    centres = [((b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2) for b, _ in image.read]
    assert len({x for x, _ in centres}) == len({y for _, y in centres}) == GRID


def test_who_has_nothing_to_choose_reads_nothing(bundled):
    class Unread:
        box = Box(0, 0, 100, 100)

        def read_window(self, box, out_px):
            raise AssertionError("read")

    one = tuple(c for c in bundled.info.categories if c.name not in DAB)
    assert seen_stain(Unread(), replace(bundled.info, categories=one), mpp=0.5) is None


def test_what_cannot_be_read_is_in_doubt(bundled):
    class Damaged:
        box = Box(0, 0, 100, 100)

        def read_window(self, box, out_px):
            raise DamagedRegionError("torn", box)

    assert seen_stain(Damaged(), bundled.info, mpp=0.5) is None


def test_the_pixels_that_are_judged_have_one_size(bundled, monkeypatch):
    asked = []
    image = tile_of_rgb(immunohistochemistry(), "tile")
    read = image.read_window

    class Seen:
        box = image.box

        def read_window(self, box, out_px):
            asked.append(box.width * 0.5 / out_px)
            return read(box, out_px)

    seen_stain(Seen(), bundled.info, mpp=0.5)
    assert asked == [pytest.approx(stain_module.PIXEL_UM)]
