"""COCO as pycocotools, other tools, and our own exports write it."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_nunext.core.errors import RecordError
from napari_nunext.core.formats import coco, feature_stream
from napari_nunext.core.formats.coco import (
    is_coco,
    is_coco_results,
    mask_of_rle,
    read_coco,
    read_large_coco,
)
from napari_nunext.core.shapes.masks import Mask

sides = st.integers(1, 12)


def runs_of(pixels: np.ndarray) -> list[int]:
    """By the definition: column by column, zeros first."""
    runs, value = [0], False
    for pixel in pixels.ravel(order="F"):
        if bool(pixel) != value:
            runs.append(0)
            value = not value
        runs[-1] += 1
    return runs


def compressed(counts: list[int]) -> str:
    """The text of pycocotools: rleToString of its maskApi.c, written anew."""
    text = ""
    for i, count in enumerate(counts):
        x = count - (counts[i - 2] if i > 2 else 0)
        more = True
        while more:
            c, x = x & 0x1F, x >> 5
            more = x != -1 if c & 0x10 else x != 0
            text += chr((c | 0x20 if more else c) + 48)
    return text


@given(st.tuples(sides, sides).flatmap(lambda shape: arrays(bool, shape)))
def test_run_lengths_are_read_plain_and_compressed(pixels):
    counts = runs_of(pixels)
    expected = Mask.from_array(pixels) if pixels.any() else Mask(0, 0, 0, 0, ())
    assert mask_of_rle(pixels.shape, counts) == expected
    assert mask_of_rle(pixels.shape, compressed(counts)) == expected


def test_a_text_that_pycocotools_wrote_is_read():
    pixels = np.zeros((40, 50), bool)
    pixels[5:25, 7:12] = pixels[30:39, 40:44] = pixels[0, 0] = True
    text = "01l8c0hG0000000iS1EblN00000b6"  # pycocotools.mask.encode of it
    assert mask_of_rle((40, 50), text) == Mask.from_array(pixels)
    assert compressed(runs_of(pixels)) == text


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ((4, 4), [3, 3]),
        ((4, 4), "x"),
        ((4, 4), "o"),
        ((1, 1), [2, -1]),
        ((9000, 9000), [0, 81000000]),
    ],
)
def test_run_lengths_that_do_not_hold_are_refused(size, counts):
    with pytest.raises(RecordError):
        mask_of_rle(size, counts)


def test_one_file_of_several_images_is_told_apart_and_crowds_are_counted():
    data = {
        "images": [
            {"id": 7, "file_name": "x/a.png", "width": 8, "height": 6},
            {"id": 9, "file_name": "b.png"},
        ],
        "categories": [{"id": 1, "name": "Tumour"}],
        "annotations": [
            {"image_id": 9, "category_id": 1, "bbox": [2, 2, 2, 4]},
            {"image_id": 7, "iscrowd": 1, "segmentation": {"size": [6, 8], "counts": [48]}},
            {"image_id": 7, "category_id": 5, "segmentation": [[1, 1, 4, 1, 4, 4, 1, 4]]},
        ],
    }
    assert is_coco(data)
    a, b = read_coco(data, "c.json")
    assert (a.image, a.size_px, a.notes) == ("x/a.png", (8, 6), ("left out 1 crowds",))
    (n,) = a.nuclei
    assert (n.nucleus.x_px, n.nucleus.y_px, n.nucleus.category) == (2.5, 2.5, "Nucleus")
    assert n.nucleus.mask == Mask.from_array(np.ones((3, 3), bool), 1, 1)
    assert not n.identified
    (n,) = b.nuclei
    assert (n.nucleus.x_px, n.nucleus.y_px, n.nucleus.category) == (3.0, 4.0, "Tumour")
    assert b.size_px is None


def test_results_are_not_taken_for_instances():
    results = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 0.5}]
    assert is_coco_results(results)
    assert not is_coco(results)
    assert not is_coco_results([])


LARGE = {
    "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png", "width": 9}],
    "categories": [{"id": 3, "name": "Tumour"}],
    "annotations": [
        {"image_id": 2, "category_id": 3, "bbox": [1, 2, 4, 4]},
        {"image_id": 1, "category_id": 9, "bbox": [5, 6, 2, 2], "score": 0.5},
        {"image_id": 1, "category_id": 3, "bbox": [0, 0, 2, 2], "iscrowd": 1},
    ],
    "rejected": [{"image_id": 1, "category_id": 3, "bbox": [8, 8, 2, 2]}],
    "more": {"annotations": [1]},
}


def plain(parts):
    return [
        (
            part.image,
            part.size_px,
            [(replace(n.nucleus, uid=UUID(int=0)), n.marks) for n in part.nuclei],
            part.notes,
        )
        for part in parts
    ]


@pytest.mark.parametrize("step", [1, 50, 10_000])
@pytest.mark.parametrize("order", [list(LARGE), list(reversed(LARGE))], ids=["as is", "backwards"])
def test_a_large_file_holds_the_same_read_annotation_by_annotation(
    tmp_path, monkeypatch, step, order
):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({key: LARGE[key] for key in order}), encoding="utf-8")
    assert read_large_coco(path) is None  # it is small
    monkeypatch.setattr(coco, "LARGE_BYTES", 0)
    monkeypatch.setattr(feature_stream, "STEP", step)
    found = read_large_coco(path)
    assert plain(found) == plain(read_coco(LARGE, "c.json"))
    assert [len(part.nuclei) for part in found] == [2, 1]


@pytest.mark.parametrize(
    "text",
    ["[]", '{"images": []}', '{"images": [], "annotations": 3}', '{"type": "FeatureCollection"}'],
)
def test_what_is_no_coco_is_left_to_others(tmp_path, monkeypatch, text):
    monkeypatch.setattr(coco, "LARGE_BYTES", 0)
    path = tmp_path / "c.json"
    path.write_text(text)
    assert read_large_coco(path) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [], "annotations": [{]}', "c.json is not COCO"),
        ('{"images": [], "annotations": []} x', "c.json is not COCO"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}]}',
            "c.json",
        ),
    ],
)
def test_a_large_file_that_is_broken_is_said(tmp_path, monkeypatch, text, words):
    monkeypatch.setattr(coco, "LARGE_BYTES", 0)
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(RecordError, match=words):
        read_large_coco(path)
