from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from transformers import SamModel, SamProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from napari_nunext.core.errors import CheckpointError, InputError
from napari_nunext.core.geometry import Box
from napari_nunext.core.shapes.masks import Mask
from napari_nunext.models.sam.build import build_sam
from napari_nunext.models.sam.embeddings import new_embeddings
from napari_nunext.models.sam.segmenter import PROMPTS_AT_ONCE, SamSegmenter, sam_pixels
from napari_nunext.models.segmenter import Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM whose masks depend on their prompts."""
    folder = tmp_path_factory.mktemp("sam") / "small"
    build_sam(folder, window_px=SIDE, mpp=0.25)
    model: Any = SamModel.from_pretrained(folder, local_files_only=True)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def segmenter(folder: Path) -> SamSegmenter:
    return SamSegmenter(folder, device="cpu")


@pytest.fixture
def window(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def click(x: float, y: float) -> Prompt:
    return Prompt(np.array([[x, y]]), (True,))


def painted(mask: Any) -> NDArray[np.bool_]:
    image = np.zeros((SIDE, SIDE), bool)
    crop = mask.to_array()
    image[mask.y0_px : mask.y0_px + crop.shape[0], mask.x0_px : mask.x0_px + crop.shape[1]] = crop
    return image


def by_the_book(
    folder: Path, window: NDArray[np.uint8], prompt: Prompt
) -> tuple[NDArray[np.bool_], float]:
    """Mask and score through transformers' own processor, whose pixels count from their centre."""
    model: Any = SamModel.from_pretrained(folder, local_files_only=True)
    processor: Any = SamProcessor(SamImageProcessorPil.from_pretrained(folder))
    given: dict[str, Any] = {}
    if len(prompt.points_xy):
        given["input_points"] = [[(prompt.points_xy - 0.5).tolist()]]
        given["input_labels"] = [[[int(p) for p in prompt.positive]]]
    if prompt.box is not None:
        given["input_boxes"] = [[[v - 0.5 for v in prompt.box.as_tuple()]]]
    inputs = processor(window, return_tensors="pt", **given)
    with torch.no_grad():
        output = model(
            **{
                k: v.float() if v.is_floating_point() else v
                for k, v in inputs.items()
                if k not in ("original_sizes", "reshaped_input_sizes")
            },
            multimask_output=False,
        )
    masks = processor.image_processor.post_process_masks(
        output.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    return masks[0][0, 0].numpy(), float(output.iou_scores[0, 0, 0].clamp(0, 1))


def one_piece(mask: NDArray[np.bool_], prompt: Prompt) -> NDArray[np.bool_]:
    """The pieces clicked on, else the nearest or, without a click, the largest; filled."""
    pieces, count = ndimage.label(mask)
    clicks = [xy for xy, on_it in zip(prompt.points_xy, prompt.positive, strict=True) if on_it]
    if not clicks:
        kept = {int(np.argmax([(pieces == i).sum() for i in range(1, count + 1)])) + 1}
    else:
        kept = {pieces[int(y), int(x)] for x, y in clicks} - {0}
    if not kept:
        away = ndimage.distance_transform_edt(~mask, return_indices=True)[1]
        x, y = clicks[0]
        kept = {pieces[tuple(away[:, int(y), int(x)])]}
    return ndimage.binary_fill_holes(np.isin(pieces, list(kept)))


@pytest.mark.parametrize(
    "prompt",
    [
        click(20.5, 30.5),
        Prompt(np.array([[20.0, 30.0], [50.0, 10.0]]), (True, False)),
        Prompt(np.empty((0, 2)), (), Box(10, 12, 40, 44)),
        Prompt(np.array([[20.0, 30.0]]), (True,), Box(10, 12, 40, 44)),
    ],
    ids=["click", "two signs", "box", "click in box"],
)
def test_a_mask_is_the_one_of_transformers_own_pipeline(
    folder: Path, segmenter: SamSegmenter, window: NDArray[np.uint8], prompt: Prompt
) -> None:
    (answer,) = segmenter.segment(window, [prompt])
    whole, score = by_the_book(folder, window, prompt)
    mask = one_piece(whole, prompt)
    assert 0 < mask.mean() < 1
    # Its post-processing resamples twice where the sizes agree; borders may differ by rounding.
    assert (painted(answer.mask) != mask).mean() < 0.002
    assert answer.score == pytest.approx(score, abs=1e-5)
    assert answer.mask.x0_px >= 0
    assert answer.mask.x0_px + answer.mask.width_px <= SIDE


def test_prompts_of_all_kinds_are_answered_in_order_as_if_each_were_alone(
    segmenter: SamSegmenter, window: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    prompts = [click(*xy) for xy in rng.uniform(0, SIDE, (PROMPTS_AT_ONCE + 6, 2))]
    prompts.insert(3, Prompt(np.array([[9.0, 9.0], [40.0, 40.0]]), (True, False)))
    prompts.insert(9, Prompt(np.empty((0, 2)), (), Box(10, 12, 40, 44)))
    together = list(segmenter.segment(window, prompts))
    assert len(together) == len(prompts)
    assert len({m.mask for m in together}) > 1
    for prompt, answer in list(zip(prompts, together, strict=True))[:12]:
        (alone,) = segmenter.segment(window, [prompt])
        assert (painted(alone.mask) != painted(answer.mask)).mean() < 0.002
        assert alone.score == pytest.approx(answer.score, abs=1e-5)


def test_the_same_pixels_are_embedded_once_and_other_pixels_again(
    segmenter: SamSegmenter, window: NDArray[np.uint8]
) -> None:
    calls = count_embeddings(segmenter)
    first = list(segmenter.segment(window, [click(5, 5)]))
    assert list(segmenter.segment(window.copy(), [click(5, 5)])) == first
    assert calls == [1]
    list(segmenter.segment(255 - window, [click(5, 5)]))
    assert calls == [2]


def count_embeddings(segmenter: SamSegmenter) -> list[int]:
    calls = [0]

    def count(*_: object) -> None:
        calls[0] += 1

    segmenter._model.vision_encoder.register_forward_hook(count)
    return calls


def test_the_cache_is_bounded_by_bytes_and_forgets_what_was_used_longest_ago(
    folder: Path, window: NDArray[np.uint8]
) -> None:
    one = 32 * 4 * 4 * 4  # channels, grid, grid, bytes
    segmenter = SamSegmenter(folder, device="cpu", embeddings=new_embeddings(2 * one))
    calls = count_embeddings(segmenter)
    a, b, c = window, window + 1, window + 2
    for image in (a, b, a, c, a):  # b goes when c comes
        list(segmenter.segment(image, [click(5, 5)]))
    assert calls == [3]
    list(segmenter.segment(b, [click(5, 5)]))
    assert calls == [4]


def test_segmenters_that_share_a_cache_do_not_mistake_each_others_embeddings(
    folder: Path, window: NDArray[np.uint8], tmp_path: Path
) -> None:
    build_sam(tmp_path / "other", window_px=SIDE, mpp=0.25, seed=1)
    shared = new_embeddings()
    one = SamSegmenter(folder, device="cpu", embeddings=shared)
    other = SamSegmenter(tmp_path / "other", device="cpu", embeddings=shared)
    calls = count_embeddings(other)
    list(one.segment(window, [click(5, 5)]))
    list(other.segment(window, [click(5, 5)]))
    assert calls == [1]
    assert len(shared) == 2
    again = SamSegmenter(folder, device="cpu", embeddings=shared)
    calls = count_embeddings(again)
    list(again.segment(window, [click(50, 5)]))
    assert calls == [0], "unloaded and loaded again, it finds what it saw"


def test_cancelling_stops_before_the_next_batch(
    segmenter: SamSegmenter, window: NDArray[np.uint8]
) -> None:
    asked = iter([False, True])
    prompts = [click(5, 5)] * (2 * PROMPTS_AT_ONCE)
    answers = list(segmenter.segment(window, prompts, cancelled=lambda: next(asked)))
    assert len(answers) == PROMPTS_AT_ONCE


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Prompt(np.empty((0, 2)), ()), "without a point or a box"),
        (Prompt(np.array([[1.0, 1.0]]), ()), "1 points but 0 signs"),
        (click(SIDE + 1, 3), "outside its window of 64 px"),
        (click(float("nan"), 3), "outside"),
    ],
)
def test_a_prompt_that_says_nothing_is_refused(
    segmenter: SamSegmenter, window: NDArray[np.uint8], prompt: Prompt, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        list(segmenter.segment(window, [prompt]))


def test_a_window_of_another_size_is_refused(segmenter: SamSegmenter) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(64, 64, 3\)"):
        list(segmenter.segment(np.zeros((32, 32, 3), np.uint8), [click(1, 1)]))


def test_info_says_scale_window_and_content(segmenter: SamSegmenter) -> None:
    info = segmenter.info
    assert (info.family, info.mpp, info.window_px) == ("sam", 0.25, SIDE)
    assert len(info.checkpoint_sha256 or "") == 64
    assert info.parameters == sum(p.numel() for p in segmenter._model.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"window_px": 128}, "its SAM reads 64 px"), ({"family": "other"}, "expected 'sam'")],
)
def test_a_description_that_disagrees_with_the_model_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    data = json.loads((copied / "nunext.json").read_text(encoding="utf-8"))
    (copied / "nunext.json").write_text(json.dumps(data | change), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        SamSegmenter(copied, device="cpu")


# The outline that clicks correct


@pytest.fixture
def reader(segmenter: SamSegmenter) -> SamSegmenter:
    """One that was taught to read outlines."""
    segmenter._info = replace(segmenter.info, reads_outlines=True)
    return segmenter


def corrected(*clicks: tuple[float, float], outline: Mask | None) -> Prompt:
    return Prompt(np.array(clicks), (True,) * len(clicks), outline=outline)


SQUARE = Mask.from_array(np.ones((12, 20), bool), 10, 24)


def test_an_outline_is_told_as_transformers_takes_it(
    folder: Path, reader: SamSegmenter, window: NDArray[np.uint8]
) -> None:
    asked = corrected((20.5, 30.5), outline=SQUARE)
    (answer,) = reader.segment(window, [asked])
    model: Any = SamModel.from_pretrained(folder, local_files_only=True)
    inside = torch.from_numpy(painted(SQUARE)).float()
    side = 4 * model.config.prompt_encoder_config.image_embedding_size
    covered = inside.reshape(side, SIDE // side, side, SIDE // side).mean((1, 3))
    with torch.no_grad():
        output = model(
            sam_pixels(SamImageProcessorPil.from_pretrained(folder), [window]),
            input_points=torch.tensor([[[[20.0, 30.0]]]]),
            input_labels=torch.tensor([[[1]]]),
            input_masks=(16 * covered - 8)[None, None],
            multimask_output=False,
        )
    logits = torch.nn.functional.interpolate(output.pred_masks[0], (SIDE, SIDE), mode="bilinear")
    expected = one_piece((logits[0, 0] > 0).numpy(), asked)
    assert (painted(answer.mask) != expected).mean() < 0.002
    assert answer.score == pytest.approx(float(output.iou_scores[0, 0, 0].clamp(0, 1)), abs=1e-5)


def test_prompts_with_and_without_outlines_are_answered_as_if_each_were_alone(
    reader: SamSegmenter, window: NDArray[np.uint8]
) -> None:
    wide = Mask.from_array(np.ones((30, 40), bool), 4, 12)
    clicks = (20.5, 30.5), (26.5, 30.5)
    prompts = [corrected(*clicks, outline=told) for told in (SQUARE, None, wide, SQUARE)]
    together = list(reader.segment(window, prompts))
    alone = [next(iter(reader.segment(window, [prompt]))) for prompt in prompts]
    for one, other in zip(together, alone, strict=True):
        assert (painted(one.mask) != painted(other.mask)).mean() < 0.002
        assert one.score == pytest.approx(other.score, abs=1e-4)
    assert len({answer.mask for answer in together}) == 3


def test_who_was_not_taught_to_read_outlines_looks_at_none(
    segmenter: SamSegmenter, window: NDArray[np.uint8]
) -> None:
    told, bare = (corrected((20.5, 30.5), outline=each) for each in (SQUARE, None))
    (with_it,) = segmenter.segment(window, [told])
    (without,) = segmenter.segment(window, [bare])
    assert with_it == without
