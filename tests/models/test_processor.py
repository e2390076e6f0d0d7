from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nunext.models.checkpoints.loading import LoadedCheckpoint


def test_the_prompt_has_the_image_the_instruction_and_last_the_latents(
    checkpoint: LoadedCheckpoint,
) -> None:
    ids = checkpoint.windows.prompt_ids
    description = checkpoint.description
    latents = description.codec.latent_ids
    text = checkpoint.windows.processor.tokenizer.decode(ids[: len(ids) - len(latents)])
    assert ids[len(ids) - len(latents) :] == latents
    assert text.count("<|image_pad|>") == description.image_tokens == 16
    assert text.endswith(f"{description.prompt}<|im_end|>\n<|im_start|>assistant\n")


def test_pixels_are_the_windows_own_in_patches_of_the_familys_scale(
    checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]
) -> None:
    inputs = checkpoint.windows(windows)
    images = checkpoint.windows.processor.image_processor
    mean, std = np.array(images.image_mean), np.array(images.image_std)
    vision = checkpoint.model.config.vision_config
    patch, merge, frames = (
        vision.patch_size,
        vision.spatial_merge_size,
        images.temporal_patch_size,
    )
    side = 32 // patch
    assert inputs["image_grid_thw"].tolist() == [[1, side, side]] * len(windows)
    tokens = side // merge
    shape = (len(windows), tokens, tokens, merge, merge, 3, frames, patch, patch)
    pixels = inputs["pixel_values"].numpy().reshape(shape)
    # (row, column) of merged patches, patch in them, colour, frame, pixel.
    for window, patches in zip(windows, pixels, strict=True):
        for frame in range(frames):
            image = patches[..., frame, :, :].transpose(0, 2, 5, 1, 3, 6, 4).reshape(32, 32, 3)
            np.testing.assert_allclose(image, (window / 255 - mean) / std, atol=1e-5)


def test_inputs_have_one_row_a_window_and_mark_the_image_tokens(
    checkpoint: LoadedCheckpoint, windows: list[NDArray[np.uint8]]
) -> None:
    inputs = checkpoint.windows(windows, torch.device("cpu"))
    assert inputs["input_ids"].tolist() == [list(checkpoint.windows.prompt_ids)] * len(windows)
    image_id = checkpoint.windows.processor.image_token_id
    assert torch.equal(inputs["mm_token_type_ids"] == 1, inputs["input_ids"] == image_id)
    assert inputs["attention_mask"].all()


@pytest.mark.parametrize(
    "window",
    [
        np.zeros((40, 40, 3), np.uint8),
        np.zeros((32, 32), np.uint8),
        np.zeros((32, 32, 3), np.float32),
    ],
)
def test_a_window_of_another_shape_or_type_is_refused(
    checkpoint: LoadedCheckpoint, window: NDArray[np.uint8]
) -> None:
    with pytest.raises(InputError, match=r"expected uint8 \(32, 32, 3\)"):
        checkpoint.windows([window])
