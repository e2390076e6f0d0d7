"""The convolutional tower of pictures of any size, and the places of their tokens."""

from __future__ import annotations

import pytest
import torch

from napari_nunext.models.checkpoints.loading import load_checkpoint
from napari_nunext.places import BUNDLED_WEIGHTS

GRID = 8


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(BUNDLED_WEIGHTS / "nunext-small", dtype=torch.float32).model


def pixels(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows * columns, 3 * 8 * 8, generator=generator)


def seen(model, *pictures):
    patches = torch.cat([pixels(*size, seed) for seed, size in enumerate(pictures)])
    grid = torch.tensor([(1, *size) for size in pictures])
    with torch.no_grad():
        return model.model.visual(patches, grid).pooler_output


def by_mask(tower, rows, columns, seed=0):
    """Tiled positions, and attention among all tokens but within a block: written out."""
    image = pixels(rows, columns, seed).view(rows, columns, 3, 8, 8).permute(2, 0, 3, 1, 4)
    at = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    block = at // GRID
    apart = (block[:, None] != block[None]).any(-1)
    with torch.no_grad():
        tokens = tower.stem(image.reshape(1, 3, rows * 8, columns * 8)).flatten(2).transpose(1, 2)
        tokens = tokens + tower.positions[(at[:, 0] % GRID) * GRID + at[:, 1] % GRID]
        for layer in tower.blocks:
            width = tokens.shape[-1]
            qkv = layer.qkv(layer.norm_attention(tokens))
            q, k, v = qkv.view(1, len(at), 3, layer.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
            scores = (q * layer.scale @ k.transpose(-1, -2)).masked_fill(apart, -torch.inf)
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(1, len(at), width)
            tokens = tokens + layer.out(mixed)
            tokens = tokens + layer.mlp(layer.norm_mlp(tokens))
        return tower.merger(tower.norm(tokens))[0]


@pytest.mark.parametrize("size", [(4, 4), (12, 12), (16, 8), (1, 1), (3, 17), (9, 7), (8, 8)])
def test_blocks_of_a_window_are_seen_each_by_itself(model, size):
    expected = by_mask(model.model.visual, *size)
    assert torch.allclose(seen(model, size), expected, atol=1e-4)


def test_pictures_of_several_sizes_do_not_see_each_other(model):
    sizes = [(8, 8), (4, 6), (8, 8), (12, 4), (4, 6)]
    together = seen(model, *sizes).split([rows * columns for rows, columns in sizes])
    for seed, (size, tokens) in enumerate(zip(sizes, together, strict=True)):
        assert torch.allclose(tokens, by_mask(model.model.visual, *size, seed), atol=1e-4)


def test_windows_take_the_way_that_they_took(model):
    """The very operations of the release, so that detection is the same to the bit."""
    tower, patches = model.model.visual, pixels(2 * GRID, GRID)
    with torch.no_grad():
        images = patches.view(-1, GRID, GRID, 3, 8, 8).permute(0, 3, 1, 4, 2, 5)
        images = images.reshape(2, 3, GRID * 8, GRID * 8)
        features = tower.stem(images.contiguous(memory_format=torch.channels_last))
        tokens = features.flatten(2).transpose(1, 2) + tower.positions
        for block in tower.blocks:
            tokens = block(tokens)
        expected = tower.merger(tower.norm(tokens).flatten(0, 1))
        found = tower(patches, torch.tensor([[1, GRID, GRID]] * 2)).pooler_output
    assert torch.equal(found, expected)


def positions(model, rows, columns, *, left=0, right=2):
    """Of a prompt of 2 words, a picture and `right` words, with `left` tokens of padding."""
    kinds = [0] * left + [0, 0] + [1] * (rows * columns) + [0] * right
    mask = torch.tensor([[0] * left + [1] * (len(kinds) - left)])
    return model.model.get_rope_index(
        torch.zeros(1, len(kinds), dtype=torch.long),
        mm_token_type_ids=torch.tensor([kinds]),
        image_grid_thw=torch.tensor([[1, rows, columns]]),
        attention_mask=mask,
    )


def test_places_of_a_window_are_those_of_qwen(model):
    found, delta = positions(model, GRID, GRID)
    expected, expected_delta = super(type(model.model), model.model).get_rope_index(
        torch.zeros(1, 68, dtype=torch.long),
        mm_token_type_ids=torch.tensor([[0, 0] + [1] * 64 + [0, 0]]),
        image_grid_thw=torch.tensor([[1, GRID, GRID]]),
    )
    assert torch.equal(found, expected)
    assert torch.equal(delta, expected_delta)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (16, 16), (16, 8), (6, 12)])
@pytest.mark.parametrize("left", [0, 3])
def test_places_are_spread_over_those_of_a_window_at_every_budget(model, rows, columns, left):
    found, delta = positions(model, rows, columns, left=left)
    found = found[:, 0, left:]
    side = GRID / max(rows, columns)
    down = 2 + (torch.arange(rows) + 0.5) * side - 0.5
    across = 2 + (torch.arange(columns) + 0.5) * side - 0.5
    picture = slice(2, 2 + rows * columns)
    assert torch.allclose(found[1, picture], down.repeat_interleave(columns))
    assert torch.allclose(found[2, picture], across.repeat(rows))
    assert found[:, picture.stop :].tolist() == [[10.0, 11.0]] * 3
    # The next token's place is its number among the tokens and this.
    assert rows * columns + 4 + int(delta) == 12
