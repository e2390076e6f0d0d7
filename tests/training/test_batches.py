from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nunext.core.codec import UNKNOWN_CATEGORY
from napari_nunext.core.geometry import Box
from napari_nunext.models.checkpoints.loading import load_checkpoint
from nunext_training.data.batches import Collator
from nunext_training.data.crops import Crop
from nunext_training.data.windows import Example
from nunext_training.method.losses import IGNORED


def example(points, categories=None, window_px=32):
    rgb = np.full((window_px, window_px, 3), 200, dtype=np.uint8)
    crop = Crop(Box(0, 0, window_px, window_px), window_px)
    return Example(rgb, np.array(points, dtype=float).reshape(-1, 2), categories, "tile", crop)


@pytest.fixture(scope="module")
def loaded(category_checkpoint):
    return load_checkpoint(category_checkpoint, device="cpu", dtype=torch.float32)


def collator(loaded):
    return Collator(
        loaded.description.codec, loaded.windows, loaded.windows.processor.tokenizer.pad_token_id
    )


def test_only_the_reply_is_predicted_and_latents_belong_to_the_prompt(loaded):
    codec = loaded.description.codec
    batch = collator(loaded)([example([(3, 20), (8, 4)], (1, 0)), example([], ())])
    prompt = list(loaded.windows.prompt_ids)
    assert tuple(prompt[-2:]) == codec.latent_ids
    start = codec.coordinate_start_id
    reply = [start + 8, start + 4, codec.category_ids[0], start + 3, start + 20]
    reply += [codec.category_ids[1], codec.end_id]
    assert batch["input_ids"][0].tolist() == prompt + reply
    assert batch["labels"][0].tolist() == [IGNORED] * len(prompt) + reply
    padding = len(reply) - 1
    labels = [IGNORED] * len(prompt) + [codec.end_id] + [IGNORED] * padding
    assert batch["labels"][1].tolist() == labels
    assert batch["attention_mask"][1].tolist() == [1] * (len(prompt) + 1) + [0] * padding


def test_a_category_that_nobody_has_said_is_read_as_a_comma_and_not_predicted(loaded):
    codec = loaded.description.codec
    batch = collator(loaded)([example([(3, 20), (8, 4)], (UNKNOWN_CATEGORY, 1))])
    start, reply = codec.coordinate_start_id, len(loaded.windows.prompt_ids)
    read = [start + 8, start + 4, codec.category_ids[1]]
    read += [start + 3, start + 20, codec.separator_id, codec.end_id]
    assert batch["input_ids"][0, reply:].tolist() == read
    read[5] = IGNORED
    assert batch["labels"][0, reply:].tolist() == read


def test_padding_does_not_change_what_the_model_says(loaded):
    build = collator(loaded)
    examples = [example([(5, 5)], (0,)), example([(3, 20), (8, 4), (9, 9)], (1, 0, 0))]
    together, alone = build(examples), build(examples[:1])

    def logits(batch):
        with torch.no_grad():
            return loaded.model(**{k: v for k, v in batch.items() if k != "labels"}).logits

    n = alone["input_ids"].shape[1]
    torch.testing.assert_close(logits(together)[:1, :n], logits(alone), atol=1e-4, rtol=1e-4)
