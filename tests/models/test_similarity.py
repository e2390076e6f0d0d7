from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nunext.core.errors import InputError
from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.models.next_point.similarity import latent_similarity


@pytest.fixture
def window():
    return np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_each_latent_is_compared_with_every_image_token(checkpoint, window):
    latent_ids = checkpoint.description.codec.latent_ids
    if not latent_ids:
        with pytest.raises(InputError, match="no latent tokens"):
            latent_similarity(checkpoint, window)
        return
    maps = latent_similarity(checkpoint, window)
    assert maps.shape == (len(latent_ids), 32, 32)
    assert maps.dtype == np.float32

    inputs = checkpoint.windows([window])
    with torch.no_grad():
        out = checkpoint.model(**inputs, output_hidden_states=True, use_cache=False)
    hidden = out.hidden_states[-1][0].double().numpy()
    ids = inputs["input_ids"][0].tolist()
    images = np.flatnonzero(inputs["mm_token_type_ids"][0].numpy() == 1)
    for i, latent in enumerate(latent_ids):
        state = hidden[ids.index(latent)]
        # Bilinear from a 4 x 4 grid: at a corner of the window the corner token speaks alone.
        for (row, column), token in (
            ((0, 0), images[0]),
            ((0, -1), images[3]),
            ((-1, 0), images[12]),
        ):
            other = hidden[token]
            cosine = state @ other / np.linalg.norm(state) / np.linalg.norm(other)
            assert maps[i, row, column] == pytest.approx(cosine, abs=1e-4)


def test_a_checkpoint_without_latents_has_nothing_to_show(built, window):
    with pytest.raises(InputError, match="no latent tokens"):
        latent_similarity(load_checkpoint(built, device="cpu"), window)
